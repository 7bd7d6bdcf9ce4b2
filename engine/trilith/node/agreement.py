"""What this node goes by in place of its own configuration, where all nodes must have the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trilith.cluster import settings
from trilith.cluster.settings import Settings
from trilith.node_options import NodeOptions
from trilith.replication.coordinator import Coordinator


class Agreement:
    """The cluster's settings, as this node found them when it started."""

    def __init__(self, options: NodeOptions, agreed: Settings) -> None:
        self._agreed = agreed
        self._differing = settings.differing(options.config, agreed)
        self.options = msgspec.structs.replace(
            options, config=settings.adopted(options.config, agreed)
        )

    @classmethod
    async def reach(
        cls, coordinator: Coordinator, options: NodeOptions, log: Callable[..., None]
    ) -> Agreement:
        """Its `options` are to be obeyed from then on. Raises CoordinatorUnavailable."""
        agreed = await settings.agree(coordinator, options.config, options.run, log)
        agreement = cls(options, agreed)
        if agreement._differing:
            log(
                "settings_differ",
                level="warning",
                configured=agreement._differing,
                in_force=agreed.values(),
            )
        return agreement

    def facts(self) -> dict[str, Any]:
        """For `trilith status`: `configured` has what this node's configuration has otherwise."""
        return {"in_force": self._agreed.values(), "configured": self._differing}
