"""What a refused request looks like through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError


@contextmanager
def refused(code: str, status: int) -> Iterator[None]:
    """The block raises a ClientError with exactly this S3 code and HTTP status."""
    with pytest.raises(ClientError) as caught:
        yield
    response = caught.value.response
    seen = (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"])
    assert seen == (code, status), response["Error"]
