"""Large inputs are worked through without the GIL: other threads run meanwhile."""

import sys
import threading
from collections.abc import Callable

import pytest

from trilith_native import chunker, convergent, crc, record

DATA = bytes(range(256)) * (4 << 12)  # 4 MiB
KEY, NONCE = bytes(32), bytes(12)
SEALED = convergent.seal(KEY, NONCE, DATA)
FRAMED = record.frame(1, 1, 1, 1, 1, DATA)
KERNELS: dict[str, Callable[[], object]] = {
    "crc32c": lambda: crc.crc32c(DATA),
    "crc64nvme": lambda: crc.crc64nvme(DATA),
    "frame": lambda: record.frame(1, 1, 1, 1, 1, DATA),
    "scan": lambda: record.scan(FRAMED, 0, 1),
    "verify": lambda: record.verify(FRAMED, 0, 1),
    "find_valid_after": lambda: record.find_valid_after(DATA, 0, 1),
    "next_cut": lambda: chunker.Chunker(64, 1 << 30, 1 << 30).next_cut(DATA, final=True),
    "seal": lambda: convergent.seal(KEY, NONCE, DATA),
    "open": lambda: convergent.open(KEY, NONCE, SEALED),
}
ATTEMPTS = 2000


@pytest.mark.parametrize("name", KERNELS)
def test_another_thread_runs_while_a_kernel_does(name: str) -> None:
    # No thread is made to yield, so the other one only runs when the kernel lets the GIL go.
    # It may still not be scheduled in time: hence attempts, of which one is enough.
    interval = sys.getswitchinterval()
    go, came = threading.Semaphore(0), threading.Semaphore(0)
    ran: list[bool] = []

    def other() -> None:
        for _ in range(ATTEMPTS):
            go.acquire()
            ran.append(True)
            came.release()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    sys.setswitchinterval(3600)
    try:
        for _ in range(ATTEMPTS):
            ran.clear()
            go.release()
            KERNELS[name]()
            let_go = bool(ran)
            came.acquire()
            if let_go:
                return
        pytest.fail(f"{name} never let another thread run")
    finally:
        sys.setswitchinterval(interval)
        for _ in range(ATTEMPTS):
            go.release()
        thread.join()
