"""What the software of every node must be able to do before a log may ask for it.

A follower does what an entry says as far as it knows it. One of an older version would keep
answering for a partition that was closed; so whoever logs what came later asks here first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Abilities(Protocol):
    """What nodes announced when they started (cluster/membership.py)."""

    async def refresh(self) -> object:
        """Read anew what all have announced. Raises CoordinatorUnavailable."""
        ...

    def unable_to_merge(self, nodes: Iterable[str]) -> list[str]:
        """Those whose software does not know merges, by what was read last."""
        ...


class AllAlike:
    """Where every node is of this version, as in one process."""

    async def refresh(self) -> object:
        return None

    def unable_to_merge(self, nodes: Iterable[str]) -> list[str]:
        del nodes
        return []
