"""ministack, an emulator, as a second opinion on streams and settings of tables.

It is not installed with the project: `benchmarks/load/compare_dynamodb.py` puts it into the
user's cache; one on the PATH is taken too.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

_START_SECONDS_MAX = 40


def _program() -> str | None:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = home / "trilith-benchmarks" / "ministack" / "bin" / "ministack"
    return str(cached) if cached.exists() else shutil.which("ministack")


class Ministack:
    """Clients of a running one."""

    def __init__(self, port: int) -> None:
        options: dict[str, Any] = {
            "endpoint_url": f"http://127.0.0.1:{port}",
            "aws_access_key_id": "a",
            "aws_secret_access_key": "b",
            "region_name": "us-east-1",
            "config": Config(retries={"total_max_attempts": 1}, read_timeout=10),
        }
        self.dynamodb = boto3.client("dynamodb", **options)
        self.streams = boto3.client("dynamodbstreams", **options)


@contextmanager
def running_ministack() -> Iterator[Ministack]:
    program = _program()
    if program is None:
        pytest.skip("ministack is not installed (benchmarks/README.md)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb,dynamodbstreams",
        "PERSIST_STATE": "0",
        "LOG_LEVEL": "ERROR",
    }
    process = subprocess.Popen(
        [program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield Ministack(port)
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("ministack did not start") from None
            time.sleep(0.05)
        else:
            return
