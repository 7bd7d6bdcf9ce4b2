"""Larger bodies, copies and multipart uploads through the whole service."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilith.errors import (
    BodyMismatch,
    ConditionalConflict,
    IncompleteBody,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    OutcomeUnknown,
    PartTooSmall,
    PreconditionFailed,
    StorageFailure,
    UploadNotFound,
)
from trilith.objects.commands import CompleteUpload, PutPart, PutSegment, StageParts
from trilith.objects.housekeeping import Housekeeping
from trilith.objects.keys import (
    INLINE,
    OBJECT,
    PART,
    PARTS,
    PENDING,
    RELEASED,
    SEGMENT,
    UPLOAD,
    stem_of,
)
from trilith.objects.repair_queue import RepairQueue
from trilith.objects.types import (
    Checksum,
    CompletedPart,
    ObjectInfo,
    ObjectMetadata,
    PartInfo,
    WriteConditions,
)

from .service_cluster import PLAIN, GivenBody, ServiceCluster

RANDOM = random.Random(7)


async def with_bucket(**options: int) -> ServiceCluster:
    cluster = ServiceCluster(**options)  # type: ignore[arg-type]
    await cluster.service.create_bucket("b", owner="alice", region="r")
    return cluster


async def upload_parts(
    cluster: ServiceCluster, key: str, datas: list[bytes]
) -> tuple[str, list[PartInfo]]:
    upload = await cluster.service.create_upload("b", key, PLAIN)
    parts = [
        await cluster.service.put_part("b", key, upload.upload_id, number, GivenBody(data))
        for number, data in enumerate(datas, 1)
    ]
    return upload.upload_id, parts


def listed(parts: list[PartInfo]) -> list[CompletedPart]:
    return [CompletedPart(part.number, part.etag, part.checksum) for part in parts]


async def multipart(cluster: ServiceCluster, key: str, datas: list[bytes]) -> ObjectInfo:
    upload_id, parts = await upload_parts(cluster, key, datas)
    return await cluster.service.complete_upload("b", key, upload_id, listed(parts))


async def collect_everything(cluster: ServiceCluster) -> list[bytes]:
    """Abandon and collect all there is; the chunk ids that lost references."""
    housekeeping = Housekeeping(cluster.partitions)
    end_of_time = 10**15
    await housekeeping.abandon_stale(end_of_time)
    lost: list[bytes] = []
    while keys := [key async for key in housekeeping.released(end_of_time)]:
        for key in keys:
            lost += [chunk_id async for chunk_id in housekeeping.collect(key)]
    return lost


def nothing_left(cluster: ServiceCluster) -> bool:
    families = (OBJECT, INLINE, UPLOAD, PART, PARTS, SEGMENT, PENDING, RELEASED)
    return not any(cluster.partitions.records(family) for family in families)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 3000),
    run=st.integers(1, 700),
    announced=st.booleans(),
    bounds=st.lists(st.integers(0, 2999), min_size=2, max_size=2),
)
def test_bodies_of_any_size_come_back_whole_and_in_ranges(
    size: int, run: int, announced: bool, bounds: list[int]
) -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=50, chunk_size=3)
        data = random.Random(size).randbytes(size)
        runs = [data[i : i + run] for i in range(0, size, run)]
        body = GivenBody(*runs, announced=announced)
        info = await cluster.service.put_object("b", "k", body, PLAIN)
        assert (info.size, info.etag) == (size, hashlib.md5(data).hexdigest())
        assert await cluster.get("b", "k") == data
        reader = await cluster.service.open_object("b", "k")
        assert (reader.small_body() is None) == (size > 50)
        if size:
            first, last = sorted(bound % size for bound in bounds)
            pieces = [piece async for piece in reader.stream(first, last)]
            assert b"".join(pieces) == data[first : last + 1]
        assert not cluster.partitions.records(PENDING)

    asyncio.run(scenario())


def test_a_range_of_a_large_object_reads_only_its_chunks() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0, chunk_size=2)
        data = RANDOM.randbytes(2 * 2000)
        await cluster.put("b", "k", data)
        reader = await cluster.service.open_object("b", "k")
        cluster.pipeline.reads = 0
        assert [run async for run in reader.stream(3001, 3004)] == [
            data[3001:3002],
            data[3002:3004],
            data[3004:3005],
        ]
        assert cluster.pipeline.reads == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("failure", ["body", "digest", "pipeline", "condition", "segment"])
def test_a_large_put_that_fails_leaves_nothing_behind(failure: str) -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0, chunk_size=1)
        data = RANDOM.randbytes(1200)
        cut = IncompleteBody("cut")
        body = GivenBody(data, b"x", error=cut if failure == "body" else None)
        options: dict[str, object] = {}
        expected: type[Exception] = IncompleteBody
        if failure == "digest":
            options["expected_md5"], expected = bytes(16), BodyMismatch
        if failure == "pipeline":
            cluster.pipeline.fail_after, expected = 1100, StorageFailure
        if failure == "condition":
            options["conditions"], expected = (
                WriteConditions(if_none_match_any=True),
                PreconditionFailed,
            )
            await cluster.put("b", "k", b"there")
        if failure == "segment":
            cluster.partitions.lose_answers_to, expected = PutSegment, OutcomeUnknown
        with pytest.raises(expected):
            await cluster.service.put_object("b", "k", body, PLAIN, **options)  # type: ignore[arg-type]
        if failure == "condition":
            assert await cluster.get("b", "k") == b"there"
            await cluster.service.delete_object("b", "k")
        assert not cluster.partitions.records(OBJECT)
        assert not cluster.partitions.records(PENDING)
        await collect_everything(cluster)
        assert nothing_left(cluster)

    asyncio.run(scenario())


def test_a_commit_is_refused_when_housekeeping_abandoned_its_segments() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0, chunk_size=1)

        class SlowBody(GivenBody):
            async def read(self) -> bytes:
                run = await super().read()
                if not run:
                    assert cluster.partitions.records(PENDING)
                    await collect_everything(cluster)
                return run

        with pytest.raises(ConditionalConflict):
            await cluster.service.put_object("b", "k", SlowBody(bytes(600)), PLAIN)
        await collect_everything(cluster)
        assert nothing_left(cluster)

    asyncio.run(scenario())


def test_an_open_reader_goes_on_with_its_version_after_an_overwrite() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0, chunk_size=1)
        old = RANDOM.randbytes(3000)
        for store in ("put", "multipart"):
            if store == "put":
                await cluster.put("b", "k", old)
            else:
                await multipart(cluster, "k", [old[:2100], old[2100:]])
            reader = await cluster.service.open_object("b", "k")
            stream = reader.stream(0, 2999)
            read = await anext(stream)
            await cluster.put("b", "k", b"new")
            read += b"".join([run async for run in stream])
            assert read == old
            assert await cluster.get("b", "k") == b"new"

    asyncio.run(scenario())


def test_a_reader_whose_manifest_was_collected_fails_cleanly() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0, chunk_size=1)
        await cluster.put("b", "k", RANDOM.randbytes(3000))
        reader = await cluster.service.open_object("b", "k")
        await cluster.service.delete_object("b", "k")
        await collect_everything(cluster)
        with pytest.raises(ConditionalConflict):
            async for _ in reader.stream(0, 2999):
                pass

    asyncio.run(scenario())


def test_a_multipart_object_is_the_concatenation_of_its_parts() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0, chunk_size=7)
        datas = [RANDOM.randbytes(2000), RANDOM.randbytes(5003), RANDOM.randbytes(1)]
        info = await multipart(cluster, "k", datas)
        digests = b"".join(hashlib.md5(data).digest() for data in datas)
        assert info.etag == f"{hashlib.md5(digests).hexdigest()}-3"
        whole = b"".join(datas)
        assert await cluster.get("b", "k") == whole
        reader = await cluster.service.open_object("b", "k")
        assert reader.info == info
        for first, last in ((0, 0), (1999, 2000), (1500, 7002), (7003, 7003), (0, 7003)):
            pieces = [piece async for piece in reader.stream(first, last)]
            assert b"".join(pieces) == whole[first : last + 1]
        assert [(p.number, p.size) for p in await cluster.service.object_parts(reader)] == [
            (1, 2000),
            (2, 5003),
            (3, 1),
        ]
        for family in (UPLOAD, PART, PENDING):
            assert not cluster.partitions.records(family)

    asyncio.run(scenario())


def test_an_upload_of_thousands_of_parts_is_completed_in_bounded_commands() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0, chunk_size=10, part_size_bytes_min=1)
        upload = await cluster.service.create_upload("b", "k", PLAIN)
        datas = [bytes([n % 251]) * (1 + n % 3) for n in range(2500)]
        parts = [
            await cluster.service.put_part("b", "k", upload.upload_id, n, GivenBody(data))
            for n, data in enumerate(datas, 1)
        ]
        page = await cluster.service.list_parts("b", "k", upload.upload_id, after=999, limit=2)
        assert ([part.number for part in page.parts], page.next_after) == ([1000, 1001], 1001)
        await cluster.service.complete_upload("b", "k", upload.upload_id, listed(parts))
        commands = cluster.partitions.executed
        staged = [len(c.parts) for c in commands if isinstance(c, StageParts)]
        assert staged == [1000, 1000]
        assert len(commands[-1].parts) == 500  # type: ignore[attr-defined]
        assert await cluster.get("b", "k") == b"".join(datas)
        reader = await cluster.service.open_object("b", "k")
        assert len(await cluster.service.object_parts(reader)) == 2500
        await cluster.service.delete_object("b", "k")
        lost = await collect_everything(cluster)
        assert len(lost) == 2500
        assert nothing_left(cluster)

    asyncio.run(scenario())


def test_a_completion_checks_what_it_lists() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0)
        service = cluster.service
        upload = await service.create_upload("b", "k", PLAIN)
        upload_id = upload.upload_id
        checksum = Checksum("CRC32", "AAAAAA==")
        small = await service.put_part("b", "k", upload_id, 1, GivenBody(b"small"))
        big = await service.put_part(
            "b", "k", upload_id, 3, GivenBody(bytes(2500), checksum=checksum)
        )

        async def complete(*parts: CompletedPart, size: int | None = None) -> ObjectInfo:
            return await service.complete_upload(
                "b", "k", upload_id, list(parts), expected_size=size
            )

        one, three = CompletedPart(1, small.etag), CompletedPart(3, big.etag, checksum)
        with pytest.raises(InvalidPartOrder):
            await complete(three, one)
        with pytest.raises(InvalidPartOrder):
            await complete(three, three)
        with pytest.raises(InvalidPart):
            await complete(one, CompletedPart(2, big.etag))
        with pytest.raises(InvalidPart):
            await complete(CompletedPart(9, big.etag))
        with pytest.raises(InvalidPart):
            await complete(CompletedPart(3, small.etag))
        with pytest.raises(InvalidPart):
            await complete(CompletedPart(3, big.etag, Checksum("CRC32", "BBBBBB==")))
        with pytest.raises(PartTooSmall):
            await complete(one, three)
        with pytest.raises(InvalidRequest):
            await complete(three, size=1)
        with pytest.raises(InvalidRequest):
            await complete()
        done = await complete(three, size=2500)
        assert await cluster.get("b", "k") == bytes(2500)
        # The client lost the answer and asks again; then the object is gone.
        assert await complete(three) == done
        await service.delete_object("b", "k")
        with pytest.raises(UploadNotFound):
            await complete(three)
        await collect_everything(cluster)
        assert nothing_left(cluster)

    asyncio.run(scenario())


def test_a_part_uploaded_during_a_completion_makes_it_start_anew() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0)
        upload_id, parts = await upload_parts(cluster, "k", [bytes(2500), b"end"])
        interfered = False

        async def interfere(command: object) -> None:
            nonlocal interfered
            if isinstance(command, CompleteUpload) and not interfered:
                interfered = True
                await cluster.service.put_part("b", "k", upload_id, 2, GivenBody(b"end"))

        cluster.partitions.gate = interfere
        await cluster.service.complete_upload("b", "k", upload_id, listed(parts))
        assert interfered
        # The part that was replaced is released; the object must not name it.
        await collect_everything(cluster)
        assert await cluster.get("b", "k") == bytes(2500) + b"end"

    asyncio.run(scenario())


def test_an_upload_can_be_aborted_once_and_its_parts_go() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0)
        service = cluster.service
        upload_id, _ = await upload_parts(cluster, "k", [bytes(2500), b"2"])
        await service.put_part("b", "k", upload_id, 2, GivenBody(b"again"))
        for wrong in ("", "zz", "00" * 16, upload_id.upper() + "0"):
            with pytest.raises(UploadNotFound):
                await service.abort_upload("b", "k", wrong)
        await service.abort_upload("b", "k", upload_id)
        for call in (
            service.abort_upload("b", "k", upload_id),
            service.get_upload("b", "k", upload_id),
            service.list_parts("b", "k", upload_id),
            service.put_part("b", "k", upload_id, 1, GivenBody(b"x")),
        ):
            with pytest.raises(UploadNotFound):
                await call
        await collect_everything(cluster)
        assert nothing_left(cluster)

    asyncio.run(scenario())


def test_copies_share_chunks_within_an_account_and_store_none_anew() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=10, chunk_size=2)
        service = cluster.service
        await service.create_bucket("c", owner="alice", region="r")
        data = RANDOM.randbytes(2400)
        checksum = Checksum("CRC32", "AAAAAA==")
        await service.put_object("b", "chunked", GivenBody(data, checksum=checksum), PLAIN)
        await multipart(cluster, "multipart", [data[:2001], data[2001:]])
        await cluster.put("b", "small", b"tiny")
        fed = cluster.pipeline.chunks_fed
        metadata = ObjectMetadata({"content-type": "x/y"})
        for key, expected in (("chunked", data), ("multipart", data), ("small", b"tiny")):
            source = await service.open_object("b", key)
            copied = await service.copy_object(source, "c", "copy", metadata)
            assert copied.etag == source.info.etag
            assert copied.checksum == source.info.checksum
            assert (await service.head_object("c", "copy")) == copied
            assert copied.metadata == metadata
            assert await cluster.get("c", "copy") == expected
            # The copy has its own manifest: it outlives its source.
            await service.delete_object("b", key)
            await collect_everything(cluster)
            assert await cluster.get("c", "copy") == expected
        assert cluster.pipeline.chunks_fed == fed

    asyncio.run(scenario())


def test_a_copy_onto_itself_changes_the_metadata_only() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=10, chunk_size=2)
        for data in (b"tiny", RANDOM.randbytes(2400)):
            await cluster.put("b", "k", data)
            source = await cluster.service.open_object("b", "k")
            changed = ObjectMetadata(user={"a": "b"})
            await cluster.service.copy_object(source, "b", "k", changed)
            assert (await cluster.service.head_object("b", "k")).metadata == changed
            assert await cluster.get("b", "k") == data

    asyncio.run(scenario())


def test_a_copy_reads_the_bytes_for_another_account_or_another_checksum() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=10, chunk_size=100)
        service = cluster.service
        await service.create_bucket("bobs", owner="bob", region="r")
        data = RANDOM.randbytes(2400)
        await cluster.put("b", "k", data)
        chunks_before = set(cluster.pipeline.stored)
        source = await service.open_object("b", "k")
        await service.copy_object(source, "bobs", "k", PLAIN)
        assert await cluster.get("bobs", "k") == data
        assert len(cluster.pipeline.stored) == 2 * len(chunks_before)
        crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        copied = await service.copy_object(source, "b", "crc", PLAIN, checksum_algorithm="CRC32")
        assert copied.checksum == Checksum("CRC32", crc)
        sha = base64.b64encode(hashlib.sha256(b"tiny").digest()).decode()
        await cluster.put("b", "small", b"tiny")
        small = await service.open_object("b", "small")
        copied = await service.copy_object(small, "b", "sha", PLAIN, checksum_algorithm="SHA256")
        assert copied.checksum == Checksum("SHA256", sha)
        with pytest.raises(InvalidRequest):
            await service.copy_object(source, "b", "x", PLAIN, checksum_algorithm="MD6")

    asyncio.run(scenario())


def test_parts_are_copied_whole_or_in_ranges() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=10, chunk_size=100)
        service = cluster.service
        data = RANDOM.randbytes(2450)
        await cluster.put("b", "source", data)
        await cluster.put("b", "tiny", b"tiny")
        source = await service.open_object("b", "source")
        tiny = await service.open_object("b", "tiny")
        upload = await service.create_upload("b", "k", PLAIN)
        fed = cluster.pipeline.chunks_fed
        parts = [await service.copy_part(source, 0, 2449, "b", "k", upload.upload_id, 1)]
        assert cluster.pipeline.chunks_fed == fed
        parts.append(await service.copy_part(source, 150, 2300, "b", "k", upload.upload_id, 2))
        parts.append(await service.copy_part(tiny, 1, 2, "b", "k", upload.upload_id, 3))
        pieces = [data, data[150:2301], b"in"]
        assert [part.etag for part in parts] == [hashlib.md5(p).hexdigest() for p in pieces]
        await service.complete_upload("b", "k", upload.upload_id, listed(parts))
        assert await cluster.get("b", "k") == b"".join(pieces)

        summed = await service.create_upload("b", "s", PLAIN, checksum_algorithm="CRC32")
        part = await service.copy_part(source, 0, 2449, "b", "s", summed.upload_id, 1)
        crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        assert part.checksum == Checksum("CRC32", crc)

    asyncio.run(scenario())


def test_zones_that_missed_chunks_are_queued_for_repair_with_the_manifest() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=10, chunk_size=2)
        bucket = await cluster.service.get_bucket("b")
        cluster.partitions.split(stem_of(bucket.bucket_id, "m"), [])
        cluster.pipeline.zones_away = ("az3",)
        data = RANDOM.randbytes(1200)
        await cluster.put("b", "k", data)
        upload_id, _ = await upload_parts(cluster, "u", [RANDOM.randbytes(20)])
        cluster.pipeline.zones_away = ()
        queue = RepairQueue(cluster.partitions)
        missing = await queue.list_missing("az3", 10_000)
        assert {chunk_id for _, chunk_id in missing} == set(cluster.pipeline.stored)
        assert len(await queue.list_missing("az3", 7)) == 7
        assert await queue.is_empty("az1")
        await queue.complete([token for token, _ in missing])
        await queue.complete([token for token, _ in missing[:3]])
        assert await queue.is_empty("az3")
        assert upload_id

    asyncio.run(scenario())


def test_references_lost_are_exactly_those_that_were_written() -> None:
    async def scenario() -> None:
        cluster = await with_bucket(inline=0, chunk_size=1)
        fed = 0
        data = RANDOM.randbytes(1100)
        await cluster.put("b", "k", data)
        await cluster.put("b", "k", data)
        await multipart(cluster, "k", [data + data, b"xyz"])
        upload_id, _ = await upload_parts(cluster, "k", [data, b"abc"])
        await cluster.service.put_part("b", "k", upload_id, 1, GivenBody(b"replaced"))
        await cluster.service.abort_upload("b", "k", upload_id)
        await cluster.service.delete_object("b", "k")
        fed = cluster.pipeline.chunks_fed
        assert len(await collect_everything(cluster)) == fed
        assert nothing_left(cluster)
        assert any(isinstance(command, PutPart) for command in cluster.partitions.executed)

    asyncio.run(scenario())
