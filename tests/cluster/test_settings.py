"""What all nodes must have the same: written once, adopted by each, changed while none runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from trilith import presence
from trilith.cluster.embedded_coordinator import EmbeddedCoordinator
from trilith.cluster.settings import adopted, agree, differing, of_config
from trilith.config import Chunks, Config, Replication, check
from trilith.runtime.workers import ThreadWorkers

FIRST = Config()
OTHER = Config(
    chunks=Chunks(gc_grace_seconds=60),
    replication=Replication(
        lease_duration_ms=3_000, clock_drift_margin_ms=300, heartbeat_interval_ms=900
    ),
)


def play(tmp_path: Path, story: Callable[[EmbeddedCoordinator], Awaitable[None]]) -> None:
    async def run() -> None:
        coordinator = await EmbeddedCoordinator.open(str(tmp_path / "c"), ThreadWorkers(1))
        await story(coordinator)
        await coordinator.close()

    asyncio.run(run())


def quiet(event: str, **facts: Any) -> None:
    """No log."""


def test_a_node_adopts_what_the_first_one_wrote(tmp_path: Path) -> None:
    async def story(coordinator: EmbeddedCoordinator) -> None:
        await agree(coordinator, FIRST, None, quiet)
        agreed = await agree(coordinator, OTHER, None, quiet)
        assert agreed.values() == of_config(FIRST).values()
        assert differing(OTHER, agreed) == of_config(OTHER).values()
        config = adopted(OTHER, agreed)
        assert of_config(config).values() == of_config(FIRST).values()
        check(config)  # heartbeats are as frequent as the shorter lease needs them
        assert config.chunks.min_bytes == OTHER.chunks.min_bytes

    play(tmp_path, story)


def test_a_run_that_began_when_no_node_ran_changes_them_for_all_of_its_nodes(
    tmp_path: Path,
) -> None:
    async def story(coordinator: EmbeddedCoordinator) -> None:
        changes: list[str] = []

        def log(event: str, **facts: Any) -> None:
            changes.append(event)

        for _ in range(3):
            await agree(coordinator, FIRST, "first", log)
        assert changes == []
        found = [await agree(coordinator, OTHER, "second", log) for _ in range(3)]
        assert {agreed.lease_duration_ms for agreed in found} == {3_000}
        assert changes == ["settings_changed"]
        alone = await agree(coordinator, FIRST, None, log)
        assert alone.lease_duration_ms == 3_000

    play(tmp_path, story)


def test_within_a_run_nothing_changes_any_more(tmp_path: Path) -> None:
    async def story(coordinator: EmbeddedCoordinator) -> None:
        await agree(coordinator, OTHER, "run", quiet)
        later = msgspec.structs.replace(OTHER, chunks=Chunks(gc_grace_seconds=5))
        agreed = await agree(coordinator, later, "run", quiet)
        assert agreed.gc_grace_seconds == 60

    play(tmp_path, story)


def test_nodes_that_come_at_once_agree(tmp_path: Path) -> None:
    async def story(coordinator: EmbeddedCoordinator) -> None:
        configs = [FIRST, OTHER] * 4
        found = await asyncio.gather(*(agree(coordinator, c, None, quiet) for c in configs))
        assert len({agreed.lease_duration_ms for agreed in found}) == 1

    play(tmp_path, story)


def test_a_node_is_there_until_its_process_ends(tmp_path: Path) -> None:
    database = str(tmp_path / "coordinator.sqlite3")
    assert not presence.is_anyone_there(database)
    program = (
        "import sys\nfrom trilith import presence\n"
        f"presence.announce({database!r})\nprint('here', flush=True)\nsys.stdin.read()\n"
    )
    node = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert node.stdout is not None
        assert node.stdout.readline() == b"here\n"
        assert presence.is_anyone_there(database)
    finally:
        node.kill()
        node.communicate()
    assert not presence.is_anyone_there(database)
