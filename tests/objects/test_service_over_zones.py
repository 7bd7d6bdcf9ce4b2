"""The object service over the real chunk pipeline and three zones of real chunk stores."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.chunks.local_zones import KIB, LocalCluster, random_bytes, run_on

from trilith.errors import IncompleteBody
from trilith.objects.key_ring import KeyRing
from trilith.objects.keys import OBJECT, PENDING, SEGMENT
from trilith.objects.repair_queue import RepairQueue
from trilith.objects.service import ObjectService
from trilith.objects.types import CompletedPart

from .local_partitions import LocalPartitions
from .service_cluster import PLAIN, GivenBody, SeededEntropy

DATA = random_bytes(300 * KIB)
RUNS = [DATA[i : i + 7000] for i in range(0, len(DATA), 7000)]


class ZonedService:
    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.partitions = LocalPartitions(now_ms=1_000_000)  # as the zones have it
        entropy = SeededEntropy()
        keys = KeyRing(bytes(32), entropy)
        self.service = ObjectService(
            self.partitions,
            cluster.gateway,
            keys,
            entropy,
            inline_size_bytes_max=KIB,
            part_size_bytes_min=100 * KIB,
        )

    async def read(self, key: str, first: int = 0, last: int | None = None) -> bytes:
        reader = await self.service.open_object("b", key)
        last = reader.info.size - 1 if last is None else last
        return b"".join([run async for run in reader.stream(first, last)])

    @property
    def new_chunks(self) -> int:
        return self.cluster.gateway.replicas.new_chunks


def with_service(scenario: Callable[[ZonedService], Awaitable[None]], **options: Any) -> None:
    async def body(cluster: LocalCluster) -> None:
        zoned = ZonedService(cluster)
        await zoned.service.create_bucket("b", owner="alice", region="r")
        await scenario(zoned)

    run_on(LocalCluster(**options), body)


def test_a_body_streams_in_and_comes_back_whole_and_in_ranges() -> None:
    async def scenario(zoned: ZonedService) -> None:
        put = await zoned.service.put_object("b", "k", GivenBody(*RUNS), PLAIN)
        assert put.etag == hashlib.md5(DATA).hexdigest()
        assert await zoned.read("k") == DATA
        end = len(DATA) - 1
        for first, last in ((0, 0), (50_000, 50_000), (9_999, 200_001), (end, end)):
            assert await zoned.read("k", first, last) == DATA[first : last + 1]

    with_service(scenario)


def test_an_object_written_twice_stores_its_chunks_once() -> None:
    async def scenario(zoned: ZonedService) -> None:
        await zoned.service.put_object("b", "k", GivenBody(*RUNS), PLAIN)
        before = zoned.new_chunks
        await zoned.service.put_object("b", "other", GivenBody(DATA, announced=False), PLAIN)
        source = await zoned.service.open_object("b", "k")
        await zoned.service.copy_object(source, "b", "copy", PLAIN)
        assert zoned.new_chunks == before
        assert await zoned.read("other") == await zoned.read("copy") == DATA

    with_service(scenario)


def test_parts_and_a_copied_range_make_one_object() -> None:
    async def scenario(zoned: ZonedService) -> None:
        service = zoned.service
        await service.put_object("b", "source", GivenBody(*RUNS), PLAIN)
        source = await service.open_object("b", "source")
        upload_id = (await service.create_upload("b", "k", PLAIN)).upload_id
        parts = [
            await service.copy_part(source, 1000, 200_000, "b", "k", upload_id, 1),
            await service.put_part("b", "k", upload_id, 2, GivenBody(*RUNS)),
            await service.put_part("b", "k", upload_id, 3, GivenBody(b"end")),
        ]
        listed = [CompletedPart(part.number, part.etag) for part in parts]
        await service.complete_upload("b", "k", upload_id, listed)
        whole = DATA[1000:200_001] + DATA + b"end"
        assert await zoned.read("k") == whole
        assert await zoned.read("k", 199_000, 199_010) == whole[199_000:199_011]

    with_service(scenario)


@pytest.mark.parametrize("failure", [IncompleteBody("cut"), asyncio.CancelledError()])
def test_a_body_that_is_cut_off_leaves_no_record_and_holds_no_memory(
    failure: BaseException,
) -> None:
    async def scenario(zoned: ZonedService) -> None:
        body = GivenBody(*RUNS, error=failure)  # type: ignore[arg-type]
        with pytest.raises(type(failure)) as caught:
            await zoned.service.put_object("b", "k", body, PLAIN)
        assert caught.value is failure
        for family in (OBJECT, SEGMENT, PENDING):
            assert not zoned.partitions.records(family)

    with_service(scenario)


def test_a_reader_that_is_left_early_lets_everything_go() -> None:
    async def scenario(zoned: ZonedService) -> None:
        await zoned.service.put_object("b", "k", GivenBody(*RUNS), PLAIN)
        reader = await zoned.service.open_object("b", "k")
        stream = reader.stream(0, len(DATA) - 1)
        assert DATA.startswith(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]

    with_service(scenario)


def test_what_a_zone_missed_is_queued_with_the_commit_and_read_from_the_others() -> None:
    async def scenario(zoned: ZonedService) -> None:
        zoned.cluster.network.isolate("n31")
        await zoned.service.put_object("b", "k", GivenBody(*RUNS), PLAIN)
        queue = RepairQueue(zoned.partitions)
        missing = {chunk_id for _, chunk_id in await queue.list_missing("az3", 1000)}
        assert missing
        assert await queue.is_empty("az1")
        assert all(zoned.cluster.zones_with(chunk) == {"az1", "az2"} for chunk in missing)
        assert await zoned.read("k") == DATA

    with_service(scenario)
