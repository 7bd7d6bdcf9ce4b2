"""Finds the partition of a key and the replica that may answer; retries while leaders move.

Implements `replication.state_machine.Partitions`. A command that may have been applied is only
ever retried with its own token, marked as a retry, so it is applied once (rule 10).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from contextlib import suppress
from typing import Any

import msgspec

from trilith.cluster.forwarding import Forwarding, ModelCodec, read_here
from trilith.errors import (
    BucketClosed,
    ConditionalConflict,
    DeadlineExceeded,
    DiskFull,
    NotEnoughZones,
    NotInSync,
    NotLeader,
    Outcome,
    OutcomeUnknown,
    Overloaded,
    Stopping,
    ThroughputExceeded,
    TrilithError,
    Unavailable,
    WrongRange,
)
from trilith.replication.descriptor import Descriptor
from trilith.replication.host import ReplicaHost
from trilith.replication.proposal import (
    TOKEN_RANDOM_BYTES,
    TOKEN_SWEEP_INTERVAL_MS,
    Proposal,
    is_expired,
    make_token,
)
from trilith.replication.replica import Replica
from trilith.runtime.ports import Runtime

DEADLINE_S = 10.0
RETRY_S_MIN = 0.01
RETRY_S_MAX = 0.25
QUERY_ATTEMPT_S = 2.0
SILENCE_LOOK_S = 0.1
EVENTUAL_WAIT_S = 0.1
COMMAND_ATTEMPT_S = 6.0
TOKENS_DRAWN = 64  # random bytes for so many tokens are drawn at once
# The client had better slow down, or whoever made the command must decide anew: the same command
# would be answered the same.
NOT_RETRIED = (
    BucketClosed,
    ConditionalConflict,
    DiskFull,
    Overloaded,
    Stopping,
    ThroughputExceeded,
)


class Router:
    """One node's way to every partition."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        host: ReplicaHost,
        forwarding: Forwarding,
        codecs: dict[int, ModelCodec],
    ) -> None:
        self._clock = runtime.clock
        self._entropy = runtime.entropy
        self._host = host
        self._forwarding = forwarding
        self._codecs = codecs
        self._starts: dict[int, list[bytes]] = {}
        self._ids: dict[int, list[int]] = {}
        self._closed = False
        self._drawn: list[bytes] = []
        self._leaders: dict[int, str] = {}
        host.on_map_change = self._map_changed
        self._map_changed()

    def _map_changed(self) -> None:
        leaders = {one: known.leader for one, (known, _) in self._host.descriptors.items()}
        for partition_id, former in self._leaders.items():
            leader = leaders.get(partition_id, "")
            if leader != former:
                self._forwarding.leader_changed(partition_id, leader)
        self._leaders = leaders
        self._rebuild()

    def _rebuild(self) -> None:
        by_keyspace: dict[int, list[tuple[bytes, int]]] = {}
        for descriptor, _ in self._host.descriptors.values():
            pairs = by_keyspace.setdefault(descriptor.keyspace, [])
            pairs.append((descriptor.start_key, descriptor.partition_id))
        for keyspace, pairs in by_keyspace.items():
            pairs.sort()
            self._starts[keyspace] = [start for start, _ in pairs]
            self._ids[keyspace] = [partition_id for _, partition_id in pairs]

    def close(self) -> None:
        """Refuse what comes from now on."""
        self._closed = True

    def _find(self, keyspace: int, key: bytes) -> int:
        starts = self._starts.get(keyspace)
        if not starts:
            raise NotEnoughZones("the cluster has no partitions yet")
        return self._ids[keyspace][bisect_right(starts, key) - 1]

    def partition_of(self, keyspace: int, key: bytes) -> int:
        return self._find(keyspace, key)

    def _require_reach(self, keyspace: int, key: bytes, until: bytes | None) -> None:
        """Raises WrongRange when the map has a partition that starts within (key, until)."""
        if until is not None and len(self.partition_starts(keyspace, key, until)) > 1:
            raise WrongRange("the partitions changed: ask for each part")

    def _learn(self, error: TrilithError) -> None:
        """A partition says that a key is not its own: read the child's descriptor at once."""
        child = error.details.get("child")
        if isinstance(error, WrongRange) and child and child not in self._host.descriptors:
            self._host.refresh_soon(child)

    def partition_starts(self, keyspace: int, start: bytes, end: bytes) -> list[bytes]:
        inner = self._starts.get(keyspace, ())
        return [start, *(s for s in inner if s > start and (not end or s < end))]

    def new_token(self) -> bytes:
        drawn = self._drawn
        if not drawn:
            pool = self._entropy.token_bytes(TOKEN_RANDOM_BYTES * TOKENS_DRAWN)
            drawn += [
                pool[at : at + TOKEN_RANDOM_BYTES] for at in range(0, len(pool), TOKEN_RANDOM_BYTES)
            ]
        return make_token(self._clock.wall_ms(), drawn.pop())

    # queries

    def _try_replica(self, keyspace: int, key: bytes) -> Replica | None:
        """A replica here that may answer a consistent read of `key` at once."""
        starts = self._starts.get(keyspace)
        if not starts or self._closed:
            return None
        replica = self._host.replicas.get(self._ids[keyspace][bisect_right(starts, key) - 1])
        if replica is None or replica.awaited:
            return None
        record = replica.range  # without calls, as `Replica.covers`: on the path of every request
        if key < record.start or (record.end and key >= record.end) or record.absorbed_by:
            return None
        if replica.leader is None and replica.dirty.wait_index(key) > replica.applied_index:
            return None
        return replica if replica.can_read(self._clock.monotonic()) else None

    def try_query(self, keyspace: int, key: bytes, query: msgspec.Struct) -> Any | None:
        replica = self._try_replica(keyspace, key)
        if replica is None:
            return None
        replica.reads.add(key)
        try:
            return replica.model.answer(query, replica.view)
        except WrongRange:
            return None

    def try_mark(self, keyspace: int, key: bytes) -> tuple[int, int] | None:
        replica = self._try_replica(keyspace, key)
        return None if replica is None else (replica.partition_id, replica.applied_index)

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
        deadline = self._clock.monotonic() + (deadline_s or DEADLINE_S)
        whole_range = touched is not None
        delay_s = RETRY_S_MIN
        while True:
            if self._closed:
                raise Stopping("the node is shutting down")
            self._require_reach(keyspace, key, until)
            partition_id = self._find(keyspace, key)
            descriptor = self._host.descriptors[partition_id][0]
            replica = self._host.replicas.get(partition_id)
            if not consistent and replica is not None and replica.can_tell(key, until):
                if replica.can_read(self._clock.monotonic()):
                    # A moment more, and who reads what they just wrote sees it.
                    with suppress(NotInSync, TimeoutError):
                        async with asyncio.timeout(EVENTUAL_WAIT_S):
                            return await read_here(
                                replica,
                                self._clock,
                                key,
                                query,
                                whole_range=whole_range,
                                until=until,
                            )
                replica.reads.add(key)
                return replica.model.answer(query, replica.view)
            left_s = deadline - self._clock.monotonic()
            try:
                async with asyncio.timeout(max(0.001, min(left_s, QUERY_ATTEMPT_S))):
                    return await self._query_once(
                        descriptor, replica, key, query, whole_range=whole_range, until=until
                    )
            except TimeoutError:
                error: TrilithError = NotInSync("no replica answered in time")
            except (Unavailable, OutcomeUnknown) as caught:
                error = caught  # a query has no effect, so it may always be asked again
                self._learn(caught)
            if self._clock.monotonic() + delay_s >= deadline:
                raise _as_not_applied(error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX)

    async def _query_once(
        self,
        descriptor: Descriptor,
        replica: Replica | None,
        key: bytes,
        query: msgspec.Struct,
        *,
        whole_range: bool,
        until: bytes | None,
    ) -> Any:
        me = self._host.node_id
        if replica is not None and replica.can_read(self._clock.monotonic()):
            return await read_here(
                replica, self._clock, key, query, whole_range=whole_range, until=until
            )
        if descriptor.leader == me:
            raise NotInSync("this node leads, and its lease does not hold")
        codec = self._codecs[descriptor.keyspace]
        node = self._who_answers(descriptor)
        asked = self._forwarding.query(
            node,
            descriptor.partition_id,
            key,
            whole_range=whole_range,
            query=codec.encode(query),
            until=until,
        )
        return codec.result(await self._while_heard(node, asked))

    def _who_answers(self, descriptor: Descriptor) -> str:
        """The leader, or another in-sync replica while it is not heard from here."""
        host = self._host
        nodes = [descriptor.leader, *descriptor.in_sync]
        heard = (node for node in nodes if node != host.node_id and host.hears(node))
        return next(heard, descriptor.leader)

    async def _while_heard(self, node: str, asked: asyncio.Future[bytes]) -> bytes:
        """Await an answer as long as its node gives a sign of life: a link that is half open, or a
        node that is paused, would be awaited in vain. Raises NotInSync.
        """
        try:
            while not (await asyncio.wait([asked], timeout=SILENCE_LOOK_S))[0]:
                if not self._host.hears(node):
                    raise NotInSync(f"node {node} fell silent")
            return asked.result()
        finally:
            asked.cancel()

    # commands

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
        retry = False  # whether an attempt of this call may have been applied
        is_callers = token is not None
        if token is None:
            token = self.new_token()
        deadline = self._clock.monotonic() + (deadline_s or DEADLINE_S)
        delay_s = RETRY_S_MIN
        encoded: bytes | None = None
        while True:
            if self._closed:
                stopping = "the node is shutting down"
                raise OutcomeUnknown(stopping) if retry else Stopping(stopping)
            if until is not None and not retry:
                self._require_reach(keyspace, key, until)
            partition_id = self._find(keyspace, key)
            replica = self._host.replicas.get(partition_id)
            try:
                if replica is not None and replica.leader is not None:
                    asked = self._propose(replica, key, command, token, retry or repeated, until)
                    return await self._bounded(asked, deadline)
                if encoded is None:
                    encoded = self._codecs[keyspace].encode(command)
                asked = self._forward(partition_id, key, encoded, token, retry or repeated, until)
                return self._codecs[keyspace].result(await self._bounded(asked, deadline))
            except NOT_RETRIED as caught:
                if retry:  # an earlier attempt may have been applied, whatever became of this one
                    raise OutcomeUnknown(str(caught)) from None
                raise
            except OutcomeUnknown as caught:
                error: TrilithError = caught
                retry = True
            except Unavailable as caught:
                error = caught
                self._learn(caught)
            if is_callers and not repeated:
                # Who waits no more may have sent it by another node. (A token that is as old as a
                # long upload is that of its object's version; nobody records it for so long.)
                repeated = not is_expired(token, self._clock.wall_ms() + TOKEN_SWEEP_INTERVAL_MS)
            if self._clock.monotonic() + delay_s >= deadline:
                raise OutcomeUnknown(str(error)) if retry else error
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_S_MAX)

    def _propose(
        self,
        replica: Replica,
        key: bytes,
        command: msgspec.Struct,
        token: bytes,
        retry: bool,
        until: bytes | None,
    ) -> asyncio.Future[Any]:
        """Run a command on the leader that is here."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(result: Any, encoded: bytes, error: TrilithError | None) -> None:
            del encoded
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        leader = replica.leader
        if leader is None:
            raise NotLeader("the leader moved", leader="")
        leader.propose(Proposal(key, command, token, retry, done, until))
        return future

    def _forward(
        self,
        partition_id: int,
        key: bytes,
        command: bytes,
        token: bytes,
        retry: bool,
        until: bytes | None,
    ) -> asyncio.Future[bytes]:
        """Have the leader's node run a command; its encoded result."""
        descriptor = self._host.descriptors[partition_id][0]
        if descriptor.leader == self._host.node_id:
            raise NotLeader("this node is about to lead", leader="")
        return self._forwarding.command(
            descriptor.leader, partition_id, key, token, retry=retry, command=command, until=until
        )

    async def _bounded(self, answer: asyncio.Future[Any], deadline: float) -> Any:
        """Await until the attempt's end; past it nobody knows whether the command is applied.

        A bare timer: `asyncio.timeout` costs three times as much, on the path of every write.
        """
        left_s = min(deadline - self._clock.monotonic(), COMMAND_ATTEMPT_S)
        timer = asyncio.get_running_loop().call_later(max(0.001, left_s), _give_up, answer)
        try:
            return await answer
        finally:
            timer.cancel()


def _give_up(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(OutcomeUnknown("no answer before the deadline"))


def _as_not_applied(error: TrilithError) -> TrilithError:
    if error.outcome is Outcome.UNKNOWN:
        return DeadlineExceeded(f"no replica could answer in time: {error}")
    return error
