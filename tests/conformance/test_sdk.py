"""The Python SDK against a real cluster: objects, tables, errors, both clients."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest

import trilith
from trilith import errors
from trilith.client import Client, Index, Reading
from trilith.client.access import Access, new_request_token
from trilith.client.object_calls import GET_OBJECT, PUT_OBJECT
from trilith.wire.v1 import objects_pb2, tables_pb2

from .cluster import Cluster
from .processes import wait_until
from .sdk import connected, connected_async

MIB = 1 << 20


@pytest.fixture
def bucket(db: Client) -> Any:
    return db.create_bucket(f"sdk-{secrets.token_hex(6)}")


@pytest.fixture
def table(db: Client) -> Any:
    name = f"sdk-{secrets.token_hex(6)}"
    return db.create_table(
        name, ("id", "S"), ("n", "N"), local_indexes=[Index("by_rank", sort_key=("rank", "N"))]
    )


# --- objects -------------------------------------------------------------------------------------


def test_an_object_comes_back_with_what_was_said_of_it(bucket: Any, s3: Any) -> None:
    put = bucket.put("a/b", b"hello", content_type="text/plain", metadata={"colour": "grün"})
    assert put.etag == hashlib.md5(b"hello").hexdigest()
    with bucket.get("a/b") as reader:
        assert reader.info == put
        assert (reader.info.content_type, reader.info.metadata) == (
            "text/plain",
            {"colour": "grün"},
        )
        assert reader.read() == b"hello"
    assert bucket.head("a/b") == put
    assert s3.get_object(Bucket=bucket.name, Key="a/b")["Body"].read() == b"hello"
    assert bucket.name in [one["Name"] for one in s3.list_buckets()["Buckets"]]


def test_bodies_come_from_bytes_files_paths_and_iterables(bucket: Any, tmp_path: Path) -> None:
    data = os.urandom(3 * MIB + 17)
    path = tmp_path / "body"
    path.write_bytes(data)
    offset = io.BytesIO(b"skipped" + data)
    offset.seek(7)
    bodies: list[Any] = [
        data,
        memoryview(data),
        path,
        offset,
        (data[at : at + 1_000_003] for at in range(0, len(data), 1_000_003)),
    ]
    for number, body in enumerate(bodies):
        assert bucket.put(f"{number}", body).size == len(data)
        with bucket.get(f"{number}") as reader:
            assert reader.read() == data
    target = tmp_path / "saved"
    with bucket.get("0") as reader:
        assert reader.read(10) == data[:10]
        reader.save(target)
    assert target.read_bytes() == data[10:]


@pytest.mark.parametrize("size", [5000, 3 * MIB])
def test_ranges_hold_the_bytes_that_were_asked_for(bucket: Any, size: int) -> None:
    data = os.urandom(size)
    bucket.put("k", data)
    for wanted, expected in [
        ((0, 0), data[:1]),
        ((5, 9), data[5:10]),
        ((size - 1, None), data[-1:]),
        ((100, size * 2), data[100:]),
        ((-7, None), data[-7:]),
        ((-size * 2, None), data),
    ]:
        with bucket.get("k", range=wanted) as reader:
            assert reader.read() == expected
    with pytest.raises(errors.InvalidRequest):
        bucket.get("k", range=(size, None))


def test_an_empty_object_is_an_object(bucket: Any) -> None:
    assert bucket.put("empty", b"").size == 0
    with bucket.get("empty") as reader:
        assert reader.read() == b""


def test_buckets_are_those_of_s3(bucket: Any, db: Client, s3: Any) -> None:
    mine = [one.name for one in db.buckets()]
    assert mine == [one["Name"] for one in s3.list_buckets()["Buckets"]]
    assert bucket.name in mine


def test_a_listing_goes_through_all_its_pages(bucket: Any) -> None:
    keys = sorted(f"{letter}/{number:02d}" for letter in "ab" for number in range(7))
    for key in keys:
        bucket.put(key, b"x")
    assert [one.key for one in bucket.list()] == keys
    assert [one.key for one in bucket.list("b/")] == keys[7:]
    page = bucket.list_page(delimiter="/", limit=1)
    assert (page.objects, page.common_prefixes, page.next_after) == ([], ["a/"], "a/")
    assert bucket.list_page(limit=3).next_after == keys[2]


def test_conditions_hold_or_nothing_is_written(bucket: Any) -> None:
    first = bucket.put("k", b"1", if_absent=True)
    with pytest.raises(errors.PreconditionFailed):
        bucket.put("k", b"2", if_absent=True)
    with pytest.raises(errors.PreconditionFailed):
        bucket.put("k", b"2", if_match="0" * 32)
    second = bucket.put("k", b"2", if_match=first.etag)
    with pytest.raises(errors.PreconditionFailed):
        bucket.delete("k", if_match=first.etag)
    copied = bucket.copy("k", "copy")
    assert copied.etag == second.etag
    assert bucket.delete("k", if_match=second.etag)
    assert not bucket.delete("k")


def test_nothing_is_stored_of_a_body_that_breaks_off(bucket: Any, cluster: Cluster) -> None:
    def failing() -> Iterator[bytes]:
        yield b"x" * 100
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        bucket.put("k", failing())

    # A stream that ends without its last message, as one that is cut does.
    credentials = cluster.credentials
    access = Access(credentials.access_key, credentials.secret_key)
    head = objects_pb2.PutObjectHead(bucket=bucket.name, key="k")
    with grpc.insecure_channel(f"127.0.0.1:{cluster.ports['grpc']}") as channel:
        send = channel.stream_unary(PUT_OBJECT.path, PUT_OBJECT.encode, PUT_OBJECT.decode)
        with pytest.raises(grpc.RpcError) as raised:
            send(
                iter([objects_pb2.PutObjectRequest(head=head, data=b"half")]),
                metadata=access.metadata(),
            )
    trailer = dict(raised.value.trailing_metadata())  # type: ignore[attr-defined]
    assert trailer["trilith-code"] == "IncompleteBody"
    with pytest.raises(errors.ObjectNotFound):
        bucket.head("k")


def test_a_put_with_the_same_token_is_applied_once(bucket: Any, cluster: Cluster) -> None:
    credentials = cluster.credentials
    access = Access(credentials.access_key, credentials.secret_key)
    for size in (10, 2 * MIB):
        key, token = f"once-{size}", new_request_token()

        def put(key: str = key, token: bytes = token, size: int = size) -> Any:
            head = objects_pb2.PutObjectHead(
                bucket=bucket.name,
                key=key,
                conditions=objects_pb2.WriteConditions(if_absent=True),
            )
            piece = objects_pb2.PutObjectRequest(data=b"x" * min(size, MIB))
            messages = [objects_pb2.PutObjectRequest(head=head), *[piece] * max(1, size // MIB)]
            messages.append(objects_pb2.PutObjectRequest(last=True, token=token))
            with grpc.insecure_channel(f"127.0.0.1:{cluster.ports['grpc']}") as channel:
                send = channel.stream_unary(PUT_OBJECT.path, PUT_OBJECT.encode, PUT_OBJECT.decode)
                return send(iter(messages), metadata=access.metadata())

        first = put()
        assert put().version_id == first.version_id  # and no PreconditionFailed
        assert bucket.head(key).version_id == first.version_id
        with bucket.get(key) as reader:
            assert len(reader.read()) == size


def test_hundreds_of_mebibytes_pass_in_bounded_memory(bucket: Any, cluster: Cluster) -> None:
    size, piece = 300 * MIB, os.urandom(MIB)
    before = cluster.resident_bytes()

    def body() -> Iterator[bytes]:
        for number in range(size // MIB):
            yield number.to_bytes(8, "big") + piece[8:]

    peak: dict[int, int] = {}

    def watch() -> None:
        for pid, resident in cluster.resident_bytes().items():
            peak[pid] = max(peak.get(pid, 0), resident)

    def watched(runs: Iterator[bytes]) -> Iterator[bytes]:
        for number, run in enumerate(runs):
            if number % 20 == 0:
                watch()
            yield run

    digest = hashlib.blake2b()
    for run in body():
        digest.update(run)
    assert bucket.put("large", watched(body())).size == size
    found = hashlib.blake2b()
    with bucket.get("large") as reader:
        for run in watched(iter(reader)):
            found.update(run)
    assert found.digest() == digest.digest()
    for pid, resident in peak.items():
        assert resident < before.get(pid, 0) + 160 * MIB


# --- tables --------------------------------------------------------------------------------------


def test_an_item_comes_back_as_it_was_put(table: Any) -> None:
    item = {
        "id": "a",
        "n": 1,
        "text": "",
        "number": Decimal("-1.5E-7"),
        "bytes": b"\x00\xff",
        "nothing": None,
        "truth": True,
        "list": [1, "two", [b"3"]],
        "map": {"deep": {"er": {Decimal(1), Decimal(2)}}},
        "words": {"a", "b"},
        "blobs": {b"", b"x"},
    }
    assert table.put(item, returning="ALL_OLD") is None
    assert table.get({"id": "a", "n": 1}, consistent=True) == item
    assert table.get({"id": "b", "n": 1}, consistent=True) is None
    assert table.delete({"id": "a", "n": 1}, returning="ALL_OLD") == item


def test_updates_count_and_conditions_hold(table: Any) -> None:
    key = {"id": "a", "n": 1}
    for expected in (1, 2):
        found = table.update(key, "ADD hits :one", values={":one": 1}, returning="UPDATED_NEW")
        assert found == {"hits": expected}
    with pytest.raises(errors.PreconditionFailed) as raised:
        table.put(
            key,
            condition="#h < :two",
            names={"#h": "hits"},
            values={":two": 2},
            return_failed=True,
        )
    assert raised.value.details["item"] == {**key, "hits": 2}
    with pytest.raises(errors.PreconditionFailed):
        table.delete(key, condition="attribute_not_exists(id)")


def test_queries_and_scans_go_through_all_their_pages(table: Any, db: Client) -> None:
    items = [{"id": "p", "n": n, "rank": -n, "pad": "x" * 40_000} for n in range(60)]
    table.batch_write(puts=items, deletes=[{"id": "p", "n": 1000}])
    found = list(table.query("id = :p", values={":p": "p"}, consistent=True))
    assert [one["n"] for one in found] == list(range(60))
    ranked = table.query(
        "id = :p AND #r < :r",
        values={":p": "p", ":r": -49},
        names={"#r": "rank"},
        index="by_rank",
        consistent=True,
        limit=3,
    )
    assert [one["n"] for one in ranked] == list(range(59, 49, -1))
    last = next(iter(table.query("id = :p", values={":p": "p"}, descending=True)))
    assert last["n"] == 59
    halves = [
        one["n"]
        for segment in range(2)
        for one in table.scan(segment=(segment, 2), projection="n", consistent=True)
    ]
    assert sorted(halves) == list(range(60))
    count = table.query_page("id = :p", Reading(values={":p": "p"}, count_only=True))
    assert (count.items, count.count) == ([], count.scanned_count)
    keys = [{"id": "p", "n": n} for n in range(130)]
    assert len(table.batch_get(keys, consistent=True, projection="n")) == 60
    assert table.name in list(db.tables())


def test_a_table_says_what_it_is(table: Any, db: Client) -> None:
    info = table.describe()
    assert (info.status, info.partition_key, info.sort_key) == ("ACTIVE", ("id", "S"), ("n", "N"))
    assert [index.name for index in info.local_indexes] == ["by_rank"]
    with pytest.raises(errors.TableAlreadyExists):
        db.create_table(table.name, ("id", "S"))
    db.delete_table(table.name)
    with pytest.raises(errors.TableNotFound):
        table.get({"id": "a", "n": 1})


def test_a_global_index_is_made_with_its_table_and_queried(db: Client) -> None:
    by_colour = Index("by_colour", ("colour", "S"), ("id", "S"), projection="KEYS_ONLY")
    table = db.create_table(f"sdk-{secrets.token_hex(6)}", ("id", "S"), global_indexes=[by_colour])
    described = table.describe().global_indexes[0]
    assert (described.name, described.partition_key, described.sort_key, described.status) == (
        "by_colour",
        ("colour", "S"),
        ("id", "S"),
        "ACTIVE",
    )
    table.batch_write({"id": str(n), "colour": "red" if n % 2 else "blue"} for n in range(10))

    def red() -> list[str]:
        found = table.query("colour = :c", values={":c": "red"}, index="by_colour")
        return [one["id"] for one in found]

    wait_until(lambda: red() == ["1", "3", "5", "7", "9"], deadline_s=60, what="the index has it")


def test_both_protocols_see_the_same_items(table: Any, cluster: Cluster) -> None:
    import boto3

    table.put({"id": "a", "n": 1, "blob": b"\x01"})
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        aws_access_key_id=cluster.credentials.access_key,
        aws_secret_access_key=cluster.credentials.secret_key,
        region_name=cluster.credentials.region,
    )
    found = resource.Table(table.name).get_item(Key={"id": "a", "n": 1}, ConsistentRead=True)
    assert found["Item"]["blob"].value == b"\x01"


def test_an_update_with_the_same_token_counts_once(table: Any, cluster: Cluster) -> None:
    from trilith.client import table_calls
    from trilith.client.table_calls import Condition

    key, token = {"id": "a", "n": 1}, new_request_token()
    terms = Condition(values={":one": 1}).terms("ALL_NEW", token=token)
    call = table_calls.update_item(table.name, key, "ADD hits :one", terms)
    with connected(cluster, discover=False) as db:
        for _ in range(3):
            assert db._session.run(call) == {**key, "hits": 1}
    assert table.get(key, consistent=True) == {**key, "hits": 1}


# --- errors --------------------------------------------------------------------------------------


def test_mistakes_are_named(db: Client, bucket: Any, table: Any) -> None:
    with pytest.raises(errors.BucketNotFound):
        db.bucket("nobody-has-this").put("k", b"x")
    with pytest.raises(errors.BucketAlreadyOwned):
        db.create_bucket(bucket.name)
    with pytest.raises(errors.InvalidRequest, match="bucket's name"):
        db.create_bucket("No")
    with pytest.raises(errors.InvalidRequest, match="UTF-8"):
        bucket.put("k" * 2000, b"")
    with pytest.raises(errors.InvalidRequest, match="header names"):
        bucket.put("k", b"", metadata={"Not A Name": "x"})
    with pytest.raises(errors.InvalidRequest, match="content-type"):
        bucket.put("k", b"", content_type="text/plain\r\nx-evil: 1")
    with pytest.raises(errors.TableNotFound):
        db.table("nobody-has-this").get({"id": "a"})
    with pytest.raises(errors.InvalidRequest, match="key element"):
        table.get({"id": "a"})
    with pytest.raises(errors.InvalidRequest, match="UpdateExpression"):
        table.update({"id": "a", "n": 1}, "SET")
    bucket.put("k", b"x")
    with pytest.raises(errors.BucketNotEmpty):
        db.delete_bucket(bucket.name)


def test_nobody_gets_in_without_a_good_token(cluster: Cluster) -> None:
    address = f"127.0.0.1:{cluster.ports['grpc']}"
    stranger = trilith.connect(address, access_key="somebody", secret_key="x" * 40)
    with stranger, pytest.raises(errors.Unauthenticated, match="names no access key"):
        list(stranger.buckets())
    forged = trilith.connect(
        address, access_key=cluster.credentials.access_key, secret_key="x" * 40
    )
    with forged, pytest.raises(errors.Unauthenticated, match="not signed"):
        forged.bucket("b-b").put("k", b"x" * MIB)
    with grpc.insecure_channel(address) as channel:
        for file in (objects_pb2, tables_pb2):
            for service in file.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    send = channel.stream_unary(f"/{service.full_name}/{method.name}")
                    with pytest.raises(grpc.RpcError) as raised:
                        send(iter([b""]), timeout=60)
                    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]


def test_hostile_messages_are_the_callers_mistake(cluster: Cluster, bucket: Any) -> None:
    credentials = cluster.credentials
    access = Access(credentials.access_key, credentials.secret_key)
    with grpc.insecure_channel(f"127.0.0.1:{cluster.ports['grpc']}") as channel:
        send = channel.unary_unary("/trilith.wire.v1.Tables/PutItem")
        for raw in (b"\xff" * 50, b"\x12\xff\xff\xff\xff\x0f", b"", b"\x12\x02\x0a\x00"):
            with pytest.raises(grpc.RpcError) as raised:
                send(raw, metadata=access.metadata(), timeout=60)
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
        put = channel.stream_unary(PUT_OBJECT.path, PUT_OBJECT.encode, PUT_OBJECT.decode)
        head = objects_pb2.PutObjectHead(bucket=bucket.name, key="k", size=5)
        for messages in (
            [objects_pb2.PutObjectRequest(data=b"x")],
            [objects_pb2.PutObjectRequest(head=head, data=b"x" * (MIB + 1), last=True)],
            [objects_pb2.PutObjectRequest(head=head, data=b"123456", last=True)],
            [objects_pb2.PutObjectRequest(head=head, data=b"1234", last=True)],
            [objects_pb2.PutObjectRequest(head=head, data=b"12345", last=True, token=b"short")],
            [objects_pb2.PutObjectRequest(head=head), objects_pb2.PutObjectRequest(head=head)],
        ):
            with pytest.raises(grpc.RpcError) as raised:
                put(iter(messages), metadata=access.metadata(), timeout=60)
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    with pytest.raises(errors.ObjectNotFound):
        bucket.head("k")


def test_a_reader_that_stops_reading_holds_nothing_up(bucket: Any, cluster: Cluster) -> None:
    bucket.put("k", os.urandom(8 * MIB))
    credentials = cluster.credentials
    access = Access(credentials.access_key, credentials.secret_key)
    request = objects_pb2.GetObjectRequest(bucket=bucket.name, key="k")
    with grpc.insecure_channel(f"127.0.0.1:{cluster.ports['grpc']}") as channel:
        get = channel.unary_stream(GET_OBJECT.path, GET_OBJECT.encode, GET_OBJECT.decode)
        stalled = [get(request, metadata=access.metadata()) for _ in range(8)]
        assert all(next(one).info.size == 8 * MIB for one in stalled)
        assert bucket.head("k").size == 8 * MIB
        for one in stalled:
            one.cancel()


# --- the asynchronous client ---------------------------------------------------------------------


def test_the_asynchronous_client_does_the_same(cluster: Cluster, bucket: Any, table: Any) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"y" * 100_000

    async def run() -> None:
        async with await connected_async(cluster) as db:
            objects, items = db.bucket(bucket.name), db.table(table.name)
            put = await objects.put("k", body(), metadata={"a": "b"})
            assert put.size == 4_000_000
            async with await objects.get("k") as reader:
                assert await reader.read(5) == b"yyyyy"
                assert len(await reader.read()) == put.size - 5
            assert [one.key async for one in objects.list()] == ["k"]
            with pytest.raises(errors.ObjectNotFound):
                await objects.get("nothing")
            await asyncio.gather(*(items.put({"id": "a", "n": n}) for n in range(50)))
            found = items.query("id = :a", values={":a": "a"}, consistent=True)
            assert [one["n"] async for one in found] == list(range(50))
            assert (await db.status()).ready
            assert table.name in [name async for name in db.tables()]

    asyncio.run(run())


# --- a zone dies ---------------------------------------------------------------------------------


def test_a_killed_zone_is_survived_and_nothing_counts_twice(start_cluster: Any) -> None:
    cluster: Cluster = start_cluster()
    cluster.spread_tables()
    additions = 600
    with connected(cluster) as db, connected(cluster) as other:
        bucket = db.create_bucket("survivors")
        puts_only = other.bucket("survivors")
        puts_only.put("before", b"")
        table = db.create_table("counters", ("id", "S"))
        data = os.urandom(20 * MIB)
        bucket.put("large", data)
        with bucket.get("large") as reader:
            begun = reader.read(MIB)
            for number in range(additions):
                if number == additions // 3:
                    # The very zone that is asked.
                    cluster.zone("kill", "az1")
                table.update({"id": "c"}, "ADD hits :one", values={":one": 1})
                if number % 50 == 0:
                    bucket.put(f"small-{number}", b"x" * number, if_absent=True)
            assert begun + reader.read() == data
        assert table.get({"id": "c"}, consistent=True) == {"id": "c", "hits": additions}
        assert len(list(bucket.list("small-"))) == additions // 50
        assert puts_only.put("after", b"x").size == 1  # at another node
        cluster.zone("start", "az1")
        assert {node.zone for node in db.status().nodes} == {"az1", "az2", "az3"}
