"""A connection whose other end says nothing any more, in a network of its own (root)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


async def _fall_silent() -> None:
    """Runs in a network namespace: two connections, one idle; then nothing gets through."""
    from trilith.runtime import tcp_network
    from trilith.runtime.network import Connection

    tcp_network.UNHEARD_S, tcp_network._PROBE_INTERVAL_S = 2, 1
    lost: list[str] = []

    class End:
        def __init__(self, name: str) -> None:
            self.name = name

        def frame_received(self, frame: memoryview) -> None:
            pass

        def connection_lost(self, error: Exception | None) -> None:
            lost.append(self.name)

    network = tcp_network.TcpNetwork()
    listener = await network.listen("127.0.0.1:0", lambda _: End("accepted"))

    async def dial(name: str) -> Connection:
        return await network.connect(listener.address, lambda _: End(name), timeout_s=5, bulk=True)

    _idle, asking = await dial("idle"), await dial("asking")
    down = await asyncio.create_subprocess_exec("ip", "link", "set", "lo", "down")
    assert await down.wait() == 0
    asking.send([b"is anybody there?"])
    async with asyncio.timeout(60):
        while sorted(lost) != ["accepted", "accepted", "asking", "idle"]:
            await asyncio.sleep(0.05)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
    reason="needs root, for a network of its own",
)
def test_a_connection_whose_other_end_says_nothing_any_more_ends() -> None:
    """A firewall had forgotten it: calls over it waited out their time, one after the other."""
    code = (
        "import asyncio\n"
        "from tests.runtime.test_unheard_peers import _fall_silent\n"
        "asyncio.run(_fall_silent())\n"
    )
    paths = [str(ROOT), str(ROOT / "engine"), str(ROOT / "native")]
    inside = f"ip link set lo up && exec {sys.executable} -c '{code}'"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", inside],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
