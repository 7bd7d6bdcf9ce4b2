"""S3 over real sockets in this process: the HTTP edge, S3App and the object service.

Only the partitions and the chunk store beneath are tests/objects' local twins.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import uvloop
from botocore.config import Config as BotoConfig
from tests.objects.service_cluster import ServiceCluster

from trilith.config import Limits
from trilith.edge.http_server import HttpServer, limits_from, listening_socket
from trilith.iam.credentials import StaticCredentials, root_credential
from trilith.request_record import RequestRecord
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.s3.app import S3App
from trilith.s3.sigv4 import SigV4Authenticator

ACCESS_KEY, SECRET_KEY = "AKIATEST", "secret"
MIB = 1 << 20


class LocalS3:
    """`records` holds what was observed of each finished request."""

    def __init__(
        self, *, region: str = "us-east-1", limits: Limits | None = None, **cluster: Any
    ) -> None:
        self.records: list[RequestRecord] = []
        self.region = region
        limits = limits or Limits()
        options: dict[str, Any] = {
            "inline": 16384,
            "chunk_size": MIB,
            "part_size_bytes_min": 5 * MIB,
        }
        self.cluster = ServiceCluster(**(options | cluster))
        clock = SystemClock()
        credentials = StaticCredentials([root_credential(ACCESS_KEY, SECRET_KEY)])
        self.app = S3App(
            self.cluster.service,
            SigV4Authenticator(credentials, clock, region=region),
            clock,
            SystemEntropy(),
            self.records.append,
            node_id="az1-1",
            region=region,
            domains=("localhost", "s3.localhost"),
            requests_inflight_max=limits.requests_inflight_max,
        )
        self.server = HttpServer(
            self.app,
            listening_socket("127.0.0.1", 0),
            limits_from(limits),
        )
        self.port = self.server.port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> Any:
        addressing = options.pop("addressing_style", "path")
        endpoint = options.pop("endpoint_url", self.endpoint)
        config = BotoConfig(
            retries={"total_max_attempts": 1}, s3={"addressing_style": addressing}, **options
        )
        return boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=self.region,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=config,
        )

    def raw(self, request: bytes, *, end: bool = True) -> bytes:
        """Everything the server answers to these bytes until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request)
            if end:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while data := connection.recv(65536):
                answer += data
            return answer


@contextmanager
def running(s3: LocalS3) -> Iterator[LocalS3]:
    """Serves in a thread with an event loop of its own."""
    started = threading.Event()
    stopping: list[Any] = []

    async def serve() -> None:
        stop = asyncio.Event()
        stopping.extend((asyncio.get_running_loop(), stop))
        await s3.server.start()
        started.set()
        await stop.wait()
        await s3.server.stop(1.0)

    thread = threading.Thread(target=lambda: uvloop.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield s3
    finally:
        loop, stop = stopping
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()
