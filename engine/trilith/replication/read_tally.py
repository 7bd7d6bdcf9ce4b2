"""How much a replica is read, and where: for whoever decides about splits."""

from __future__ import annotations

from collections import deque

KEYS_MAX = 512
KEYS_STEP = 16


class ReadTally:
    """`count`: queries answered, ever; `keys`: the routing keys of one in KEYS_STEP of the last."""

    __slots__ = ("count", "keys")

    def __init__(self) -> None:
        self.count = 0
        self.keys: deque[bytes] = deque(maxlen=KEYS_MAX)

    def add(self, key: bytes) -> None:
        """On the path of every read."""
        self.count += 1
        if not self.count % KEYS_STEP:
            self.keys.append(key)
