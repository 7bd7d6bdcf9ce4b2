"""The coordinator of a transaction on objects and rows dies before or after each command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.transactions.bank import ACCOUNTS, Died, Mortal, account, adding, key
from tests.transactions.gallery import BUCKET, SEGMENTS, Gallery, putting

from trilith.errors import (
    ObjectNotFound,
    PreconditionFailed,
)
from trilith.objects.transactions import CopyPart, DeletePart, Part
from trilith.objects.types import WriteConditions
from trilith.tables.service import Wanted
from trilith.tables.transacting import put_action, update_action
from trilith.transactions.coordinator import Action, ClientToken
from trilith.transactions.records import LEDGER_RECORD, Decision

TOKEN = ClientToken(b"token", b"payload of it....")
SMALL, LARGE, OLD = b"small", bytes(i % 251 for i in range(SEGMENTS)), b"older than that"
BEFORE = {"a": OLD, "k": b"to be moved", "z": b"stays"}
AFTER = {"a": LARGE, "j": SMALL, "q": b"to be moved", "z": b"stays"}
ROWS = {"row": 1, "count": 1}
PARTS: Sequence[Part] = [
    putting("j", SMALL, conditions=WriteConditions(if_none_match_any=True)),
    putting("a", LARGE, conditions=WriteConditions(if_match="*")),
    CopyPart(BUCKET, "k", BUCKET, "q"),
    DeletePart(BUCKET, "k"),
]
STEPS = range(1, 19)

Finish = Callable[[Gallery], Any]


def beside() -> list[Action]:
    return [
        put_action(ACCOUNTS, account("row", 2), 10, Wanted()),
        update_action(ACCOUNTS, key("count"), adding(1), Wanted()),
    ]


async def by_the_sweeper(gallery: Gallery) -> None:
    await gallery.sweep()
    await gallery.sweep()


async def by_readers(gallery: Gallery) -> None:
    await look(gallery)


async def by_a_listing(gallery: Gallery) -> None:
    names = await gallery.names()
    assert names in (sorted(BEFORE), sorted(AFTER))
    await look(gallery)


async def by_writers(gallery: Gallery) -> None:
    objects = gallery.gateway().objects
    for name in {*BEFORE, *AFTER}:
        try:
            await objects.delete_object(
                BUCKET, name, conditions=WriteConditions(if_match="no such etag")
            )
        except (PreconditionFailed, ObjectNotFound):
            continue
        raise AssertionError("the condition never holds")
    await look_at_rows(gallery)


async def by_another_transaction(gallery: Gallery) -> None:
    gateway = gallery.gateway()
    names = {*BEFORE, *AFTER}
    parts = [CopyPart(BUCKET, "z", BUCKET, f"{name}.copy") for name in names]
    never = WriteConditions(if_match="no such etag")
    together = await gateway.together.execute(
        [*parts, *(DeletePart(BUCKET, name, never) for name in names)], beside()
    )
    assert not together.is_committed
    await gateway.transactions.settlements.drain()


async def look(gallery: Gallery) -> dict[str, bytes]:
    found = {name: await gallery.read(name) for name in {*BEFORE, *AFTER}}
    return {name: data for name, data in found.items() if data is not None}


async def look_at_rows(gallery: Gallery) -> list[int | None]:
    return [await gallery.row("row"), await gallery.row("count")]


async def run_until_death(
    gallery: Gallery, step: int, client: ClientToken | None, *, after: bool
) -> bool:
    """Whether the coordinator died; else everything is done."""
    await gallery.open(BEFORE, ROWS)
    mortal = Mortal(gallery.partitions, step, after=after)
    gateway = gallery.gateway(mortal)
    try:
        await gateway.together.execute(PARTS, beside(), client)
        await gateway.transactions.settlements.drain()
    except Died:
        return True
    finally:
        await gateway.transactions.settlements.stop()
    return mortal.is_dead


@pytest.mark.parametrize(
    "finish",
    [by_the_sweeper, by_readers, by_a_listing, by_writers, by_another_transaction],
)
@pytest.mark.parametrize("client", [None, TOKEN], ids=["", "token"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_objects_and_rows_of_a_dead_coordinator_are_all_or_nothing(
    finish: Finish, client: ClientToken | None, after: bool
) -> None:
    async def at(step: int) -> tuple[bool, bool]:
        gallery = Gallery()
        died = await run_until_death(gallery, step, client, after=after)
        gallery.pass_time()
        await finish(gallery)
        found, rows = await look(gallery), await look_at_rows(gallery)
        assert (found, rows) in ((BEFORE, [1, 1]), (AFTER, [2, 2]))
        assert await gallery.names() == sorted(found)
        assert not gallery.locks()
        gallery.pass_time()
        await gallery.sweep()
        await gallery.collect()
        gallery.require_no_leftovers()
        assert (await look(gallery), await look_at_rows(gallery)) == (found, rows)
        for raw in gallery.ledger().values():
            assert LEDGER_RECORD.decode(raw).decision != Decision.COMMITTED
        return died, found == AFTER

    ends = [asyncio.run(at(step)) for step in STEPS]
    assert {done for died, done in ends if died} == {False, True}
    assert ends[-1] == (False, True), "some step was not reached"
