"""Fixtures: one shared cluster for a session, clients, and buckets that clean up after themselves.

`TRILITH_CONFORMANCE_ENDPOINT`, with `..._ACCESS_KEY` and `..._SECRET_KEY`, points the protocol
tests at an S3 server that already runs; tests that need the processes are then skipped.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from trilith.client import Client

from .cluster import Cluster
from .sdk import connected
from .sigv4 import Credentials
from .trees import copy_python_library
from .wire import Caller

OUTSIDE = "TRILITH_CONFORMANCE_ENDPOINT"


@dataclass(frozen=True)
class Server:
    """An S3 endpoint under test."""

    endpoint: str
    credentials: Credentials

    def client(self, **config: Any) -> Any:
        """A boto3 client that shows every error at once instead of retrying it."""
        options = {
            "retries": {"total_max_attempts": 1},
            "s3": {"addressing_style": "path"},
            "read_timeout": 60,
            **config,
        }
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
            region_name=self.credentials.region,
            config=Config(**options),
        )

    def caller(self, **options: Any) -> Caller:
        return Caller(self.endpoint, self.credentials, **options)

    def environment(self) -> dict[str, str]:
        """What AWS tools read, cut off from the machine's own configuration."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
            "AWS_DEFAULT_REGION": self.credentials.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@pytest.fixture(scope="session")
def start_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Cluster]]:
    """Starts clusters; each is ended and its data deleted when the session ends at the latest."""
    if OUTSIDE in os.environ:
        pytest.skip(f"needs the processes, not only {OUTSIDE}")
    started: list[Cluster] = []
    # a test run that is told to end (by `timeout`, by CI) still takes its clusters along
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))

    def start(**options: Any) -> Cluster:
        cluster = Cluster(tmp_path_factory.mktemp("cluster") / "data", **options)
        started.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in started:
        cluster.remove()


@pytest.fixture(scope="session")
def cluster(start_cluster: Callable[..., Cluster]) -> Cluster:
    """The shared cluster, unharmed. A test that kills something starts its own.

    Each zone leads a third of the tables: what spans partitions, and what is asked of a zone that
    does not lead, is seen here; the clusters that tests start have the one that a new one has.
    """
    cluster = start_cluster()
    cluster.spread_tables()
    return cluster


@pytest.fixture
def own_cluster(start_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    """A cluster to be hurt."""
    cluster = start_cluster()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="module")
def db(cluster: Cluster) -> Iterator[Client]:
    """The SDK's client of the shared cluster."""
    with connected(cluster) as client:
        yield client


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The endpoint under test."""
    if OUTSIDE in os.environ:
        prefix = OUTSIDE.removesuffix("ENDPOINT")
        return Server(
            os.environ[OUTSIDE],
            Credentials(os.environ[prefix + "ACCESS_KEY"], os.environ[prefix + "SECRET_KEY"]),
        )
    cluster: Cluster = request.getfixturevalue("cluster")
    return Server(cluster.endpoint, cluster.credentials)


@pytest.fixture(scope="session")
def s3(server: Server) -> Any:
    return server.client()


@pytest.fixture(scope="session")
def caller(server: Server) -> Caller:
    return server.caller()


def empty_and_delete(s3: Any, bucket: str) -> None:
    """Removes a bucket with everything in it."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        if keys := [{"Key": entry["Key"]} for entry in page.get("Contents", [])]:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    s3.delete_bucket(Bucket=bucket)


@pytest.fixture
def make_bucket(s3: Any) -> Iterator[Callable[[], str]]:
    """Creates buckets that are removed after the test."""
    made: list[str] = []

    def make() -> str:
        name = f"conformance-{secrets.token_hex(6)}"
        s3.create_bucket(Bucket=name)
        made.append(name)
        return name

    yield make
    for name in made:
        try:
            empty_and_delete(s3, name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    return make_bucket()


@pytest.fixture(scope="session")
def python_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the installed Python's library: thousands of real files, some large, some empty."""
    return copy_python_library(tmp_path_factory.mktemp("tree") / "lib")
