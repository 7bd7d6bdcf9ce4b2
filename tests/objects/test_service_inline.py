"""Small objects through the whole service."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from trilith.errors import (
    BodyMismatch,
    BucketAlreadyExists,
    BucketAlreadyOwned,
    BucketNotEmpty,
    BucketNotFound,
    IncompleteBody,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
)
from trilith.objects.commands import PutObject
from trilith.objects.keys import INLINE, OBJECT, UPLOAD
from trilith.objects.types import Checksum, ObjectMetadata, WriteConditions

from .service_cluster import PLAIN, GivenBody, ServiceCluster


async def _with_bucket(**options: int) -> ServiceCluster:
    cluster = ServiceCluster(**options)  # type: ignore[arg-type]
    await cluster.service.create_bucket("b", owner="alice", region="us-east-1")
    return cluster


def test_what_was_put_is_got_with_its_metadata() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        metadata = ObjectMetadata(
            {"content-type": "text/plain"}, {"k": "ä"}, "STANDARD", {"t": "1"}
        )
        checksum = Checksum("CRC32", "AAAAAA==")
        body = GivenBody(b"hel", b"lo", checksum=checksum)
        put = await cluster.service.put_object("b", "a/ключ", body, metadata)
        assert put.etag == hashlib.md5(b"hello").hexdigest()
        reader = await cluster.service.open_object("b", "a/ключ")
        assert reader.info == put
        assert (reader.info.metadata, reader.info.checksum) == (metadata, checksum)
        assert reader.small_body() == b"hello"
        assert [run async for run in reader.stream(1, 3)] == [b"ell"]
        assert await cluster.service.head_object("b", "a/ключ") == put

    asyncio.run(scenario())


def test_an_open_without_awaiting_answers_the_same_or_declines() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        await cluster.put("b", "k", b"x")
        reader = cluster.service.try_open_object("b", "k")
        assert reader is not None
        assert reader.small_body() == b"x"
        with pytest.raises(ObjectNotFound):
            cluster.service.try_open_object("b", "absent")
        with pytest.raises(BucketNotFound):
            cluster.service.try_open_object("absent", "k")
        cluster.partitions.fast_reads = False
        assert cluster.service.try_open_object("b", "k") is None
        assert await cluster.get("b", "k") == b"x"

    asyncio.run(scenario())


def test_bodies_are_ciphertext_at_rest_and_gone_after_a_delete() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        await cluster.put("b", "k", b"the plaintext")
        stored = b"".join(cluster.partitions.records(INLINE).values())
        assert stored
        assert b"plaintext" not in stored
        assert await cluster.service.delete_object("b", "k") is True
        assert await cluster.service.delete_object("b", "k") is False
        assert not cluster.partitions.records(INLINE)
        assert not cluster.partitions.records(OBJECT)

    asyncio.run(scenario())


def test_a_body_that_fails_its_digest_or_ends_early_stores_nothing() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        service = cluster.service
        with pytest.raises(BodyMismatch):
            await service.put_object("b", "k", GivenBody(b"x"), PLAIN, expected_md5=bytes(16))
        short = IncompleteBody("cut")
        with pytest.raises(IncompleteBody) as caught:
            await service.put_object("b", "k", GivenBody(b"x", error=short), PLAIN)
        assert caught.value is short
        assert not cluster.partitions.records(OBJECT)
        right = hashlib.md5(b"x").digest()
        await service.put_object("b", "k", GivenBody(b"x"), PLAIN, expected_md5=right)

    asyncio.run(scenario())


def test_conditions_are_checked_with_the_write() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        create = WriteConditions(if_none_match_any=True)
        first, second = await asyncio.gather(
            cluster.put("b", "k", b"1", conditions=create),
            cluster.put("b", "k", b"2", conditions=create),
            return_exceptions=True,
        )
        assert isinstance(second, PreconditionFailed), (first, second)
        etag = (await cluster.service.head_object("b", "k")).etag
        await cluster.put("b", "k", b"3", conditions=WriteConditions(if_match=etag))
        with pytest.raises(PreconditionFailed):
            await cluster.put("b", "k", b"4", conditions=WriteConditions(if_match=etag))
        with pytest.raises(ObjectNotFound):
            await cluster.put("b", "absent", b"4", conditions=WriteConditions(if_match="*"))
        stale = WriteConditions(if_match=etag)
        with pytest.raises(PreconditionFailed):
            await cluster.service.delete_object("b", "k", conditions=stale)
        assert await cluster.get("b", "k") == b"3"

    asyncio.run(scenario())


def test_a_put_with_a_lost_answer_is_applied_once_when_its_token_is_retried() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        cluster.partitions.lose_answers_to = PutObject
        with pytest.raises(OutcomeUnknown):
            await cluster.put("b", "k", b"x")
        command = cluster.partitions.executed[-1]
        assert isinstance(command, PutObject)
        info = await cluster.service.head_object("b", "k")
        again = await cluster.partitions.execute(
            2, command.stem, command, token=info.version_id, repeated=True
        )
        assert again.last_modified_ms == info.last_modified_ms
        assert await cluster.get("b", "k") == b"x"

    asyncio.run(scenario())


def test_bucket_names_belong_to_their_first_owner() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        with pytest.raises(BucketAlreadyOwned):
            await cluster.service.create_bucket("b", owner="alice", region="us-east-1")
        with pytest.raises(BucketAlreadyExists):
            await cluster.service.create_bucket("b", owner="bob", region="us-east-1")
        await cluster.service.create_bucket("a", owner="alice", region="eu")
        await cluster.service.create_bucket("c", owner="bob", region="eu")
        page, more = await cluster.service.list_buckets(owner="alice")
        assert ([bucket.name for bucket in page], more) == (["a", "b"], None)
        page, more = await cluster.service.list_buckets(owner="alice", limit=1)
        assert ([bucket.name for bucket in page], more) == (["a"], "a")
        page, more = await cluster.service.list_buckets(owner="alice", limit=1, after="a")
        assert ([bucket.name for bucket in page], more) == (["b"], None)

    asyncio.run(scenario())


def test_uploads_go_with_their_bucket_but_not_beside_an_object() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        service = cluster.service
        uploads = [(await service.create_upload("b", k, PLAIN)).upload_id for k in "ab"]
        await cluster.put("b", "k", b"x")
        with pytest.raises(BucketNotEmpty):
            await service.delete_bucket("b")
        page = await service.list_uploads("b")
        assert [upload.upload_id for upload in page.uploads] == uploads
        await service.delete_object("b", "k")
        await service.delete_bucket("b")
        assert not cluster.partitions.records(UPLOAD)
        await service.create_bucket("b", owner="o", region="r")
        assert (await service.list_uploads("b")).uploads == []

    asyncio.run(scenario())


def test_a_bucket_can_be_deleted_only_when_it_is_empty() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        await cluster.put("b", "k", b"x")
        with pytest.raises(BucketNotEmpty):
            await cluster.service.delete_bucket("b")
        await cluster.service.delete_object("b", "k")
        await cluster.put("b", "k", b"x")
        await cluster.service.delete_object("b", "k")
        await cluster.service.delete_bucket("b")
        with pytest.raises(BucketNotFound):
            await cluster.get("b", "k")
        with pytest.raises(BucketNotFound):
            await cluster.put("b", "k", b"x")

    asyncio.run(scenario())
