"""The peers port in memory: calls reach the other node's handlers, over links that can fail.

A twin of `PeerHub`'s calls: a handler's error reaches the caller as if it had crossed the wire, a
cut link is PeerUnreachable, and a call whose answer does not come in time is OutcomeUnknown.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from trilith.errors import (
    InternalError,
    OutcomeUnknown,
    PeerUnreachable,
    TrilithError,
    from_wire,
    to_wire,
)
from trilith.peers.ports import CallHandler
from trilith.runtime.network import Buffer


@dataclass(slots=True)
class Link:
    """One direction from a node to another."""

    up: bool = True
    loses_requests: bool = False
    loses_answers: bool = False
    delay_s: float = 0.0


class LocalNetwork:
    """All nodes of a test."""

    def __init__(self) -> None:
        self.nodes: dict[str, LocalPeers] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self.calls: list[tuple[str, str, str]] = []  # (from, to, method), delivered or not

    def join(self, node_id: str) -> LocalPeers:
        peers = self.nodes[node_id] = LocalPeers(self, node_id)
        return peers

    def link(self, source: str, target: str) -> Link:
        return self._links.setdefault((source, target), Link())

    def isolate(self, node_id: str, *, up: bool = False) -> None:
        """Cut (or restore) all links of a node."""
        for other in self.nodes:
            if other != node_id:
                self.link(node_id, other).up = up
                self.link(other, node_id).up = up


class LocalPeers:
    """Implements `peers.ports.Peers`."""

    def __init__(self, network: LocalNetwork, node_id: str) -> None:
        self.node_id = node_id
        self._network = network
        self._handlers: dict[str, CallHandler] = {}
        self.serving: set[asyncio.Task[tuple[bytes, Buffer]]] = set()

    def serve(self, method: str, handler: CallHandler) -> None:
        self._handlers[method] = handler

    def is_reachable(self, node_id: str) -> bool:
        return node_id == self.node_id or self._network.link(self.node_id, node_id).up

    async def call(
        self, node_id: str, method: str, header: bytes, body: Buffer = b"", *, deadline_s: float
    ) -> tuple[bytes, memoryview]:
        self._network.calls.append((self.node_id, node_id, method))
        link = self._network.link(self.node_id, node_id)
        if not link.up:
            raise PeerUnreachable(f"no link to {node_id}")
        try:
            async with asyncio.timeout(deadline_s):
                if link.delay_s:
                    await asyncio.sleep(link.delay_s)
                if link.loses_requests:
                    await asyncio.Event().wait()
                answer = await self._deliver(node_id, method, header, bytes(body))
                if link.loses_answers:
                    await asyncio.Event().wait()
                return answer
        except TimeoutError:
            raise OutcomeUnknown(f"no answer to {method} within {deadline_s} s") from None

    async def _deliver(
        self, node_id: str, method: str, header: bytes, body: bytes
    ) -> tuple[bytes, memoryview]:
        """The handler runs on, whatever becomes of its caller."""
        target = self._network.nodes[node_id]
        handler = target._handlers[method]
        serving = asyncio.ensure_future(handler(self.node_id, header, memoryview(body)))
        target.serving.add(serving)
        serving.add_done_callback(target.serving.discard)
        try:
            answer_header, answer_body = await asyncio.shield(serving)
        except TrilithError as error:
            raise from_wire(*to_wire(error)) from None
        except asyncio.CancelledError:
            serving.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise
        except Exception as error:
            raise InternalError(f"{method}: {error!r}") from error
        return answer_header, memoryview(bytes(answer_body))
