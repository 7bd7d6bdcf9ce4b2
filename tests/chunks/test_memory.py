"""Uploads hold bounded memory, share it fairly, and give everything back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chunks.local_zones import (
    KIB,
    SALT,
    LocalCluster,
    random_bytes,
    read_back,
    run_on,
    split,
    upload,
)

from trilith.chunks.budget import ByteBudget
from trilith.chunks.upload import ChunkUpload
from trilith.config import Chunks as ChunksConfig
from trilith.errors import NotEnoughZones

# The smallest that the configuration allows.
TIGHT = ChunksConfig(
    min_bytes=KIB, avg_bytes=4 * KIB, max_bytes=16 * KIB, inflight_bytes_max=32 * KIB
)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def start(work: Awaitable[object]) -> asyncio.Future[object]:
    return asyncio.ensure_future(work)


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(0, 80 * KIB), min_size=1, max_size=12), known=st.booleans())
def test_uploads_at_any_concurrency_stay_within_the_budget(sizes: list[int], known: bool) -> None:
    async def body(cluster: LocalCluster) -> None:
        pipeline = cluster.gateway
        bodies = [random_bytes(size, number) for number, size in enumerate(sizes)]
        results = await asyncio.gather(
            *(
                upload(
                    pipeline,
                    split(data, range(0, len(data), 3000)),
                    expected_bytes=len(data) if known else None,
                )
                for data in bodies
            )
        )
        for data, stored in zip(bodies, results, strict=True):
            assert await read_back(pipeline, stored) == data
        budgets = (pipeline.windows.bytes, pipeline.small_windows.bytes, pipeline.storing)
        assert sum(budget.limit_bytes for budget in budgets) == TIGHT.inflight_bytes_max
        assert all(budget.peak_bytes <= budget.limit_bytes for budget in budgets)

    run_on(LocalCluster(config=TIGHT, turn_s=0.01, threads=2), body)


def test_feeding_waits_while_the_zones_are_behind() -> None:
    async def body(cluster: LocalCluster) -> None:
        for target in ("n21", "n31"):
            cluster.network.link("n11", target).loses_requests = True
        data = random_bytes(500 * KIB)
        fed = 0

        async def feed() -> None:
            nonlocal fed
            async with cluster.gateway.upload(SALT) as uploading:
                for piece in split(data, range(0, len(data), 1000)):
                    await uploading.feed(piece)
                    fed += len(piece)

        feeding = start(feed())
        await until(lambda: cluster.gateway.storing.waiting > 0)
        assert fed <= TIGHT.inflight_bytes_max
        feeding.cancel()
        await asyncio.wait((feeding,))

    run_on(LocalCluster(config=TIGHT), body)


def test_a_client_that_stalls_gives_way_to_those_who_wait() -> None:
    async def body(cluster: LocalCluster) -> None:
        data = random_bytes(40 * KIB)
        async with cluster.gateway.upload(SALT, expected_bytes=len(data)) as stalled:
            await stalled.feed(data[: 10 * KIB])
            stored = await upload(cluster.gateway, [random_bytes(90 * KIB, 2)])
            assert sum(chunk.ref.size for chunk in stored) == 90 * KIB
            await stalled.feed(data[10 * KIB :])
            await stalled.finish()
            assert await read_back(cluster.gateway, stalled.take()) == data

    run_on(LocalCluster(config=TIGHT, turn_s=0.02), body)


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(0, 120), faulty=st.booleans(), threads=st.sampled_from([0, 2]))
def test_cancelling_an_upload_at_any_moment_leaks_nothing(
    steps: int, faulty: bool, threads: int
) -> None:
    async def body(cluster: LocalCluster) -> None:
        if faulty:
            cluster.network.link("n11", "n21").loses_requests = True
        data = random_bytes(100 * KIB)
        pieces = split(data, range(0, len(data), 9000))
        uploads = [start(upload(cluster.gateway, pieces)) for _ in range(4)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in uploads:
            task.cancel()
        await asyncio.wait(uploads)

    run_on(LocalCluster(config=TIGHT, threads=threads), body)


async def feed_and_finish(uploading: ChunkUpload) -> None:
    for seed in range(20):
        await uploading.feed(random_bytes(50 * KIB, seed))
    await uploading.finish()


def test_an_error_ends_the_upload_and_leaks_nothing() -> None:
    async def body(cluster: LocalCluster) -> None:
        async with cluster.gateway.upload(SALT) as uploading:
            await uploading.feed(random_bytes(50 * KIB))
            cluster.network.isolate("n11")
            with pytest.raises(NotEnoughZones):
                await feed_and_finish(uploading)
            with pytest.raises(NotEnoughZones):
                await uploading.feed(b"more")

    run_on(LocalCluster(), body)


def test_leaving_a_stream_early_cancels_its_reading_ahead() -> None:
    from trilith.chunks.reading import in_order

    async def body(cluster: LocalCluster) -> None:
        stored = await upload(cluster.gateway, [random_bytes(300 * KIB)])
        references = [chunk.ref for chunk in stored]
        stream = cluster.gateway.stream(in_order(references), 0, 300 * KIB - 1)
        assert len(await anext(stream)) == references[0].size
        assert cluster.gateway.reader.read_ahead.used_bytes > 0
        await stream.aclose()

    run_on(LocalCluster(), body)


def test_a_budget_serves_waiters_in_order_and_survives_their_cancellation() -> None:
    async def run() -> None:
        budget = ByteBudget(10)
        await budget.acquire(8)
        order: list[str] = []

        async def take(name: str, size: int) -> None:
            await budget.acquire(size)
            order.append(name)

        big, small, last = (start(take(*a)) for a in (("big", 9), ("small", 1), ("last", 2)))
        await until(lambda: budget.waiting == 3)
        assert not budget.try_acquire(1)  # others were first
        big.cancel()
        await until(lambda: small.done() and budget.used_bytes == 9)
        assert order == ["small"]
        budget.release(8)
        await last
        granted_then_cancelled = start(take("never", 8))
        await until(lambda: budget.waiting == 1)
        budget.release(3)
        granted_then_cancelled.cancel()
        await asyncio.wait((granted_then_cancelled,))
        assert (budget.used_bytes, budget.waiting, order) == (0, 0, ["small", "last"])
        with pytest.raises(ValueError, match="exceed"):
            await budget.acquire(11)

    asyncio.run(run())
