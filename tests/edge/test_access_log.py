"""The log of requests and the file it goes to."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec

from trilith.edge import access_log
from trilith.edge.access_log import AccessLog
from trilith.edge.log_file import LogFile
from trilith.request_record import RequestRecord


def record(number: int) -> RequestRecord:
    return RequestRecord(1, f"id{number}", "GetObject", 200, 0.5, bucket="b", key="k\n\u00fc")


def lines(*written: bytes) -> list[dict[str, object]]:
    return [msgspec.json.decode(line) for line in b"".join(written).splitlines()]


def test_each_request_is_one_json_line() -> None:
    written: list[bytes] = []

    async def run() -> None:
        log = AccessLog(written.append)
        log.append(record(1))
        await log.close()

    asyncio.run(run())
    (line,) = lines(*written)
    assert line == {
        "time_ms": 1,
        "request_id": "id1",
        "operation": "GetObject",
        "status": 200,
        "duration_ms": 0.5,
        "bucket": "b",
        "key": "k\n\u00fc",
    }


def test_nothing_accepted_is_lost_at_a_clean_stop() -> None:
    written: list[bytes] = []

    async def run() -> None:
        log = AccessLog(written.append)
        for number in range(1000):
            log.append(record(number))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await log.close()

    asyncio.run(run())
    assert [line["request_id"] for line in lines(*written)] == [f"id{n}" for n in range(1000)]


def test_lines_are_written_by_a_timer_without_a_close() -> None:
    async def run() -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        log = AccessLog(lambda _: loop.call_soon_threadsafe(done.set))
        log.append(record(1))
        async with asyncio.timeout(10):
            await done.wait()
        await log.close()

    asyncio.run(run())


def test_a_slow_disk_costs_lines_not_memory() -> None:
    written: list[bytes] = []
    gate = threading.Event()

    def write(data: bytes) -> None:
        assert gate.wait(60)
        written.append(data)

    async def run() -> tuple[int, int]:
        log = AccessLog(write)
        offered = access_log.BUFFER_BYTES_MAX // 50
        for number in range(offered):
            log.append(record(number))
        gate.set()
        await log.close()
        return offered, log.dropped_total

    offered, dropped = asyncio.run(run())
    *kept, notice = lines(*written)
    assert dropped > 0
    assert len(kept) == offered - dropped
    assert notice == {"time_ms": 1, "lines": dropped, "event": "access_log_dropped"}


def test_a_failing_disk_does_not_stop_the_log() -> None:
    written: list[bytes] = []

    def write(data: bytes) -> None:
        if not written:
            written.append(b"")
            raise OSError(28, "no space left")
        written.append(data)

    async def run() -> None:
        log = AccessLog(write)
        log.append(record(1))
        await log.close()
        log.append(record(2))
        await log.close()

    asyncio.run(run())
    assert [line["request_id"] for line in lines(*written)] == ["id2"]


def test_a_full_file_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    file = LogFile(path, rotate_bytes=10, files_max=2)
    for text in (b"aaaaaaaa\n", b"bbbbbbbb\n", b"cccccccc\n", b"dddddddd\n"):
        file.write(text)
    file.close()
    assert path.read_bytes() == b"dddddddd\n"
    assert Path(f"{path}.1").read_bytes() == b"cccccccc\n"
    assert Path(f"{path}.2").read_bytes() == b"bbbbbbbb\n"
    assert len(list(tmp_path.iterdir())) == 3


def test_an_existing_file_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    for text in (b"one\n", b"two\n"):
        file = LogFile(path, rotate_bytes=100, files_max=2)
        file.write(text)
        file.close()
    assert path.read_bytes() == b"one\ntwo\n"
