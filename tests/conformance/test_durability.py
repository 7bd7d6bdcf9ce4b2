"""Zones die and machines lose their power under load: what was acknowledged is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .cluster import ZONES, Cluster
from .conftest import Server
from .load import Load
from .processes import is_alive, kill, wait_until

WRITES_BEFORE_A_FAULT = 100
WRITES_BACK_S_MAX = 5.0  # promise P2
READS_BACK_S_MAX = 3.0  # promise P2
PROGRESS_DEADLINE_S = 60.0


pytestmark = pytest.mark.load


@pytest.fixture(scope="module")
def own_cluster(start_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    """A cluster to be hurt."""
    cluster = start_cluster()
    yield cluster
    cluster.remove()


@pytest.fixture
def load(own_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Load]:
    """A running load on a bucket of its own, ended whatever happens."""
    server = Server(own_cluster.endpoint, own_cluster.credentials)
    name = "durability-" + str(abs(hash(request.node.name)) % 10**9)
    server.client().create_bucket(Bucket=name)
    load = Load(server.caller(), name)
    load.start()
    yield load
    load.stop()


def let_run(load: Load, writes: int = WRITES_BEFORE_A_FAULT) -> None:
    """Waits until the load has had that many more acknowledged writes, and reads too."""
    writes_goal, reads_goal = load.writes.successes + writes, load.reads.successes + writes // 4
    wait_until(
        lambda: (
            (load.writes.successes >= writes_goal and load.reads.successes >= reads_goal)
            or bool(load.violations)
        ),
        deadline_s=PROGRESS_DEADLINE_S,
        what=f"the load goes on: {load.writes.successes} of {writes_goal} writes, "
        f"{load.reads.successes} of {reads_goal} reads, {dict(load.retryable)}",
    )


def assert_nothing_lost(load: Load) -> None:
    load.stop()
    assert load.verify_everything() > WRITES_BEFORE_A_FAULT / 2
    assert not load.violations, "\n".join([*load.violations, str(dict(load.retryable))])


def test_any_zone_may_be_killed_under_load(own_cluster: Cluster, load: Load) -> None:
    gaps = {}
    let_run(load)
    for zone in ZONES:
        load.writes.restart()
        load.reads.restart()
        own_cluster.zone("kill", zone)
        let_run(load)
        gaps[zone] = (load.writes.longest_gap_s, load.reads.longest_gap_s)
        own_cluster.zone("start", zone)
        own_cluster.wait_in_sync()
        let_run(load, 20)
    assert_nothing_lost(load)
    print(f"longest interruption (writes, reads) in s by killed zone: {gaps}")
    assert all(writes <= WRITES_BACK_S_MAX for writes, _ in gaps.values()), gaps
    assert all(reads <= READS_BACK_S_MAX for _, reads in gaps.values()), gaps


def test_a_zone_may_be_stopped_and_started_under_load(own_cluster: Cluster, load: Load) -> None:
    let_run(load)
    own_cluster.zone("stop", "az2")
    let_run(load)
    own_cluster.zone("start", "az2")
    own_cluster.wait_in_sync()
    let_run(load)
    assert_nothing_lost(load)


def test_a_node_that_dies_is_started_again_by_its_supervisor(
    own_cluster: Cluster, load: Load
) -> None:
    let_run(load)
    victim = own_cluster.node_pids()["az3"]
    kill([victim])
    wait_until(lambda: not is_alive(victim), deadline_s=60, what="the node is dead")
    wait_until(
        lambda: own_cluster.node_pids()["az3"] not in {victim, None},
        deadline_s=30,
        what="the supervisor started the node again",
    )
    own_cluster.wait_in_sync()
    let_run(load)
    assert_nothing_lost(load)


def test_everything_may_be_killed_at_once_under_load(own_cluster: Cluster, load: Load) -> None:
    for _ in range(2):
        let_run(load)
        own_cluster.kill_all()
        own_cluster.start()
        let_run(load)
    assert_nothing_lost(load)


def test_a_clean_restart_keeps_everything(own_cluster: Cluster, load: Load) -> None:
    let_run(load)
    assert own_cluster.stop() == 0
    own_cluster.start()
    let_run(load)
    assert_nothing_lost(load)
