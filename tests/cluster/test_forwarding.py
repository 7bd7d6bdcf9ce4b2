"""What waits for another node's answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.replication.local_cluster import KEYSPACE, LocalCluster
from tests.replication.register_model import Append, Write

from trilith.cluster.forwarding import ModelCodec
from trilith.errors import OutcomeUnknown


def test_nobody_waits_for_the_answer_of_a_former_leader(tmp_path: Path) -> None:
    async def body() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        try:
            await _ask_and_move(cluster)
        finally:
            await cluster.stop()

    asyncio.run(asyncio.wait_for(body(), 60))


async def _ask_and_move(cluster: LocalCluster) -> None:
    first, gateway = cluster.nodes[:2]
    partition_id = gateway.router.partition_of(KEYSPACE, b"k")
    await gateway.router.execute(KEYSPACE, b"k", Write(b"k", b""))
    assert cluster.leader_of(partition_id) is first
    command = ModelCodec(gateway.model_of(KEYSPACE)).encode(Append(b"k", b"v"))

    def ask() -> asyncio.Future[bytes]:
        token = gateway.router.new_token()
        return gateway.forwarding.command(
            first.node_id, partition_id, b"k", token, retry=False, command=command
        )

    kept = ask()
    gateway.forwarding.leader_changed(partition_id, first.node_id)
    gateway.forwarding.leader_changed(partition_id + 1, "n3")
    await kept
    lost = ask()
    gateway.forwarding.leader_changed(partition_id, "n3")
    with pytest.raises(OutcomeUnknown, match="no longer"):
        await lost
