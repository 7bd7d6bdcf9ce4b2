"""The port to other nodes: calls with a small header and a raw body.

Between a call and its answer nothing is retried here: whoever calls knows whether its method may
run twice (every `chunk.*` method may).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from trilith.runtime.network import Buffer

CallHandler = Callable[[str, bytes, memoryview], Awaitable[tuple[bytes, Buffer]]]


class Peers(Protocol):
    """One node's links to the others."""

    node_id: str

    async def call(
        self, node_id: str, method: str, header: bytes, body: Buffer = b"", *, deadline_s: float
    ) -> tuple[bytes, memoryview]:
        """The handler's answer: header and body.

        Raises PeerUnreachable (not sent), OutcomeUnknown (sent; the link broke or no answer came in
        time), or the TrilithError that the handler raised. The body must not change until then.
        """
        ...

    def serve(self, method: str, handler: CallHandler) -> None:
        """Answer `method` with `handler(peer_id, header, body)`; one handler a method."""
        ...

    def is_reachable(self, node_id: str) -> bool:
        """Whether there is a link right now. A node is reachable to itself."""
        ...
