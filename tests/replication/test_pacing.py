"""Pacing: nobody waits alone, and a crowd becomes few entries."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.replication.local_cluster import KEYSPACE, LocalCluster
from tests.replication.register_model import Append, Read, Value

from trilith.replication.pacing import (
    CROWD,
    GATHER_S_MAX,
    GATHER_S_MAX_BUSY,
    GATHER_S_MIN,
    IN_FLIGHT_MAX,
    IN_FLIGHT_MAX_BUSY,
    LOOP_BUSY_S,
    LOOP_SAMPLES,
    Pacing,
)

CLIENTS = 24
ROUNDS = 12
IDLE_S = LOOP_BUSY_S / 10
BUSY_S = LOOP_BUSY_S * 10


def paced(under_way: int, loop_waited_s: float, took_s: float = 0.1) -> Pacing:
    """After as many such commits as the average is of."""
    pacing = Pacing()
    for _ in range(LOOP_SAMPLES):
        pacing.evaluated(10.0)
        pacing.committed(under_way, 10.0 + took_s, loop_waited_s)
    return pacing


def test_a_lone_command_never_waits() -> None:
    assert Pacing().wanted == 1
    for loop_waited_s in (IDLE_S, BUSY_S):
        pacing = paced(1, loop_waited_s)
        assert (pacing.wanted, pacing.in_flight_max) == (1, IN_FLIGHT_MAX)


def test_a_crowd_is_waited_for_and_forgotten_when_it_goes() -> None:
    for loop_waited_s in (IDLE_S, BUSY_S):
        pacing = paced(4 * CROWD, loop_waited_s)
        assert CROWD < pacing.wanted < 4 * CROWD
        pacing.committed(CROWD - 1, 10.2, loop_waited_s)
        assert (pacing.wanted, pacing.in_flight_max) == (1, IN_FLIGHT_MAX)


def test_a_busy_loop_makes_larger_entries_and_one_at_a_time() -> None:
    idle, busy = paced(4 * CROWD, IDLE_S), paced(4 * CROWD, BUSY_S)
    assert busy.wanted > idle.wanted
    assert (idle.in_flight_max, busy.in_flight_max) == (IN_FLIGHT_MAX, IN_FLIGHT_MAX_BUSY)
    for _ in range(LOOP_SAMPLES * 4):
        busy.committed(4 * CROWD, 10.1, IDLE_S)
    assert (busy.wanted, busy.in_flight_max) == (idle.wanted, idle.in_flight_max)


def test_one_late_turn_of_the_loop_is_no_busy_loop() -> None:
    pacing = paced(4 * CROWD, IDLE_S)
    pacing.committed(4 * CROWD, 10.1, LOOP_BUSY_S * 4)
    assert pacing.in_flight_max == IN_FLIGHT_MAX


def test_the_wait_is_as_long_as_commits_take_and_bounded() -> None:
    for took_s, idle_s, busy_s in (
        (0.0001, GATHER_S_MIN, GATHER_S_MIN),
        (0.002, 0.002, 0.002),
        (3.0, GATHER_S_MAX, GATHER_S_MAX_BUSY),
    ):
        assert abs(paced(CROWD, IDLE_S, took_s).gather_s - idle_s) < 1e-9
        assert abs(paced(CROWD, BUSY_S, took_s).gather_s - busy_s) < 1e-9


def test_clients_that_write_again_and_again_share_entries(tmp_path: Path) -> None:
    async def main() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        try:
            leader = cluster.leader_of(1)
            assert leader is not None
            log = leader.host.replicas[1].log

            async def client() -> None:
                for _ in range(ROUNDS):
                    await leader.router.execute(KEYSPACE, b"k", Append(b"k", b"x"))

            await leader.router.execute(KEYSPACE, b"k", Append(b"k", b"x"))
            before = log.last_index
            async with asyncio.timeout(60):
                await asyncio.gather(*(client() for _ in range(CLIENTS)))
            assert log.last_index - before < CLIENTS * ROUNDS / 4
            value = await leader.router.query(KEYSPACE, b"k", Read(b"k"))
            assert value == Value(b"x" * (CLIENTS * ROUNDS + 1))
        finally:
            await cluster.stop()

    asyncio.run(main())
