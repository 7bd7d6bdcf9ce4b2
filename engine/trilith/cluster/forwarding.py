"""Commands and queries that another node answers.

Messages on the control link, batched with others.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec

from trilith.errors import (
    InternalError,
    NotInSync,
    NotLeader,
    OutcomeUnknown,
    PeerUnreachable,
    TrilithError,
    from_wire,
    to_wire,
)
from trilith.peers.hub import PeerHub
from trilith.replication.host import ReplicaHost
from trilith.replication.proposal import Proposal
from trilith.replication.replica import Replica
from trilith.replication.state_machine import Model
from trilith.runtime.clock import Clock
from trilith.undecodable import UNDECODABLE

WireError = tuple[str, str, dict[str, Any]]
QUERY_WAIT_S_MAX = 5.0
SWEEP_CALLS = 4096
CALL_ID_BITS = 31  # of the calls of one process; those above tell processes apart


class ForwardedCommand(msgspec.Struct, frozen=True, array_like=True, tag="fc"):
    call_id: int
    partition_id: int
    key: bytes
    token: bytes
    retry: bool
    command: bytes
    until: bytes | None = None


class ForwardedQuery(msgspec.Struct, frozen=True, array_like=True, tag="fq"):
    call_id: int
    partition_id: int
    key: bytes
    whole_range: bool
    query: bytes
    until: bytes | None = None


class ForwardedResult(msgspec.Struct, frozen=True, array_like=True, tag="fr"):
    call_id: int
    result: bytes
    error: WireError | None = None


Message = ForwardedCommand | ForwardedQuery | ForwardedResult


class _Asked(NamedTuple):
    node: str
    partition_id: int
    answer: asyncio.Future[bytes]


class ModelCodec:
    """Encodes and decodes one model's commands, queries and results."""

    def __init__(self, model: Model) -> None:
        self.encode = msgspec.msgpack.Encoder().encode
        self.command = msgspec.msgpack.Decoder(model.command_type).decode
        self.query = msgspec.msgpack.Decoder(model.query_type).decode
        self.result = msgspec.msgpack.Decoder(model.result_type).decode


class Forwarding:
    """Both ends: asks other nodes, and answers them from this node's replicas."""

    def __init__(
        self, hub: PeerHub, host: ReplicaHost, clock: Clock, codecs: dict[int, ModelCodec]
    ) -> None:
        """`codecs`: by keyspace."""
        self._hub = hub
        self._host = host
        self._clock = clock
        self._codecs = codecs
        # Of this process alone: an answer to the one before it may come over the new link.
        self._next_id = hub.process_number << CALL_ID_BITS
        self._waiting: dict[int, _Asked] = {}
        self._answering: set[asyncio.Task[None]] = set()
        hub.on_message(ForwardedCommand, self._command)
        hub.on_message(ForwardedQuery, self._query)
        hub.on_message(ForwardedResult, self._result)
        hub.on_down(self._link_down)

    # asking

    def command(
        self,
        node: str,
        partition_id: int,
        key: bytes,
        token: bytes,
        *,
        retry: bool,
        command: bytes,
        until: bytes | None = None,
    ) -> asyncio.Future[bytes]:
        """The encoded result, or OutcomeUnknown when the link broke.

        Raises PeerUnreachable: nothing was sent.
        """
        call_id = self._new_id()
        message = ForwardedCommand(call_id, partition_id, key, token, retry, command, until)
        return self._ask(node, partition_id, call_id, message)

    def query(
        self,
        node: str,
        partition_id: int,
        key: bytes,
        *,
        whole_range: bool,
        query: bytes,
        until: bytes | None = None,
    ) -> asyncio.Future[bytes]:
        """As `command`."""
        call_id = self._new_id()
        message = ForwardedQuery(call_id, partition_id, key, whole_range, query, until)
        return self._ask(node, partition_id, call_id, message)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _ask(
        self, node: str, partition_id: int, call_id: int, message: msgspec.Struct
    ) -> asyncio.Future[bytes]:
        if not self._hub.send(node, message):
            raise PeerUnreachable(f"no link to node {node}", node=node)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = _Asked(node, partition_id, future)
        if call_id % SWEEP_CALLS == 0:  # what was given up, and never answered
            waiting = self._waiting.items()
            self._waiting = {key: one for key, one in waiting if not one.answer.done()}
        return future

    def _result(self, node: str, message: ForwardedResult) -> None:
        waiting = self._waiting.get(message.call_id)
        if waiting is None or waiting.node != node:
            return
        del self._waiting[message.call_id]
        if waiting.answer.done():
            return  # its caller gave up
        if message.error is not None:
            waiting.answer.set_exception(from_wire(*message.error))
        else:
            waiting.answer.set_result(message.result)

    def _link_down(self, node: str) -> None:
        for asked in self._waiting.values():
            if asked.node == node and not asked.answer.done():
                asked.answer.set_exception(OutcomeUnknown(f"the link to node {node} broke"))

    def leader_changed(self, partition_id: int, leader: str) -> None:
        """Wait for no former leader: a link that is half open, or a node that is paused, does not
        break, and what was asked is better asked of the new one.
        """
        for asked in self._waiting.values():
            if (
                asked.partition_id == partition_id
                and asked.node != leader
                and not asked.answer.done()
            ):
                gone = f"node {asked.node} leads partition {partition_id} no longer"
                asked.answer.set_exception(OutcomeUnknown(gone))

    # answering

    def _replica(self, partition_id: int) -> Replica:
        replica = self._host.replicas.get(partition_id)
        if replica is None:
            raise NotLeader(f"partition {partition_id} is not here", leader="")
        return replica

    def _reply_error(self, node: str, call_id: int, error: TrilithError) -> None:
        self._hub.send(node, ForwardedResult(call_id, b"", to_wire(error)))

    def _command(self, node: str, message: ForwardedCommand) -> None:
        call_id = message.call_id

        def done(_: Any, encoded: bytes, error: TrilithError | None) -> None:
            wire = None if error is None else to_wire(error)
            self._hub.send(node, ForwardedResult(call_id, encoded, wire))

        try:
            replica = self._replica(message.partition_id)
            if replica.leader is None:
                raise NotLeader("the leader moved", leader=replica.leader_node)
            command = self._codecs[replica.descriptor.keyspace].command(message.command)
            replica.leader.propose(
                Proposal(message.key, command, message.token, message.retry, done, message.until)
            )
        except TrilithError as error:
            self._reply_error(node, call_id, error)
        except UNDECODABLE as error:
            self._reply_error(node, call_id, InternalError(f"undecodable command: {error}"))

    def _query(self, node: str, message: ForwardedQuery) -> None:
        task = asyncio.get_running_loop().create_task(self._answer_query(node, message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer_query(self, node: str, message: ForwardedQuery) -> None:
        try:
            replica = self._replica(message.partition_id)
            codec = self._codecs[replica.descriptor.keyspace]
            query = codec.query(message.query)
            async with asyncio.timeout(QUERY_WAIT_S_MAX):
                result = await read_here(
                    replica,
                    self._clock,
                    message.key,
                    query,
                    whole_range=message.whole_range,
                    until=message.until,
                )
            self._hub.send(node, ForwardedResult(message.call_id, codec.encode(result)))
        except TrilithError as error:
            self._reply_error(node, message.call_id, error)
        except TimeoutError:
            self._reply_error(node, message.call_id, NotInSync("the read waited too long"))
        except UNDECODABLE as error:
            self._reply_error(node, message.call_id, InternalError(f"undecodable query: {error}"))


async def read_here(
    replica: Replica,
    clock: Clock,
    key: bytes,
    query: msgspec.Struct,
    *,
    whole_range: bool,
    until: bytes | None,
) -> Any:
    """A linearizable answer of this replica. Raises NotInSync when it cannot prove to be current,
    WrongRange when it does not hold the key and all of [key, until).

    Both are checked before and after a wait: the lease may have run out meanwhile, and what was
    waited for may be a split.
    """
    replica.require(key, until)
    if not replica.can_read(clock.monotonic()):
        raise NotInSync("this replica is not provably current", leader=replica.leader_node)
    index = replica.wait_index_of_range() if whole_range else replica.wait_index(key)
    if index > replica.applied_index:
        await replica.wait_applied(index)
        if not replica.can_read(clock.monotonic()):
            raise NotInSync("this replica lost its lease", leader=replica.leader_node)
        replica.require(key, until)
    replica.reads.add(key)
    return replica.model.answer(query, replica.view)
