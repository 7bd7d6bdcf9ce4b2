"""Where the logs of a partition's replicas end: asked by one whose own end was cut off at a start.

The end of a journal that no MARK follows looks the same torn and rotten (storage/journal_recovery):
such a replica may lack entries that it had acknowledged, and not know it. Everything that was
acknowledged is in the log of every other in-sync replica, so one answer is enough
(Protocol-Aware Recovery, FAST '18; Ask and TornEnd in the model). One that has lost its log
says so: it will never be able to tell more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from trilith.errors import Corruption, NotInSync, TrilithError
from trilith.peers.hub import PeerHub
from trilith.replication.replica import Replica
from trilith.runtime.network import Buffer

METHOD = "replication.position"
DEADLINE_S = 0.5


class Position(msgspec.Struct, frozen=True, array_like=True, order=True):
    """The last entry of a log. Of two logs of in-sync replicas the greater one goes on longer."""

    epoch: int
    index: int


class _Question(msgspec.Struct, frozen=True, array_like=True):
    partition_id: int


_questions = msgspec.msgpack.Decoder(_Question)
_positions = msgspec.msgpack.Decoder(Position)


def position_of(replica: Replica) -> Position:
    return Position(replica.log.last_epoch, replica.log.last_index)


class Positions:
    """Asks and answers for one node."""

    def __init__(self, hub: PeerHub, replicas: dict[int, Replica]) -> None:
        self._hub = hub
        self._replicas = replicas
        hub.serve(METHOD, self._answer)

    async def of(self, partition_id: int, nodes: Iterable[str]) -> dict[str, Position | None]:
        """Those that answer in time. None: its log is lost; else it is whole as far as it knows."""
        question = msgspec.msgpack.encode(_Question(partition_id))
        found: dict[str, Position | None] = {}

        async def ask(node: str) -> None:
            try:
                header, _ = await self._hub.call(node, METHOD, question, deadline_s=DEADLINE_S)
            except Corruption:
                found[node] = None
                return
            except TrilithError:
                return
            found[node] = _positions.decode(header)

        await asyncio.gather(*(ask(node) for node in nodes))
        return found

    async def _answer(self, peer: str, header: bytes, body: memoryview) -> tuple[bytes, Buffer]:
        del peer, body
        replica = self._replicas.get(_questions.decode(header).partition_id)
        if replica is None or replica.awaited or replica.installing:
            raise NotInSync("there is no whole log of the partition here")
        if replica.damaged:
            raise Corruption("the log of the partition was damaged here")
        return msgspec.msgpack.encode(position_of(replica)), b""
