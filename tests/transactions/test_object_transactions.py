"""Puts, copies and deletions of objects together: conditions, sources, tokens, lost answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.objects.service_cluster import GivenBody
from tests.transactions.bank import ACCOUNTS, account, adding, key
from tests.transactions.gallery import BUCKET, SEGMENTS, Gallery, putting

from trilith.errors import (
    BucketNotFound,
    DeadlineExceeded,
    EntityTooLarge,
    IdempotentParameterMismatch,
    InvalidRequest,
)
from trilith.objects.commands import CloseBucket, PutSegment
from trilith.objects.keys import PENDING, bucket_range
from trilith.objects.transactions import (
    BODIES_BYTES_MAX,
    CopyPart,
    DeletePart,
    Part,
)
from trilith.objects.types import CompletedPart, ObjectMetadata, WriteConditions
from trilith.tables.service import Wanted
from trilith.tables.transacting import put_action, update_action
from trilith.transactions import commands as c
from trilith.transactions.coordinator import ClientToken

TOKEN = ClientToken(b"token", b"payload of it....")
LARGE = bytes(i % 251 for i in range(SEGMENTS))
ABSENT = WriteConditions(if_none_match_any=True)


def copying(source: str, target: str, **options: Any) -> CopyPart:
    return CopyPart(BUCKET, source, BUCKET, target, **options)


async def opened(objects: dict[str, bytes], **options: Any) -> Gallery:
    gallery = Gallery(**options)
    await gallery.open(objects, {"row": 1})
    return gallery


class Changing:
    """A gate that has an object overwritten before transactions are prepared, `times` of them."""

    def __init__(self, gallery: Gallery, name: str, body: bytes | None, times: int = 1) -> None:
        self._gallery = gallery
        self._name = name
        self._body = body
        self._left = times
        self._changes: dict[bytes, asyncio.Future[None]] = {}
        gallery.partitions.gate = self._gate

    async def _gate(self, command: Any) -> None:
        if type(command) is not c.Prepare:
            return
        if command.transaction not in self._changes:
            if not self._left:
                return
            self._left -= 1
            body = self._body or b"%d" % self._gallery.partitions.now_ms
            change = asyncio.ensure_future(self._gallery.put(self._name, body))
            self._changes[command.transaction] = change
        await asyncio.wait([self._changes[command.transaction]])


async def codes(gallery: Gallery, *parts: Part) -> list[str]:
    """The reasons why parts are not done; once they are not, nothing of them is left."""
    gateway = gallery.gateway()
    row = update_action(ACCOUNTS, key("row"), adding(1), Wanted())
    before = await gallery.row("row")
    together = await gateway.together.execute(parts, [row])
    await gateway.transactions.settlements.drain()
    assert await gallery.row("row") == before + together.is_committed  # type: ignore[operator]
    assert not gallery.partitions.records(PENDING, 2), "what was stored ahead is let go at once"
    return [verdict.code for verdict in together.parts]


def test_a_condition_that_fails_is_the_reason_of_its_part_and_nothing_is_done() -> None:
    async def scenario() -> None:
        gallery = await opened({"a": LARGE, "m": b"1", "z": b"1"})
        etag = (await gallery.gateway().objects.head_object(BUCKET, "a")).etag
        mine, others = WriteConditions(if_match=etag), WriteConditions(if_match="of another")
        failed = "ConditionalCheckFailed"
        new = putting("new", LARGE)
        assert await codes(gallery, new, putting("m", b"2", conditions=ABSENT)) == ["", failed]
        assert await codes(gallery, new, putting("a", b"2", conditions=others)) == ["", failed]
        assert await codes(gallery, new, putting("b", b"2", conditions=mine)) == ["", failed]
        assert await codes(gallery, new, DeletePart(BUCKET, "z", others)) == ["", failed]
        assert await codes(gallery, new, DeletePart(BUCKET, "zz", mine)) == ["", failed]
        assert await codes(gallery, new, copying("a", "z", conditions=ABSENT)) == ["", failed]
        assert await codes(gallery, copying("nowhere", "b"), new) == ["ObjectNotFound", ""]
        assert await gallery.names() == ["a", "m", "z"]
        assert await codes(gallery, DeletePart(BUCKET, "a", mine), DeletePart(BUCKET, "y")) == [
            "",
            "",
        ]
        assert await codes(gallery, new, putting("b", b"2", conditions=ABSENT)) == ["", ""]
        assert await gallery.names() == ["b", "m", "new", "z"]
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario())


def test_copies_keep_what_their_source_says_of_itself() -> None:
    async def scenario() -> None:
        gallery = await opened({"small": b"1"})
        objects = gallery.gateway().objects
        described = ObjectMetadata({"content-type": "image/png"}, {"by": "ann"})
        upload = await objects.create_upload(BUCKET, "parts", described)
        done = []
        for number in (1, 2):
            part = await objects.put_part(
                BUCKET, "parts", upload.upload_id, number, GivenBody(LARGE[number:])
            )
            done.append(CompletedPart(number, part.etag))
        await objects.complete_upload(BUCKET, "parts", upload.upload_id, done)
        other = ObjectMetadata({"content-type": "text/plain"})
        copies = [copying("parts", "a"), copying("parts", "q", metadata=other)]
        assert await codes(gallery, *copies, copying("small", "small", metadata=other)) == [""] * 3
        source, kept = [await objects.head_object(BUCKET, name) for name in ("parts", "a")]
        assert (kept.etag, kept.size, kept.metadata) == (source.etag, source.size, described)
        assert (await objects.head_object(BUCKET, "q")).metadata == other
        assert (await objects.head_object(BUCKET, "small")).metadata == other
        assert await gallery.read("a") == await gallery.read("q") == LARGE[1:] + LARGE[2:]
        assert await gallery.read("small") == b"1"
        for name in ("parts", "a", "q", "small"):
            await objects.delete_object(BUCKET, name)
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario())


@pytest.mark.parametrize("is_moved", [False, True], ids=["copied", "moved"])
@pytest.mark.parametrize("source", [b"new", LARGE[7:]], ids=["small", "large"])
def test_a_source_that_changes_before_it_is_locked_is_copied_as_it_is_then(
    source: bytes, is_moved: bool
) -> None:
    async def scenario() -> None:
        gallery = await opened({"a": LARGE, "z": b"1"})
        parts: list[Part] = [copying("a", "k"), copying("a", "z")]
        if is_moved:
            parts.append(DeletePart(BUCKET, "a"))
        Changing(gallery, "a", source)
        assert await codes(gallery, *parts) == [""] * len(parts)
        assert await gallery.read("k") == await gallery.read("z") == source
        assert await gallery.read("a") == (None if is_moved else source)
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario())


def test_a_source_that_keeps_changing_is_a_conflict() -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1", "z": b"1"})
        Changing(gallery, "a", None, times=100)
        assert await codes(gallery, copying("a", "k"), putting("z", b"2")) == [
            "TransactionConflict",
            "",
        ]
        assert await gallery.read("z") == b"1"

    asyncio.run(scenario())


def test_a_client_token_is_applied_once_and_its_second_bodies_are_let_go() -> None:
    async def scenario(parts: Sequence[Part], names: list[str]) -> None:
        gallery = await opened({"a": b"1", "k": LARGE})
        row = update_action(ACCOUNTS, key("row"), adding(1), Wanted())
        gateways = [gallery.gateway() for _ in range(3)]
        ends = await asyncio.gather(
            *(one.together.execute(parts, [row], TOKEN) for one in gateways)
        )
        for one in gateways:
            await one.transactions.settlements.drain()
        again = await gallery.gateway().together.execute(parts, [row], TOKEN)
        assert all(one.is_committed for one in (*ends, again))
        assert [one.is_replay for one in (*ends, again)].count(False) == 1
        assert await gallery.row("row") == 2
        assert await gallery.names() == names
        other = ClientToken(TOKEN.token, b"another request.")
        with pytest.raises(IdempotentParameterMismatch):
            await gallery.gateway().together.execute(parts, [row], other)
        await gallery.collect()
        gallery.require_no_leftovers()

    moves = [copying("k", "z", conditions=ABSENT), DeletePart(BUCKET, "k")]
    asyncio.run(scenario(moves, ["a", "z"]))
    puts = [putting("b", LARGE, conditions=ABSENT), putting("a", b"2")]
    asyncio.run(scenario(puts, ["a", "b", "k"]))


@pytest.mark.parametrize("lost", [PutSegment, c.Prepare, c.Commit, c.Resolve])
def test_a_lost_answer_leaves_no_doubt_about_objects(lost: type) -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1"})
        gateway = gallery.gateway()
        gallery.partitions.lose_answers_to = lost
        executing = gateway.together.execute([putting("a", LARGE), putting("z", b"1")])
        if lost in (PutSegment, c.Prepare):
            with pytest.raises(DeadlineExceeded):
                await executing
        else:
            assert (await executing).is_committed
        await gateway.transactions.settlements.drain()
        gallery.pass_time()
        await gallery.sweep()
        done = lost in (c.Commit, c.Resolve)
        assert await gallery.read("a") == (LARGE if done else b"1")
        assert await gallery.read("z") == (b"1" if done else None)
        assert not gallery.locks()
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario())


def test_a_bucket_that_a_dead_deletion_left_closed_is_taken_back() -> None:
    async def scenario() -> None:
        gallery = await opened({"z": b"1"})
        start = bucket_range(gallery.bucket_id)[0]
        gallery.partitions.run(2, start, CloseBucket(start, gallery.bucket_id, 0))
        assert await codes(gallery, putting("a", LARGE), putting("z", b"2")) == ["", ""]
        assert await gallery.names() == ["a", "z"]

    asyncio.run(scenario())


def test_what_cannot_be_is_refused_by_name() -> None:
    async def scenario() -> None:
        gallery = await opened({"a": b"1"})
        together = gallery.gateway().together
        half = bytes(BODIES_BYTES_MAX // 2)
        with pytest.raises(EntityTooLarge, match="copy it in the transaction") as raised:
            await together.execute([putting("a", half), putting("b", half), putting("c", b"1")])
        assert raised.value.details == {"size": BODIES_BYTES_MAX + 1}
        with pytest.raises(InvalidRequest, match="multiple operations on one object"):
            await together.execute([copying("a", "b"), DeletePart(BUCKET, "b")])
        with pytest.raises(BucketNotFound):
            await together.execute(
                [putting("k", LARGE), putting("a", b"2"), DeletePart("nowhere", "b")]
            )
        assert await gallery.names() == ["a"]
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario())


def test_objects_and_a_hundred_copies_fit_in_one_transaction() -> None:
    async def scenario() -> None:
        gallery = await opened({f"a{n:02}": b"%d" % n for n in range(99)})
        copies = [copying(f"a{n:02}", f"q{n:02}") for n in range(99)]
        row = put_action(ACCOUNTS, account("row", 5), 10, Wanted())
        gateway = gallery.gateway()
        assert (await gateway.together.execute(copies, [row])).is_committed
        assert await gallery.read("q98") == b"98"
        assert len(await gallery.names()) == 198
        assert await gallery.row("row") == 5

    asyncio.run(scenario())
