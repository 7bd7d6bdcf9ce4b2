"""The nodes that a client may ask, and which one it asks now."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable

ENDPOINTS_MAX = 64


def parse_endpoints(text: str) -> list[str]:
    """`host:port,host:port`. Raises ValueError."""
    endpoints = [one.strip() for one in text.split(",") if one.strip()]
    for one in endpoints:
        if "//" in one:
            raise ValueError(f"an endpoint is host:port, not {one!r}; tls=True asks for TLS")
        host, colon, port = one.rpartition(":")
        if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"an endpoint is host:port, not {one!r}")
    if not endpoints:
        raise ValueError("no endpoint: give host:port, or several with commas")
    return list(dict.fromkeys(endpoints))


class Endpoints:
    """A client stays with one node while that answers. May be used by several threads."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = list(addresses)
        self._current = random.randrange(len(addresses))
        self._lock = threading.Lock()

    @property
    def current(self) -> str:
        with self._lock:
            return self._addresses[self._current]

    @property
    def all(self) -> list[str]:
        with self._lock:
            return list(self._addresses)

    def add(self, addresses: Iterable[str]) -> None:
        """Further nodes, for when the current one fails."""
        with self._lock:
            for address in addresses:
                if address and address not in self._addresses[:ENDPOINTS_MAX]:
                    self._addresses.append(address)
            del self._addresses[ENDPOINTS_MAX:]

    def leave(self, address: str) -> bool:
        """Ask the next node, unless another call has moved on already. Whether there is one."""
        with self._lock:
            if self._addresses[self._current] == address:
                self._current = (self._current + 1) % len(self._addresses)
            return len(self._addresses) > 1
