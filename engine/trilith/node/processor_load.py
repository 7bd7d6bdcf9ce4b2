"""How much of one processor each node's event loop takes: what splitting a partition can spread.

A node's work is done by one thread. While it has time, one leader with larger batches does the same
work with less than two (replication/pacing.py); once it has none, and another node has, a part of
what it leads belongs there.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trilith.peers.hub import PeerHub
from trilith.runtime.clock import Clock
from trilith.runtime.network import Buffer

METHOD = "node.processor_load"
ASK_S = 2.0
NEW_SHARE = 0.25  # of what the last look saw: a pause of a second does not end a load of a minute

_shares = msgspec.msgpack.Decoder(float)


class ProcessorLoad:
    """One node's."""

    def __init__(self, hub: PeerHub, clock: Clock, processor_s: Callable[[], float]) -> None:
        """`processor_s`: seconds of a processor that the calling thread has had."""
        self._hub = hub
        self._clock = clock
        self._processor_s = processor_s
        self._before: tuple[float, float] | None = None  # when it was looked at last, and had_s
        self._share: float | None = None
        hub.serve(METHOD, self._answer)

    @property
    def share(self) -> float:
        """Of one processor, lately."""
        return self._share or 0.0

    def look(self) -> None:
        """Call it about once a second, on the event loop."""
        now, had_s = self._clock.monotonic(), self._processor_s()
        if self._before is not None:
            share = (had_s - self._before[1]) / max(now - self._before[0], 0.001)
            before = share if self._share is None else self._share
            self._share = before + NEW_SHARE * (share - before)
        self._before = now, had_s

    async def of(self, node: str) -> float:
        """The share of another node. Raises TrilithError, TimeoutError."""
        answer, _ = await self._hub.call(node, METHOD, b"", deadline_s=ASK_S)
        return _shares.decode(answer)

    async def _answer(self, peer: str, header: bytes, body: memoryview) -> tuple[bytes, Buffer]:
        del peer, header, body
        return msgspec.msgpack.encode(self.share), b""
