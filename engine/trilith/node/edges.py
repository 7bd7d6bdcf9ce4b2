"""The node's public listeners: S3, DynamoDB, console and gRPC, over the node's services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from trilith.cluster.cluster_map import ClusterMap
from trilith.console.app import ConsoleApp
from trilith.dynamodb.app import DynamoDBApp
from trilith.dynamodb.authentication import Authenticator
from trilith.dynamodb.context import Context
from trilith.edge.access_log import AccessLog
from trilith.edge.certificate import Certificate
from trilith.edge.grpc_server import GrpcServer
from trilith.edge.http_server import HttpServer, limits_from, listening_socket
from trilith.edge.metrics import Metrics
from trilith.edge.request_observer import RequestObserver
from trilith.iam.credentials import StaticCredentials, root_credential
from trilith.node.facts import NodeFacts
from trilith.node.partition_changes import Change
from trilith.node.peers import NodePeers
from trilith.node.public_grpc import grpc_server
from trilith.node_options import NodeOptions
from trilith.objects.transactions import ObjectTransactions
from trilith.objects.types import Objects
from trilith.runtime.ports import Runtime
from trilith.s3.app import S3App
from trilith.s3.sigv4 import SigV4Authenticator

ChangePartition = Callable[[Change], Awaitable[dict[str, Any]]]


class Edges:
    """`tables` is what DynamoDB's operations run in, from whichever protocol."""

    def __init__(
        self,
        options: NodeOptions,
        runtime: Runtime,
        metrics: Metrics,
        *,
        node_id: str,
        write_log: Callable[[bytes], object],
        objects: Objects,
        object_transactions: ObjectTransactions,
        tables: Context,
        facts: NodeFacts,
        peers: NodePeers,
        change_partition: ChangePartition,
        cluster_map: ClusterMap,
    ) -> None:
        self._options = options
        self._runtime = runtime
        self._metrics = metrics
        self._node_id = node_id
        self._objects = objects
        self._object_transactions = object_transactions
        self._tables = tables
        self._facts = facts
        self._peers = peers
        self._change_partition = change_partition
        self._map = cluster_map
        root = options.root_credentials
        self._credentials = StaticCredentials([root_credential(root.access_key, root.secret_key)])
        self._access_log = AccessLog(write_log)
        self._logged = self._access_log if options.config.log.access else None
        self._servers: list[HttpServer | GrpcServer] = []

    async def open(self) -> None:
        """All ports accept when it returns. Raises OSError."""
        options = self._options
        limits = limits_from(options.config.limits)
        certificate = self._certificate()
        for app, port in (
            (self._s3(), options.s3_port),
            (self._dynamodb(), options.dynamodb_port),
            (self._console(), options.console_port),
        ):
            listener = listening_socket(options.host, port, reuse_port=options.reuse_port)
            server = HttpServer(app, listener, limits, certificate)
            self._servers.append(server)
            await server.start()
        grpc = self._grpc()
        self._servers.append(grpc)
        await grpc.start(
            options.host,
            options.grpc_port,
            reuse_port=options.reuse_port,
            credentials=None if certificate is None else certificate.grpc_credentials(),
        )

    def _certificate(self) -> Certificate | None:
        """None: plain text."""
        server = self._options.config.server
        if not server.tls_certificate_file:
            return None
        return Certificate(server.tls_certificate_file, server.tls_key_file)

    async def stop(self, grace_s: float) -> None:
        """Accept nothing new; what is in work may finish for so long."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))

    async def close(self) -> None:
        await self._access_log.close()

    def _s3(self) -> S3App:
        config, runtime = self._options.config, self._runtime
        return S3App(
            self._objects,
            SigV4Authenticator(self._credentials, runtime.clock, region=config.s3.region),
            runtime.clock,
            runtime.entropy,
            RequestObserver(self._metrics.requests("s3"), self._logged),
            node_id=self._node_id,
            region=config.s3.region,
            domains=config.s3.domains,
            requests_inflight_max=config.limits.requests_inflight_max,
        )

    def _dynamodb(self) -> DynamoDBApp:
        config, runtime = self._options.config, self._runtime
        requests = self._metrics.requests("dynamodb")
        app = DynamoDBApp(
            self._tables,
            Authenticator(self._credentials, runtime.clock, region=config.s3.region),
            runtime.clock,
            runtime.entropy,
            RequestObserver(requests, self._logged, self._metrics.table_metrics()),
            requests_inflight_max=config.limits.requests_inflight_max,
        )
        requests.in_flight = lambda: app.in_flight
        return app

    def _console(self) -> ConsoleApp:
        return ConsoleApp(
            readiness=self._facts.readiness,
            gather_metrics=self._peers.gather_metrics,
            status=self._peers.status,
            change_partition=self._change,
            token=self._options.control_token,
        )

    async def _change(self, action: str, partition_id: int, key: bytes) -> dict[str, Any]:
        return await self._change_partition(Change(action, partition_id, key))

    def _grpc(self) -> GrpcServer:
        requests = self._metrics.requests("grpc")
        server = grpc_server(
            self._options,
            self._runtime,
            self._credentials,
            RequestObserver(requests, self._logged),
            objects=self._objects,
            object_transactions=self._object_transactions,
            tables=self._tables,
            cluster_map=self._map,
            facts=self._facts,
            peers=self._peers,
        )
        requests.in_flight = lambda: server.in_flight
        return server
