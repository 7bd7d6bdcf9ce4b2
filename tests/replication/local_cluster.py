"""Three nodes of the replication layer in one process, over real sockets, files and RocksDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.replication.register_model import Anywhere, RegisterModel

from trilith.cluster import forwarding
from trilith.cluster.bootstrap import create_partitions
from trilith.cluster.cluster_map import ClusterMap, NodeRecord
from trilith.cluster.embedded_coordinator import EmbeddedCoordinator
from trilith.cluster.forwarding import Forwarding, ModelCodec
from trilith.cluster.membership import Membership
from trilith.cluster.router import Router
from trilith.peers.hub import PeerHub
from trilith.peers.link import Identity
from trilith.replication import messages
from trilith.replication.host import ReplicaHost, Timing
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.system_disk import SystemDisk
from trilith.runtime.tcp_network import TcpNetwork
from trilith.runtime.workers import ThreadWorkers
from trilith.storage.journal import Journal, JournalConfig
from trilith.storage.rocks_store import RocksOrderedStore

ZONES = ("az1", "az2", "az3")
KEYSPACE = 2
TABLES = 3
TIMING = Timing(lease_s=1.0, margin_s=0.05, heartbeat_s=0.1, follower_timeout_s=0.7)
SECRET = b"s" * 32


class LocalNode:
    """One node. `stop` is a crash as far as its peers can tell; its files stay."""

    def __init__(self, root: Path, zone: str, number: int) -> None:
        self.zone = zone
        self.node_id = f"n{number}"
        self._root = root
        self._path = root / self.node_id
        self.events: list[tuple[str, dict[str, Any]]] = []

    def model_of(self, keyspace: int) -> Any:
        return RegisterModel()

    def _log(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))

    async def listen(self) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        disk = SystemDisk(str(self._path))
        self.workers = ThreadWorkers(2)
        self.runtime = Runtime(SystemClock(), disk, TcpNetwork(), self.workers, SystemEntropy())
        self.coordinator = await EmbeddedCoordinator.open(
            str(self._root / "coordinator.sqlite3"), ThreadWorkers(1)
        )
        identity = Identity("test", self.node_id, SECRET, self.runtime.entropy.token_bytes(8))
        self.hub = PeerHub(self.runtime, identity, messages.Message | forwarding.Message, self._log)
        self.address = await self.hub.listen(getattr(self, "address", "127.0.0.1:0"))
        self.map = ClusterMap()
        self.membership = Membership(self.coordinator, self.map, self._log)
        await self.membership.register(NodeRecord(self.node_id, self.zone, self.address))

    async def start(self, addresses: dict[str, str]) -> None:
        self.failure: OSError | None = None
        config = JournalConfig(node_id=self.node_id, segment_bytes=1 << 20)
        self.journal = await Journal.open(self.runtime, "journal", config, on_failure=self._failed)
        self.store = RocksOrderedStore(
            str(self._path / "store"), block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20
        )
        self.host = ReplicaHost(
            runtime=self.runtime,
            hub=self.hub,
            journal=self.journal,
            store=self.store,
            coordinator=self.coordinator,
            timing=TIMING,
            model_of=self.model_of,
            division_of=lambda _: Anywhere(),
            ready_to_join=self._ready,
            abilities=self.membership,
            log=self._log,
        )
        codecs = {one: ModelCodec(self.model_of(one)) for one in (KEYSPACE, TABLES)}
        self.forwarding = Forwarding(self.hub, self.host, self.runtime.clock, codecs)
        self.router = Router(
            runtime=self.runtime, host=self.host, forwarding=self.forwarding, codecs=codecs
        )
        self.hub.set_addresses(addresses)
        await self.membership.load()
        await self.host.start()

    async def _ready(self, partition_id: int, node: str) -> bool:
        return True

    def _failed(self, error: OSError) -> None:
        self.failure = error

    async def stop(self) -> None:
        await self.hub.close()
        await self.host.close()
        await self.journal.close()
        self.store.close()
        await self.coordinator.close()
        self.workers.close()


class LocalCluster:
    def __init__(self, root: Path, node_type: type[LocalNode] = LocalNode) -> None:
        self.nodes = [node_type(root, zone, n + 1) for n, zone in enumerate(ZONES)]

    async def start(self) -> None:
        for node in self.nodes:
            await node.listen()
        self.addresses = {n.node_id: n.address for n in self.nodes}
        records = [NodeRecord(n.node_id, n.zone, n.address) for n in self.nodes]
        await create_partitions(self.nodes[0].coordinator, records, ZONES)
        for node in self.nodes:
            await node.start(self.addresses)

    async def restart(self, node: LocalNode) -> None:
        await node.listen()
        await node.start(self.addresses)

    def leader_of(self, partition_id: int) -> LocalNode | None:
        for node in self.nodes:
            replica = node.host.replicas.get(partition_id)
            if replica is not None and replica.leader is not None:
                return node
        return None

    async def stop(self) -> None:
        for node in self.nodes:
            await node.stop()


async def eventually(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Waits for a condition; AssertionError when it does not come."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)
