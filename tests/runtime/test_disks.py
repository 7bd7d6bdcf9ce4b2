"""What a disk promises, of the machine's disk and of its in-memory twin alike."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.storage.recorded_disk import RecordedDisk, nothing_survives

from trilith.runtime.disk import AppendFile, Buffer, Disk
from trilith.runtime.system_disk import SystemDisk


@pytest.fixture(params=["system", "recorded"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return SystemDisk(tmp_path / "disk") if request.param == "system" else RecordedDisk()


async def append(file: AppendFile, *buffers: Buffer) -> OSError | None:
    future: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
    file.append_and_sync(buffers, future.set_result)
    return await asyncio.wait_for(future, 10)


def run(body: Callable[[], object]) -> None:
    asyncio.run(body())  # type: ignore[arg-type]


def test_appended_buffers_are_read_back_in_order(disk: Disk) -> None:
    async def body() -> None:
        file = disk.open_append("a")
        assert await append(file, b"one", bytearray(b"two"), memoryview(b"three")) is None
        assert await append(file, b"four") is None
        assert file.size == 15
        file.close()
        assert disk.open_read("a").read_at(0, 100) == b"onetwothreefour"
        assert disk.open_read("a").read_at(3, 3) == b"two"
        assert disk.open_read("a").read_at(15, 3) == b""

    run(body)


def test_appending_goes_on_at_the_end_of_an_existing_file(disk: Disk) -> None:
    async def body() -> None:
        for part in (b"first", b"second"):
            file = disk.open_append("a")
            assert await append(file, part) is None
            file.close()
        assert disk.read_small("a") == b"firstsecond"

    run(body)


def test_opening_at_an_offset_cuts_what_lies_behind_it(disk: Disk) -> None:
    async def body() -> None:
        file = disk.open_append("a")
        assert await append(file, b"0123456789") is None
        file.close()
        file = disk.open_append("a", at=4)
        assert disk.size("a") == 4
        assert await append(file, b"x") is None
        file.close()
        assert disk.read_small("a") == b"0123x"

    run(body)


def test_room_is_filled_behind_what_was_appended(disk: Disk) -> None:
    async def body() -> None:
        file = disk.open_append("a", preallocate_bytes=8192)
        assert await append(file, b"data") is None
        file.fill(4096, 2048)
        assert file.size == 4
        assert await append(file, b"more") is None
        file.close()
        assert disk.read_small("a") == b"datamore" + bytes(8184)

    run(body)


def test_reserved_room_reads_as_zeros_and_is_written_from_the_start(disk: Disk) -> None:
    async def body() -> None:
        file = disk.open_append("a", preallocate_bytes=8192)
        assert disk.size("a") == 8192
        assert file.size == 0
        assert await append(file, b"data") is None
        file.close()
        assert disk.read_small("a") == b"data" + bytes(8188)
        disk.open_append("a", at=4).close()
        assert disk.size("a") == 4

    run(body)


def test_reserving_room_again_keeps_what_comes_before_the_offset(disk: Disk) -> None:
    async def body() -> None:
        file = disk.open_append("a", preallocate_bytes=4096)
        assert await append(file, b"keep", b"drop") is None
        file.close()
        disk.open_append("a", at=4, preallocate_bytes=4096).close()
        assert disk.read_small("a") == b"keep" + bytes(4092)

    run(body)


def test_a_second_append_while_one_is_outstanding_is_refused(disk: Disk) -> None:
    async def body() -> None:
        file = disk.open_append("a")
        future: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        file.append_and_sync([b"a"], future.set_result)
        with pytest.raises(RuntimeError):
            file.append_and_sync([b"b"], future.set_result)
        assert await future is None
        file.close()

    run(body)


def test_small_files_are_replaced_whole(disk: Disk) -> None:
    disk.write_small("a", b"one")
    disk.write_small("a", b"2")
    assert disk.read_small("a") == b"2"
    assert disk.list("") == ["a"]


def test_directories_are_made_with_their_parents_and_listed_sorted(disk: Disk) -> None:
    disk.make_directory("x/y")
    disk.make_directory("x/y")
    for name in ("b", "a", "c"):
        disk.write_small(f"x/y/{name}", b"")
    assert disk.list("x/y") == ["a", "b", "c"]
    assert disk.list("x") == ["y"]
    assert disk.list("absent") == []
    assert disk.exists("x/y/a")
    assert not disk.exists("x/y/d")


def test_removing_an_absent_file_is_no_error(disk: Disk) -> None:
    disk.write_small("a", b"")
    disk.remove("a")
    disk.remove("a")
    assert not disk.exists("a")
    with pytest.raises(FileNotFoundError):
        disk.open_read("a")
    with pytest.raises(FileNotFoundError):
        disk.read_small("a")


def test_the_system_disk_refuses_paths_that_leave_its_root(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="root"):
        SystemDisk(tmp_path / "disk").read_small("../secret")


def test_small_files_of_the_system_disk_are_private(tmp_path: Path) -> None:
    SystemDisk(tmp_path).write_small("a", b"secret")
    assert os.stat(tmp_path / "a").st_mode & 0o777 == 0o600


def test_the_twin_drops_unsynced_bytes_in_a_crash_and_keeps_synced_ones() -> None:
    async def body() -> None:
        disk = RecordedDisk()
        file = disk.open_append("a")
        assert await append(file, b"synced") is None
        file.append_and_sync([b"unsynced"], lambda _: None)
        assert disk.crashed(nothing_survives).read_small("a") == b"synced"

    run(body)


def test_the_twin_shows_lost_bytes_in_its_cache_after_a_failed_sync() -> None:
    async def body() -> None:
        disk = RecordedDisk()
        file = disk.open_append("a")
        assert await append(file, b"good") is None
        disk.fail_next_sync()
        error = await append(file, b"lost")
        assert error is not None
        assert error.errno == errno.EIO
        assert disk.read_small("a") == b"goodlost"
        assert disk.open_read("a", from_media=True).read_at(0, 8) == b"good"

    run(body)


def test_the_twin_has_no_room_beyond_its_capacity() -> None:
    disk = RecordedDisk(capacity_bytes=1000)
    disk.open_append("a", preallocate_bytes=600)
    with pytest.raises(OSError, match="No space"):
        disk.open_append("b", preallocate_bytes=600)
    assert not disk.exists("b")
