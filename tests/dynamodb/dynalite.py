"""dynalite, an emulator, as a second opinion: started for a test run, spoken to over HTTP.

It is not installed with the project: `npm install --prefix build/oracle dynalite`.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CLI = Path(__file__).parents[2] / "build/oracle/node_modules/dynalite/cli.js"
_START_SECONDS_MAX = 20
_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": (
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0"
    ),
    "X-Amz-Date": "20260101T000000Z",
}


class Dynalite:
    """An emulator with a table `items`, whose partition key `pk` is a string."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.start()

    def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        command = [self._node, str(CLI), "--host", "127.0.0.1", "--port", str(self._port)]
        self._process = subprocess.Popen(
            [*command, "--createTableMs", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for(self._port, self._process)
        self.call(
            "CreateTable",
            {
                "TableName": "items",
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
            },
        )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def call(self, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body. OSError when it does not answer: some requests end the emulator."""
        headers = {**_HEADERS, "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("POST", "/", json.dumps(request), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()


@contextmanager
def running_dynalite() -> Iterator[Dynalite]:
    node = shutil.which("node")
    if node is None or not CLI.exists():
        pytest.skip("dynalite is not installed: npm install --prefix build/oracle dynalite")
    dynalite = Dynalite(node)
    try:
        yield dynalite
    finally:
        dynalite.stop()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while not _accepts(port):
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError("dynalite did not start")
        time.sleep(0.05)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
