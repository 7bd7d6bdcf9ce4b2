"""The standard health service: without credentials, truthful, bounded, and gone with the node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from trilith.edge.grpc_health import WATCHERS_MAX, HealthService
from trilith.edge.grpc_server import GrpcServer
from trilith.iam.bearer_tokens import BearerTokens
from trilith.iam.credentials import StaticCredentials, root_credential
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.wire.v1 import admin_pb2
from trilith.wire.v1 import health_pb2 as wire

SERVING = wire.HealthCheckResponse.SERVING
NOT_SERVING = wire.HealthCheckResponse.NOT_SERVING
UNKNOWN = wire.HealthCheckResponse.SERVICE_UNKNOWN
ADMIN = "trilith.wire.v1.Admin"


class _Nothing:
    async def status(self, _call: Any, _request: Any) -> Any:
        raise AssertionError("nobody asks")

    async def list_nodes(self, _call: Any, _request: Any) -> Any:
        raise AssertionError("nobody asks")


class World:
    """A server whose readiness is set by the test."""

    def __init__(self) -> None:
        self.is_ready = True
        clock = SystemClock()
        self.server = GrpcServer(
            {admin_pb2.DESCRIPTOR.services_by_name["Admin"]: _Nothing()},
            BearerTokens(StaticCredentials([root_credential("A" * 12, "s" * 40)]), clock),
            clock,
            SystemEntropy(),
            lambda _record: None,
            health=HealthService(lambda: (self.is_ready, []), [ADMIN]),
            calls_max=1,
            connections_max=10,
        )
        self.channel: Any = None

    async def check(self, service: str = "") -> int:
        ask = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            wire.HealthCheckRequest.SerializeToString,
            wire.HealthCheckResponse.FromString,
        )
        answer = await ask(wire.HealthCheckRequest(service=service), timeout=60)
        return int(answer.status)

    def watch(self, service: str = "") -> Any:
        ask = self.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            wire.HealthCheckRequest.SerializeToString,
            wire.HealthCheckResponse.FromString,
        )
        return ask(wire.HealthCheckRequest(service=service), timeout=60)


def _run(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        await world.server.start("127.0.0.1", 0, reuse_port=False)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{world.server.port}") as channel:
            world.channel = channel
            await scenario(world)
        await world.server.stop(0)

    asyncio.run(main())


def test_anybody_may_ask_whether_a_node_and_its_services_serve() -> None:
    async def scenario(world: World) -> None:
        for service in ("", ADMIN):
            assert await world.check(service) == SERVING
        world.is_ready = False
        for service in ("", ADMIN):
            assert await world.check(service) == NOT_SERVING
        with pytest.raises(grpc.RpcError) as raised:
            await world.check("trilith.wire.v1.Nothing")
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]

    _run(scenario)


def test_all_services_are_listed() -> None:
    async def scenario(world: World) -> None:
        ask = world.channel.unary_unary(
            "/grpc.health.v1.Health/List",
            wire.HealthListRequest.SerializeToString,
            wire.HealthListResponse.FromString,
        )
        answer = await ask(wire.HealthListRequest(), timeout=60)
        assert {name: one.status for name, one in answer.statuses.items()} == {
            "": SERVING,
            ADMIN: SERVING,
        }

    _run(scenario)


def test_who_watches_is_told_of_each_change_and_of_the_end() -> None:
    async def scenario(world: World) -> None:
        watching = world.watch()
        assert (await watching.read()).status == SERVING
        world.is_ready = False
        assert (await watching.read()).status == NOT_SERVING
        world.is_ready = True
        assert (await watching.read()).status == SERVING
        unknown = world.watch("nothing")
        assert (await unknown.read()).status == UNKNOWN
        stopping = asyncio.create_task(world.server.stop(30))
        assert (await watching.read()).status == NOT_SERVING
        assert await watching.read() is grpc.aio.EOF
        assert await unknown.read() is grpc.aio.EOF
        async with asyncio.timeout(10):
            await stopping  # nobody who watches holds a node up

    _run(scenario)


def test_those_who_watch_are_few_and_take_no_place_of_calls() -> None:
    async def scenario(world: World) -> None:
        watching = [world.watch() for _ in range(WATCHERS_MAX)]
        for one in watching:
            assert (await one.read()).status == SERVING
        assert world.server.in_flight == 0
        refused = world.watch()
        assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await world.check() == SERVING
        for one in watching:
            one.cancel()
        async with asyncio.timeout(10):
            while True:
                again = world.watch()
                try:
                    assert (await again.read()).status == SERVING
                    break
                except grpc.RpcError:
                    await asyncio.sleep(0.01)

    _run(scenario)
