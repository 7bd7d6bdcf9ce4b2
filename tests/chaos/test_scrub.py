"""Bits that rot in a quiet, running cluster are found by the scrubber alone, and healed.

Nobody reads what is damaged before it is found, and no node is restarted by the test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.conformance.cluster import ZONES, Cluster
from tests.conformance.conftest import Server
from tests.conformance.processes import wait_until

from . import results
from .test_disks import flip_bits

pytestmark = pytest.mark.load
KIB, MIB = 1 << 10, 1 << 20
FLIPS = 8
DEADLINE_S = 120.0
SETTINGS = {
    "TRILITH_STORAGE__SCRUB_INTERVAL_SECONDS": "2",
    "TRILITH_STORAGE__SCRUB_BYTES_PER_SECOND_MAX": str(256 * MIB),
    "TRILITH_STORAGE__WRITE_BUFFER_BYTES": str(4 * MIB),
    "TRILITH_JOURNAL__SEGMENT_BYTES": str(4 * MIB),
    "TRILITH_CHUNKS__GC_GRACE_SECONDS": "20",
    "TRILITH_CHUNKS__GC_INTERVAL_SECONDS": "2",
    "TRILITH_CHUNKS__EXTENT_BYTES": str(16 * MIB),
}
SIZES = (100, 4 * KIB, 15 * KIB, 200 * KIB, MIB)


class QuietCluster:
    """A cluster with something in it, and nothing going on."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster(folder / "data", environment=SETTINGS)
        self.cluster.start()
        self.bodies: dict[str, bytes] = {}
        self.s3 = Server(self.cluster.endpoint, self.cluster.credentials).client()
        self.s3.create_bucket(Bucket="quiet")
        for number in range(400):
            key = f"key-{number}"
            self.bodies[key] = os.urandom(SIZES[number % len(SIZES)] if number < 60 else 15 * KIB)
            self.s3.put_object(Bucket="quiet", Key=key, Body=self.bodies[key])

    def scrub(self, zone: str) -> dict[str, Any]:
        for node, facts in self.cluster.status()["node_facts"].items():
            if node.startswith(zone):
                found: dict[str, Any] = facts["scrub"]
                return found
        return {}

    def wait_rounds(self, zone: str, count: int) -> None:
        """So many whole rounds of the zone's scrubber from now on."""
        start = self.scrub(zone).get("rounds", 0)
        wait_until(
            lambda: not 0 <= self.scrub(zone).get("rounds", -1) - start < count + 1,
            deadline_s=DEADLINE_S,
            what="the scrubber has read everything",
            interval_s=0.3,
        )

    def files(self, zone: str, part: str) -> list[Path]:
        folder = self.cluster.data_dir / zone / part
        wanted = {"store": (".sst", ".blob"), "journal": (".seg",), "chunks": (".ext",)}[part]
        return [
            path
            for path in folder.rglob("*")
            if path.suffix in wanted or path.name.startswith("MANIFEST-")
        ]

    def used(self, zone: str, part: str) -> list[Path]:
        """Those with contents, which a quiet node does not drop before they are hurt."""
        return [path for path in self.files(zone, part) if path.read_bytes().strip(b"\0")]

    def check_everything(self) -> None:
        self.cluster.wait_in_sync(deadline_s=DEADLINE_S)
        for key, body in self.bodies.items():
            assert self.s3.get_object(Bucket="quiet", Key=key)["Body"].read() == body
        assert self.cluster.status()["quarantine"] == []


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuietCluster]:
    made = QuietCluster(tmp_path_factory.mktemp("quiet"))
    yield made
    made.cluster.remove()


def finds(cluster: Cluster, zone: str) -> int:
    """How often the zone's scrubber has found something. (After `store_damaged` the node ends.)"""
    log = (cluster.data_dir / "logs" / f"{zone}.log").read_text(errors="replace")
    return sum(log.count(f'"event":"{event}"') for event in ("scrub_found", "store_damaged"))


def bits_of(paths: list[Path]) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in paths}


def still_damaged(before: dict[Path, bytes], hurt: dict[Path, bytes]) -> list[Path]:
    """Files whose flipped bits are still there."""
    damaged = []
    for path, now in hurt.items():
        places = [i for i, byte in enumerate(now) if byte != before[path][i]]
        if places and path.exists():
            content = path.read_bytes()
            if any(i < len(content) and content[i] == now[i] for i in places):
                damaged.append(path)
    return damaged


@pytest.mark.parametrize("part", ["journal", "chunks", "store"])
def test_flipped_bits_are_found_by_the_scrubber_alone_and_healed(
    quiet: QuietCluster, part: str
) -> None:
    cluster, zone = quiet.cluster, ZONES[["journal", "chunks", "store"].index(part)]
    cluster.wait_in_sync(deadline_s=DEADLINE_S)
    quiet.wait_rounds(zone, 2)
    found = finds(cluster, zone)
    before = bits_of(quiet.used(zone, part))
    count = flip_bits(list(before), Random(part), FLIPS)
    hurt = bits_of(list(before))
    assert hurt != before
    wait_until(
        lambda: not still_damaged(before, hurt),
        deadline_s=DEADLINE_S,
        what=f"all flipped bits are gone: {still_damaged(before, hurt)}",
        interval_s=0.5,
    )
    assert finds(cluster, zone) > found
    quiet.wait_rounds(zone, 2)
    settled = finds(cluster, zone)
    quiet.wait_rounds(zone, 2)
    assert finds(cluster, zone) == settled, "something is still damaged"
    quiet.check_everything()
    checked = f"{len(quiet.bodies)} keys"
    results.record(f"{count} bits rot in the {part} of a quiet zone, scrubbed", None, checked)
