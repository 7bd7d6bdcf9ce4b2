"""Reads: the nearest good copy, whatever happened to the others."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chunks.local_zones import (
    KIB,
    SILENT_S,
    LocalCluster,
    random_bytes,
    read_back,
    run_on,
    upload,
)

from trilith.chunks.reading import in_order
from trilith.chunks.types import ChunkRef
from trilith.cluster.cluster_map import NodeRecord, NodeState
from trilith.errors import Corruption, PeerUnreachable


@settings(max_examples=30, deadline=None)
@given(bounds=st.tuples(st.integers(0, 119_999), st.integers(0, 119_999)))
def test_any_range_of_a_body_is_streamed(bounds: tuple[int, int]) -> None:
    data = random_bytes(120_000)
    first, last = sorted(bounds)

    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [data])
        references = in_order([chunk.ref for chunk in stored])
        runs = [run async for run in cluster.gateway.stream(references, first, last)]
        assert b"".join(runs) == data[first : last + 1]
        assert all(runs)

    run_on(LocalCluster(), body)


def test_a_local_copy_is_read_without_the_network() -> None:
    async def body(cluster: LocalCluster) -> None:
        data = random_bytes(50 * KIB)
        stored = await upload(cluster.gateway, [data])
        cluster.network.calls.clear()
        assert await read_back(cluster.gateway, stored) == data
        assert cluster.network.calls == []

    run_on(LocalCluster(), body)


def test_a_damaged_local_copy_is_reported_and_read_elsewhere() -> None:
    async def body(cluster: LocalCluster) -> None:
        data = random_bytes(5 * KIB)
        stored = await upload(cluster.gateway, [data])
        node = cluster.nodes["n11"]
        node.flip(stored[0].ref.chunk_id)
        assert await read_back(cluster.gateway, stored) == data
        assert node.damaged == [(stored[0].ref.chunk_id, "az1")]

    run_on(LocalCluster(), body)


@pytest.mark.parametrize("fault", ["cut", "silent"])
def test_a_zone_away_is_passed_over(fault: str) -> None:
    async def body(cluster: LocalCluster) -> None:
        data = random_bytes(3 * KIB)
        stored = await upload(cluster.gateway, [data])
        cluster.nodes["n11"].flip(stored[0].ref.chunk_id)
        link = cluster.network.link("n11", "n21")
        link.up, link.loses_requests = fault != "cut", fault == "silent"
        assert await read_back(cluster.gateway, stored) == data

    run_on(LocalCluster(), body)


def test_two_damaged_copies_still_leave_the_third() -> None:
    async def body(cluster: LocalCluster) -> None:
        data = random_bytes(5 * KIB)
        stored = await upload(cluster.gateway, [data])
        for node_id in ("n11", "n21"):
            cluster.nodes[node_id].flip(stored[0].ref.chunk_id)
        assert await read_back(cluster.gateway, stored) == data

    run_on(LocalCluster(), body)


def test_no_good_copy_anywhere_is_corruption() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(5 * KIB)])
        for node in cluster.nodes.values():
            node.flip(stored[0].ref.chunk_id)
        with pytest.raises(Corruption):
            await cluster.gateway.read(stored[0].ref)

    run_on(LocalCluster(), body)


def test_a_copy_that_may_be_in_a_zone_away_is_not_given_up() -> None:
    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(5 * KIB)])
        for node_id in ("n11", "n21"):
            cluster.nodes[node_id].flip(stored[0].ref.chunk_id)
        cluster.network.isolate("n31")
        with pytest.raises(PeerUnreachable) as caught:
            await cluster.gateway.read(stored[0].ref)
        assert caught.value.retryable

    run_on(LocalCluster(timeout_s=SILENT_S), body)


def test_a_zone_that_comes_back_at_once_is_waited_for() -> None:
    async def body(cluster: LocalCluster) -> None:
        data = random_bytes(5 * KIB)
        stored = await upload(cluster.gateway, [data])
        for node_id in ("n11", "n21"):
            cluster.nodes[node_id].flip(stored[0].ref.chunk_id)
        cluster.network.isolate("n31")
        reading = asyncio.ensure_future(cluster.gateway.read(stored[0].ref))
        asked = len(cluster.network.calls)
        while len(cluster.network.calls) < asked + 4:
            await asyncio.sleep(0.01)  # until it has been asked for, in vain
        cluster.network.isolate("n31", up=True)
        assert await reading == data[: stored[0].ref.size]

    run_on(LocalCluster(timeout_s=SILENT_S), body)


def test_a_wrong_key_never_yields_plaintext() -> None:
    async def body(cluster: LocalCluster) -> None:
        (chunk,) = await upload(cluster.gateway, [random_bytes(KIB)])
        wrong = ChunkRef(chunk.ref.chunk_id, bytes(32), chunk.ref.size)
        with pytest.raises(Corruption):
            await cluster.gateway.read(wrong)

    run_on(LocalCluster(), body)


def test_chunks_are_found_at_their_former_owner_after_the_ring_changed() -> None:
    async def body(cluster: LocalCluster) -> None:
        data = random_bytes(100 * KIB)
        for node_id in ("n12", "n22", "n32"):
            node = cluster.nodes[node_id]
            cluster.map.put(NodeRecord(node_id, node.zone, "local", NodeState.LEAVING))
        stored = await upload(cluster.gateway, [data])
        assert cluster.nodes["n12"].store.chunks == 0
        cluster.map.replace(NodeRecord(n.node_id, n.zone, "local") for n in cluster.nodes.values())
        moved = [
            c
            for c in stored
            if cluster.nodes["n11"].placement.owners(c.ref.chunk_id)["az1"] == "n12"
        ]
        assert moved
        assert await read_back(cluster.gateway, stored) == data

    run_on(LocalCluster(nodes_per_zone=2), body)
