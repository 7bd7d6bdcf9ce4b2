"""Uploads and reads over three zones: what is stored where, and what is found again."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chunks.local_zones import (
    KIB,
    SALT,
    SILENT_S,
    SMALL_CHUNKS,
    LocalCluster,
    random_bytes,
    read_back,
    run_on,
    split,
    upload,
)

from trilith.errors import DiskFull, NotEnoughZones
from trilith_native.convergent import seal_chunk

FEW = settings(max_examples=40, deadline=None)


def chunks_of(data: bytes) -> list[bytes]:
    """Oracle: the ids of a body that is cut in one piece."""
    from trilith_native.chunker import Chunker

    chunker = Chunker(SMALL_CHUNKS.min_bytes, SMALL_CHUNKS.avg_bytes, SMALL_CHUNKS.max_bytes)
    ids, offset = [], 0
    while offset < len(data):
        length = chunker.next_cut(data, offset, final=True)
        ids.append(seal_chunk(SALT, data[offset : offset + length])[0])
        offset += length
    return ids


@pytest.mark.parametrize("size", [0, 1, 100, KIB, 5 * KIB, 16 * KIB, 16 * KIB + 1, 300 * KIB])
@pytest.mark.parametrize("threads", [0, 2])
def test_a_body_is_read_back_and_lies_in_every_zone(size: int, threads: int) -> None:
    data = random_bytes(size)

    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [data])
        assert await read_back(cluster.gateway, stored) == data
        assert [chunk.ref.chunk_id for chunk in stored] == chunks_of(data)
        for chunk in stored:
            assert chunk.missed_zones == ()
            assert cluster.zones_with(chunk.ref.chunk_id) == {"az1", "az2", "az3"}

    run_on(LocalCluster(threads=threads), body)


@FEW
@given(
    size=st.integers(0, 200 * KIB),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=30),
    known_size=st.booleans(),
)
def test_any_split_of_a_body_gives_the_same_chunks(
    size: int, cuts: list[int], known_size: bool
) -> None:
    data = random_bytes(size)

    async def body(cluster: LocalCluster) -> None:
        expected = size if known_size else None
        stored = await upload(cluster.gateway, split(data, cuts), expected_bytes=expected)
        assert [chunk.ref.chunk_id for chunk in stored] == chunks_of(data)

    run_on(LocalCluster(), body)


def test_a_body_of_single_bytes_is_stored_as_one_of_large_pieces() -> None:
    data = random_bytes(20 * KIB)

    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [data[i : i + 1] for i in range(len(data))])
        assert [chunk.ref.chunk_id for chunk in stored] == chunks_of(data)
        assert await read_back(cluster.gateway, stored) == data

    run_on(LocalCluster(), body)


@pytest.mark.parametrize("said", [1, 10 * KIB, 90 * KIB, 1 << 30])
def test_a_body_of_another_length_than_was_said_is_stored_whole(said: int) -> None:
    data = random_bytes(100 * KIB)

    async def body(cluster: LocalCluster) -> None:
        pieces = split(data, range(0, len(data), 3000))
        stored = await upload(cluster.gateway, pieces, expected_bytes=said)
        assert await read_back(cluster.gateway, stored) == data

    run_on(LocalCluster(), body)


@FEW
@given(inserted=st.binary(min_size=1, max_size=300), at=st.integers(0, 20 * KIB))
def test_shifted_data_finds_its_chunks_again(inserted: bytes, at: int) -> None:
    data = random_bytes(200 * KIB)

    async def body(cluster: LocalCluster) -> None:
        first = await upload(cluster.gateway, [data])
        before = cluster.nodes["n31"].store.bytes_stored
        shifted = data[:at] + inserted + data[at:]
        second = await upload(cluster.gateway, [shifted])
        assert await read_back(cluster.gateway, second) == shifted
        shared = {c.ref.chunk_id for c in first} & {c.ref.chunk_id for c in second}
        assert len(shared) > len(first) // 2
        assert cluster.nodes["n31"].store.bytes_stored - before < 80 * KIB

    run_on(LocalCluster(), body)


def test_other_salts_share_nothing() -> None:
    data = random_bytes(50 * KIB)

    async def body(cluster: LocalCluster) -> None:
        first = await upload(cluster.gateway, [data])
        second = await upload(cluster.gateway, [data], salt=bytes(32))
        assert not {c.ref.chunk_id for c in first} & {c.ref.chunk_id for c in second}

    run_on(LocalCluster(), body)


@pytest.mark.parametrize("nodes_per_zone", [1, 3])
def test_known_chunks_are_touched_and_their_bytes_not_sent_again(nodes_per_zone: int) -> None:
    data = random_bytes(100 * KIB)

    async def body(cluster: LocalCluster) -> None:
        first = await upload(cluster.gateway, [data])
        cluster.network.calls.clear()
        second = await upload(cluster.gateway, [data])
        assert first == second
        assert {method for *_, method in cluster.network.calls} == {"chunk.touch"}
        assert cluster.gateway.replicas.known_bytes == len(data)

    run_on(LocalCluster(nodes_per_zone=nodes_per_zone), body)


def test_a_known_chunk_that_one_zone_lacks_is_sent_there() -> None:
    data = random_bytes(60 * KIB)

    async def body(cluster: LocalCluster) -> None:
        cluster.network.isolate("n31")
        first = await upload(cluster.gateway, [data])
        assert {chunk.missed_zones for chunk in first} == {("az3",)}
        cluster.network.isolate("n31", up=True)
        second = await upload(cluster.gateway, [data])
        assert {chunk.missed_zones for chunk in second} == {()}
        for chunk in second:
            assert cluster.zones_with(chunk.ref.chunk_id) == {"az1", "az2", "az3"}

    run_on(LocalCluster(), body)


def test_hashers_are_told_every_byte_once_and_in_order() -> None:
    data = random_bytes(150 * KIB)

    async def body(cluster: LocalCluster) -> None:
        async with cluster.gateway.upload(SALT) as uploading:
            md5 = hashlib.md5()
            uploading.hashers.append(md5)
            for piece in split(data, range(0, len(data), 7001)):
                await uploading.feed(piece)
            await uploading.finish()
            assert md5.digest() == hashlib.md5(data).digest()
            assert sum(chunk.ref.size for chunk in uploading.take()) == len(data)

    run_on(LocalCluster(threads=2), body)


def test_take_gives_durable_chunks_in_order_and_each_once() -> None:
    data = random_bytes(400 * KIB)

    async def body(cluster: LocalCluster) -> None:
        taken = []
        async with cluster.gateway.upload(SALT) as uploading:
            for piece in split(data, range(0, len(data), 5000)):
                await uploading.feed(piece)
                for chunk in uploading.take():
                    assert cluster.zones_with(chunk.ref.chunk_id) == {"az1", "az2", "az3"}
                    taken.append(chunk.ref.chunk_id)
            await uploading.finish()
            taken += [chunk.ref.chunk_id for chunk in uploading.take()]
            assert uploading.take() == []
        assert taken == chunks_of(data)

    run_on(LocalCluster(threads=2), body)


def test_equal_bodies_at_the_same_time_are_stored_once() -> None:
    data = random_bytes(60 * KIB)

    async def body(cluster: LocalCluster) -> None:
        pipelines = [node.pipeline for node in cluster.nodes.values()] * 3
        bodies = await asyncio.gather(*(upload(pipeline, [data]) for pipeline in pipelines))
        assert all(stored == bodies[0] for stored in bodies)
        for node in cluster.nodes.values():
            assert node.store.chunks == len({chunk.ref.chunk_id for chunk in bodies[0]})

    run_on(LocalCluster(threads=2), body)


def test_a_duplicate_in_flight_is_not_acknowledged_before_it_is_durable() -> None:
    data = random_bytes(KIB)
    held: list[asyncio.Event] = []

    async def body(cluster: LocalCluster) -> None:
        for node in cluster.nodes.values():
            release = asyncio.Event()
            held.append(release)

            def hold(callback: object, release: asyncio.Event = release) -> None:
                async def later() -> None:
                    await release.wait()
                    callback()  # type: ignore[operator]

                syncs.append(asyncio.ensure_future(later()))

            node.disk.after_sync_delay = hold  # type: ignore[method-assign]
        syncs: list[asyncio.Future[None]] = []
        both = [asyncio.ensure_future(upload(cluster.gateway, [data])) for _ in range(2)]
        while len(syncs) < 3:  # every zone's write is waiting for its disk
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert not any(task.done() for task in both)
        for release in held:
            release.set()
        first, second = await asyncio.gather(*both)
        assert first == second

    run_on(LocalCluster(), body)


def test_with_one_zone_left_uploads_are_refused_and_retryable() -> None:
    async def body(cluster: LocalCluster) -> None:
        cluster.network.isolate("n11")
        with pytest.raises(NotEnoughZones) as caught:
            await upload(cluster.gateway, [random_bytes(50 * KIB)])
        assert caught.value.retryable

    run_on(LocalCluster(), body)


def test_a_full_disk_in_two_zones_is_said_to_be_one() -> None:
    async def body(cluster: LocalCluster) -> None:
        for node_id in ("n21", "n31"):
            cluster.nodes[node_id].disk.capacity_bytes = 0
        with pytest.raises(DiskFull):
            await upload(cluster.gateway, [random_bytes(50 * KIB)])

    run_on(LocalCluster(), body)


def test_a_zone_with_a_full_disk_misses_the_chunks() -> None:
    async def body(cluster: LocalCluster) -> None:
        cluster.nodes["n11"].disk.capacity_bytes = 0
        stored = await upload(cluster.gateway, [random_bytes(50 * KIB)])
        assert {chunk.missed_zones for chunk in stored} == {("az1",)}

    run_on(LocalCluster(), body)


def test_a_failed_sync_in_the_local_zone_makes_it_miss_the_chunks() -> None:
    async def body(cluster: LocalCluster) -> None:
        cluster.nodes["n11"].disk.fail_next_sync()
        stored = await upload(cluster.gateway, [random_bytes(10 * KIB)])
        assert {chunk.missed_zones for chunk in stored} == {("az1",)}
        assert len(cluster.nodes["n11"].failures) == 1

    # A store that failed calls nobody back: the zone is given up after its time.
    run_on(LocalCluster(timeout_s=1.0), body)


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["n11", "n21", "n31"]),
        st.sampled_from(["n11", "n21", "n31"]),
        st.sampled_from(["cut", "loses_requests", "loses_answers", "slow"]),
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(faults=FAULTS, seed=st.integers(0, 1000), size=st.integers(1, 60 * KIB))
def test_link_faults_never_acknowledge_with_fewer_than_two_zones(
    faults: list[tuple[str, str, str]], seed: int, size: int
) -> None:
    data = random_bytes(size, seed)

    async def body(cluster: LocalCluster) -> None:
        for source, target, fault in faults:
            link = cluster.network.link(source, target)
            link.up &= fault != "cut"
            link.loses_requests |= fault == "loses_requests"
            link.loses_answers |= fault == "loses_answers"
            link.delay_s = 0.005 if fault == "slow" else link.delay_s
        try:
            stored = await upload(cluster.gateway, [data])
        except NotEnoughZones:
            return
        assert sum(chunk.ref.size for chunk in stored) == size
        for chunk in stored:
            there = cluster.zones_with(chunk.ref.chunk_id)
            assert len(there) >= 2
            assert there | set(chunk.missed_zones) == {"az1", "az2", "az3"}
            assert len(chunk.missed_zones) <= 1

    run_on(LocalCluster(timeout_s=SILENT_S), body)
