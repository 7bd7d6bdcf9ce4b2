"""Threads that are told to give way, and those that do already."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from trilith.runtime.thread_priority import NICE_MAX, lower_threads

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities on Linux")

NAME = "waiting"


class Waiting:
    """A thread that waits until it is left."""

    def __enter__(self) -> int:
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._left.wait)
        self._thread.start()
        thread = self._thread.native_id
        assert thread is not None
        Path(f"/proc/self/task/{thread}/comm").write_text(NAME)
        return thread

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()


def nice_of(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def test_a_thread_that_gives_way_already_is_left_as_it_is() -> None:
    """To take from it what it has is not allowed to most users."""
    with Waiting() as eager, Waiting() as modest:
        os.setpriority(os.PRIO_PROCESS, modest, NICE_MAX)
        lower_threads(NAME, 1)
        assert (nice_of(eager), nice_of(modest)) == (min(nice_of(0) + 1, NICE_MAX), NICE_MAX)


def test_threads_of_other_names_are_left_alone() -> None:
    with Waiting() as other:
        lower_threads("another", 1)
        assert nice_of(other) == nice_of(0)


def test_a_sandbox_that_keeps_priorities_as_they_are_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    with Waiting():
        lower_threads(NAME, 1)
