"""The node's gRPC services, put together."""

from __future__ import annotations

from trilith.cluster.cluster_map import ClusterMap
from trilith.dynamodb.context import Context
from trilith.edge.grpc_admin import AdminService, NodeAddress
from trilith.edge.grpc_health import HealthService
from trilith.edge.grpc_objects import ObjectsService
from trilith.edge.grpc_server import GrpcServer
from trilith.edge.grpc_streams import StreamsService
from trilith.edge.grpc_tables import TablesService
from trilith.edge.grpc_transactions import TransactionsService
from trilith.edge.grpc_uploads import UploadsService
from trilith.edge.request_observer import RequestObserver
from trilith.iam.bearer_tokens import BearerTokens
from trilith.iam.credentials import CredentialSource
from trilith.node.facts import NodeFacts
from trilith.node.peers import NodePeers
from trilith.node_options import NodeOptions
from trilith.objects.transactions import ObjectTransactions
from trilith.objects.types import Objects
from trilith.runtime.ports import Runtime
from trilith.wire.v1 import (
    admin_pb2,
    objects_pb2,
    streams_pb2,
    tables_pb2,
    transactions_pb2,
    uploads_pb2,
)

_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def public_address(options: NodeOptions) -> str:
    """Where clients find this node's services; empty where they have to know it themselves."""
    host = options.host
    if host in _ANY_ADDRESS:
        return ""
    return f"[{host}]:{options.grpc_port}" if ":" in host else f"{host}:{options.grpc_port}"


def grpc_server(
    options: NodeOptions,
    runtime: Runtime,
    credentials: CredentialSource,
    observe: RequestObserver,
    *,
    objects: Objects,
    object_transactions: ObjectTransactions,
    tables: Context,
    cluster_map: ClusterMap,
    facts: NodeFacts,
    peers: NodePeers,
) -> GrpcServer:
    def nodes() -> list[NodeAddress]:
        return [
            NodeAddress(node, record.zone, record.grpc_address, facts.is_reachable(node))
            for node, record in cluster_map.nodes.items()
        ]

    tables_service = TablesService(tables)
    services = {
        (uploads_pb2, "Uploads"): UploadsService(objects),
        (objects_pb2, "Objects"): ObjectsService(objects, options.config.s3.region),
        (tables_pb2, "Tables"): tables_service,
        (streams_pb2, "Streams"): StreamsService(tables_service),
        (transactions_pb2, "Transactions"): TransactionsService(
            tables_service, object_transactions
        ),
        (admin_pb2, "Admin"): AdminService(peers.status, facts.readiness, nodes),
    }
    described = {
        module.DESCRIPTOR.services_by_name[name]: service
        for (module, name), service in services.items()
    }
    return GrpcServer(
        described,
        BearerTokens(credentials, runtime.clock),
        runtime.clock,
        runtime.entropy,
        observe,
        health=HealthService(facts.readiness, [one.full_name for one in described]),
        calls_max=options.config.limits.grpc_calls_inflight_max,
        connections_max=options.config.limits.connections_max,
    )
