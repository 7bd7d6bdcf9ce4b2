"""Deleting a bucket while it is written to, in every order that hypothesis can think of."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilith.errors import (
    BucketClosed,
    BucketNotEmpty,
    BucketNotFound,
    ConditionalConflict,
    TrilithError,
    Unavailable,
)
from trilith.objects.commands import CloseBucket, PutObject, ReopenBucket
from trilith.objects.keys import FENCE, OBJECT, UPLOAD, bucket_range, key_of, stem_of
from trilith.objects.rules.fence import carry_over
from trilith.objects.types import WriteConditions

from .local_partitions import LocalPartitions
from .service_cluster import PLAIN, ServiceCluster

BUCKET = b"B" * 16
START = bucket_range(BUCKET)[0]


def put(partitions: LocalPartitions, key: str) -> None:
    stem = stem_of(BUCKET, key)
    partitions.run(2, stem, PutObject(stem, 1, "e" * 32, PLAIN, b"sealed"))


def close(partitions: LocalPartitions, generation: int, key: bytes = START) -> None:
    partitions.run(2, key, CloseBucket(key, BUCKET, generation))


def reopen(partitions: LocalPartitions, generation: int, key: bytes = START) -> None:
    partitions.run(2, key, ReopenBucket(key, BUCKET, generation))


def test_a_closed_partition_refuses_new_keys_until_a_higher_generation_reopens_it() -> None:
    partitions = LocalPartitions()
    close(partitions, 3)
    with pytest.raises(BucketClosed) as caught:
        put(partitions, "k")
    assert caught.value.details == {"generation": 3}
    with pytest.raises(ConditionalConflict):
        reopen(partitions, 3)
    reopen(partitions, 4)
    put(partitions, "k")


def test_a_late_close_of_an_older_generation_is_refused() -> None:
    partitions = LocalPartitions()
    reopen(partitions, 4)
    with pytest.raises(ConditionalConflict):
        close(partitions, 3)
    close(partitions, 4)


def test_an_object_in_the_partition_keeps_it_open() -> None:
    partitions = LocalPartitions()
    put(partitions, "k")
    with pytest.raises(BucketNotEmpty):
        close(partitions, 0)
    put(partitions, "other")


def test_a_split_gives_the_fence_to_both_children() -> None:
    partitions = LocalPartitions()
    close(partitions, 2)
    cut = stem_of(BUCKET, "m")
    carried = carry_over(partitions.view_of(cut), cut)
    partitions.split(cut, carried)
    for key in ("a", "z"):
        with pytest.raises(BucketClosed):
            put(partitions, key)
    assert carry_over(partitions.view_of(cut), cut) == []
    assert carry_over(partitions.view_of(cut), b"C" * 16) == []


class Interleaver:
    """Runs coroutines one command at a time, in an order drawn by hypothesis."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._held: list[asyncio.Future[None]] = []

    async def gate(self, _command: msgspec.Struct) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append(turn)
        await turn

    async def run(self, tasks: list[asyncio.Task[None]]) -> None:
        while not all(task.done() for task in tasks):
            for _ in range(self._random.randrange(1, 6)):
                await asyncio.sleep(0)
            if self._held:
                self._held.pop(self._random.randrange(len(self._held))).set_result(None)
        for task in tasks:
            task.result()


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    writers=st.integers(1, 3),
    deleters=st.integers(1, 3),
    removers=st.integers(0, 2),
    cuts=st.lists(st.sampled_from("bdfhj"), max_size=3, unique=True),
)
def test_no_acknowledged_object_is_ever_in_a_deleted_bucket(
    seed: int, writers: int, deleters: int, removers: int, cuts: list[str]
) -> None:
    async def scenario() -> None:
        cluster = ServiceCluster()
        service, partitions = cluster.service, cluster.partitions
        bucket = await service.create_bucket("b", owner="o", region="r")
        for cut in cuts:
            partitions.split(stem_of(bucket.bucket_id, cut), [])
        interleaver = Interleaver(seed)
        partitions.gate = interleaver.gate
        chosen = random.Random(seed)
        acknowledged: set[str] = set()
        removing: set[str] = set()
        deleted = 0

        async def write(number: int) -> None:
            key = f"{chosen.choice('abcdefghijk')}{number}"
            try:
                if chosen.random() < 0.3:
                    await service.create_upload("b", key, PLAIN)  # goes with its bucket
                    return
                await cluster.put("b", key, b"x", conditions=WriteConditions())
            except (BucketNotFound, Unavailable):
                return
            acknowledged.add(key)

        async def remove(number: int) -> None:
            for key in sorted(acknowledged):
                removing.add(key)
                try:
                    await service.delete_object("b", key)
                except BucketNotFound:
                    return

        async def delete(number: int) -> None:
            nonlocal deleted
            for _ in range(2):
                try:
                    await service.delete_bucket("b")
                    deleted += 1
                except (BucketNotFound, BucketNotEmpty, Unavailable):
                    continue

        jobs = [write] * writers + [delete] * deleters + [remove] * removers
        tasks = [asyncio.ensure_future(job(number)) for number, job in enumerate(jobs)]
        chosen.shuffle(tasks)
        await interleaver.run(tasks)
        partitions.gate = None

        stored = {
            key_of(record).decode()
            for family in (OBJECT, UPLOAD)
            for record in partitions.records(family)
        }
        assert deleted <= 1
        if deleted:
            assert not stored, "an object outlived its bucket"
            assert acknowledged <= removing
            assert all(raw for raw in partitions.records(FENCE).values())
        else:
            assert acknowledged - removing <= stored
            await cluster.put("b", "afterwards", b"x")
            assert await cluster.get("b", "afterwards") == b"x"

    asyncio.run(scenario())


def test_a_writer_takes_its_bucket_back_from_a_deletion_that_died_half_way() -> None:
    async def scenario() -> None:
        cluster = ServiceCluster()
        bucket = await cluster.service.create_bucket("b", owner="o", region="r")
        key = bucket.bucket_id
        await cluster.partitions.execute(2, key, CloseBucket(key, key, bucket.generation))
        await cluster.put("b", "k", b"x")
        assert await cluster.get("b", "k") == b"x"
        assert (await cluster.service.get_bucket("b")).generation == bucket.generation + 1
        with pytest.raises(TrilithError):
            await cluster.partitions.execute(2, key, CloseBucket(key, key, bucket.generation))

    asyncio.run(scenario())


def test_a_slow_writer_of_a_deleted_bucket_finds_its_successor_empty() -> None:
    async def scenario() -> None:
        cluster = ServiceCluster()
        service = cluster.service
        await service.create_bucket("b", owner="o", region="r")
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def hold_the_put(command: msgspec.Struct) -> None:
            if isinstance(command, PutObject) and not reached.is_set():
                reached.set()
                await go_on.wait()

        cluster.partitions.gate = hold_the_put
        writing = asyncio.ensure_future(cluster.put("b", "k", b"x"))
        await reached.wait()
        await service.delete_bucket("b")
        await service.create_bucket("b", owner="o", region="r")
        go_on.set()
        with pytest.raises(BucketNotFound):
            await writing
        assert (await service.list_objects("b")).entries == []

    asyncio.run(scenario())
