"""The Python of the README, in its order, as a reader runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .cluster import Cluster
from .conftest import Server

README = Path(__file__).parents[2] / "README.md"
DEADLINE_S = 120


def examples(cluster: Cluster) -> str:
    """One program. Its reader of changes stops where the README's waits for more."""
    program = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL))
    for port, name in ((9000, "s3"), (8000, "dynamodb"), (7000, "grpc")):
        program = program.replace(f"127.0.0.1:{port}", f"127.0.0.1:{cluster.ports[name]}")
    waiting = "pictures.changes("
    assert program.count(waiting) == 1
    return program.replace(waiting, waiting + "wait_s=0, ")


def test_the_examples_of_the_readme_run_one_after_the_other(
    start_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    cluster = start_cluster()
    server = Server(cluster.endpoint, cluster.credentials)
    server.client().create_bucket(Bucket="first")  # the README's shell commands do
    for name, size in (("cat.jpg", 4_000), ("film.mp4", 12_000_000)):
        (tmp_path / name).write_bytes(os.urandom(size))
    program = tmp_path / "examples.py"
    program.write_text(examples(cluster))
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "there is one already" in done.stdout
    cluster.remove()
