"""Splits and merges of partitions: those that a node makes unasked, and those of an operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from trilith.config import Partitions
from trilith.errors import ConditionalConflict, InvalidRequest, OutcomeUnknown
from trilith.node.auto_merge import AutoMerge
from trilith.node.auto_split import AutoSplit
from trilith.node.processor_load import ProcessorLoad
from trilith.node.read_heat import ReadHeat
from trilith.peers.hub import PeerHub
from trilith.replication.host import ReplicaHost
from trilith.replication.ranges import Division
from trilith.runtime.clock import Clock
from trilith.runtime.network import Buffer
from trilith.runtime.workers import Workers
from trilith.storage.ordered_store import OrderedStore

METHOD = "node.partition_change"
CHANGE_S_MAX = 60.0
ATTEMPTS_S = 5.0  # something else may be under way with either partition
ATTEMPT_PAUSE_S = 0.1


class Change(msgspec.Struct, frozen=True, array_like=True):
    """`action`: "split", at `key` (empty: where it halves the bytes), or "merge"."""

    action: str
    partition_id: int
    key: bytes = b""


_changes = msgspec.msgpack.Decoder(Change)


class PartitionChanges:
    """One node's."""

    def __init__(
        self,
        *,
        host: ReplicaHost,
        hub: PeerHub,
        divisions: dict[int, Division],
        partitions: Partitions,
        clock: Clock,
        store: OrderedStore,
        store_bytes: Callable[[], int],
        workers: Workers,
        log: Callable[..., None],
        processor_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """`processor_s`: seconds of a processor that the calling thread has had."""
        self._host = host
        self._hub = hub
        self._clock = clock
        load = ProcessorLoad(hub, clock, processor_s)
        reads = ReadHeat(
            host=host, hub=hub, divisions=divisions, partitions=partitions, clock=clock
        )
        self._splits = AutoSplit(
            host=host,
            reads=reads,
            load=load,
            divisions=divisions,
            partitions=partitions,
            clock=clock,
            store=store,
            store_bytes=store_bytes,
            workers=workers,
            log=log,
        )
        self._merges = AutoMerge(
            host=host,
            hub=hub,
            reads=reads,
            load=load,
            divisions=divisions,
            partitions=partitions,
            clock=clock,
            store=store,
            store_bytes=store_bytes,
            workers=workers,
            log=log,
        )
        hub.serve(METHOD, self._answer)

    def works(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What runs until cancelled."""
        return self._splits.watch_heat, self._splits.watch_sizes, self._merges.watch

    async def change(self, change: Change) -> dict[str, Any]:
        """Have a partition's leader, wherever it is, split or merge it.

        Returns {"partition", "child"}, or {"partition", "absorbed"}. Raises InvalidRequest, or
        Unavailable when it cannot be done right now.
        """
        known = self._host.descriptors.get(change.partition_id)
        if known is None:
            raise InvalidRequest(f"there is no partition {change.partition_id}")
        node = known[0].leader
        if node == self._host.node_id:
            return await self._change_here(change)
        header = msgspec.msgpack.encode(change)
        answer, _ = await self._hub.call(node, METHOD, header, deadline_s=CHANGE_S_MAX)
        found: dict[str, Any] = msgspec.msgpack.decode(answer)
        return found

    async def _answer(self, peer: str, header: bytes, body: memoryview) -> tuple[bytes, Buffer]:
        del peer, body
        return msgspec.msgpack.encode(await self._change_here(_changes.decode(header))), b""

    async def _change_here(self, change: Change) -> dict[str, Any]:
        partition_id = change.partition_id
        try:
            if change.action == "split":
                child = await self._splits.split_now(partition_id, change.key)
                return {"partition": partition_id, "child": child}
            if change.action == "merge":
                into = await self._merge(partition_id)
                return {"partition": into, "absorbed": partition_id}
        except TimeoutError:
            raise OutcomeUnknown("it is not done yet: see `trilith status` later") from None
        raise InvalidRequest(f"a partition can be split or merged, not {change.action!r}")

    async def _merge(self, partition_id: int) -> int:
        until = self._clock.monotonic() + ATTEMPTS_S
        while True:
            try:
                return await self._host.merging.merge(partition_id)
            except ConditionalConflict:
                if self._clock.monotonic() >= until:
                    raise
            await asyncio.sleep(ATTEMPT_PAUSE_S)
