"""`trilith serve` loses the power of its machine, of one zone, or room behind a zone's disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance.cluster import Cluster
from tests.conformance.conftest import Server
from tests.conformance.load import Load
from tests.conformance.processes import is_alive, wait_until

from .power_cut import MIB, Image, ThinImage, needs_images

pytestmark = [needs_images, pytest.mark.load]

WHOLE_CUTS = int(os.environ.get("TRILITH_POWER_SERVE_CUTS", "5"))
ZONE_CUTS = 2
IMAGE_BYTES = 8192 * MIB  # sparse
BACKED_BYTES = 192 * MIB
PROGRESS_DEADLINE_S = 60.0
DISK_FAILED = '"event":"disk_failed"'
ENVIRONMENT = {
    "TRILITH_JOURNAL__SEGMENT_BYTES": str(8 * MIB),
    "TRILITH_JOURNAL__RETAIN_BYTES": str(32 * MIB),
    "TRILITH_CHUNKS__EXTENT_BYTES": str(32 * MIB),
    "TRILITH_STORAGE__WRITE_BUFFER_BYTES": str(4 * MIB),
}


@pytest.fixture
def make_cluster() -> Iterator[Callable[[Path], Cluster]]:
    """Clusters that are ended before the images below them go."""
    made: list[Cluster] = []

    def make(data: Path) -> Cluster:
        cluster = Cluster(data, environment=ENVIRONMENT)
        made.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in made:
        cluster.kill_all()


def start_load(cluster: Cluster) -> Load:
    server = Server(cluster.endpoint, cluster.credentials)
    server.client().create_bucket(Bucket="power")
    load = Load(server.caller(), "power", writers=2, readers=1)
    load.start()
    return load


def let_run(load: Load, writes: int = 40) -> None:
    goal = load.writes.successes + writes
    wait_until(
        lambda: load.writes.successes >= goal or bool(load.violations),
        deadline_s=PROGRESS_DEADLINE_S,
        what=f"the load goes on: {load.writes.successes} of {goal} writes, {load.retryable}",
    )


def assert_nothing_lost(load: Load, what: str) -> None:
    load.stop()
    verified = load.verify_everything()
    print(f"{what}: {load.writes.successes} writes acknowledged, {verified} keys verified")
    assert not load.violations, "\n".join([*load.violations, str(dict(load.retryable))])
    assert verified > 20


def test_a_machine_that_loses_its_power_under_load_keeps_what_it_acknowledged(
    tmp_path: Path, make_cluster: Callable[[Path], Cluster]
) -> None:
    with Image(tmp_path, "data", IMAGE_BYTES) as image:
        cluster = make_cluster(image.path)
        load = start_load(cluster)
        try:
            for _ in range(WHOLE_CUTS):
                let_run(load)
                cluster.halt_all()  # a sync that the cut breaks may claim success (storage_cuts)
                image.cut()
                cluster.kill_all()
                image.remount()
                cluster.start()
            let_run(load)
            assert_nothing_lost(load, f"{image.cuts} power cuts of the whole machine")
        finally:
            load.stop()
            cluster.kill_all()


def test_a_zone_that_loses_its_power_under_load_returns_and_interrupts_nobody(
    tmp_path: Path, make_cluster: Callable[[Path], Cluster]
) -> None:
    with Image(tmp_path, "az2", IMAGE_BYTES, at=tmp_path / "data" / "az2") as image:
        image.path.chmod(0o700)
        cluster = make_cluster(tmp_path / "data")
        load = start_load(cluster)
        try:
            for _ in range(ZONE_CUTS):
                let_run(load)
                image.cut()
                let_run(load)
                cluster.zone("kill", "az2")
                image.remount()
                cluster.zone("start", "az2")
                cluster.wait_in_sync()
            let_run(load)
            assert_nothing_lost(load, f"{image.cuts} power cuts of one zone")
        finally:
            load.stop()
            cluster.kill_all()


def test_a_zone_whose_fsync_fails_stops_at_once_and_rejoins_when_it_has_room(
    tmp_path: Path, make_cluster: Callable[[Path], Cluster]
) -> None:
    data = tmp_path / "data"
    with ThinImage(
        tmp_path, "az3", IMAGE_BYTES, backed_bytes=BACKED_BYTES, at=data / "az3"
    ) as image:
        cluster = make_cluster(data)
        victim = cluster.node_pids()["az3"]
        load = start_load(cluster)
        try:
            wait_until(
                lambda: not is_alive(victim) or bool(load.violations),
                deadline_s=PROGRESS_DEADLINE_S,
                what=f"the zone's disk fails; {image.backed_bytes_used() >> 20} MiB are backed",
            )
            let_run(load)  # with the two other zones
            logs = "".join(
                path.read_text(errors="replace") for path in (data / "logs").glob("*az3*")
            )
            assert DISK_FAILED in logs.replace(" ", "")
            cluster.zone("kill", "az3")
            image.unmount()
            image.set_room(IMAGE_BYTES)
            image.mount()
            cluster.zone("start", "az3")
            cluster.wait_in_sync()
            let_run(load)
            assert_nothing_lost(load, "a failing fsync in one zone")
        finally:
            load.stop()
            cluster.kill_all()
