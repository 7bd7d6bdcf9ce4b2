"""Objects in transactions: written through the SDK, read through S3."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from trilith import errors
from trilith.client import Client

from .cluster import Cluster
from .processes import wait_until
from .sdk import connected, connected_async

MIB = 1 << 20


@pytest.fixture
def bucket(db: Client) -> Any:
    return db.create_bucket(f"sdk-{secrets.token_hex(6)}")


@pytest.fixture
def table(db: Client) -> Any:
    return db.create_table(f"sdk-{secrets.token_hex(6)}", ("id", "S"))


def _body(s3: Any, bucket: Any, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    return body


def _keys(s3: Any, bucket: Any) -> list[str]:
    listed = s3.list_objects_v2(Bucket=bucket.name)
    return [one["Key"] for one in listed.get("Contents", [])]


def test_objects_and_items_are_written_together(
    db: Client, bucket: Any, table: Any, s3: Any
) -> None:
    large, larger = secrets.token_bytes(MIB), secrets.token_bytes(9 * MIB)
    bucket.put("tmp/upload", larger, content_type="image/png", metadata={"by": "ann"})
    bucket.put("old", b"to be deleted")
    with db.transact() as transaction:
        transaction.put_object(
            bucket.name, "small", b"cat", content_type="image/jpeg", metadata={"colour": "grün"}
        )
        transaction.put_object(bucket.name, "large", large, if_absent=True)
        transaction.copy_object(bucket.name, "tmp/upload", bucket.name, "moved")
        transaction.delete_object(bucket.name, "tmp/upload")
        transaction.delete_object(bucket.name, "old")
        transaction.put_item(table.name, {"id": "cat", "key": "small"})
    assert _keys(s3, bucket) == ["large", "moved", "small"]
    small = s3.head_object(Bucket=bucket.name, Key="small", ChecksumMode="ENABLED")
    assert (small["ContentType"], small["ContentLength"]) == ("image/jpeg", 3)
    assert small["ETag"] == f'"{hashlib.md5(b"cat").hexdigest()}"'
    assert "ChecksumCRC64NVME" in small
    moved = s3.head_object(Bucket=bucket.name, Key="moved")
    assert (moved["ContentType"], moved["Metadata"]) == ("image/png", {"by": "ann"})
    assert _body(s3, bucket, "large") == large
    assert _body(s3, bucket, "moved") == larger
    assert table.get({"id": "cat"}, consistent=True) == {"id": "cat", "key": "small"}


def test_what_s3_reads_next_is_what_was_committed(
    db: Client, bucket: Any, table: Any, s3: Any
) -> None:
    for number in range(20):
        body = b"%d" % number
        with db.transact() as transaction:
            transaction.put_object(bucket.name, f"k/{number % 3}", body)
            transaction.put_item(table.name, {"id": "last", "n": number})
        assert _body(s3, bucket, f"k/{number % 3}") == body
        listed = s3.list_objects_v2(Bucket=bucket.name, Prefix="k/")
        etags = {one["Key"]: one["ETag"] for one in listed["Contents"]}
        assert etags[f"k/{number % 3}"] == f'"{hashlib.md5(body).hexdigest()}"'
        s3.put_object(Bucket=bucket.name, Key=f"k/{number % 3}", Body=b"overwritten at once")
        assert _body(s3, bucket, f"k/{number % 3}") == b"overwritten at once"


def test_nothing_is_written_where_one_condition_fails(
    db: Client, bucket: Any, table: Any, s3: Any
) -> None:
    there = bucket.put("there", b"first")

    def cancelled(*add: Callable[[Any], None]) -> list[str]:
        transaction = db.transact()
        transaction.put_item(table.name, {"id": "a"})
        transaction.put_object(bucket.name, "new", secrets.token_bytes(100_000))
        for one in add:
            one(transaction)
        with pytest.raises(errors.TransactionCancelled) as raised:
            transaction.commit()
        reasons: list[str] = raised.value.details["reasons"]
        return reasons

    name = bucket.name
    assert cancelled(lambda t: t.put_object(name, "there", b"x", if_absent=True)) == [
        "None",
        "None",
        "ConditionalCheckFailed",
    ]
    assert cancelled(lambda t: t.delete_object(name, "there", if_match="nonsense"))[2:] == [
        "ConditionalCheckFailed"
    ]
    assert cancelled(lambda t: t.copy_object(name, "nowhere", name, "b"))[2:] == ["ObjectNotFound"]
    assert cancelled(lambda t: t.check_item(table.name, {"id": "b"}, "attribute_exists(id)"))[
        2:
    ] == ["ConditionalCheckFailed"]
    assert _keys(s3, bucket) == ["there"]
    assert _body(s3, bucket, "there") == b"first"
    assert table.get({"id": "a"}, consistent=True) is None
    with db.transact() as transaction:
        transaction.put_object(name, "there", b"second", if_match=there.etag)
    assert _body(s3, bucket, "there") == b"second"


def test_a_transaction_sent_again_is_applied_once(
    db: Client, bucket: Any, table: Any, s3: Any
) -> None:
    bucket.put("from", b"moves")
    transaction = db.transact()
    transaction.copy_object(bucket.name, "from", bucket.name, "to", if_absent=True)
    transaction.delete_object(bucket.name, "from")
    transaction.update_item(table.name, {"id": "moves"}, "ADD n :one", values={":one": 1})
    for _ in range(3):
        transaction.commit()
    assert _keys(s3, bucket) == ["to"]
    assert table.get({"id": "moves"}, consistent=True) == {"id": "moves", "n": 1}


def test_mistakes_with_objects_are_named(db: Client, bucket: Any, table: Any) -> None:
    twice, nowhere, unnamed = (db.transact() for _ in range(3))
    twice.put_object(bucket.name, "a", b"1")
    twice.delete_object(bucket.name, "a")
    with pytest.raises(errors.InvalidRequest, match="multiple operations on one object"):
        twice.commit()
    nowhere.put_item(table.name, {"id": "a"})
    nowhere.put_object("nobody-has-this-bucket", "a", b"1")
    with pytest.raises(errors.BucketNotFound):
        nowhere.commit()
    unnamed.put_object(bucket.name, "", b"1")
    with pytest.raises(errors.InvalidRequest, match="a key has 1 to"):
        unnamed.commit()
    large = db.transact()
    large.put_object(bucket.name, "a", bytes(3 * MIB))
    with pytest.raises(errors.EntityTooLarge, match="copy it in the transaction"):
        large.put_object(bucket.name, "b", bytes(3 * MIB))
    large.commit()
    assert table.get({"id": "a"}, consistent=True) is None


def test_a_bucket_with_a_transaction_s_objects_is_not_empty(
    db: Client, bucket: Any, s3: Any
) -> None:
    with db.transact() as transaction:
        transaction.put_object(bucket.name, "a", b"1")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket.name)
    with db.transact() as transaction:
        transaction.delete_object(bucket.name, "a")
    s3.delete_bucket(Bucket=bucket.name)


def test_the_asynchronous_client_commits_objects_too(
    cluster: Cluster, bucket: Any, table: Any, s3: Any
) -> None:
    async def run() -> None:
        async with await connected_async(cluster) as db:
            async with db.transact() as transaction:
                transaction.put_object(bucket.name, "a", b"async")
                transaction.put_item(table.name, {"id": "a", "v": 1})
            async with db.transact() as transaction:
                transaction.copy_object(bucket.name, "a", bucket.name, "b")
                transaction.delete_object(bucket.name, "a")

    asyncio.run(run())
    assert (_keys(s3, bucket), _body(s3, bucket, "b")) == (["b"], b"async")
    assert table.get({"id": "a"}, consistent=True) == {"id": "a", "v": 1}


class Curators:
    """Threads that hang pictures, each with the row that tells of it, and move them about."""

    def __init__(self, db: Client, bucket: Any, table: Any) -> None:
        self._db, self._bucket, self._table = db, bucket, table
        self._stop = threading.Event()
        self.hung: dict[str, bytes] = {}
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(4)]
        for thread in self._threads:
            thread.start()

    def _work(self, curator: int) -> None:
        number = 0
        while not self._stop.is_set():
            key, data = f"{curator}-{number}", secrets.token_bytes(20_000 if number % 2 else 50)
            number += 1
            try:
                with self._db.transact() as transaction:
                    transaction.put_object(self._bucket.name, f"hall/{key}", data, if_absent=True)
                    transaction.put_item(self._table.name, {"id": key, "where": "hall"})
                with self._db.transact() as transaction:
                    transaction.copy_object(
                        self._bucket.name, f"hall/{key}", self._bucket.name, f"attic/{key}"
                    )
                    transaction.delete_object(self._bucket.name, f"hall/{key}")
                    transaction.put_item(
                        self._table.name,
                        {"id": key, "where": "attic"},
                        condition="#w = :hall",
                        names={"#w": "where"},
                        values={":hall": "hall"},
                    )
            except errors.TrilithError as error:
                if isinstance(error, errors.CallerError):
                    raise
                continue  # unknown, or not applied: all or nothing either way
            self.hung[key] = data

    def go_on(self) -> None:
        """Wait for some more pictures."""
        enough = len(self.hung) + 20
        wait_until(lambda: len(self.hung) > enough, what="pictures are hung", deadline_s=60)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_every_picture_has_its_row_while_zones_are_killed(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster()
    with connected(cluster) as db:
        bucket, table = db.create_bucket("pictures"), db.create_table("pictures", ("id", "S"))
        curators = Curators(db, bucket, table)
        try:
            for zone in ("az1", "az2"):
                curators.go_on()
                cluster.zone("kill", zone)
                curators.go_on()
                cluster.zone("start", zone)
                cluster.wait_in_sync()
        finally:
            curators.stop()
        rows = {row["id"]: row["where"] for row in table.scan(consistent=True)}
        assert sorted(f"{where}/{key}" for key, where in rows.items()) == [
            one.key for one in bucket.list()
        ]
        for key, data in curators.hung.items():
            assert rows[key] == "attic"
            with bucket.get(f"attic/{key}") as reader:
                assert reader.read() == data
    cluster.remove()
