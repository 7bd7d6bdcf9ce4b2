"""What ordinary calls do about objects that a transaction is about to change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.objects.service_cluster import PLAIN, GivenBody
from tests.transactions.gallery import BUCKET, END_OF_TIME, SEGMENTS, Gallery, putting

from trilith.errors import (
    BucketNotEmpty,
    BucketNotFound,
    DeadlineExceeded,
    ObjectNotFound,
    TransactionConflict,
)
from trilith.objects.commands import AbandonManifest
from trilith.objects.housekeeping import Housekeeping
from trilith.objects.keys import FENCE, LOCK, PENDING, stem_of
from trilith.objects.records import FENCE_RECORD, FenceRecord
from trilith.objects.transactions import CopyPart, DeletePart, Part, Together
from trilith.objects.types import CompletedPart
from trilith.transactions import commands as c

LARGE = bytes(i % 251 for i in range(SEGMENTS))


class Held:
    """A transaction that is prepared, and whose commit waits."""

    def __init__(self, gallery: Gallery, parts: Sequence[Part]) -> None:
        self._gallery = gallery
        self._reached, self._go_on = asyncio.Event(), asyncio.Event()
        gallery.partitions.gate = self._gate
        self._gateway = gallery.gateway()
        self._work = asyncio.ensure_future(self._gateway.together.execute(parts))

    async def _gate(self, command: Any) -> None:
        if type(command) is c.Commit:
            self._reached.set()
            await self._go_on.wait()

    async def begin(self) -> None:
        await self._reached.wait()
        self._gallery.partitions.gate = None
        assert self._gallery.locks()

    async def end(self) -> Together:
        self._go_on.set()
        together = await self._work
        await self._gateway.transactions.settlements.drain()
        return together


@asynccontextmanager
async def prepared(gallery: Gallery, *parts: Part) -> AsyncIterator[Held]:
    held = Held(gallery, parts)
    await held.begin()
    yield held


async def committed(gallery: Gallery, *parts: Part) -> Any:
    """Committed, with all its locks; the gateway, which would remove them."""
    gateway = gallery.gateway()
    assert (await gateway.together.execute(parts)).is_committed
    assert gallery.locks(), "nothing is resolved yet"
    return gateway


async def opened(objects: dict[str, bytes]) -> Gallery:
    gallery = Gallery()
    await gallery.open(objects, {})
    return gallery


def test_every_kind_of_read_sees_a_commit_whose_locks_are_still_there() -> None:
    async def scenario(read: str) -> None:
        gallery = await opened({"a": b"1", "gone": b"2", "gone/2": b"3"})
        parts = [putting("a", LARGE), putting("new", b"4"), DeletePart(BUCKET, "gone")]
        await committed(gallery, *parts, DeletePart(BUCKET, "gone/2"))
        objects = gallery.gateway().objects
        if read == "get":
            assert await gallery.read("a") == LARGE
            assert await gallery.read("new") == b"4"
            assert await gallery.read("gone") is None
        elif read == "head":
            assert (await objects.head_object(BUCKET, "a")).size == SEGMENTS
            assert (await objects.head_object(BUCKET, "new")).size == 1
            with pytest.raises(ObjectNotFound):
                await objects.head_object(BUCKET, "gone")
        elif read == "list":
            page = await objects.list_objects(BUCKET)
            assert [(one.key, one.size) for one in page.entries] == [("a", SEGMENTS), ("new", 1)]
        elif read == "list by prefixes":
            page = await objects.list_objects(BUCKET, delimiter="/", limit=2)
            assert [one.key for one in page.entries] == ["a", "new"]
            assert not page.common_prefixes
        else:
            source = await objects.open_object(BUCKET, "new")
            await objects.copy_object(source, BUCKET, "copy", PLAIN)
            assert await gallery.read("copy") == b"4"

    for read in ("get", "head", "list", "list by prefixes", "copy"):
        asyncio.run(scenario(read))


def test_reads_see_what_was_before_while_nothing_is_decided() -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1", "gone": b"2"})
        parts = [putting("a", LARGE), putting("new", b"4"), DeletePart(BUCKET, "gone")]
        async with prepared(gallery, *parts) as held:
            assert await gallery.read("a") == b"1"
            assert await gallery.read("new") is None
            assert await gallery.read("gone") == b"2"
            assert await gallery.names() == ["a", "gone"]
            assert (await held.end()).is_committed
        assert await gallery.names() == ["a", "new"]
        assert not gallery.locks()

    asyncio.run(scenario())


def test_a_listing_reads_past_locks_page_by_page() -> None:
    async def scenario() -> None:
        gallery = await opened({f"k{n:02}": b"old" for n in range(30)})
        parts = [putting(f"k{n:02}", b"newer") for n in range(0, 30, 2)]
        await committed(gallery, *parts, *(DeletePart(BUCKET, f"k{n:02}") for n in (1, 3, 29)))
        objects, after, found = gallery.gateway().objects, "", []
        while after is not None:
            page = await objects.list_objects(BUCKET, after=after, limit=4)
            found += page.entries
            after = page.next_after  # type: ignore[assignment]
        expected = [n for n in range(30) if n not in (1, 3, 29)]
        assert [one.key for one in found] == [f"k{n:02}" for n in expected]
        assert [one.size for one in found] == [3 if n % 2 else 5 for n in expected]

    asyncio.run(scenario())


async def _put(gallery: Gallery, _upload: str, _etag: str) -> None:
    await gallery.put("a", b"mine")


async def _delete(gallery: Gallery, _upload: str, _etag: str) -> None:
    await gallery.gateway().objects.delete_object(BUCKET, "a")


async def _complete(gallery: Gallery, upload: str, etag: str) -> None:
    parts = [CompletedPart(1, etag)]
    await gallery.gateway().objects.complete_upload(BUCKET, "a", upload, parts)


@pytest.mark.parametrize(
    ("write", "then"),
    [(_put, b"mine"), (_delete, None), (_complete, b"of a part")],
    ids=["put", "delete", "complete"],
)
def test_a_write_waits_for_the_transaction_in_its_way(write: Any, then: bytes | None) -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1"})
        objects = gallery.gateway().objects
        upload = await objects.create_upload(BUCKET, "a", PLAIN)
        body = GivenBody(b"of a part")
        part = await objects.put_part(BUCKET, "a", upload.upload_id, 1, body)
        async with prepared(gallery, putting("a", b"2"), putting("b", b"2")) as held:
            writing = asyncio.ensure_future(write(gallery, upload.upload_id, part.etag))
            for _ in range(50):
                await asyncio.sleep(0)
            assert not writing.done()
            assert (await held.end()).is_committed
            await writing
        assert await gallery.read("a") == then
        assert await gallery.read("b") == b"2"

    asyncio.run(scenario())


def test_a_write_is_a_conflict_when_the_object_stays_locked() -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1"})
        async with prepared(gallery, putting("a", b"2")) as held:
            with pytest.raises(TransactionConflict):
                await gallery.put("a", b"mine")
            assert (await held.end()).is_committed
        assert await gallery.read("a") == b"2"

    asyncio.run(scenario())


def test_what_is_staged_cannot_be_abandoned_and_is_kept_by_the_collector() -> None:
    async def scenario() -> None:
        gallery = await opened({})
        async with prepared(gallery, putting("a", LARGE)) as held:
            assert len(gallery.partitions.records(PENDING, 2)) == 1
            assert await Housekeeping(gallery.partitions).abandon_stale(END_OF_TIME) == 0
            await gallery.collect()
            (pending,) = gallery.partitions.records(PENDING, 2)
            stem, owner = pending[:-16], pending[-16:]
            with pytest.raises(TransactionConflict):
                gallery.partitions.run(2, stem, AbandonManifest(stem, owner))
            gallery.partitions.run(2, stem, AbandonManifest(stem, bytes(16)))  # of another owner
            assert (await held.end()).is_committed
        await gallery.collect()
        assert await gallery.read("a") == LARGE
        gallery.require_no_leftovers()

    asyncio.run(scenario())


def test_a_lock_holds_bodies_as_ciphertext_only() -> None:
    async def scenario() -> None:
        gallery = await opened({})
        async with prepared(gallery, putting("a", b"secret"), putting("b", LARGE)) as held:
            for raw in gallery.partitions.records(LOCK, 2).values():
                assert b"secret" not in raw
                assert LARGE[:16] not in raw
            assert (await held.end()).is_committed
        assert await gallery.read("a") == b"secret"

    asyncio.run(scenario())


def test_what_is_prepared_is_done_where_a_fence_came_beside_it() -> None:
    """As in a partition that was made of two: one closed for the bucket, the other locked."""

    async def scenario() -> None:
        gallery = await opened({})
        stem = stem_of(gallery.bucket_id, "z")
        async with prepared(gallery, putting("z", b"1")) as held:
            closed = FENCE_RECORD.encode(FenceRecord(0, closed=True))
            gallery.partitions.split(stem, [(FENCE, stem, closed)])
            assert (await held.end()).is_committed
        assert await gallery.read("z") == b"1"

    asyncio.run(scenario())


def test_a_bucket_is_not_deleted_under_a_transaction() -> None:
    async def scenario() -> None:
        gallery = await opened({})
        async with prepared(gallery, putting("a", b"1"), putting("z", b"1")) as held:
            deleting = asyncio.ensure_future(gallery.gateway().objects.delete_bucket(BUCKET))
            for _ in range(50):
                await asyncio.sleep(0)
            assert not deleting.done()
            assert (await held.end()).is_committed
            with pytest.raises(BucketNotEmpty):
                await deleting
        assert await gallery.names() == ["a", "z"]
        await gallery.put("m", b"and goes on")

    asyncio.run(scenario())


def test_a_bucket_that_a_transaction_has_emptied_can_be_deleted_at_once() -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1", "z": b"1"})
        await committed(gallery, DeletePart(BUCKET, "a"), DeletePart(BUCKET, "z"))
        await gallery.gateway().objects.delete_bucket(BUCKET)
        assert not gallery.partitions.records(LOCK, 2)
        together = gallery.gateway().together
        with pytest.raises(BucketNotFound):
            await together.execute([putting("a", b"1")])

    asyncio.run(scenario())


def test_a_bucket_closed_between_staging_and_prepare_is_taken_back_or_gone() -> None:
    async def scenario(*, is_gone: bool) -> None:
        gallery = await opened({} if is_gone else {"z": b"keeps the bucket"})

        deletions: list[asyncio.Future[None]] = []

        async def gate(command: Any) -> None:
            """All are prepared once a deletion of the bucket is over."""
            if type(command) is not c.Prepare:
                return
            if not deletions:
                deletion = gallery.gateway().objects.delete_bucket(BUCKET)
                deletions.append(asyncio.ensure_future(deletion))
            await asyncio.wait(deletions)

        gallery.partitions.gate = gate
        together = gallery.gateway().together
        executing = together.execute([putting("a", LARGE), putting("i", b"2")])
        if is_gone:
            with pytest.raises(BucketNotFound):
                await executing
        else:
            assert (await executing).is_committed
            assert await gallery.names() == ["a", "i", "z"]
        refusals = [type(one.exception()) for one in deletions]
        assert refusals == [type(None) if is_gone else BucketNotEmpty]
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario(is_gone=False))
    asyncio.run(scenario(is_gone=True))


def test_locks_stay_with_their_keys_when_a_partition_is_split() -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1", "m": b"1"})
        parts = [putting(name, b"2") for name in ("a", "k", "l", "m", "n")]
        async with prepared(gallery, *parts, CopyPart(BUCKET, "a", BUCKET, "o")) as held:
            for cut in ("l", "m", "b"):
                gallery.split(cut)
            assert await gallery.read("m") == b"1"
            assert (await held.end()).is_committed
        assert not gallery.locks()
        assert [await gallery.read(name) for name in ("a", "k", "l", "m", "n")] == [b"2"] * 5
        assert await gallery.read("o") == b"1"

    asyncio.run(scenario())


def test_a_slow_coordinator_cannot_commit_objects_that_others_gave_up() -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1"})

        async def gate(command: Any) -> None:
            if type(command) is c.Commit:
                gallery.partitions.gate = None
                gallery.pass_time()
                assert await gallery.read("a") == b"1"
                assert await gallery.names() == ["a"]
                assert not gallery.locks()

        gallery.partitions.gate = gate
        with pytest.raises(DeadlineExceeded, match="gave it up"):
            await gallery.gateway().together.execute([putting("a", LARGE), putting("z", LARGE)])
        assert await gallery.names() == ["a"]
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario())
