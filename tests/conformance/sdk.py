"""Our own clients, connected to a cluster under test."""

from __future__ import annotations

from typing import Any

import trilith
from trilith.client import AsyncClient, Client

from .cluster import Cluster


def connected(cluster: Cluster, **options: Any) -> Client:
    credentials = cluster.credentials
    return trilith.connect(
        f"127.0.0.1:{cluster.ports['grpc']}",
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
        **options,
    )


async def connected_async(cluster: Cluster) -> AsyncClient:
    credentials = cluster.credentials
    return await trilith.connect_async(
        f"127.0.0.1:{cluster.ports['grpc']}",
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
    )
