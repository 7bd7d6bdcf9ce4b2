"""What a replicated model is: commands evaluated by leaders, queries answered by in-sync replicas.

Both models (objects, tables) are registered as a `Model` per keyspace. A command is evaluated by
the partition's leader against committed state plus the leader's own in-flight writes, and turned
into effects; followers apply effects and never evaluate (DESIGN: replication, rule 1). A query
reads committed state only. Commands, queries and results are msgspec Structs.

The physical key of a record is `keyspace (1 byte), family (1 byte), logical key`. A partition is a
range [start, end) of *logical* keys and holds that range of every family, so a family can be
scanned densely while everything that belongs to one logical key stays in one partition. Hence a
logical key must begin with the routing key of the command or query that touches it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

SEQUENCE_FREE_BITS = 8
SEQUENCE_INDEX_SHIFT = 16 + SEQUENCE_FREE_BITS  # an entry holds fewer than 2**16 commands
FAMILY_MAX = 0xEF  # families above are the replication layer's own (tokens, partition state)


class View(Protocol):
    """State that a model may read; families are its own small integers.

    `memo` is for what `evaluate` wants to remember of it: it is new with every leadership and
    every range, and so is only true as long as all changes are evaluated with this view. Keep it
    small, and never rely on something being there.
    """

    memo: dict[Any, Any]

    def get(self, family: int, key: bytes) -> bytes | None: ...

    def scan(
        self, family: int, start: bytes, end: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs in key order, limited to the partition's range. Consume it before returning."""
        ...

    def covers(self, key: bytes) -> bool:
        """Whether the partition's range holds a logical key."""
        ...


class Effects(Protocol):
    """What a command changes. Nothing is kept when `evaluate` raises."""

    def put(self, family: int, key: bytes, value: bytes) -> None: ...

    def delete(self, family: int, key: bytes) -> None: ...

    def delete_range(self, family: int, start: bytes, end: bytes) -> None: ...

    def touch(self, key: bytes) -> None:
        """Say that the command changes what is read under a routing key beside its own.

        A follower answers for a key once it has applied every logged entry that touches it.
        """
        ...


class Context(msgspec.Struct, frozen=True):
    """Facts that the leader fixes for one command.

    `token` identifies the command: 16 bytes, ordered by time (UUIDv7 layout); a retry carries the
    same one and is answered with the first result. `now_ms` is the leader's wall clock.

    `sequence` grows with every command of the partition, over changes of its leader too: the
    index of the entry that the effects will be in, and the command's place in it. The lowest
    SEQUENCE_FREE_BITS are left to the model, to number what one command emits. `start` is where
    the partition's range begins and `end` where it ends (empty: no bound).

    `floor`: commands whose token is below it, and that say `once`, are refused from now on, by
    every leader to come. `generation` counts the changes of the partition's range: after a split
    and a merge it ends where it did.
    """

    token: bytes
    now_ms: int
    sequence: int = 0
    start: bytes = b""
    end: bytes = b""
    floor: bytes = b""
    generation: int = 0


class Model(Protocol):
    """A deterministic-effects state machine over one keyspace."""

    command_type: Any  # a msgspec.Struct subclass or a Union of tagged ones
    query_type: Any
    result_type: Any  # Union of every result of commands and queries

    def evaluate(
        self, command: msgspec.Struct, view: View, effects: Effects, context: Context
    ) -> msgspec.Struct:
        """Turn a command into effects and a result. Raises TrilithError: nothing is applied.

        Must not block, await, or read any state but `view`. A command whose class says
        `once = True` is looked up by its token even where it does not come as a retry.
        """
        ...

    def answer(self, query: msgspec.Struct, view: View) -> msgspec.Struct:
        """Answer a query from committed state. Must not block or await."""
        ...


class Partitions(Protocol):
    """What models' services see of the cluster: replicated commands and consistent queries.

    Both find the partition by `key`, retry on stale routing and on a leader that moves, within
    `deadline_s`. `until`: the caller takes the command or the answer to be complete for all of
    [key, until), as `partition_starts` told: WrongRange when no one partition holds that any
    more, so that the caller has to ask `partition_starts` again. Errors: whatever the model's code
    raised; `Unavailable` subclasses when nothing was applied; `OutcomeUnknown` when a command may
    have been.
    """

    def new_token(self) -> bytes:
        """A fresh request token (16 bytes, time-ordered). Also fit as object version id."""
        ...

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
        """Run a command on the partition of `key`.

        When it returns, its effects are durable in every in-sync zone. `repeated`: the token is
        of a caller who may have sent it before, and whose first result then answers.
        """
        ...

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
        """Answer a query on the partition of `key`: linearizable, or of a recent state when not
        `consistent`.

        `touched`: the logical key range [start, end) that the query reads (default: `key` alone),
        so that a follower knows which writes in flight it must wait for.
        """
        ...

    def try_query(self, keyspace: int, key: bytes, query: msgspec.Struct) -> Any | None:
        """A consistent query of `key` alone, answered here and now, or None when it needs a wait
        or a hop.

        The hot path of small reads: no task, no await. Fall back to `query`.
        """
        ...

    def try_mark(self, keyspace: int, key: bytes) -> tuple[int, int] | None:
        """What a consistent query of `key` would be answered from here and now: as long as the
        mark is the same, so is the answer. None as for `try_query`.
        """
        ...

    def partition_of(self, keyspace: int, key: bytes) -> int:
        """The id of the partition that a key is routed to now."""
        ...

    def partition_starts(self, keyspace: int, start: bytes, end: bytes) -> list[bytes]:
        """Routing keys, one for each partition that overlaps [start, end), in order; the
        first is `start` itself.
        """
        ...
