"""The SDK follows a table's changes: over splits and lost zones, and from a kept position."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from trilith import errors
from trilith.client import Client
from trilith.client.types import Change

from .cluster import Cluster
from .processes import wait_until
from .sdk import connected, connected_async

WRITERS = 8
# Partitions split under a light load.
HOT = {
    "TRILITH_PARTITIONS__COMMANDS_PER_SECOND_MAX": "15",
    "TRILITH_PARTITIONS__SPLIT_AFTER_SECONDS": "2",
    "TRILITH_PARTITIONS__PARTITIONS_MAX": "40",
}
READ_MAX = 2000
VIEW = "NEW_AND_OLD_IMAGES"


@pytest.fixture
def table(db: Client) -> Any:
    return db.create_table(f"sdk-{secrets.token_hex(6)}", ("id", "S"), stream=VIEW)


def test_a_change_says_what_was_and_what_is(table: Any) -> None:
    table.put({"id": "before"})
    reader = table.changes()
    table.put({"id": "a", "raw": b"\x00\xff"})
    table.update({"id": "a"}, "SET n = :n", values={":n": 1})
    table.delete({"id": "a"})
    inserted, modified, removed = [next(reader) for _ in range(3)]
    old, new = {"id": "a", "raw": b"\x00\xff"}, {"id": "a", "raw": b"\x00\xff", "n": 1}
    assert (inserted.kind, inserted.old, inserted.new) == ("INSERT", None, old)
    assert (modified.kind, modified.old, modified.new) == ("MODIFY", old, new)
    assert (removed.kind, removed.old, removed.new) == ("REMOVE", new, None)
    assert all(one.keys == {"id": "a"} and not one.is_expiry for one in (inserted, removed))
    assert abs(datetime.now(UTC) - removed.time) < timedelta(minutes=5)
    assert inserted.sequence < modified.sequence < removed.sequence
    assert len({one.id for one in (inserted, modified, removed)}) == 3


def test_a_reader_begins_where_it_is_told(table: Any) -> None:
    for number in range(5):
        table.put({"id": str(number)})
    assert len(list(table.changes(start="oldest", wait_s=0))) == 5
    assert list(table.changes(start="latest", wait_s=0)) == []
    assert len(list(table.changes(start=datetime.now(UTC) - timedelta(hours=1), wait_s=0))) == 5
    assert list(table.changes(start=datetime.now(UTC) + timedelta(hours=1), wait_s=0.2)) == []


def test_another_reader_goes_on_where_one_stopped(table: Any, cluster: Cluster) -> None:
    for number in range(30):
        table.put({"id": f"item-{number % 7}", "n": number})
    reader = table.changes(start="oldest", wait_s=0)
    seen = [next(reader).id for _ in range(11)]
    position = reader.position
    table.put({"id": "late"})
    with connected(cluster) as other:
        following = other.table(table.name).changes(position=position, wait_s=0)
        seen += [change.id for change in following]
        end = following.position
        assert list(other.table(table.name).changes(position=end, wait_s=0)) == []
    assert len(seen) == len(set(seen)) == 31


def test_a_reader_ends_with_its_stream(table: Any) -> None:
    reader = table.changes()
    table.put({"id": "last"})
    table.update_table(stream=None)
    table.put({"id": "unseen"})
    assert [change.keys["id"] for change in reader] == ["last"]
    table.update_table(stream="KEYS_ONLY")
    again = table.changes()
    table.put({"id": "b", "n": 1})
    change = next(again)
    assert (change.keys, change.new, change.old) == ({"id": "b"}, None, None)


def test_expired_items_are_told_from_deleted_ones(table: Any) -> None:
    reader = table.changes(wait_s=90)
    table.update_time_to_live("until")
    table.put({"id": "a", "until": int(datetime.now(UTC).timestamp()) - 60})
    removed = next(change for change in reader if change.kind == "REMOVE")
    assert removed.is_expiry


def test_mistakes_are_named(db: Client, table: Any) -> None:
    silent = db.create_table(f"sdk-{secrets.token_hex(6)}", ("id", "S"))
    with pytest.raises(errors.StreamNotFound, match="has no stream"):
        silent.changes()
    with pytest.raises(errors.TableNotFound):
        db.table("nobody-has-this").changes()
    with pytest.raises(ValueError, match="oldest"):
        table.changes(start="middle")
    with pytest.raises(ValueError, match="time zone"):
        table.changes(start=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(errors.InvalidRequest, match="position"):
        table.changes(position="12")
    position = json.loads(table.changes().position)
    position["shards"] = dict.fromkeys(position["shards"], "not a number")
    with pytest.raises(errors.InvalidRequest, match="position"):
        next(table.changes(position=json.dumps(position)))
    position["stream"] = position["stream"][:-1]
    with pytest.raises(errors.StreamNotFound):
        next(table.changes(position=json.dumps(position)))


def test_the_asynchronous_reader_does_the_same(cluster: Cluster, table: Any) -> None:
    async def scenario() -> None:
        async with await connected_async(cluster) as db:
            mine = db.table(table.name)
            reader = await mine.changes()
            await mine.put({"id": "a"})
            assert (await anext(reader)).keys == {"id": "a"}
            await mine.put({"id": "b"})
            later = await mine.changes(position=reader.position, wait_s=0)
            assert [change.keys["id"] async for change in later] == ["b"]

    asyncio.run(scenario())


class _Writer:
    """Counts one item up, one acknowledged write after the other."""

    def __init__(self, table: Any, name: str, stop: threading.Event) -> None:
        self._table = table
        self.name = name
        self._stop = stop
        self.count = 0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._table.update({"id": self.name}, "ADD n :one", values={":one": 1})
            self.count += 1


@pytest.mark.load
def test_splits_and_a_lost_zone_cost_no_change_and_repeat_none(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster(environment=HOT)
    seen: dict[str, list[int]] = defaultdict(list)
    with connected(cluster) as db:
        table = db.create_table("counted", ("id", "S"), stream="NEW_IMAGE")
        reader = table.changes(start="oldest", wait_s=0)

        def take(change: Change) -> None:
            assert change.new is not None
            seen[change.keys["id"]].append(int(change.new["n"]))

        def read_on(limit: int | None = READ_MAX) -> None:
            """Through a reader of its own each time; while all write it would never end."""
            nonlocal reader
            for change in islice(reader, limit):
                take(change)
            reader = table.changes(position=reader.position, wait_s=0)

        stop = threading.Event()
        writers = [_Writer(table, f"item-{n}", stop) for n in range(WRITERS)]

        def let_run() -> None:
            goals = [writer.count + 10 for writer in writers]
            wait_until(
                lambda: all(w.count >= goal for w, goal in zip(writers, goals, strict=True)),
                deadline_s=90,
                what="every item is written on",
            )
            read_on()

        def shards() -> int:
            read_on()
            return len(json.loads(reader.position)["shards"])

        try:
            let_run()
            before = shards()
            wait_until(lambda: shards() >= before + 2, deadline_s=120, what="the table is split")
            cluster.zone("kill", "az1")
            let_run()
            cluster.zone("start", "az1")
            cluster.wait_in_sync()
            let_run()
        finally:
            stop.set()
            for writer in writers:
                writer.thread.join()
        read_on(None)
    for writer in writers:
        assert seen[writer.name] == list(range(1, writer.count + 1))
    cluster.remove()
