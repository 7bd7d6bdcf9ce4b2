"""boto3 at an S3 server in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .local_s3 import LocalS3, running


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Of a server of its own for each module, with an empty bucket named `bucket`."""
    with running(LocalS3()) as server:
        client = server.client()
        client.create_bucket(Bucket="bucket")
        yield client
