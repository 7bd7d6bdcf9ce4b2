"""The network port: ordered, connection-oriented streams of frames between nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class FrameHandler(Protocol):
    """What a connection tells its owner; all on the loop."""

    def frame_received(self, frame: memoryview) -> None:
        """One whole frame. The view is the handler's to keep."""
        ...

    def connection_lost(self, error: Exception | None) -> None:
        """Called exactly once."""
        ...


class Connection(Protocol):
    """An established connection. Frames arrive whole and in order, or the connection is lost."""

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Queue one frame made of these buffers; never blocks.

        No effect once the connection is lost.
        """
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes queued here and not yet taken by the kernel."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


class Listener(Protocol):
    @property
    def address(self) -> str:
        """host:port, with the port that was really bound."""
        ...

    async def close(self) -> None: ...


class Network(Protocol):
    async def listen(
        self, address: str, accept: Callable[[Connection], FrameHandler]
    ) -> Listener: ...

    async def connect(
        self,
        address: str,
        make_handler: Callable[[Connection], FrameHandler],
        *,
        timeout_s: float,
        bulk: bool,
    ) -> Connection:
        """`bulk`: for large frames, rather than for many. Raises OSError or TimeoutError."""
        ...
