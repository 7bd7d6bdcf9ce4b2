"""Pacing: nobody waits alone, and a crowd becomes few entries."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.replication.local_cluster import KEYSPACE, LocalCluster
from tests.replication.register_model import Append, Read, Value

from trilith.replication.pacing import (
    CROWD,
    GATHER_S_MAX,
    GATHER_S_MIN,
    IN_FLIGHT_MAX,
    IN_FLIGHT_MAX_CROWDED,
    Pacing,
)

CLIENTS = 24
ROUNDS = 12


def test_a_lone_command_never_waits() -> None:
    pacing = Pacing()
    assert pacing.wanted == 1
    for _ in range(3):
        pacing.committed(1, 0.1)
        assert (pacing.wanted, pacing.in_flight_max) == (1, IN_FLIGHT_MAX)


def test_a_crowd_is_waited_for_and_forgotten_when_it_goes() -> None:
    pacing = Pacing()
    pacing.committed(4 * CROWD, 0.1)
    assert CROWD < pacing.wanted < 4 * CROWD
    assert pacing.in_flight_max == IN_FLIGHT_MAX_CROWDED
    pacing.committed(CROWD - 1, 0.2)
    assert (pacing.wanted, pacing.in_flight_max) == (1, IN_FLIGHT_MAX)


def test_the_wait_is_as_long_as_commits_take_and_bounded() -> None:
    pacing = Pacing()
    for took_s, waits_s in ((0.0001, GATHER_S_MIN), (0.0015, 0.0015), (3.0, GATHER_S_MAX)):
        pacing.evaluated(10.0)
        pacing.committed(CROWD, 10.0 + took_s)
        assert abs(pacing.gather_s - waits_s) < 1e-9


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
