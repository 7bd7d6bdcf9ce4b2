"""The coordinator port: the only state that needs consensus (cluster map, partition descriptors).

Shaped after etcd v3, which implements it past one machine: a key has the revision of its last
change; a compare-and-swap names the revision it replaces; a watch delivers every change once, in
revision order. The data path never waits for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Versioned:
    """A value and the revision that wrote it."""

    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a key; `value` None: it was deleted."""

    key: str
    value: bytes | None
    revision: int


# Named out here: inside the classes `list` is a method.
Changes = list[Change]


class Coordinator(Protocol):
    """Linearizable and durable. Any call may raise CoordinatorUnavailable."""

    async def get(self, key: str) -> Versioned | None: ...

    async def list(self, prefix: str) -> tuple[dict[str, Versioned], int]:
        """All keys under a prefix, and the store's revision that this reads at."""
        ...

    async def compare_and_swap(self, key: str, expected_revision: int, value: bytes | None) -> int:
        """Write (None: delete) if the key is still at that revision (0: absent). The new revision.

        Raises RevisionConflict (not applied), or CoordinatorUnavailable, after which the outcome is
        unknown: read the key to learn it.
        """
        ...

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changes]:
        """Changes under a prefix after a revision, in order, without end.

        Raises CoordinatorUnavailable when the stream breaks; list and watch again.
        """
        ...

    async def close(self) -> None: ...
