"""ministack, an emulator, as a second opinion on transactions.

It is not installed with the project:
`python -m venv build/ministack && build/ministack/bin/pip install ministack`.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(
    os.environ.get("MINISTACK", Path(__file__).parents[2] / "build/ministack/bin/ministack")
)
_START_SECONDS_MAX = 30
_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": (
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0"
    ),
    "X-Amz-Date": "20260101T000000Z",
}


class Ministack:
    """An emulator of an account without tables."""

    def __init__(self, port: int) -> None:
        self._port = port

    def call(self, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        headers = {**_HEADERS, "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("POST", "/", json.dumps(request), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()


@contextmanager
def running_ministack() -> Iterator[Ministack]:
    if not PROGRAM.exists():
        pytest.skip(f"ministack is not installed: {PROGRAM} (or MINISTACK=its path)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb",
        "PERSIST_STATE": "0",
    }
    process = subprocess.Popen(
        [str(PROGRAM)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
