"""Slow, wedged, full and lost disks, and flipped bits."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from tests.conformance.processes import wait_until
from tests.power.power_cut import Image

from .conftest import Story
from .network import run
from .test_processes_and_links import LEASE_S, pass_time
from .workload import BUCKETS
from .zones import ZONES, Zones

pytestmark = pytest.mark.load
Begin = Callable[..., Story]
SLOW_SYNC_US = 300_000
FULL_DEADLINE_S = 60.0
LARGE_BYTES = 4 << 20
LARGE_WRITES = 16
FILLED_BYTES = 64 << 10
HEAL_DEADLINE_S = 60.0
ATTACH_DEADLINE_S = 10.0


@contextmanager
def slow_syncs(zones: Zones, zone: str) -> Iterator[None]:
    """Every fdatasync of the zone's node takes so much longer."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    inject = f"inject=fdatasync:delay_enter={SLOW_SYNC_US}"
    arguments = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject]
    status = Path(f"/proc/{zones.pid(zone)}/status")
    tracer = subprocess.Popen(["strace", *arguments, "-p", str(zones.pid(zone))])
    try:
        wait_until(
            lambda: "TracerPid:\t0\n" not in status.read_text() or tracer.poll() is not None,
            deadline_s=ATTACH_DEADLINE_S,
            what="strace is attached",
        )
        if tracer.poll() is not None:
            pytest.skip("strace may not trace here")
        yield
    finally:
        tracer.terminate()
        tracer.wait(10)


@contextmanager
def wedged(image: Image) -> Iterator[None]:
    """Every write to the file system waits (fsfreeze), and none fails."""
    run("fsfreeze", "--freeze", str(image.path))
    try:
        yield
    finally:
        run("fsfreeze", "--unfreeze", str(image.path))


@contextmanager
def full(*images: Image) -> Iterator[None]:
    """Takes all room of the file systems, and gives it back."""
    balloons = [image.path / "balloon" for image in images]
    try:
        for image, balloon in zip(images, balloons, strict=True):
            free = shutil.disk_usage(image.path).free
            run("fallocate", "-l", str(free - (1 << 20)), str(balloon))
        yield
    finally:
        for balloon in balloons:
            balloon.unlink(missing_ok=True)


def write_until(zones: Zones, refused: Callable[[int], bool]) -> None:
    """Large bodies, that use up what the nodes have reserved, until a status is as awaited."""
    caller = zones.caller("az1", timeout_s=FULL_DEADLINE_S)
    chance = Random(0)

    def is_refused() -> bool:
        path = f"/{BUCKETS[0]}/large/{chance.getrandbits(64):x}"
        try:
            return refused(caller.call("PUT", path, body=chance.randbytes(LARGE_BYTES)).status)
        except OSError:
            return False

    wait_until(is_refused, deadline_s=FULL_DEADLINE_S, what="the disks are as full as awaited")


def test_a_disk_with_slow_syncs_leaves_its_zone_usable(begin: Begin) -> None:
    story = begin()
    with slow_syncs(story.zones, "az2"):
        pass_time(LEASE_S * 3)
        story.let_run()
        gaps = story.workload.gaps()
    story.end(f"every fdatasync of one zone {SLOW_SYNC_US // 1000} ms slower", gaps=gaps)


@pytest.mark.parametrize("zone", ["az1", "az3"])
def test_a_wedged_disk_gives_leadership_up(begin: Begin, zone: str) -> None:
    story = begin(pinned=zone)
    with wedged(story.zones.images[zone]):
        pass_time(LEASE_S * 4)
        story.let_run()
        gaps = story.workload.gaps()
    story.end(f"the disk of {zone} hangs", gaps=gaps)


def test_a_full_disk_in_one_zone_is_left_behind_until_it_has_room(begin: Begin) -> None:
    story = begin()
    with full(story.zones.images["az2"]):
        written = iter(range(LARGE_WRITES))
        write_until(story.zones, lambda _: next(written, None) is None)
        story.let_run()
        gaps = story.workload.gaps()
    story.end("the disk of one zone is full", gaps=gaps)


def test_full_disks_in_all_zones_refuse_writes_lose_nothing_and_recover(begin: Begin) -> None:
    story = begin()
    with full(*story.zones.images.values()):
        write_until(story.zones, lambda status: status == 503)
    story.let_run()
    story.end("the disks of all zones are full: 503 until there is room")


def flip_bits(paths: list[Path], chance: Random, count: int) -> int:
    """Flips one bit in each of `count` random places of the files' contents."""
    sizes = [path.stat().st_size for path in paths]
    for _ in range(count):
        (path,) = chance.choices(paths, sizes)
        with path.open("r+b") as file:
            data = file.read()
            used = len(data.rstrip(b"\0"))
            place = chance.randrange(max(1, used))
            file.seek(place)
            file.write(bytes([data[place] ^ 1 << chance.randrange(8)]))
    return count


def used_bytes(path: Path) -> int:
    """Without the reserved room behind the contents."""
    return len(path.read_bytes().rstrip(b"\0"))


def flippable(zones: Zones, zone: str, part: str) -> list[Path]:
    """Files with contents in one part of a node's directory."""
    folder = zones.data(zone) / part
    return [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size > 0]


@pytest.mark.parametrize("part", ["journal", "store", "chunks"])
def test_bits_flipped_while_a_zone_is_down_are_never_served(begin: Begin, part: str) -> None:
    story = begin(pinned="az2")
    story.let_run(30)
    story.zones.kill("az2")
    story.let_run()
    count = flip_bits(flippable(story.zones, "az2", part), Random(part), 6)
    with story.zones.restarted_when_it_exits("az2"):
        story.let_run()
        story.zones.wait_scrubbed("az2")
        story.end(f"{count} bits flipped in the {part} of a zone that is down")


@pytest.mark.parametrize("part", ["journal", "chunks"])
def test_bits_flipped_under_a_running_node_are_never_served(begin: Begin, part: str) -> None:
    story = begin(pinned="az3")
    story.let_run(30)
    count = flip_bits(flippable(story.zones, "az3", part), Random(part), 6)
    story.let_run(30)
    story.zones.wait_scrubbed("az3")
    story.end(f"{count} bits flipped in the {part} of a running zone")


def test_flipped_bits_of_chunks_are_healed_by_reading_them(begin: Begin) -> None:
    story = begin()
    story.let_run(40)
    story.workload.stop()
    chance, count = Random(1), 0
    before = story.zones.metric("az1", "trilith_repaired_chunks")

    def is_repaired() -> bool:
        """Of what was flipped some may be garbage, and never read: then there is more to flip."""
        nonlocal count
        found = flippable(story.zones, "az1", "chunks")
        count += flip_bits([p for p in found if used_bytes(p) > FILLED_BYTES], chance, 60)
        story.workload.read_all_through("az1")
        return story.zones.metric("az1", "trilith_repaired_chunks") > before

    wait_until(is_repaired, deadline_s=HEAL_DEADLINE_S, what="damaged chunks are replaced")
    wait_until(
        lambda: reads_without_repair(story), deadline_s=HEAL_DEADLINE_S, what="all are healed"
    )
    story.zones.wait_scrubbed("az1")
    story.end(f"{count} bits flipped in chunks, healed by reading")


def reads_without_repair(story: Story) -> bool:
    """Whether everything can be read through the zone without finding damage."""
    before = story.zones.metric("az1", "trilith_repaired_chunks")
    story.workload.read_all_through("az1")
    return story.zones.metric("az1", "trilith_repaired_chunks") == before


def test_a_zone_whose_directory_is_lost_is_rebuilt_from_the_others(begin: Begin) -> None:
    story = begin()
    story.zones.kill("az3")
    shutil.rmtree(story.zones.data("az3"))
    story.let_run()
    story.zones.start("az3")
    story.end("the directory of one zone deleted")
    assert set(story.zones.alive()) == set(ZONES)
