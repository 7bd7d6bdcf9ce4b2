"""The embedded coordinator: linearizable, durable, shared by processes, watched without loss."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from trilith.cluster import embedded_coordinator
from trilith.cluster.embedded_coordinator import EmbeddedCoordinator, path_of_url
from trilith.errors import CoordinatorUnavailable, DataDirectoryUnusable, RevisionConflict
from trilith.replication.coordinator import Change
from trilith.runtime.workers import ThreadWorkers

DEADLINE_S = 30.0


def open_at(path: Path, **options: int) -> Awaitable[EmbeddedCoordinator]:
    return EmbeddedCoordinator.open(str(path), ThreadWorkers(1), **options)


def with_coordinator(path: Path, body: Callable[[EmbeddedCoordinator], Awaitable[None]]) -> None:
    async def run() -> None:
        coordinator = await open_at(path)
        try:
            await asyncio.wait_for(body(coordinator), DEADLINE_S)
        finally:
            await coordinator.close()

    asyncio.run(run())


def test_a_swap_is_read_back_with_the_revision_that_wrote_it(tmp_path: Path) -> None:
    async def body(coordinator: EmbeddedCoordinator) -> None:
        assert await coordinator.get("a") is None
        revision = await coordinator.compare_and_swap("a", 0, b"one")
        found = await coordinator.get("a")
        assert found is not None
        assert (found.value, found.revision) == (b"one", revision)
        second = await coordinator.compare_and_swap("a", revision, b"two")
        assert second > revision

    with_coordinator(tmp_path / "c.sqlite3", body)


def test_a_swap_from_a_stale_revision_changes_nothing(tmp_path: Path) -> None:
    async def body(coordinator: EmbeddedCoordinator) -> None:
        revision = await coordinator.compare_and_swap("a", 0, b"one")
        for stale in (0, revision + 1):
            with pytest.raises(RevisionConflict) as caught:
                await coordinator.compare_and_swap("a", stale, b"lost")
            assert caught.value.details["revision"] == revision
        found = await coordinator.get("a")
        assert found is not None
        assert found.value == b"one"

    with_coordinator(tmp_path / "c.sqlite3", body)


def test_a_delete_is_a_swap_to_nothing_and_the_key_starts_again_at_zero(tmp_path: Path) -> None:
    async def body(coordinator: EmbeddedCoordinator) -> None:
        first = await coordinator.compare_and_swap("a", 0, b"one")
        deleted = await coordinator.compare_and_swap("a", first, None)
        assert deleted > first
        assert await coordinator.get("a") is None
        assert await coordinator.compare_and_swap("a", 0, None) == deleted
        assert await coordinator.compare_and_swap("a", 0, b"again") > deleted

    with_coordinator(tmp_path / "c.sqlite3", body)


def test_a_list_holds_the_keys_of_its_prefix_only_and_the_stores_revision(tmp_path: Path) -> None:
    async def body(coordinator: EmbeddedCoordinator) -> None:
        for key in ("node/a", "node/é", "nodes/x", "nod", "node", "partition/1"):
            await coordinator.compare_and_swap(key, 0, key.encode())
        listed, revision = await coordinator.list("node/")
        assert {key: entry.value for key, entry in listed.items()} == {
            "node/a": b"node/a",
            "node/é": "node/é".encode(),
        }
        assert revision == 6

    with_coordinator(tmp_path / "c.sqlite3", body)


def test_what_was_swapped_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"

    async def write(coordinator: EmbeddedCoordinator) -> None:
        await coordinator.compare_and_swap("a", 0, b"kept")

    async def read(coordinator: EmbeddedCoordinator) -> None:
        found = await coordinator.get("a")
        assert found is not None
        assert found.value == b"kept"

    with_coordinator(path, write)
    with_coordinator(path, read)


async def collect(
    coordinator: EmbeddedCoordinator, prefix: str, after_revision: int, count: int
) -> list[Change]:
    seen: list[Change] = []
    async for changes in coordinator.watch(prefix, after_revision):
        seen += changes
        if len(seen) >= count:
            break
    return seen


def test_a_watch_delivers_each_change_of_its_prefix_once_and_in_order(tmp_path: Path) -> None:
    async def body(coordinator: EmbeddedCoordinator) -> None:
        first = await coordinator.compare_and_swap("p/a", 0, b"before")
        watching = asyncio.create_task(collect(coordinator, "p/", first, 3))
        other = await open_at(tmp_path / "c.sqlite3")
        second = await other.compare_and_swap("p/b", 0, b"other process")
        await coordinator.compare_and_swap("q/c", 0, b"another prefix")
        third = await coordinator.compare_and_swap("p/a", first, b"own")
        fourth = await other.compare_and_swap("p/b", second, None)
        assert await watching == [
            Change("p/b", b"other process", second),
            Change("p/a", b"own", third),
            Change("p/b", None, fourth),
        ]
        await other.close()

    with_coordinator(tmp_path / "c.sqlite3", body)


def test_a_watch_from_before_the_kept_history_breaks_so_that_its_owner_lists_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_coordinator, "HISTORY_CHANGES_MAX", 4)

    async def body(coordinator: EmbeddedCoordinator) -> None:
        revision = 0
        for _ in range(6):
            revision = await coordinator.compare_and_swap("a", revision, b"x")
        with pytest.raises(CoordinatorUnavailable, match="list and watch again"):
            await collect(coordinator, "", 1, 1)
        assert len(await collect(coordinator, "", 2, 4)) == 4

    with_coordinator(tmp_path / "c.sqlite3", body)


def test_closing_ends_watches_and_later_calls_with_unavailable(tmp_path: Path) -> None:
    async def run() -> None:
        coordinator = await open_at(tmp_path / "c.sqlite3")
        watching = asyncio.create_task(collect(coordinator, "", 0, 1))
        await coordinator.compare_and_swap("a", 0, b"x")
        assert len(await asyncio.wait_for(watching, DEADLINE_S)) == 1
        watching = asyncio.create_task(collect(coordinator, "", 1, 1))
        await coordinator.get("a")
        await coordinator.close()
        with pytest.raises(CoordinatorUnavailable):
            await asyncio.wait_for(watching, DEADLINE_S)
        with pytest.raises(CoordinatorUnavailable):
            await coordinator.get("a")

    asyncio.run(run())


INCREMENT = """
import asyncio, sys
from trilith.cluster.embedded_coordinator import EmbeddedCoordinator
from trilith.errors import RevisionConflict
from trilith.runtime.workers import ThreadWorkers

async def main(path, count):
    coordinator = await EmbeddedCoordinator.open(path, ThreadWorkers(1))
    done = 0
    while done < count:
        found = await coordinator.get("counter")
        value, revision = (int(found.value), found.revision) if found else (0, 0)
        try:
            await coordinator.compare_and_swap("counter", revision, b"%d" % (value + 1))
            done += 1
        except RevisionConflict:
            pass
    await coordinator.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_processes_that_increment_by_compare_and_swap_lose_no_increment(tmp_path: Path) -> None:
    path, processes_count, increments = tmp_path / "c.sqlite3", 4, 50
    processes = [
        subprocess.Popen([sys.executable, "-c", INCREMENT, str(path), str(increments)])
        for _ in range(processes_count)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0] * processes_count

    async def body(coordinator: EmbeddedCoordinator) -> None:
        total = processes_count * increments
        found = await coordinator.get("counter")
        assert found is not None
        assert int(found.value) == total
        changes = await collect(coordinator, "counter", 0, total)
        assert [int(change.value or b"0") for change in changes] == list(range(1, total + 1))

    with_coordinator(path, body)


def test_a_killed_writer_leaves_every_acknowledged_swap(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    source = INCREMENT.replace("done += 1", "done += 1; print(value + 1, flush=True)")
    process = subprocess.Popen(
        [sys.executable, "-c", source, str(path), "1000000"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(20):
        process.stdout.readline()
    process.kill()
    printed, _ = process.communicate()
    acknowledged = int(printed.split()[-1]) if printed else 20

    async def body(coordinator: EmbeddedCoordinator) -> None:
        found = await coordinator.get("counter")
        assert found is not None
        assert int(found.value) in (acknowledged, acknowledged + 1)

    with_coordinator(path, body)


def test_a_file_locked_by_another_program_is_unavailable_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"

    async def run() -> None:
        coordinator = await open_at(path, busy_timeout_ms=50, start_patience_s=0)
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(CoordinatorUnavailable, match="locked by another process"):
            await coordinator.compare_and_swap("a", 0, b"x")
        blocker.execute("ROLLBACK")
        blocker.close()
        await coordinator.compare_and_swap("a", 0, b"x")
        await coordinator.close()

    asyncio.run(run())


def test_a_node_that_starts_waits_while_the_commits_of_others_are_slow(tmp_path: Path) -> None:
    """It ended, and was started again, which made the machine busier still; two nodes that did so
    three times ended the start of the whole cluster."""
    path = tmp_path / "c.sqlite3"

    async def run() -> None:
        coordinator = await open_at(path, busy_timeout_ms=20)
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(coordinator.compare_and_swap("a", 0, b"x"))
        await asyncio.sleep(0)
        for _ in range(5):
            assert await coordinator.get("a") is None  # behind an attempt that failed
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await asyncio.wait_for(waiting, DEADLINE_S) == 1
        await coordinator.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "damage", [b"not a database, but long enough to be one" * 200, b"\xff" * 9]
)
def test_a_damaged_file_is_unavailable_and_says_so(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "c.sqlite3"
    path.write_bytes(damage)
    with pytest.raises(CoordinatorUnavailable, match="damaged"):
        asyncio.run(open_and_close(path))
    assert path.read_bytes() == damage


def test_damage_inside_the_file_is_found_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"

    async def fill(coordinator: EmbeddedCoordinator) -> None:
        for number in range(50):
            await coordinator.compare_and_swap(f"key/{number}", 0, b"v" * 500)

    with_coordinator(path, fill)
    content = bytearray(path.read_bytes())
    content[4096 : 4096 + 2048] = b"\xa5" * 2048
    path.write_bytes(content)
    with pytest.raises(CoordinatorUnavailable, match="damaged"):
        asyncio.run(open_and_close(path))


async def open_and_close(path: Path) -> None:
    await (await open_at(path)).close()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    asyncio.run(open_and_close(path))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DataDirectoryUnusable, match="format 99"):
        asyncio.run(open_and_close(path))


def test_a_watch_ends_when_the_file_turns_out_to_be_of_a_newer_format(tmp_path: Path) -> None:
    """It waited for ever: whatever had closed the file meanwhile, nobody looked any more."""
    path = tmp_path / "c.sqlite3"

    async def body(coordinator: EmbeddedCoordinator) -> None:
        changes = coordinator.watch("", 0)
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        await coordinator._call(coordinator._database.close)  # as any failure of it does
        with pytest.raises(DataDirectoryUnusable, match="format 99"):
            await waiting

    with_coordinator(path, body)


def test_a_file_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DataDirectoryUnusable, match="another program"):
        asyncio.run(open_and_close(path))
    assert path.read_bytes() == before


def test_an_idle_watch_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"

    async def body(coordinator: EmbeddedCoordinator) -> None:
        await coordinator.compare_and_swap("a", 0, b"x")
        watching = asyncio.create_task(collect(coordinator, "", 0, 2))
        await coordinator.get("a")
        before = [(entry.name, entry.stat().st_mtime_ns) for entry in sorted(tmp_path.iterdir())]
        polls = 0
        run = coordinator._workers.run
        idle = asyncio.Event()

        async def counted(*args: object, **kwargs: object) -> object:
            nonlocal polls
            polls += 1
            if polls >= 5:
                idle.set()
            return await run(*args, **kwargs)  # type: ignore[arg-type]

        coordinator._workers.run = counted  # type: ignore[method-assign,assignment]
        await idle.wait()
        after = [(entry.name, entry.stat().st_mtime_ns) for entry in sorted(tmp_path.iterdir())]
        assert after == before
        watching.cancel()

    with_coordinator(path, body)


def test_only_absolute_sqlite_urls_name_a_file() -> None:
    assert path_of_url("sqlite:///var/lib/x.sqlite3") == "/var/lib/x.sqlite3"
    for url in ("sqlite://relative", "etcd://h:2379", "/plain"):
        with pytest.raises(ValueError, match="sqlite:///absolute/path"):
            path_of_url(url)
