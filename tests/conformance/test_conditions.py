"""Conditional reads and writes, alone and in a race."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Server
from .refusals import refused
from .trees import MIB, random_bytes

WRITERS = 16
LOST_RACE = {"PreconditionFailed", "ConditionalRequestConflict"}


@pytest.fixture
def etag(s3: Any, bucket: str) -> str:
    """The ETag of object `o`."""
    return str(s3.put_object(Bucket=bucket, Key="o", Body=b"first")["ETag"])


PAST = datetime(2020, 1, 1, tzinfo=UTC)


def soon() -> datetime:
    """Behind every modification so far; not in the future by more than clients' clocks differ."""
    return datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_reads_obey_their_conditions(s3: Any, bucket: str, etag: str, operation: str) -> None:
    read = getattr(s3, operation)
    failed = "PreconditionFailed" if operation == "get_object" else "412"
    for failing in ({"IfMatch": '"0123"'}, {"IfUnmodifiedSince": PAST}):
        with refused(failed, 412):
            read(Bucket=bucket, Key="o", **failing)
    for unchanged in ({"IfNoneMatch": etag}, {"IfNoneMatch": "*"}):
        with refused("304", 304):
            read(Bucket=bucket, Key="o", **unchanged)
    for holding in (
        {"IfMatch": etag},
        {"IfMatch": "*"},
        {"IfMatch": etag.strip('"')},
        {"IfNoneMatch": '"0123"'},
        {"IfModifiedSince": PAST},
        {"IfUnmodifiedSince": soon()},
    ):
        assert read(Bucket=bucket, Key="o", **holding)["ETag"] == etag


def test_an_object_that_did_not_change_since_is_304(s3: Any, bucket: str, etag: str) -> None:
    modified = s3.head_object(Bucket=bucket, Key="o")["LastModified"]
    with refused("304", 304):
        s3.get_object(Bucket=bucket, Key="o", IfModifiedSince=modified)


def test_etag_conditions_win_over_dates(s3: Any, bucket: str, etag: str) -> None:
    """RFC 9110 section 13.2.2, and the table in the GetObject page."""
    s3.get_object(Bucket=bucket, Key="o", IfMatch=etag, IfUnmodifiedSince=PAST)
    with refused("304", 304):
        s3.get_object(Bucket=bucket, Key="o", IfNoneMatch=etag, IfModifiedSince=PAST)


def test_a_write_if_absent_creates_but_never_replaces(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"first", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="o", Body=b"second", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == b"first"
    s3.delete_object(Bucket=bucket, Key="o")
    s3.put_object(Bucket=bucket, Key="o", Body=b"third", IfNoneMatch="*")


def test_a_write_if_match_replaces_only_what_it_names(s3: Any, bucket: str, etag: str) -> None:
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="o", Body=b"second", IfMatch='"0123"')
    s3.put_object(Bucket=bucket, Key="o", Body=b"second", IfMatch=etag)
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="o", Body=b"third", IfMatch=etag)
    with refused("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="absent", Body=b"", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == b"second"


def test_a_large_write_obeys_its_conditions_too(s3: Any, bucket: str, etag: str) -> None:
    body = random_bytes(2 * MIB)
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="o", Body=body, IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="o", Body=body, IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == body


def test_a_write_condition_that_s3_does_not_know_is_refused(
    s3: Any, bucket: str, etag: str
) -> None:
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="o", Body=b"second", IfNoneMatch=etag)


def test_a_delete_if_match_removes_only_what_it_names(s3: Any, bucket: str, etag: str) -> None:
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="o", IfMatch='"0123"')
    s3.delete_object(Bucket=bucket, Key="o", IfMatch=etag)
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="o")


def test_a_multipart_upload_completes_under_a_condition(s3: Any, bucket: str, etag: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="o")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="o", UploadId=upload, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    with refused("PreconditionFailed", 412):
        s3.complete_multipart_upload(
            Bucket=bucket, Key="o", UploadId=upload, MultipartUpload=parts, IfNoneMatch="*"
        )
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == b"first"
    s3.complete_multipart_upload(
        Bucket=bucket, Key="o", UploadId=upload, MultipartUpload=parts, IfMatch=etag
    )
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == b"part"


def race(server: Server, attempt: Callable[[Any, int], None]) -> list[int]:
    """Runs `attempt(client, number)` in WRITERS threads at once; the numbers that won."""
    barrier = Barrier(WRITERS)

    def run(number: int) -> bool:
        client = server.client()
        client.list_buckets()  # the connection stands before the race begins
        barrier.wait()
        try:
            attempt(client, number)
        except ClientError as error:
            if error.response["Error"]["Code"] not in LOST_RACE:
                raise
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(run, range(WRITERS)))
    return [number for number, won in enumerate(outcomes) if won]


@pytest.mark.parametrize("size", [100, 200_000])
def test_of_many_writers_if_absent_exactly_one_wins(
    server: Server, s3: Any, bucket: str, size: int
) -> None:
    bodies = [random_bytes(size, seed=number) for number in range(WRITERS)]
    for turn in range(5):

        def create(client: Any, number: int, key: str = f"o{turn}") -> None:
            client.put_object(Bucket=bucket, Key=key, Body=bodies[number], IfNoneMatch="*")

        winners = race(server, create)
        assert len(winners) == 1
        got = s3.get_object(Bucket=bucket, Key=f"o{turn}")["Body"].read()
        assert got == bodies[winners[0]]


def test_of_many_writers_if_match_exactly_one_wins(
    server: Server, s3: Any, bucket: str, etag: str
) -> None:
    for _ in range(5):
        current = s3.head_object(Bucket=bucket, Key="o")["ETag"]

        def replace(client: Any, number: int, etag: str = current) -> None:
            body = f"{etag}{number}".encode()
            client.put_object(Bucket=bucket, Key="o", Body=body, IfMatch=etag)

        winners = race(server, replace)
        assert len(winners) == 1
        got = s3.get_object(Bucket=bucket, Key="o")["Body"].read().decode()
        assert got == f"{current}{winners[0]}"
