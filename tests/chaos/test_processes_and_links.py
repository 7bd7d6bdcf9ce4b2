"""Killed and paused nodes, cut links, a coordinator that does not answer."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable

import pytest
from tests.conformance.processes import wait_until

from trilith.config import Replication

from .conftest import Story
from .zones import ZONES

LEASE_S = Replication().lease_duration_ms / 1000
Begin = Callable[..., Story]


def pass_time(seconds: float) -> None:
    """The fault itself lasts so long: it is what is tested, not a wait for something."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, deadline_s=seconds + 5, what="the fault lasts")


def test_a_killed_node_interrupts_for_seconds_and_loses_nothing(begin: Begin) -> None:
    story = begin()
    story.zones.kill("az1")
    story.let_run()
    gaps = story.workload.gaps()
    story.zones.start("az1")
    story.end("kill -9 of one zone's node", gaps=gaps)


@pytest.mark.load
@pytest.mark.parametrize("zone", ZONES[1:])
def test_any_node_may_be_killed(begin: Begin, zone: str) -> None:
    story = begin()
    story.zones.kill(zone)
    story.let_run()
    gaps = story.workload.gaps()
    story.zones.start(zone)
    story.end(f"kill -9 of {zone}'s node", gaps=gaps)


@pytest.mark.load
def test_a_node_paused_for_longer_than_its_lease_serves_nothing_stale(begin: Begin) -> None:
    story = begin(pinned="az2")
    for _ in range(2):
        story.zones.signal("az2", signal.SIGSTOP)
        try:
            pass_time(LEASE_S * 2.5)
            story.let_run()
        finally:
            story.zones.signal("az2", signal.SIGCONT)
        story.let_run()
    gaps = story.workload.gaps()
    story.end("SIGSTOP of one node for longer than its lease", gaps=gaps)


@pytest.mark.load
def test_an_isolated_zone_serves_nothing_stale_to_its_clients(begin: Begin) -> None:
    story = begin(pinned="az1")
    story.zones.network.isolate("az1")
    pass_time(LEASE_S * 4)
    story.let_run()
    gaps = story.workload.gaps()
    story.zones.network.heal()
    story.end("all links of one zone cut, clients on both sides", gaps=gaps)


@pytest.mark.load
@pytest.mark.parametrize("direction", ["from", "to"])
def test_a_zone_that_is_cut_off_one_way_is_left_behind(begin: Begin, direction: str) -> None:
    story = begin(pinned="az3")
    for other in ("az1", "az2"):
        ends = ("az3", other) if direction == "from" else (other, "az3")
        story.zones.network.cut(*ends)
    pass_time(LEASE_S * 4)
    story.let_run()
    gaps = story.workload.gaps()
    story.zones.network.heal()
    story.end(f"packets {direction} one zone lost, the other way open", gaps=gaps)


@pytest.mark.load
@pytest.mark.parametrize("both_ways", [True, False])
def test_a_cut_between_two_zones_leaves_writes_possible(begin: Begin, both_ways: bool) -> None:
    story = begin(pinned="az1")
    story.zones.network.cut("az1", "az2")
    if both_ways:
        story.zones.network.cut("az2", "az1")
    pass_time(LEASE_S * 4)
    story.let_run()
    gaps = story.workload.gaps()
    story.zones.network.heal()
    ways = "both ways" if both_ways else "one way"
    story.end(f"the link between two zones cut {ways}", gaps=gaps)


@pytest.mark.load
def test_a_coordinator_that_does_not_answer_interrupts_nobody(begin: Begin) -> None:
    story = begin()
    path = story.zones.folder / "coordinator.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        connection.execute("BEGIN IMMEDIATE")
        pass_time(LEASE_S * 4)
        story.let_run()
        gaps = story.workload.gaps()
        connection.execute("ROLLBACK")
    finally:
        connection.close()
    story.end("the coordinator does not answer", gaps=gaps)
    assert gaps.writes_s < LEASE_S


@pytest.mark.load
def test_all_nodes_killed_at_once_come_back_with_everything(begin: Begin) -> None:
    story = begin()
    for zone in ZONES:
        story.zones.kill(zone)
    story.zones.start()
    story.let_run()
    story.end("kill -9 of all zones at once")
