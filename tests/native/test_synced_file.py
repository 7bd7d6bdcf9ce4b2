import errno
import gc
import os
import resource
import select
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilith_native.synced_file import SyncedFile

WAIT_S = 30


@contextmanager
def opened(
    path: Path | str, flags: int = os.O_RDWR | os.O_CREAT
) -> Iterator[tuple[int, SyncedFile]]:
    fd = os.open(path, flags, 0o600)
    synced = SyncedFile(fd)
    try:
        yield fd, synced
    finally:
        synced.close()
        os.close(fd)


def finish(synced: SyncedFile) -> int:
    assert select.select([synced.event_fd], [], [], WAIT_S)[0], "no completion"
    return synced.result()


def test_buffers_are_written_end_to_end_at_the_offset(tmp_path: Path) -> None:
    with opened(tmp_path / "file") as (fd, synced):
        synced.submit([b"one", bytearray(b"two"), b"", memoryview(b"three")], 4)
        assert finish(synced) == 0
        synced.submit([b"XX"], 5)
        assert finish(synced) == 0
        assert os.pread(fd, 100, 0) == b"\0\0\0\0oXXtwothree"


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=9), max_size=40), st.integers(0, 50))
def test_any_list_of_buffers_lands_where_it_should(
    tmp_path_factory: pytest.TempPathFactory, buffers: list[bytes], offset: int
) -> None:
    with opened(tmp_path_factory.getbasetemp() / "any") as (fd, synced):
        os.ftruncate(fd, 0)
        synced.submit(buffers, offset)
        assert finish(synced) == 0
        whole = b"".join(buffers)
        assert os.pread(fd, 1000, 0) == (bytes(offset) + whole if whole else b"")


def test_more_buffers_than_one_call_takes_are_all_written(tmp_path: Path) -> None:
    buffers = [i.to_bytes(2) for i in range(3001)]
    with opened(tmp_path / "file") as (fd, synced):
        synced.submit(buffers, 0)
        assert finish(synced) == 0
        assert os.pread(fd, 10_000, 0) == b"".join(buffers)


def test_an_empty_submission_is_a_sync(tmp_path: Path) -> None:
    with opened(tmp_path / "file") as (_, synced):
        synced.submit([], 0)
        assert finish(synced) == 0


def test_the_event_is_readable_exactly_between_completion_and_result(tmp_path: Path) -> None:
    with opened(tmp_path / "file") as (_, synced):
        assert not select.select([synced.event_fd], [], [], 0)[0]
        assert not synced.busy
        synced.submit([b"x"], 0)
        assert synced.busy
        assert finish(synced) == 0
        assert not synced.busy
        assert not select.select([synced.event_fd], [], [], 0)[0]
        with pytest.raises(RuntimeError, match="finished"):
            synced.result()


def test_a_second_submission_before_the_result_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "file") as (fd, synced):
        synced.submit([b"first"], 0)
        with pytest.raises(RuntimeError, match="under way"):
            synced.submit([b"second"], 0)
        assert finish(synced) == 0
        assert os.pread(fd, 10, 0) == b"first"


def test_buffers_are_held_until_the_result_is_taken(tmp_path: Path) -> None:
    class Payload(bytearray):
        """A bytearray that can be watched."""

    payload = Payload(b"payload")
    watched = weakref.ref(payload)
    with opened(tmp_path / "file") as (fd, synced):
        synced.submit([payload], 0)
        with pytest.raises(BufferError):
            payload.clear()
        del payload
        gc.collect()
        assert watched() is not None
        assert finish(synced) == 0
        assert watched() is None
        assert os.pread(fd, 10, 0) == b"payload"


def test_a_full_disk_is_reported_and_every_later_submission_refused() -> None:
    with opened("/dev/full", os.O_WRONLY) as (_, synced):
        synced.submit([b"x" * 10_000], 0)
        assert finish(synced) == errno.ENOSPC
        assert synced.failed == errno.ENOSPC
        with pytest.raises(OSError, match="No space") as caught:
            synced.submit([b"x"], 0)
        assert caught.value.errno == errno.ENOSPC


def test_a_failed_sync_is_final() -> None:
    # Pipes cannot be synced: nothing to write, so fdatasync itself is what fails.
    reader, writer = os.pipe()
    synced = SyncedFile(writer)
    try:
        synced.submit([], 0)
        assert finish(synced) == errno.EINVAL
        with pytest.raises(OSError, match="Invalid"):
            synced.submit([], 0)
    finally:
        synced.close()
        os.close(reader)
        os.close(writer)


def test_a_write_cut_short_is_continued_until_it_fails(tmp_path: Path) -> None:
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(tmp_path / "file") as (fd, synced):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            # The kernel takes what fits, then refuses the rest: two calls, the second an error.
            synced.submit([b"a" * 1000, b"b" * 1000], (1 << 20) - 1500)
            assert finish(synced) == errno.EFBIG
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        assert os.pread(fd, 2000, (1 << 20) - 1500) == b"a" * 1000 + b"b" * 500


def test_a_descriptor_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with opened(tmp_path / "file", os.O_RDONLY) as (_, synced):
        synced.submit([b"x"], 0)
        assert finish(synced) == errno.EBADF


def test_close_waits_for_the_submission_and_keeps_its_result(tmp_path: Path) -> None:
    threads = threading.active_count(), len(os.listdir("/proc/self/task"))
    with opened(tmp_path / "file") as (fd, synced):
        synced.submit([b"z" * 1_000_000], 0)
        synced.close()
        assert (threading.active_count(), len(os.listdir("/proc/self/task"))) == threads
        assert os.fstat(fd).st_size == 1_000_000
        assert synced.event_fd == -1
        assert synced.result() == 0
        synced.close()
        with pytest.raises(ValueError, match="closed"):
            synced.submit([b"x"], 0)


def test_close_leaves_the_callers_descriptor_open(tmp_path: Path) -> None:
    with opened(tmp_path / "file") as (fd, synced):
        synced.close()
        assert os.write(fd, b"still open") == 10


def test_dropping_it_ends_its_thread_and_frees_its_descriptor(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        before = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            synced = SyncedFile(file.fileno())
            synced.submit([b"x"], 0)
            del synced
        assert (len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))) == before


def test_what_is_no_buffer_is_refused_and_the_file_stays_usable(tmp_path: Path) -> None:
    with opened(tmp_path / "file") as (_, synced):
        with pytest.raises(TypeError):
            synced.submit([b"good", "text"], 0)  # type: ignore[list-item]
        with pytest.raises(ValueError, match="negative"):
            synced.submit([b"x"], -1)
        synced.submit([b"good"], 0)
        assert finish(synced) == 0
