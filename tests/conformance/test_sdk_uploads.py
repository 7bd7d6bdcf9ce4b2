"""The SDK sends large objects in parts, side by side, and goes on after a failure."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trilith import errors
from trilith.client import Client
from trilith.client.upload_calls import PARTS_MAX, parts_of

from .cluster import Cluster
from .conftest import Server
from .sdk import connected, connected_async

MIB = 1 << 20
PART = 5 * MIB


@pytest.fixture
def bucket(db: Client) -> Any:
    return db.create_bucket(f"sdk-{secrets.token_hex(6)}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3 * PART + 17))
    return path


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stored(bucket: Any, key: str) -> str:
    with bucket.get(key) as reader:
        return hashlib.sha256(reader.read()).hexdigest()


def test_a_file_is_sent_in_parts(bucket: Any, file: Path, s3: Any) -> None:
    upload = bucket.start_upload("k", content_type="text/plain", metadata={"a": "b"})
    assert [one.id for one in bucket.uploads()] == [upload.id]
    info = upload.send(file, part_bytes=PART)
    assert (info.size, info.content_type, info.metadata) == (
        3 * PART + 17,
        "text/plain",
        {"a": "b"},
    )
    assert info.etag.endswith("-4")
    assert info == bucket.head("k")
    assert (
        info.checksum
        == s3.head_object(Bucket=bucket.name, Key="k", ChecksumMode="ENABLED")["ChecksumCRC64NVME"]
    )
    assert _stored(bucket, "k") == _digest(file)
    assert list(bucket.uploads()) == []


def test_parts_that_are_there_are_not_sent_again(bucket: Any, file: Path, cluster: Cluster) -> None:
    first = bucket.start_upload("k")
    content = file.read_bytes()
    first.put_part(1, content[:PART])
    first.put_part(3, b"others" * PART)
    there = {part.number: part for part in first.parts()}
    assert (there[1].size, there[3].size) == (PART, 6 * PART)
    with connected(cluster) as other:
        again = other.bucket(bucket.name).upload("k", first.id)
        sent: list[int] = []
        put_part = again.put_part

        def noted(number: int, *given: Any, **options: Any) -> Any:
            sent.append(number)
            return put_part(number, *given, **options)

        again.put_part = noted
        again.send(file, part_bytes=PART)
    assert sorted(sent) == [2, 3, 4]
    assert _stored(bucket, "k") == _digest(file)


def test_parts_come_as_bodies_of_any_kind_and_are_replaced(bucket: Any, tmp_path: Path) -> None:
    upload = bucket.start_upload("k")
    upload.put_part(2, b"first")
    upload.put_part(2, iter([b"sec", b"ond"]))
    path = tmp_path / "part"
    path.write_bytes(b"x" * PART)
    upload.put_part(1, path)
    info = upload.complete()
    assert info.size == PART + 6
    with bucket.get("k", range=(-7, None)) as reader:
        assert reader.read() == b"xsecond"
    with pytest.raises(errors.UploadNotFound):
        upload.put_part(3, b"late")
    assert not upload.abort()


def test_a_completion_that_is_sent_again_answers_with_the_object(bucket: Any) -> None:
    upload = bucket.start_upload("k")
    parts = [upload.put_part(1, b"whole")]
    first = upload.complete(parts, if_absent=True)
    assert upload.complete(parts, if_absent=True).version_id == first.version_id


def test_conditions_hold_or_the_upload_stays(bucket: Any) -> None:
    there = bucket.put("k", b"there")
    upload = bucket.start_upload("k")
    upload.put_part(1, b"new")
    with pytest.raises(errors.PreconditionFailed):
        upload.complete(if_absent=True)
    with pytest.raises(errors.PreconditionFailed):
        upload.complete(if_match="0" * 32)
    assert upload.complete(if_match=there.etag).size == 3


def test_an_aborted_upload_is_gone(bucket: Any) -> None:
    upload = bucket.start_upload("k")
    upload.put_part(1, b"x")
    assert upload.abort()
    assert not upload.abort()
    with pytest.raises(errors.UploadNotFound):
        list(upload.parts())
    with pytest.raises(errors.ObjectNotFound):
        bucket.head("k")


def test_uploads_of_s3_and_ours_are_the_same(bucket: Any, server: Server) -> None:
    # boto3 has no CRC64NVME of its own, and the service refuses parts with another checksum.
    s3 = server.client(request_checksum_calculation="when_required")
    sha = s3.create_multipart_upload(Bucket=bucket.name, Key="sha", ChecksumAlgorithm="SHA256")
    upload = bucket.upload("sha", sha["UploadId"])
    upload.put_part(1, b"x" * PART)
    upload.put_part(2, b"y")
    upload.complete()
    found = s3.head_object(Bucket=bucket.name, Key="sha", ChecksumMode="ENABLED")
    assert found["ChecksumType"] == "COMPOSITE"
    ours = bucket.start_upload("ours")
    s3.upload_part(Bucket=bucket.name, Key="ours", UploadId=ours.id, PartNumber=1, Body=b"z" * 10)
    assert ours.complete().size == 10
    plain = s3.create_multipart_upload(Bucket=bucket.name, Key="plain")["UploadId"]
    assert [one.key for one in bucket.uploads("pl")] == ["plain"]
    bucket.upload("plain", plain).put_part(1, b"p")
    assert bucket.upload("plain", plain).complete().size == 1


def test_mistakes_are_named(bucket: Any, file: Path, db: Client) -> None:
    upload = bucket.start_upload("k")
    for number in (0, PARTS_MAX + 1):
        with pytest.raises(errors.InvalidRequest, match="part numbers"):
            upload.put_part(number, b"x")
    with pytest.raises(errors.InvalidRequest, match="1 to 10000 parts"):
        upload.complete()
    one, two = upload.put_part(1, b"small"), upload.put_part(2, b"last")
    with pytest.raises(errors.PartTooSmall):
        upload.complete()
    with pytest.raises(errors.InvalidPartOrder):
        upload.complete([two, one])
    upload.put_part(1, b"x" * PART)
    with pytest.raises(errors.InvalidPart):
        upload.complete([one, two])
    with pytest.raises(errors.UploadNotFound):
        bucket.upload("k", "00" * 16).send(file)
    with pytest.raises(ValueError, match="at least"):
        upload.send(file, part_bytes=MIB)
    with pytest.raises(ValueError, match="one part"):
        upload.send(file, parallel=0)
    with pytest.raises(errors.BucketNotFound):
        db.bucket("nobody-has-this").start_upload("k")


def test_a_file_that_is_changed_meanwhile_is_not_stored(bucket: Any, file: Path) -> None:
    upload = bucket.start_upload("k")
    put_part = upload.put_part

    def changing(*given: Any, **options: Any) -> Any:
        os.utime(file, ns=(1, 1))
        return put_part(*given, **options)

    upload.put_part = changing
    with pytest.raises(errors.BodyMismatch, match="was changed"):
        upload.send(file, part_bytes=PART)
    with pytest.raises(errors.ObjectNotFound):
        bucket.head("k")


def test_a_huge_file_has_larger_parts_not_more(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as made:
        made.truncate(500 << 30)
    parts = parts_of(path, PART).slices
    assert len(parts) <= PARTS_MAX
    assert sum(part.size for part in parts) == 500 << 30
    assert len(parts_of(tmp_path / "sparse", PART).slices) == len(parts)
    empty = tmp_path / "empty"
    empty.touch()
    assert [part.size for part in parts_of(empty, PART).slices] == [0]


def test_the_asynchronous_client_does_the_same(cluster: Cluster, bucket: Any, file: Path) -> None:
    async def scenario() -> None:
        async with await connected_async(cluster) as db:
            mine = db.bucket(bucket.name)
            upload = await mine.start_upload("k")
            await upload.put_part(1, file.read_bytes()[:PART])
            assert [part.number async for part in upload.parts()] == [1]
            assert [one.id async for one in mine.uploads()] == [upload.id]
            assert (await upload.send(file, part_bytes=PART)).size == file.stat().st_size
            aborted = await mine.start_upload("other")
            assert await aborted.abort()

    asyncio.run(scenario())
    assert _stored(bucket, "k") == _digest(file)


@pytest.mark.load
def test_an_upload_survives_the_loss_of_a_zone(
    start_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    cluster = start_cluster()
    path = tmp_path / "large"
    path.write_bytes(os.urandom(60 * MIB))
    with connected(cluster) as db:
        bucket = db.create_bucket("survives")
        upload = bucket.start_upload("k")
        put_part, killed = upload.put_part, False

        def killing(number: int, *given: Any, **options: Any) -> Any:
            nonlocal killed
            if number == 4 and not killed:
                killed = True
                cluster.zone("kill", "az1")
            return put_part(number, *given, **options)

        upload.put_part = killing
        info = upload.send(path, part_bytes=PART, if_absent=True)
        assert info.size == 60 * MIB
        assert _stored(bucket, "k") == _digest(path)
    cluster.remove()
