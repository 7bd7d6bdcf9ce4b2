"""RocksDB and its in-memory twin, side by side, against each other."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from tests.storage.memory_ordered_store import MemoryOrderedStore

from trilith.errors import DataDirectoryUnusable
from trilith.runtime.thread_priority import NICE_MAX
from trilith.storage.ordered_store import DELETE, DELETE_RANGE, PUT, OrderedReader
from trilith.storage.rocks_store import BACKGROUND_NICE, RocksOrderedStore

KEYS = st.binary(min_size=1, max_size=3).map(lambda key: bytes(byte % 4 for byte in key))
OPERATIONS = st.one_of(
    st.tuples(st.just(PUT), KEYS, st.binary(max_size=4)),
    st.tuples(st.just(DELETE), KEYS, st.just(b"")),
    st.tuples(st.just(DELETE_RANGE), KEYS, KEYS),
)


class SideBySide(RuleBasedStateMachine):
    """The same calls to both; every answer must be the same."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.mkdtemp()
        self._rocks = self._open()
        self._memory = MemoryOrderedStore()
        self._snapshots: list[tuple[OrderedReader, OrderedReader]] = []

    def _open(self) -> RocksOrderedStore:
        return RocksOrderedStore(
            self._directory, block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20
        )

    @rule(operations=st.lists(OPERATIONS, max_size=6))
    def write(self, operations: list[tuple[int, bytes, bytes]]) -> None:
        self._rocks.write(operations)
        self._memory.write(operations)

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self._rocks.get(key) == self._memory.get(key)

    @rule(start=KEYS, end=KEYS, reverse=st.booleans())
    def scan(self, start: bytes, end: bytes, reverse: bool) -> None:
        found = list(self._rocks.scan(start, end, reverse=reverse))
        assert found == list(self._memory.scan(start, end, reverse=reverse))

    @rule(operations=st.lists(OPERATIONS, max_size=3))
    def a_scan_shows_the_moment_of_its_call(
        self, operations: list[tuple[int, bytes, bytes]]
    ) -> None:
        rocks = self._rocks.scan(b"", b"\xff")
        memory = self._memory.scan(b"", b"\xff")
        self.write(operations)
        assert list(rocks) == list(memory)

    @rule()
    def take_snapshot(self) -> None:
        self._snapshots.append((self._rocks.snapshot(), self._memory.snapshot()))

    @rule(key=KEYS, reverse=st.booleans())
    def read_snapshots(self, key: bytes, reverse: bool) -> None:
        for rocks, memory in self._snapshots:
            assert rocks.get(key) == memory.get(key)
            found = list(rocks.scan(key, b"\xff", reverse=reverse))
            assert found == list(memory.scan(key, b"\xff", reverse=reverse))

    @rule(reverse=st.booleans())
    def scans_of_one_snapshot_do_not_disturb_each_other(self, reverse: bool) -> None:
        for rocks, memory in self._snapshots[:1]:
            one, other = rocks.scan(b"", b"\xff", reverse=reverse), rocks.scan(b"", b"\xff")
            expected = memory.scan(b"", b"\xff", reverse=reverse), memory.scan(b"", b"\xff")
            assert list(zip(one, other, strict=False)) == list(zip(*expected, strict=False))

    @rule()
    def flush(self) -> None:
        self._rocks.flush()
        self._memory.flush()

    @rule()
    def reopen(self) -> None:
        self._snapshots.clear()
        gc.collect()
        self._rocks.close()
        self._rocks = self._open()

    def teardown(self) -> None:
        self._snapshots.clear()
        self._rocks.close()
        shutil.rmtree(self._directory, ignore_errors=True)


SideBySide.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestSideBySide = SideBySide.TestCase


def test_the_twin_keeps_a_prefix_of_its_unflushed_writes_in_a_crash() -> None:
    store = MemoryOrderedStore()
    store.write([(PUT, b"a", b"1")])
    store.flush()
    store.write([(PUT, b"b", b"2"), (PUT, b"c", b"3")])
    store.write([(PUT, b"d", b"4")])
    assert [key for key, _ in store.crashed().scan(b"", b"z")] == [b"a"]
    half = store.crashed(unflushed_kept=0.5)
    assert [key for key, _ in half.scan(b"", b"z")] == [b"a", b"b", b"c"]
    whole = store.crashed(unflushed_kept=1.0)
    assert [key for key, _ in whole.scan(b"", b"z")] == [b"a", b"b", b"c", b"d"]


def test_a_store_in_use_is_refused_to_a_second_opener(tmp_path: Path) -> None:
    first = RocksOrderedStore(tmp_path / "store")
    with pytest.raises(DataDirectoryUnusable):
        RocksOrderedStore(tmp_path / "store")
    first.close()


def test_flushed_writes_are_there_after_a_reopen(tmp_path: Path) -> None:
    store = RocksOrderedStore(tmp_path / "store")
    store.write([(PUT, b"key", b"value")])
    store.flush()
    store.close()
    assert RocksOrderedStore(tmp_path / "store").get(b"key") == b"value"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")
def test_what_works_in_the_background_makes_way_for_requests(tmp_path: Path) -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    with closing(RocksOrderedStore(tmp_path)):
        names = {
            int(task.name): (task / "comm").read_text().strip()
            for task in Path("/proc/self/task").iterdir()
        }
        nice = {
            os.getpriority(os.PRIO_PROCESS, t) for t, name in names.items() if "rocksdb" in name
        }
        assert nice == {min(mine + BACKGROUND_NICE, NICE_MAX)}
        assert os.getpriority(os.PRIO_PROCESS, 0) == mine
