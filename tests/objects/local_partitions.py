"""A twin of replication.state_machine.Partitions in one process, for tests of models and services.

Like the real one it evaluates a command against committed state plus effects in flight, commits
later than it evaluates (in order), answers queries from committed state only, applies a command
once per token, and sends everything through encode and decode. Partitions are cut at given keys;
a view never shows more than its partition. `gate` lets a test hold commands back.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from trilith.errors import (
    NotEnoughZones,
    NotInSync,
    TrilithError,
    WrongRange,
    from_wire,
    to_wire,
)
from trilith.objects.model import ObjectsModel, SystemModel
from trilith.replication.state_machine import SEQUENCE_FREE_BITS, Context, Model

ABOVE_ALL = b"\xff" * 64


class SortedState:
    """(family, key) -> value, in order."""

    def __init__(self) -> None:
        self.keys: list[tuple[int, bytes]] = []
        self.values: dict[tuple[int, bytes], bytes] = {}

    def put(self, family: int, key: bytes, value: bytes) -> None:
        if (family, key) not in self.values:
            self.keys.insert(bisect_left(self.keys, (family, key)), (family, key))
        self.values[family, key] = value

    def delete(self, family: int, key: bytes) -> None:
        if self.values.pop((family, key), None) is not None:
            del self.keys[bisect_left(self.keys, (family, key))]

    def delete_range(self, family: int, start: bytes, end: bytes) -> None:
        low, high = bisect_left(self.keys, (family, start)), bisect_left(self.keys, (family, end))
        for key in self.keys[low:high]:
            del self.values[key]
        del self.keys[low:high]

    def copy(self) -> SortedState:
        twin = SortedState()
        twin.keys, twin.values = list(self.keys), dict(self.values)
        return twin


class LocalView:
    """A View of one partition. Counts records handed out by scans, and seeks."""

    def __init__(self, state: SortedState, start: bytes, end: bytes) -> None:
        self._state = state
        self._start = start
        self._end = end
        # Told of each read before it: family and range of keys.
        self.on_read: Callable[[int, bytes, bytes], None] = lambda *_: None
        self.scanned = 0
        self.seeks = 0
        self.memo: dict[Any, Any] = {}

    def covers(self, key: bytes) -> bool:
        return self._start <= key < self._end

    def get(self, family: int, key: bytes) -> bytes | None:
        assert self._start <= key < self._end, "read outside the partition"
        self.on_read(family, key, key + b"\x00")
        return self._state.values.get((family, key))

    def scan(
        self, family: int, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        self.seeks += 1
        self.on_read(family, max(start, self._start), min(end or self._end, self._end))
        keys = self._state.keys
        low = bisect_left(keys, (family, max(start, self._start)))
        high = bisect_left(keys, (family, min(end or self._end, self._end)))
        found = keys[low:high]
        for key in reversed(found) if reverse else found:
            self.scanned += 1
            yield key[1], self._state.values[key]


class RecordedEffects:
    """Effects of one command; they may not leave its partition."""

    def __init__(self, start: bytes, end: bytes) -> None:
        self._start = start
        self._end = end
        self.touched: set[bytes] = set()
        self.operations: list[tuple[str, int, bytes, bytes]] = []

    def _check(self, key: bytes) -> None:
        assert self._start <= key < self._end, "effect outside the partition"

    def put(self, family: int, key: bytes, value: bytes) -> None:
        assert isinstance(value, bytes)
        self._check(key)
        self.operations.append(("put", family, key, value))

    def delete(self, family: int, key: bytes) -> None:
        self._check(key)
        self.operations.append(("delete", family, key, b""))

    def delete_range(self, family: int, start: bytes, end: bytes) -> None:
        self._check(start)
        self.operations.append(("delete_range", family, start, end))

    def touch(self, key: bytes) -> None:
        self._check(key)
        self.touched.add(key)

    def apply_to(self, state: SortedState) -> None:
        for name, family, key, value in self.operations:
            if name == "put":
                state.put(family, key, value)
            elif name == "delete":
                state.delete(family, key)
            else:
                state.delete_range(family, key, value)


# Queries that read what others wrote without touching their routing key, and why that is right.
LATE_READS = {
    "ReadTail": "a log's beginning; its feeder reads where it leads, or is followed by another",
    "AskLedger": "a record goes when all its locks are gone: late, it still says what was decided",
}


class Touches:
    """Which routing keys the last command touched that changed a record (`Effects.touch`).

    A follower answers a query as soon as it has applied all that touches the query's routing key.
    So whatever a query of a key reads must have been written by commands that touch that key.
    """

    def __init__(self) -> None:
        self._by: dict[int, dict[bytes, frozenset[bytes]]] = {}

    def note(self, routed_by: bytes, effects: RecordedEffects) -> None:
        touched = frozenset((routed_by, *effects.touched))
        for name, family, key, value in effects.operations:
            known = self._by.setdefault(family, {})
            if name == "delete_range":
                known.update(dict.fromkeys((k for k in known if key <= k < value), touched))
            else:
                known[key] = touched

    def require(self, routed_by: bytes, query: msgspec.Struct) -> Callable[..., None]:
        """For a view's `on_read`."""

        def read(family: int, start: bytes, end: bytes) -> None:
            for key, touched in self._by.get(family, {}).items():
                assert not start <= key < end or routed_by in touched, (
                    f"{type(query).__name__} of {routed_by!r} reads {key!r} of family {family}, "
                    f"which a command wrote that touched {sorted(touched)}"
                )

        return read


class _Keyspace:
    def __init__(self, model: Model, cuts: list[bytes]) -> None:
        self.model = model
        self.starts = [b"", *sorted(cuts)]
        self.committed = SortedState()
        self.ahead = SortedState()  # committed plus everything in flight
        self.touches = Touches()
        self.results: dict[bytes, bytes] = {}  # by token
        self.memos: dict[tuple[bytes, bytes], dict[Any, Any]] = {}  # of the leaders' views
        self.command_decoder = msgspec.msgpack.Decoder(model.command_type)
        self.query_decoder = msgspec.msgpack.Decoder(model.query_type)
        self.result_decoder = msgspec.msgpack.Decoder(model.result_type)

    def bounds(self, key: bytes) -> tuple[bytes, bytes]:
        index = bisect_right(self.starts, key) - 1
        end = self.starts[index + 1] if index + 1 < len(self.starts) else ABOVE_ALL
        return self.starts[index], end


Gate = Callable[[msgspec.Struct], Awaitable[None]]


class LocalPartitions:
    """Implements Partitions over the two models of the object floor."""

    def __init__(self, *, cuts: list[bytes] | None = None, now_ms: int = 1_700_000_000_000) -> None:
        self._keyspaces = {
            1: _Keyspace(SystemModel(), []),
            2: _Keyspace(ObjectsModel(), cuts or []),
        }
        self._tokens = 0
        self._sequence = 0
        self._commits = 0
        self._waiting = 0
        self.now_ms = now_ms
        self.executed: list[msgspec.Struct] = []  # applied ones, each once
        self.gate: Gate | None = None
        self.fast_reads = True
        self.lose_answers_to: type | None = None
        self.is_cut_off = False  # from the other zones: only reads of some recent moment go on

    def new_token(self) -> bytes:
        self._tokens += 1
        return self._tokens.to_bytes(16, "big")

    # -- the synchronous core, which model tests drive directly ---------------------------------

    def evaluate(
        self,
        keyspace: int,
        key: bytes,
        command: msgspec.Struct,
        token: bytes | None = None,
        *,
        asks: bool = True,
    ) -> tuple[Any, RecordedEffects]:
        """Evaluate and keep in flight: the effects are not committed yet.

        `asks`: whether it may be a retry, which is answered from the record of what it repeats.
        """
        space = self._keyspaces[keyspace]
        command = space.command_decoder.decode(msgspec.msgpack.encode(command))
        token = token if token is not None else self.new_token()
        start, end = space.bounds(key)
        effects = RecordedEffects(start, end)
        if asks and token in space.results:
            return space.result_decoder.decode(space.results[token]), effects
        self.now_ms += 1
        self._sequence += 1
        context = Context(token, self.now_ms, self._sequence << SEQUENCE_FREE_BITS, start, end)
        try:
            view = LocalView(space.ahead, start, end)
            view.memo = space.memos.setdefault((start, end), {})
            result = space.model.evaluate(command, view, effects, context)
        except TrilithError as error:
            raise from_wire(*to_wire(error)) from None
        self.executed.append(command)
        effects.apply_to(space.ahead)
        space.touches.note(key, effects)
        space.results[token] = msgspec.msgpack.encode(result)
        return space.result_decoder.decode(space.results[token]), effects

    def commit(self, keyspace: int, effects: RecordedEffects) -> None:
        effects.apply_to(self._keyspaces[keyspace].committed)
        self._commits += 1

    def run(
        self, keyspace: int, key: bytes, command: msgspec.Struct, token: bytes | None = None
    ) -> Any:
        """Evaluate and commit at once."""
        result, effects = self.evaluate(keyspace, key, command, token)
        self.commit(keyspace, effects)
        return result

    def ask(self, keyspace: int, key: bytes, query: msgspec.Struct) -> Any:
        return self.ask_with_view(keyspace, key, query)[0]

    def ask_with_view(
        self, keyspace: int, key: bytes, query: msgspec.Struct, *, is_of_key: bool = False
    ) -> tuple[Any, LocalView]:
        """`is_of_key`: it may read only what commands that touched the key have written."""
        space = self._keyspaces[keyspace]
        query = space.query_decoder.decode(msgspec.msgpack.encode(query))
        view = LocalView(space.committed, *space.bounds(key))
        if is_of_key and type(query).__name__ not in LATE_READS:
            view.on_read = space.touches.require(key, query)
        try:
            result = space.model.answer(query, view)
        except TrilithError as error:
            raise from_wire(*to_wire(error)) from None
        return space.result_decoder.decode(msgspec.msgpack.encode(result)), view

    def cut(self, keyspace: int, cuts: list[bytes]) -> None:
        """Let the partitions of a keyspace be those between these keys."""
        self._keyspaces[keyspace].starts = [b"", *sorted(cuts)]
        self.forget_memos(keyspace)

    def forget_memos(self, keyspace: int) -> None:
        """As new leaders do."""
        self._keyspaces[keyspace].memos.clear()

    def split(self, cut: bytes, carried: list[tuple[int, bytes, bytes]]) -> None:
        """Split keyspace 2 at `cut`, giving the right child some records."""
        space = self._keyspaces[2]
        space.starts = sorted({*space.starts, cut})
        for state in (space.committed, space.ahead):
            for family, key, value in carried:
                state.put(family, key, value)

    def view_of(self, key: bytes) -> LocalView:
        """What the partition of keyspace 2 that holds `key` has committed."""
        space = self._keyspaces[2]
        return LocalView(space.committed, *space.bounds(key))

    def records(self, family: int, keyspace: int = 2) -> dict[bytes, bytes]:
        """All committed records of a family."""
        values = self._keyspaces[keyspace].committed.values
        return {key: value for (of, key), value in values.items() if of == family}

    def _require_reach(self, keyspace: int, key: bytes, until: bytes | None) -> None:
        end = self._keyspaces[keyspace].bounds(key)[1]
        if until is not None and end != ABOVE_ALL and (not until or until > end):
            raise WrongRange("the partition ends before")

    # -- Partitions -----------------------------------------------------------------------------

    async def execute(
        self,
        keyspace: int,
        key: bytes,
        command: msgspec.Struct,
        *,
        token: bytes | None = None,
        repeated: bool = False,
        until: bytes | None = None,
        deadline_s: float | None = None,
    ) -> Any:
        self._require_reach(keyspace, key, until)
        if self.is_cut_off:
            raise NotEnoughZones
        if self.gate is not None:
            await self.gate(command)
        asks = repeated or getattr(command, "once", False)
        result, effects = self.evaluate(keyspace, key, command, token, asks=asks)
        self._waiting += 1
        try:
            await asyncio.sleep(0)
        finally:
            # A caller that is cancelled while it waits does not take the command back.
            self.commit(keyspace, effects)
            self._waiting -= 1
        if self.lose_answers_to is not None and isinstance(command, self.lose_answers_to):
            self.lose_answers_to = None
            raise from_wire("OutcomeUnknown", "the link was cut after the append", {})
        return result

    async def query(
        self,
        keyspace: int,
        key: bytes,
        query: msgspec.Struct,
        *,
        consistent: bool = True,
        touched: tuple[bytes, bytes] | None = None,
        until: bytes | None = None,
        deadline_s: float | None = None,
    ) -> Any:
        self._require_reach(keyspace, key, until)
        await asyncio.sleep(0)
        if consistent and self.is_cut_off:
            raise NotInSync
        while consistent and self._waiting:
            await asyncio.sleep(0)
        is_of_key = consistent and touched is None
        return self.ask_with_view(keyspace, key, query, is_of_key=is_of_key)[0]

    def try_query(self, keyspace: int, key: bytes, query: msgspec.Struct) -> Any | None:
        if not self.fast_reads or self._waiting or self.is_cut_off:
            return None
        return self.ask_with_view(keyspace, key, query, is_of_key=True)[0]

    def try_mark(self, keyspace: int, key: bytes) -> tuple[int, int] | None:
        if not self.fast_reads or self._waiting or self.is_cut_off:
            return None
        return self.partition_of(keyspace, key), self._commits

    def partition_of(self, keyspace: int, key: bytes) -> int:
        return bisect_right(self._keyspaces[keyspace].starts, key) - 1

    def partition_starts(self, keyspace: int, start: bytes, end: bytes) -> list[bytes]:
        if start >= end:
            raise WrongRange("an empty range has no partitions")
        starts = self._keyspaces[keyspace].starts
        return [start, *(cut for cut in starts if start < cut < end)]
