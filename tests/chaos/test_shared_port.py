"""A stopped node behind the one port that the nodes of `trilith serve` share.

The kernel goes on giving it connections; its clients have long time-outs, so that what ends their
wait is the supervisor, not they.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.cluster import ZONES, Cluster
from tests.conformance.processes import wait_until

from . import results
from .conftest import PROGRESS_DEADLINE_S, READS_BACK_S_MAX, WRITES_BACK_S_MAX
from .workload import Workload, ZoneCaller

pytestmark = pytest.mark.load
PATIENT_TIMEOUT_S = 30.0
PROGRESS_OPERATIONS = 30


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("shared") / "data")
    made.start()
    yield made
    made.remove()


def let_run(workload: Workload) -> None:
    """Until every client has had so many more successes."""
    before = [client.successes for client in workload.clients]
    wait_until(
        lambda: (
            bool(workload.violations)
            or all(
                client.successes >= start + PROGRESS_OPERATIONS
                for client, start in zip(workload.clients, before, strict=True)
            )
        ),
        deadline_s=PROGRESS_DEADLINE_S,
        what=f"the load goes on: {workload.errors}",
    )


@pytest.mark.parametrize("zone", ZONES)
def test_a_stopped_node_is_replaced_before_its_clients_give_up(cluster: Cluster, zone: str) -> None:
    cluster.wait_in_sync()
    callers = [
        ZoneCaller(cluster.endpoint, cluster.credentials, timeout_s=PATIENT_TIMEOUT_S, zone=name)
        for name in ZONES
    ]
    workload = Workload(callers)
    workload.start()
    try:
        let_run(workload)
        workload.measure()
        stopped = cluster.node_pids()[zone]
        begun = time.monotonic()
        os.kill(stopped, signal.SIGSTOP)
        wait_until(
            lambda: not Path(f"/proc/{stopped}").exists(),
            deadline_s=PATIENT_TIMEOUT_S,
            what="the stopped node is killed",
        )
        killed_after_s = time.monotonic() - begun
        let_run(workload)
        gaps = workload.gaps()
        cluster.wait_in_sync()
    finally:
        workload.stop()
    checked = workload.check()
    results.record(f"SIGSTOP of {zone} behind the shared port, patient clients", gaps, checked)
    assert "a signal stopped it" in cluster.log_tail()
    assert killed_after_s < READS_BACK_S_MAX
    assert gaps.writes_s <= WRITES_BACK_S_MAX, gaps
    assert gaps.reads_s <= READS_BACK_S_MAX, gaps
