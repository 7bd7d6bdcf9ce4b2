"""Token buckets of provisioned tables, on a clock that stands still unless it is moved."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.errors import ThroughputExceeded
from trilith.tables.throughput import BURST_S, SHARE_INTERVAL_S, Kind, Spent, Throughput

TABLE = b"t" * 16


class StillClock:
    """Both clocks of the port, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return int(self.now_s * 1000)


def refuses(throughput: Throughput, rate: float, slot: int | None = None) -> bool:
    try:
        throughput.admit(TABLE, Kind.WRITE, rate, slot)
    except ThroughputExceeded:
        return True
    return False


def test_a_burst_of_five_minutes_passes_and_the_next_request_waits_for_the_rate() -> None:
    async def run() -> None:
        clock = StillClock()
        throughput = Throughput(clock, lambda _: None)
        for _ in range(int(5 * BURST_S)):
            assert not refuses(throughput, 5, 7)
            throughput.spend(TABLE, Kind.WRITE, 5, 1, 7)
        assert refuses(throughput, 5, 7)
        assert refuses(throughput, 5, 8), "the table as a whole is used up"
        clock.now_s += 0.3
        assert not refuses(throughput, 5, 7)

    asyncio.run(run())


def test_reads_and_writes_have_buckets_of_their_own() -> None:
    async def run() -> None:
        throughput = Throughput(StillClock(), lambda _: None)
        throughput.spend(TABLE, Kind.WRITE, 1, BURST_S)
        assert refuses(throughput, 1)
        throughput.admit(TABLE, Kind.READ, 1)

    asyncio.run(run())


def test_one_slot_may_use_the_whole_table_but_no_more_than_a_partition_of_aws_gives() -> None:
    async def run() -> None:
        throughput = Throughput(StillClock(), lambda _: None)
        throughput.spend(TABLE, Kind.WRITE, 500, 499 * BURST_S, 1)
        assert not refuses(throughput, 500, 1)
        throughput.spend(TABLE, Kind.WRITE, 500, BURST_S, 1)
        assert refuses(throughput, 500, 1)

        other = Throughput(StillClock(), lambda _: None)
        other.spend(TABLE, Kind.WRITE, 10_000, 1000 * BURST_S, 1)
        assert refuses(other, 10_000, 1), "a partition of AWS gives 1,000 units a second"
        assert not refuses(other, 10_000, 2)

    asyncio.run(run())


def test_what_one_gateway_takes_is_missing_at_the_others() -> None:
    async def run() -> None:
        told: list[Spent] = []
        one = Throughput(StillClock(), told.extend)
        other = Throughput(StillClock(), lambda _: None)
        for _ in range(3):
            one.spend(TABLE, Kind.WRITE, 2, BURST_S, 4)
        assert told == [], "gathered for a while"
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(SHARE_INTERVAL_S / 4)
        other.heard(told)
        assert refuses(other, 2, 4)
        assert len(told) == 2, "one word for the table and one for the slot"

    asyncio.run(run())


def test_a_lowered_rate_takes_what_was_saved_beyond_its_burst() -> None:
    async def run() -> None:
        clock = StillClock()
        throughput = Throughput(clock, lambda _: None)
        throughput.spend(TABLE, Kind.WRITE, 100, 1)
        assert not refuses(throughput, 1)
        throughput.spend(TABLE, Kind.WRITE, 1, BURST_S)
        assert refuses(throughput, 1)

    asyncio.run(run())


def test_without_enforcement_nothing_is_refused() -> None:
    async def run() -> None:
        throughput = Throughput(StillClock(), lambda _: None, enforced=False)
        throughput.spend(TABLE, Kind.WRITE, 1, 10 * BURST_S)
        throughput.admit(TABLE, Kind.WRITE, 1)

    asyncio.run(run())


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 400)), min_size=1, max_size=60))
def test_over_any_time_no_more_is_admitted_than_the_burst_and_the_rate(
    requests: list[tuple[float, float]],
) -> None:
    """Beyond the one request that runs into debt."""

    async def run() -> None:
        clock = StillClock()
        throughput = Throughput(clock, lambda _: None)
        began, taken, last = clock.now_s, 0.0, 0.0
        for pause_s, units in requests:
            clock.now_s += pause_s
            if refuses(throughput, 3, 1):
                continue
            throughput.spend(TABLE, Kind.WRITE, 3, units, 1)
            taken, last = taken + units, units
        assert taken <= 3 * (BURST_S + clock.now_s - began) + last + 1e-6

    asyncio.run(run())


def test_a_spent_bucket_is_never_forgotten_for_a_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr("trilith.tables.throughput.BUCKETS_MAX", 4)
        throughput = Throughput(StillClock(), lambda _: None)
        throughput.spend(TABLE, Kind.WRITE, 1, BURST_S)
        for number in range(20):
            throughput.spend(bytes([number]) * 16, Kind.WRITE, 1, 0.0)
        assert refuses(throughput, 1)

    asyncio.run(run())
