"""The gRPC services over in-process partitions, called without a transport."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from tests.dynamodb.local_app import LocalApp
from tests.objects.service_cluster import ServiceCluster

from trilith.edge.grpc_admin import AdminService, NodeAddress
from trilith.edge.grpc_health import HealthService
from trilith.edge.grpc_objects import ObjectsService
from trilith.edge.grpc_server import HEALTH, method_name
from trilith.edge.grpc_streams import StreamsService
from trilith.edge.grpc_tables import TablesService
from trilith.edge.grpc_transactions import TransactionsService
from trilith.edge.grpc_uploads import UploadsService
from trilith.objects.transactions import ObjectTransactions
from trilith.wire.v1 import (
    admin_pb2,
    objects_pb2,
    streams_pb2,
    tables_pb2,
    transactions_pb2,
    uploads_pb2,
)

METHODS: list[MethodDescriptor] = [
    method
    for module in (
        tables_pb2,
        transactions_pb2,
        objects_pb2,
        streams_pb2,
        uploads_pb2,
        admin_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
] + [method for method in HEALTH.methods if method.name != "Watch"]  # which ends with the node


async def _status() -> dict[str, Any]:
    return {"answered_by": "a", "partitions": []}


def _readiness() -> tuple[bool, Any]:
    return True, []


class LocalServices:
    """`app` has the tables; the objects are in its partitions, too."""

    def __init__(self, app: LocalApp) -> None:
        self.objects = ServiceCluster(partitions=app.tables, recovery=app.tables.recovery)
        tables = TablesService(app.context)
        service = self.objects.service
        self._services = {
            "Tables": tables,
            "Streams": StreamsService(tables),
            "Uploads": UploadsService(service),
            "Transactions": TransactionsService(
                tables, ObjectTransactions(service, app.tables.transactions)
            ),
            "Objects": ObjectsService(service, "us-east-1"),
            "Health": HealthService(_readiness, ["trilith.wire.v1.Tables"]),
            "Admin": AdminService(_status, _readiness, lambda: [NodeAddress("a", "z", "", True)]),
        }

    def run(self, method: MethodDescriptor) -> Any:
        """The service's function for a method of the protocol."""
        return getattr(self._services[method.containing_service.name], method_name(method))
