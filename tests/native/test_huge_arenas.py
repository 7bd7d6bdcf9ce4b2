"""In processes of their own: an allocator, once installed, stays."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from trilith_native import huge_arenas
assert huge_arenas.held() == (0, 0)
early = [bytes(400) + bytes([at % 251]) for at in range(20_000)]
huge_arenas.install()
huge_arenas.install()
late = [bytes(400) + bytes([at % 251]) for at in range(200_000)]
regions, arenas = huge_arenas.held()
assert arenas >= 200_000 * 401 >> 20, arenas
assert (arenas + 1) // 2 <= regions <= arenas, (regions, arenas)
assert all(one[-1] == at % 251 for at, one in enumerate(late))
{then}
"""


def run(then: str) -> None:
    script = SCRIPT.format(then=then)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_new_objects_lie_in_regions_and_keep_what_they_hold() -> None:
    run("")


def test_memory_of_objects_that_are_gone_is_given_back() -> None:
    run(
        """
import gc
del early, late
gc.collect()
left, arenas = huge_arenas.held()
assert left < regions // 4, (left, regions)
again = [bytes(400) + bytes([at % 251]) for at in range(200_000)]
assert all(one[-1] == at % 251 for at, one in enumerate(again))
"""
    )


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(),
    reason="this system has no transparent huge pages to ask for",
)
def test_regions_ask_for_huge_pages() -> None:
    run(
        """
wish = [
    line for line in open("/proc/self/smaps", encoding="ascii", errors="replace")
    if line.startswith("VmFlags") and " hg" in line
]
assert wish
"""
    )
