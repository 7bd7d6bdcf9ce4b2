"""Histories of concurrent transactions on objects and items, beside ordinary calls.

Two objects and a row that only transactions write, and always all three, are one register to
everybody: whichever of them is read, by whatever call, and in whatever order of real time. The
checker of single registers is then one of strict serializability.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.linearizability.checker import Kind, Operation, is_linearizable
from tests.transactions.bank import ACCOUNTS, Died, Mortal, account, adding, key
from tests.transactions.gallery import BUCKET, Gallery, putting

from trilith.dynamodb.expressions.request import RequestExpressions
from trilith.errors import PreconditionFailed, TransactionConflict, Unavailable
from trilith.objects.transactions import CopyPart, DeletePart, Part, Together
from trilith.objects.types import WriteConditions
from trilith.tables.expressions.conditions import Condition
from trilith.tables.service import Wanted
from trilith.tables.transacting import delete_action, put_action, update_action
from trilith.transactions.coordinator import Action

OBJECTS = ("a", "z")  # in two partitions
START = 100
LARGE_BYTES = 20  # more than is kept inline


async def yield_at_random(gallery: Gallery, _command: Any) -> None:
    for _ in range(gallery.random.randrange(6)):
        await asyncio.sleep(0)


def body(value: int) -> bytes:
    return b"%d" % value + (b"." * LARGE_BYTES if value % 2 else b"")


def etag(value: int) -> str:
    return hashlib.md5(body(value), usedforsecurity=False).hexdigest()


def n_is(value: int) -> Condition:
    request = {
        "ConditionExpression": "n = :v",
        "ExpressionAttributeValues": {":v": {"N": str(value)}},
    }
    condition = RequestExpressions(request).condition()
    assert condition is not None
    return condition


class Register:
    """Both objects and the row, and what was done with them."""

    def __init__(self, gallery: Gallery, *, deadly: bool) -> None:
        self._gallery = gallery
        self._random = gallery.random
        self._deadly = deadly
        self._time = 0
        self._values = 0
        self.history: list[Operation] = []

    def _tick(self) -> int:
        self._time += 1
        return self._time

    async def read(self) -> int | None:
        """By any of the ways there are. What fails tells nothing."""
        try:
            return await self._read(self._tick())
        except Unavailable:
            return None

    async def _read(self, called: int) -> int | None:
        gallery = self._gallery
        way = self._random.choice([*OBJECTS, "row", "list"])
        if way == "row":
            seen = await gallery.row("row")
        elif way == "list":
            name = self._random.choice(OBJECTS)
            page = await gallery.gateway().objects.list_objects(BUCKET, prefix=name, limit=1)
            etags = {etag(value): value for value in range(self._values + 1)}
            seen = etags[page.entries[0].etag] if page.entries else None
        else:
            data = await gallery.read(way)
            seen = None if data is None else int(data.partition(b".")[0])
        told = None if seen is None else b"%d" % seen
        self.history.append(Operation(Kind.READ, called, self._tick(), seen=told, who=way))
        return seen

    async def write(self) -> None:
        value = self._new_value()
        parts = [putting(name, body(value)) for name in OBJECTS]
        row = put_action(ACCOUNTS, account("row", value), 10, Wanted())
        await self._do(Kind.WRITE, parts, row, value)

    async def delete(self) -> None:
        parts = [DeletePart(BUCKET, name) for name in OBJECTS]
        await self._do(Kind.WRITE, parts, delete_action(ACCOUNTS, key("row"), Wanted()), None)

    async def compare_and_set(self) -> None:
        """The condition is on one of the objects, or on the row."""
        expected, value = await self.read(), self._new_value()
        if expected is None:
            return
        on = self._random.choice([*OBJECTS, "row"])
        parts = [
            putting(
                name,
                body(value),
                conditions=WriteConditions(if_match=etag(expected) if name == on else None),
            )
            for name in OBJECTS
        ]
        wanted = Wanted(n_is(expected) if on == "row" else None)
        row = put_action(ACCOUNTS, account("row", value), 10, wanted)
        await self._do(Kind.COMPARE_AND_SET, parts, row, value, expected)

    async def copy(self) -> None:
        """Between the two objects, which changes nothing."""
        source, target = self._random.sample(OBJECTS, 2)
        copied = CopyPart(BUCKET, source, BUCKET, target)
        await self._execute([copied], [])

    def _new_value(self) -> int:
        self._values += 1
        return self._values

    async def _do(
        self,
        kind: Kind,
        parts: Sequence[Part],
        row: Action,
        value: int | None,
        expected: int | None = None,
    ) -> None:
        called = self._tick()
        together = await self._execute(parts, [row])
        old, new = (None if one is None else b"%d" % one for one in (expected, value))
        if together is None:
            self.history.append(Operation(kind, called, inf, new, old, holds=None))
            return
        codes = {verdict.code for verdict in (*together.parts, *together.beside)}
        if together.is_committed:
            self.history.append(Operation(kind, called, self._tick(), new, old, holds=True))
        elif "ConditionalCheckFailed" in codes and codes <= {"", "ConditionalCheckFailed"}:
            self.history.append(Operation(kind, called, self._tick(), new, old, holds=False))

    async def _execute(self, parts: Sequence[Part], beside: Sequence[Action]) -> Together | None:
        """None: the gateway died over it. What was given up did not happen."""
        mortal = None
        if self._deadly and self._random.random() < 0.3:
            number = self._random.randrange(1, 9)
            mortal = Mortal(self._gallery.partitions, number, after=self._random.random() < 0.5)
        gateway = self._gallery.gateway(mortal)
        try:
            return await gateway.together.execute(parts, beside)
        except Unavailable:
            return Together(False, [], [])
        except Died:
            await gateway.transactions.settlements.stop()
            self._gallery.pass_time()
            return None

    async def client(self, calls: int) -> None:
        works = [self.read, self.read, self.write, self.delete, self.compare_and_set, self.copy]
        for _ in range(calls):
            await self._random.choice(works)()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), deadly=st.booleans())
def test_objects_and_the_row_that_tells_of_them_are_one_register(seed: int, deadly: bool) -> None:
    async def scenario() -> None:
        gallery = Gallery(seed=seed)
        await gallery.open({}, {})
        gallery.partitions.gate = lambda command: yield_at_random(gallery, command)
        register = Register(gallery, deadly=deadly)
        await asyncio.gather(*(register.client(8) for _ in range(4)))
        await gallery.close()
        gallery.partitions.gate = None
        gallery.pass_time()
        for _ in range(6):
            await register.read()
        assert is_linearizable(register.history)
        await gallery.sweep()
        await gallery.sweep()
        assert not gallery.locks()
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario())


class Till:
    """Accounts that are rows or objects; money moves between any two of them."""

    def __init__(self, gallery: Gallery, *, deadly: bool) -> None:
        self.gallery = gallery
        self._random = gallery.random
        self._deadly = deadly
        self.added = 0

    async def open(self) -> None:
        objects = {name: body(START) for name in ("b", "i", "y")}
        await self.gallery.open(objects, {"row-1": START, "row-2": START, "row-3": START})
        self._names = [*objects, "row-1", "row-2", "row-3"]

    async def balance(self, name: str) -> int:
        if name.startswith("row"):
            found = await self.gallery.row(name)
            assert found is not None
            return found
        data = await self.gallery.read(name)
        assert data is not None
        return int(data.partition(b".")[0])

    async def total(self) -> int:
        return sum([await self.balance(name) for name in self._names])

    async def move(self, count: int) -> None:
        for _ in range(count):
            amount = self._random.randrange(1, 9)
            parts, beside = [], []
            for name, change in zip(
                self._random.sample(self._names, 2), (amount, -amount), strict=True
            ):
                now = await self.balance(name)
                if name.startswith("row"):
                    wanted = Wanted(n_is(now))
                    beside.append(update_action(ACCOUNTS, key(name), adding(change), wanted))
                else:
                    unchanged = WriteConditions(if_match=etag(now))
                    parts.append(putting(name, body(now + change), conditions=unchanged))
            mortal = None
            if self._deadly and self._random.random() < 0.3:
                mortal = Mortal(self.gallery.partitions, self._random.randrange(1, 7), after=True)
            gateway = self.gallery.gateway(mortal)
            try:
                if parts:
                    await gateway.together.execute(parts, beside)
                else:
                    await gateway.transactions.execute(beside)
            except Unavailable:
                continue  # others gave it up
            except Died:
                await gateway.transactions.settlements.stop()
                self.gallery.pass_time()

    async def add(self, count: int) -> None:
        """By ordinary conditional puts."""
        for _ in range(count):
            name = self._random.choice(["b", "i", "y"])
            now = await self.balance(name)
            unchanged = WriteConditions(if_match=etag(now))
            try:
                await self.gallery.put(name, body(now + 1), conditions=unchanged)
            except (TransactionConflict, PreconditionFailed, Unavailable):
                continue
            self.added += 1


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), deadly=st.booleans())
def test_what_moves_between_objects_and_rows_is_neither_lost_nor_doubled(
    seed: int, deadly: bool
) -> None:
    async def scenario() -> None:
        till = Till(Gallery(seed=seed), deadly=deadly)
        await till.open()
        gallery = till.gallery
        gallery.partitions.gate = lambda command: yield_at_random(gallery, command)
        await asyncio.gather(*(till.move(6) for _ in range(4)), till.add(6), till.add(6))
        await gallery.close()
        gallery.partitions.gate = None
        gallery.pass_time()
        assert await till.total() == 6 * START + till.added
        await gallery.sweep()
        await gallery.sweep()
        assert not gallery.locks()
        await gallery.collect()
        gallery.require_no_leftovers()

    asyncio.run(scenario())
