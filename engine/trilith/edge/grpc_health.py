"""The standard health service (grpc.health.v1): whether this node serves, to whoever asks.

A node serves when it is ready, as /readyz has it: writes and consistent reads of every partition
go through it. All its services share that state. Nobody needs credentials to ask, so those who
watch are few; each is told within POLL_S of a change.

Source: gRPC, "GRPC Health Checking Protocol" (doc/health-checking.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from trilith.edge.grpc_call import Call
from trilith.errors import Overloaded, ServiceNotFound
from trilith.wire.v1 import health_pb2 as wire

POLL_S = 1.0
WATCHERS_MAX = 64
_Status = wire.HealthCheckResponse.ServingStatus


class HealthService:
    """`readiness` is the console's; `services` are the full names of those that the node has."""

    def __init__(self, readiness: Callable[[], tuple[bool, Any]], services: Iterable[str]) -> None:
        self._readiness = readiness
        self._services = ("", *sorted(services))
        self._stopped = asyncio.Event()
        self._watchers = 0

    def stop(self) -> None:
        """Tell everybody that the node serves no more; those who watch are let go."""
        self._stopped.set()

    def _status(self) -> _Status:
        is_ready = not self._stopped.is_set() and self._readiness()[0]
        return (
            wire.HealthCheckResponse.SERVING if is_ready else wire.HealthCheckResponse.NOT_SERVING
        )

    async def check(self, call: Call, request: wire.HealthCheckRequest) -> wire.HealthCheckResponse:
        call.resource = request.service
        if request.service not in self._services:
            raise ServiceNotFound(f"this node has no service {request.service!r}")
        return wire.HealthCheckResponse(status=self._status())

    async def list(self, _call: Call, _request: wire.HealthListRequest) -> wire.HealthListResponse:
        answer = wire.HealthCheckResponse(status=self._status())
        return wire.HealthListResponse(statuses=dict.fromkeys(self._services, answer))

    async def watch(self, call: Call, request: wire.HealthCheckRequest) -> None:
        """Ends with the node. The state of a service that is not there is told, too."""
        call.resource = request.service
        if self._watchers >= WATCHERS_MAX:
            raise Overloaded(f"{WATCHERS_MAX} clients watch this node's health already")
        self._watchers += 1
        try:
            await self._watch(call, is_known=request.service in self._services)
        finally:
            self._watchers -= 1

    async def _watch(self, call: Call, *, is_known: bool) -> None:
        told: _Status | None = None
        while True:
            has_ended = self._stopped.is_set()
            status = self._status() if is_known else wire.HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                await call.send(wire.HealthCheckResponse(status=status))
                told = status
            if has_ended:
                return
            try:
                async with asyncio.timeout(POLL_S):
                    await self._stopped.wait()
            except TimeoutError:
                continue
