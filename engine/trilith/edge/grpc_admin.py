"""The Admin service: what the cluster says of itself, to clients with an access key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from trilith import __version__
from trilith.edge.grpc_call import Call
from trilith.wire.v1 import admin_pb2 as wire


class NodeAddress(NamedTuple):
    node_id: str
    zone: str
    grpc_address: str
    is_reachable: bool


class AdminService:
    """`status` is the console's; `nodes` are all of the cluster."""

    def __init__(
        self,
        status: Callable[[], Awaitable[dict[str, Any]]],
        readiness: Callable[[], tuple[bool, Any]],
        nodes: Callable[[], Iterable[NodeAddress]],
    ) -> None:
        self._status = status
        self._readiness = readiness
        self._nodes = nodes

    async def status(self, _call: Call, _request: wire.StatusRequest) -> wire.StatusResponse:
        facts = await self._status()
        return wire.StatusResponse(
            version=__version__,
            answered_by=facts["answered_by"],
            ready=self._readiness()[0],
            nodes=self._node_messages(),
            partitions=[
                wire.Partition(
                    id=one["id"],
                    keyspace=one["keyspace"],
                    leader_zone=one["leader_zone"],
                    in_sync_zones=one["in_sync_zones"],
                )
                for one in facts["partitions"]
            ],
            document=msgspec.json.encode(facts).decode(),
        )

    async def list_nodes(
        self, _call: Call, _request: wire.ListNodesRequest
    ) -> wire.ListNodesResponse:
        return wire.ListNodesResponse(nodes=self._node_messages())

    def _node_messages(self) -> list[wire.Node]:
        return [
            wire.Node(id=node_id, zone=zone, grpc_address=address, reachable=reachable)
            for node_id, zone, address, reachable in sorted(self._nodes())
        ]
