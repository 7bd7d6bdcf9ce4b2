"""One cluster in namespaces for each module, a fresh workload for each test, results at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
from tests.conformance.processes import wait_until
from tests.power import power_cut

from . import network, results
from .network import ZoneNetwork
from .workload import REQUEST_TIMEOUT_S, Gaps, Workload
from .zones import ZONES, Zones

PROGRESS_DEADLINE_S = 60.0
PROGRESS_OPERATIONS = 12
WRITES_BACK_S_MAX = 5.0  # promise P2
READS_BACK_S_MAX = 3.0  # promise P2


@pytest.fixture(scope="session")
def zone_network() -> Iterator[ZoneNetwork]:
    reason = power_cut.reason_not_to_run() or network.reason_not_to_run()
    if reason:
        pytest.skip(reason)
    with ZoneNetwork(ZONES) as made:
        yield made


@pytest.fixture(scope="module")
def zones(zone_network: ZoneNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zones]:
    """A running cluster, in sync."""
    with Zones(tmp_path_factory.mktemp("zones"), zone_network) as made:
        made.start()
        made.wait_in_sync()
        yield made


class Story:
    """One fault under load: what tests call, in this order."""

    def __init__(self, zones: Zones, workload: Workload) -> None:
        self.zones = zones
        self.workload = workload

    def let_run(self, operations: int = PROGRESS_OPERATIONS) -> None:
        """Until every client has had that many more successes."""
        workload = self.workload
        before = {client.name: client.successes for client in workload.clients if client.counted}

        def goes_on() -> bool:
            return bool(workload.violations) or all(
                client.successes >= before[client.name] + operations
                for client in workload.clients
                if client.counted
            )

        wait_until(
            goes_on, deadline_s=PROGRESS_DEADLINE_S, what=f"the load goes on: {workload.errors}"
        )

    def end(self, fault: str, *, gaps: Gaps | None = None) -> None:
        """Everything is in sync again, nothing was lost; the interruption was short enough."""
        self.zones.wait_in_sync()
        self.workload.stop()
        checked = self.workload.check()
        results.record(fault, gaps, checked)
        if gaps is not None:
            assert gaps.writes_s <= WRITES_BACK_S_MAX, gaps
            assert gaps.reads_s <= READS_BACK_S_MAX, gaps


@pytest.fixture
def begin(zones: Zones) -> Iterator[Callable[..., Story]]:
    """Starts a story; `pinned` names a zone that some clients keep to."""
    begun: list[Workload] = []

    def start(*, pinned: str | None = None) -> Story:
        zones.wait_in_sync()  # a fault that another test left would be the second one at a time
        callers = [zones.caller(zone, timeout_s=REQUEST_TIMEOUT_S) for zone in ZONES]
        pinned_to = callers[ZONES.index(pinned)] if pinned else None
        workload = Workload(callers, pinned_to=pinned_to)
        begun.append(workload)
        workload.start()
        story = Story(zones, workload)
        story.let_run()
        workload.measure()
        return story

    yield start
    for workload in begun:
        workload.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of all faults that were measured."""
    if "tests.chaos" in " ".join(sys.argv) or any("chaos" in word for word in sys.argv):
        terminalreporter.section("what each fault cost")
        for line in results.table():
            terminalreporter.write_line(line)
