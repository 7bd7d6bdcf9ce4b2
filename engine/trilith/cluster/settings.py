"""What every node of a cluster must have the same, or the promises do not hold.

A lease is as long as whoever promises it and whoever relies on it both believe; bytes that a
writer counts on for a grace period must not be collected after a shorter one. So these values are
the cluster's: written to the coordinator when it is new, and adopted by each node when it starts,
whatever its own configuration says.

They change only while no node runs, or one would believe the old and another the new ones. Who
knows that none runs is `trilith serve`, when it starts its nodes: it gives them all the same *run*,
and the first of them to come writes the values of their common configuration.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trilith.config import Config
from trilith.errors import RevisionConflict
from trilith.replication.coordinator import Coordinator

KEY = "settings"
NAMES = (
    ("chunks", "gc_grace_seconds"),
    ("replication", "lease_duration_ms"),
    ("replication", "clock_drift_margin_ms"),
)
HEARTBEATS_IN_A_LEASE = 3  # at least, as config.check asks


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """As kept in the coordinator. `run`: who wrote them; empty: a node that started by itself."""

    gc_grace_seconds: int
    lease_duration_ms: int
    clock_drift_margin_ms: int
    run: str = ""

    def values(self) -> dict[str, int]:
        """By the names of the configuration, `section.key`."""
        return {f"{section}.{key}": getattr(self, key) for section, key in NAMES}


_decoder = msgspec.json.Decoder(Settings)


def of_config(config: Config, run: str = "") -> Settings:
    values = {key: getattr(getattr(config, section), key) for section, key in NAMES}
    return Settings(run=run, **values)


async def agree(
    coordinator: Coordinator, config: Config, run: str | None, log: Callable[..., None]
) -> Settings:
    """The values to go by. `run`: no node of the cluster ran when the node's run began.

    Raises CoordinatorUnavailable.
    """
    own = of_config(config, run or "")
    while True:
        found = await coordinator.get(KEY)
        if found is not None:
            kept = _decoder.decode(found.value)
            may_change = run is not None and kept.run != run
            if not may_change or kept.values() == own.values():
                return kept
            log("settings_changed", before=kept.values(), now=own.values())
        try:
            await coordinator.compare_and_swap(
                KEY, found.revision if found else 0, msgspec.json.encode(own)
            )
        except RevisionConflict:
            continue
        return own


def differing(config: Config, settings: Settings) -> dict[str, int]:
    """What a node's own configuration has otherwise, by name."""
    own, agreed = of_config(config).values(), settings.values()
    return {name: value for name, value in own.items() if value != agreed[name]}


def adopted(config: Config, settings: Settings) -> Config:
    """The configuration with the cluster's values; heartbeats often enough for its lease."""
    replace = msgspec.structs.replace
    beat_ms = settings.lease_duration_ms // HEARTBEATS_IN_A_LEASE
    return replace(
        config,
        chunks=replace(config.chunks, gc_grace_seconds=settings.gc_grace_seconds),
        replication=replace(
            config.replication,
            lease_duration_ms=settings.lease_duration_ms,
            clock_drift_margin_ms=settings.clock_drift_margin_ms,
            heartbeat_interval_ms=max(1, min(config.replication.heartbeat_interval_ms, beat_ms)),
        ),
    )
