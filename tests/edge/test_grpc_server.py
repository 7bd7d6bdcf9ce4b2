"""The gRPC server itself: limits, deadlines, defects, records, and how it stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from trilith.client.failures import failure_of
from trilith.edge.grpc_call import Call
from trilith.edge.grpc_health import HealthService
from trilith.edge.grpc_server import GrpcServer
from trilith.errors import InternalError, InvalidRequest, Overloaded, TrilithError, Unauthenticated
from trilith.iam.bearer_tokens import BearerTokens, issue
from trilith.iam.credentials import StaticCredentials, root_credential
from trilith.request_record import RequestRecord
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.wire.v1 import admin_pb2 as wire

ACCESS, SECRET = "AKIDEXAMPLE", "a-secret-of-more-than-32-characters"
STATUS = "/trilith.wire.v1.Admin/Status"


class _Gated:
    """A service whose calls wait until they are let through."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = 0

    async def status(self, _call: Call, _request: wire.StatusRequest) -> wire.StatusResponse:
        self.begun += 1
        await self.gate.wait()
        return wire.StatusResponse(version="1")

    async def list_nodes(
        self, _call: Call, _request: wire.ListNodesRequest
    ) -> wire.ListNodesResponse:
        raise ZeroDivisionError("a defect")


class _Running:
    """A server on a port of its own, and a channel to it."""

    def __init__(self, server: GrpcServer, service: _Gated, channel: Any) -> None:
        self.server = server
        self.service = service
        self.channel = channel
        self.records: list[RequestRecord] = []

    async def ask(
        self, path: str = STATUS, raw: bytes = b"", *, timeout_s: float = 10.0, token: str = ""
    ) -> bytes | TrilithError:
        """The answer, or the error."""
        authorization = token or issue(ACCESS, SECRET, int(time.time()))
        call = self.channel.unary_unary(path)(
            raw, timeout=timeout_s, metadata=(("authorization", f"Bearer {authorization}"),)
        )
        try:
            answer: bytes = await call
        except grpc.RpcError as error:
            return failure_of(error)
        return answer

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)


def _run(
    scenario: Callable[[_Running], Awaitable[None]],
    *,
    calls_max: int = 100,
    connections_max: int = 100,
) -> None:
    async def main() -> None:
        service = _Gated()
        records: list[RequestRecord] = []
        clock = SystemClock()
        server = GrpcServer(
            {wire.DESCRIPTOR.services_by_name["Admin"]: service},
            BearerTokens(StaticCredentials([root_credential(ACCESS, SECRET)]), clock),
            clock,
            SystemEntropy(),
            records.append,
            health=HealthService(lambda: (True, []), ["trilith.wire.v1.Admin"]),
            calls_max=calls_max,
            connections_max=connections_max,
        )
        await server.start("127.0.0.1", 0, reuse_port=False)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            running = _Running(server, service, channel)
            running.records = records
            await scenario(running)
        await server.stop(0)

    asyncio.run(main())


def test_a_call_beyond_the_limit_is_refused_at_once() -> None:
    async def scenario(running: _Running) -> None:
        first = asyncio.create_task(running.ask())
        await running.until(lambda: running.service.begun == 1)
        assert isinstance(await running.ask(), Overloaded)
        running.service.gate.set()
        assert wire.StatusResponse.FromString(await first).version == "1"  # type: ignore[arg-type]
        assert isinstance(await running.ask(), bytes)
        assert running.server.in_flight == 0

    _run(scenario, calls_max=1)


def test_a_connection_beyond_the_limit_is_closed() -> None:
    async def scenario(running: _Running) -> None:
        running.service.gate.set()
        assert isinstance(await running.ask(), bytes)  # over the one that is open
        reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        assert isinstance(await running.ask(), bytes)

    _run(scenario, connections_max=1)


def test_a_stopping_server_lets_calls_in_work_finish() -> None:
    async def scenario(running: _Running) -> None:
        first = asyncio.create_task(running.ask())
        await running.until(lambda: running.service.begun == 1)
        stopping = asyncio.create_task(running.server.stop(10))
        refused = await running.ask(timeout_s=1)
        assert isinstance(refused, TrilithError)
        running.service.gate.set()
        assert isinstance(await first, bytes)
        await stopping

    _run(scenario)


def test_a_defect_is_an_internal_error_without_its_words() -> None:
    async def scenario(running: _Running) -> None:
        found = await running.ask("/trilith.wire.v1.Admin/ListNodes")
        assert isinstance(found, InternalError)
        assert "defect" not in found.message
        assert isinstance(await running.ask(raw=b"\xff\xff"), InvalidRequest)

    _run(scenario)


def test_a_call_past_its_deadline_ends_in_the_server_too() -> None:
    async def scenario(running: _Running) -> None:
        for timeout_s in (0.2, 1.0, 5.0):  # a slow machine may not get the call out in time
            assert isinstance(await running.ask(timeout_s=timeout_s), TrilithError)
            if running.service.begun:
                break
        await running.until(lambda: running.server.in_flight == 0)
        await running.until(lambda: len(running.records) == 1)

    _run(scenario)


def test_every_call_leaves_one_record() -> None:
    async def scenario(running: _Running) -> None:
        running.service.gate.set()
        await running.ask()
        assert isinstance(await running.ask(token="abc"), Unauthenticated)
        await running.until(lambda: len(running.records) == 2)
        good, bad = running.records
        assert (good.operation, good.status, good.error_code) == ("Status", 0, "")
        assert (good.access_key, good.bytes_out) == (ACCESS, 3)
        assert (bad.error_code, bad.access_key) == ("Unauthenticated", "")
        assert good.request_id != bad.request_id

    _run(scenario)


def test_an_unknown_method_is_not_served() -> None:
    async def scenario(running: _Running) -> None:
        found = await running.ask("/trilith.wire.v1.Admin/Nothing")
        assert isinstance(found, TrilithError)
        assert found.code == "NotServed"

    _run(scenario)
