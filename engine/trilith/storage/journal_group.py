"""Records of the journal that become durable together."""

from __future__ import annotations

from collections.abc import Callable

from trilith.storage.segment import Segment


class Group:
    """Records that will be written and synced together, in one segment."""

    __slots__ = ("buffers", "callbacks", "end", "preamble", "segment", "size")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.buffers: list[bytes] = []
        self.callbacks: list[Callable[[], None]] = []
        self.preamble = 0  # how many of the buffers come before the records
        self.size = 0
        self.end = 0
