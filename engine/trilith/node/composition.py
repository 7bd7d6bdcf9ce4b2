"""The composition root: builds one node from its options, runs it, and takes it down in order.

Floors are wired here and nowhere else. Start: directory, journal, store, chunks, links, map,
replicas, services, edges. Stop: edges first (requests in work finish), leaderships handed over,
then downwards. A disk that fails a sync ends the process at once, without pretending to stop
cleanly: what it could still write cannot be trusted.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvloop
from blake3 import blake3

from trilith import presence
from trilith.chunks.pipeline import ChunkPipeline
from trilith.chunks.service import ChunkService
from trilith.cluster import forwarding
from trilith.cluster.bootstrap import OBJECTS, SYSTEM, TABLES, create_partitions
from trilith.cluster.cluster_map import ClusterMap, NodeRecord
from trilith.cluster.disk_record import confirm_disk
from trilith.cluster.embedded_coordinator import EmbeddedCoordinator, path_of_url
from trilith.cluster.forwarding import Forwarding, ModelCodec
from trilith.cluster.membership import Membership
from trilith.cluster.placement import Placement
from trilith.cluster.router import Router
from trilith.dynamodb.context import Context
from trilith.dynamodb.metering import Meter
from trilith.edge.log_file import LogFile
from trilith.edge.metrics import Metrics
from trilith.errors import Corruption, TrilithError
from trilith.event_log import EventLog
from trilith.iam.credentials import (
    ROOT_ACCOUNT_ID,
    canonical_user_id,
)
from trilith.node.agreement import Agreement
from trilith.node.damaged_items import DamagedItems
from trilith.node.directory import (
    DirectoryLock,
    mark_store_damaged,
    open_identity,
    set_damaged_store_aside,
)
from trilith.node.disk_faults import DiskFaults
from trilith.node.edges import Edges
from trilith.node.facts import NodeFacts
from trilith.node.indexes import IndexStation
from trilith.node.partition_changes import PartitionChanges
from trilith.node.peers import NodePeers
from trilith.node.public_grpc import public_address
from trilith.node.quarantine import Quarantine
from trilith.node.repair import RepairStation
from trilith.node.scrubbing import Scrubbing
from trilith.node.tables import TableUpkeep
from trilith.node.transactions import TransactionStation
from trilith.node.upkeep import Upkeep
from trilith.node_options import NodeOptions
from trilith.objects.division import ObjectsDivision
from trilith.objects.key_ring import KeyRing
from trilith.objects.model import ObjectsModel, SystemModel
from trilith.objects.service import ObjectService
from trilith.objects.transactions import ObjectTransactions
from trilith.peers.hub import PeerHub
from trilith.peers.link import Identity
from trilith.pulse import Pulse
from trilith.replication import messages
from trilith.replication.checkpoint import Checkpoints
from trilith.replication.host import ReplicaHost, Timing
from trilith.replication.joined_model import JoinedModel
from trilith.replication.ranges import Division
from trilith.replication.state_machine import Model
from trilith.runtime import memory
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.system_disk import SystemDisk
from trilith.runtime.tcp_network import TcpNetwork
from trilith.runtime.workers import ThreadWorkers
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig
from trilith.storage.journal import Journal, JournalConfig
from trilith.storage.rocks_store import RocksOrderedStore
from trilith.storage.store_scrub import StoreFiles
from trilith.tables.catalog import Catalog
from trilith.tables.division import TableDivision
from trilith.tables.key_ring import ItemKeys
from trilith.tables.model import DefinitionsModel, ItemsModel
from trilith.tables.service import TableService
from trilith.tables.streams import Streams
from trilith.tables.throughput import Kind, Spent, SpentElsewhere, Throughput
from trilith.tables.transacting import Snapshots
from trilith.tables.usage import TableUsage

SYNC_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BACKGROUND_PAUSE_S = 5.0
EXIT_UNUSABLE = 78  # EX_CONFIG


class Node:
    """One node. `run` returns the process's exit status."""

    def __init__(self, options: NodeOptions) -> None:
        self._options = options
        self._stop = asyncio.Event()
        self._background_failures = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._pulse: Pulse | None = None
        self._log_file: LogFile | None = None
        if options.log_file is not None:
            log = options.config.log
            self._log_file = LogFile(
                Path(options.log_file), rotate_bytes=log.rotate_bytes, files_max=log.files_max
            )
        self._write_log = self._log_file.write if self._log_file else sys.stderr.buffer.write
        clock = SystemClock()
        self.events = EventLog(self._write_log, clock, options.node_id or options.zone)
        self._runtime = Runtime(
            clock,
            SystemDisk(options.data_dir),
            TcpNetwork(),
            ThreadWorkers(options.config.server.worker_threads),
            SystemEntropy(),
        )
        self._faults = DiskFaults(self._runtime.disk, self.events)

    def _spawn(self, work: asyncio.Future[None] | object) -> None:
        async def run() -> None:
            try:
                await work  # type: ignore[misc]
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a defect is logged; the node serves on
                self.events("background_failed", error=repr(error), traceback=True)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_up(self, work: Callable[[], Awaitable[None]]) -> None:
        """What must go on as long as the node: a defect ends one attempt, is told and counted."""
        while True:
            try:
                return await work()
            except Exception as error:  # noqa: BLE001 - nothing would be repaired or collected
                self.events("background_failed", error=repr(error), traceback=True)
                self._background_failures += 1
            await asyncio.sleep(BACKGROUND_PAUSE_S)

    # start

    async def run(self) -> int:
        lock = DirectoryLock(Path(self._options.data_dir))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if self._options.pulse_descriptor is not None:
            self._pulse = Pulse(self._options.pulse_descriptor)
        try:
            await self._open()
            started = loop.create_task(self._join())
            stopped = loop.create_task(self._stop.wait())
            await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                await started
            else:
                started.cancel()
            await stopped
        finally:
            await self._close()
            lock.release()
        return 0

    async def _open(self) -> None:
        """Open what is on this node's disk, and start to listen for peers."""
        options, config, runtime = self._options, self._options.config, self._runtime
        if set_damaged_store_aside(Path(options.data_dir)):
            self.events("damaged_store_set_aside")
        try:
            self._open_store()
        except Corruption as error:
            self.events("damaged_store_set_aside", error=str(error))
            set_damaged_store_aside(Path(options.data_dir), at_once=True)
            self._open_store()
        node_id = self._identity.node_id
        self.events.node = node_id
        root_key = bytes.fromhex(Path(options.root_key_file).read_text("ascii").strip())
        self.metrics = Metrics()
        sync_times = self.metrics.histogram(
            "trilith_journal_sync_seconds", "Time of one journal write and sync.", SYNC_BOUNDS_S
        )
        self.journal = await Journal.open(
            runtime,
            "journal",
            JournalConfig(
                node_id=node_id,
                segment_bytes=config.journal.segment_bytes,
                retain_bytes=config.journal.retain_bytes,
                pending_bytes_max=config.journal.pending_bytes_max,
            ),
            on_failure=self._faults.sync_failed,
            on_sync=lambda seconds, _: sync_times.observe(seconds),
        )
        self.chunks = await ChunkStore.open(
            runtime,
            "chunks",
            self.store,
            ChunkStoreConfig(node_id=node_id, extent_bytes=config.chunks.extent_bytes),
            on_failure=self._faults.sync_failed,
        )
        database = str(path_of_url(options.coordinator))
        presence.announce(database)  # until this process ends
        self.coordinator = await EmbeddedCoordinator.open(database, ThreadWorkers(1))
        secret = blake3(root_key, derive_key_context="trilith v1 peer secret").digest()
        cluster_id = blake3(root_key, derive_key_context="trilith v1 cluster id").hexdigest(16)
        identity = Identity(cluster_id, node_id, secret, runtime.entropy.token_bytes(8))
        self.hub = PeerHub(
            runtime, identity, messages.Message | forwarding.Message | SpentElsewhere, self.events
        )
        self._address = await self.hub.listen(f"{options.peer_host}:{options.peer_port}")
        self._keys = KeyRing(root_key, runtime.entropy)
        self._item_keys = ItemKeys(root_key, runtime.entropy)
        self.map = ClusterMap()
        self.membership = Membership(self.coordinator, self.map, self.events)

    def _open_store(self) -> None:
        """Who we are, and the ordered store. Raises Corruption."""
        options, disk = self._options, self._runtime.disk
        self._identity = open_identity(
            disk, self._runtime.entropy, node_id=options.node_id, zone=options.zone
        )
        self.store = RocksOrderedStore(
            disk.native_path("store"),
            block_cache_bytes=options.config.storage.block_cache_bytes,
            write_buffer_bytes=options.config.storage.write_buffer_bytes,
        )
        # Met before we have joined, damage ends this start; the next one sets the store aside,
        # and `confirm_disk` refuses to go on should nobody else have what was in it.
        self.store.on_damage = lambda error: mark_store_damaged(disk, str(error))

    async def _join(self) -> None:
        """Take the node's place in the cluster and open the public ports."""
        self._agreement = await Agreement.reach(self.coordinator, self._options, self.events)
        self._options = self._agreement.options
        options, node_id = self._options, self._identity.node_id
        await confirm_disk(self.coordinator, node_id, self._identity.disk_id, self.events)
        await self.membership.register(
            NodeRecord(node_id, options.zone, self._address, grpc_address=public_address(options))
        )
        nodes = await self.membership.wait_for_zones(options.zones)
        await create_partitions(self.coordinator, nodes, options.zones)
        self._build_replication()
        self._build_services()
        self._build_peers()
        self.map.on_change(self._connect)
        self._connect()
        self._spawn(self.membership.follow())
        await self.host.start()
        self._faults.attach(self.host, self.hub, self._quarantine)
        self.store.on_damage = self._faults.store_damaged
        for work in (
            self._checkpoints.run,
            self._repair.run,
            self._quarantine.run,
            self._damaged_items.run,
            self._upkeep.keep_house,
            self._upkeep.collect,
            self._indexes.sweep,
            self._table_upkeep.run,
            self._transactions.run,
            self._scrubbing.run,
            *self._partition_changes.works(),
        ):
            self._spawn(self._keep_up(work))
        await self._open_edges()
        self._spawn(self.tables.catalog.resume_deletions())
        memory.settle()
        buffer_bytes = options.config.storage.write_buffer_bytes
        self._spawn(
            memory.keep_ahead(self.store.memtable_bytes, buffer_bytes, self._runtime.workers)
        )
        self.events("node_started", zone=options.zone, address=self._address)

    def _connect(self) -> None:
        self.hub.set_addresses({node.node_id: node.address for node in self.map.nodes.values()})

    def _build_replication(self) -> None:
        config, runtime = self._options.config, self._runtime
        timing = config.replication
        self._items_model = ItemsModel(self._item_keys)
        models: dict[int, Model] = {
            SYSTEM: JoinedModel(SystemModel(), DefinitionsModel()),
            OBJECTS: ObjectsModel(),
            TABLES: self._items_model,
        }
        codecs = {keyspace: ModelCodec(model) for keyspace, model in models.items()}
        divisions: dict[int, Division] = {OBJECTS: ObjectsDivision(), TABLES: TableDivision()}
        self._quarantine = Quarantine(runtime, self.events)
        self._repair = RepairStation(self.map, self._options.zone, self.events)
        self.host = ReplicaHost(
            runtime=runtime,
            hub=self.hub,
            journal=self.journal,
            store=self.store,
            coordinator=self.coordinator,
            timing=Timing(
                lease_s=timing.lease_duration_ms / 1000,
                margin_s=timing.clock_drift_margin_ms / 1000,
                heartbeat_s=timing.heartbeat_interval_ms / 1000,
                follower_timeout_s=timing.follower_timeout_ms / 1000,
            ),
            model_of=models.__getitem__,
            division_of=divisions.get,
            ready_to_join=self._repair.ready_to_join,
            abilities=self.membership,
            log=self.events,
        )
        forward = Forwarding(self.hub, self.host, runtime.clock, codecs)
        self.router = Router(runtime=runtime, host=self.host, forwarding=forward, codecs=codecs)
        self._partition_changes = PartitionChanges(
            host=self.host,
            hub=self.hub,
            divisions=divisions,
            partitions=config.partitions,
            clock=runtime.clock,
            store=self.store,
            store_bytes=self.store.bytes_held,
            workers=runtime.workers,
            log=self.events,
        )
        self._checkpoints = Checkpoints(
            journal=self.journal,
            store=self.store,
            workers=runtime.workers,
            replicas=self.host.replicas,
            interval_bytes=config.journal.segment_bytes,
            log=self.events,
            over=self.host.merging.over,
            forget=self.host.merging.forget,
        )

    def _build_services(self) -> None:
        options, config, runtime = self._options, self._options.config, self._runtime
        placement = Placement(self.map)
        service = ChunkService(
            self.hub,
            self.chunks,
            runtime.workers,
            timeout_s=config.chunks.zone_timeout_ms / 1000,
            inflight_bytes_max=config.chunks.inflight_bytes_max,
        )
        service.is_silent = self.host.is_silent
        pipeline = ChunkPipeline(config.chunks, service, placement, runtime.workers, options.zone)
        self._transactions = TransactionStation(runtime, self.host, self.router, self.events)
        self._transactions.register(self.metrics)
        self.objects = ObjectService(
            self.router,
            pipeline,
            self._keys,
            runtime.entropy,
            inline_size_bytes_max=config.objects.inline_size_bytes_max,
            recovery=self._transactions.recovery,
        )
        self._repair.attach(
            self.host,
            self.router,
            service,
            pipeline,
            placement,
            runtime=runtime,
            hub=self.hub,
            config=config.chunks,
            quarantine=self._quarantine,
            bucket_names=self._bucket_names,
        )
        self._upkeep = Upkeep(
            runtime=runtime,
            host=self.host,
            router=self.router,
            chunks=self.chunks,
            placement=placement,
            zone=options.zone,
            config=config,
            on_damaged=self._repair.heal_soon,
            on_missing=self._repair.heal_unless_queued,
            log=self.events,
        )
        self._build_scrubbing()
        self._build_tables()
        self.facts = NodeFacts(
            zone=options.zone,
            clock=runtime.clock,
            hub=self.hub,
            host=self.host,
            journal=self.journal,
            chunks=self.chunks,
            cluster_map=self.map,
            replicas=pipeline.replicas,
            quarantine=self._quarantine,
            repair=self._repair,
        )
        self._register_metrics()

    def _build_peers(self) -> None:
        self.peers = NodePeers(
            self.hub,
            self.map,
            self.facts,
            {
                "settings": self._agreement.facts,
                "collection": self._upkeep.facts,
                "scrub": self._scrubbing.facts,
                "global_indexes": self._indexes.facts,
                "tables": self._table_upkeep.facts,
            },
            self._repair,
            self.metrics,
        )

    def _build_scrubbing(self) -> None:
        self._scrubbing = Scrubbing(
            runtime=self._runtime,
            node_id=self._identity.node_id,
            journal=self.journal,
            checkpoint=self._checkpoints.once,
            store=self.store,
            store_files=StoreFiles(self._runtime.disk, "store", self._runtime.workers).steps,
            on_bad_store=self._faults.store_damaged,
            chunks=self.chunks,
            on_bad_chunk=self._repair.heal_soon,
            retire_extent=self._upkeep.retire_extent,
            quarantine=self._quarantine,
            config=self._options.config.storage,
            log=self.events,
        )

    def _build_tables(self) -> None:
        config, runtime = self._options.config, self._runtime
        catalog = Catalog(self.router, runtime.entropy)
        recovery = self._transactions.recovery
        self.tables = TableService(self.router, self._item_keys, catalog, recovery)
        self._damaged_items = DamagedItems(
            self._quarantine, self.tables, config.tables.upkeep_interval_seconds, self.events
        )
        self._item_keys.on_damaged = self._damaged_items.found
        self._faults.on_bad_record = self._damaged_items.found_in_store
        self._indexes = IndexStation(
            host=self.host,
            router=self.router,
            catalog=catalog,
            keys=self._item_keys,
            clock=runtime.clock,
            activity=self._items_model.activity,
            lag_s_max=config.tables.index_lag_seconds_max,
            spawn=self._spawn,
            log=self.events,
        )
        self._table_upkeep = TableUpkeep(
            self.host, self.router, catalog, runtime.clock, config.tables, self.events
        )
        self._throughput = Throughput(
            runtime.clock,
            self._share_spending,
            enforced=config.tables.enforce_provisioned_throughput,
        )
        self.hub.on_message(SpentElsewhere, lambda _, told: self._throughput.heard(told.spent))

    def _share_spending(self, spent: list[Spent]) -> None:
        """A gateway that hears nothing throttles by what it admitted itself."""
        for peer in self.hub.peers:
            self.hub.send(peer, SpentElsewhere(spent))

    def _register_metrics(self) -> None:
        self.facts.register(self.metrics)
        self.metrics.add_collector(
            "trilith_background_failures",
            "Defects that interrupted repair, collection, scrubbing or checkpoints.",
            "counter",
            lambda: float(self._background_failures),
        )
        self._repair.register(self.metrics)
        self._upkeep.register(self.metrics)
        self._indexes.register(self.metrics)
        self._table_upkeep.register(self.metrics)
        self._scrubbing.register(self.metrics)

    async def _bucket_names(self) -> dict[bytes, str]:
        """Bucket id -> name."""
        owner = canonical_user_id(ROOT_ACCOUNT_ID)
        buckets, _ = await self.objects.list_buckets(owner=owner, consistent=False)
        return {bucket.bucket_id: bucket.name for bucket in buckets}

    async def _open_edges(self) -> None:
        self._edges = Edges(
            self._options,
            self._runtime,
            self.metrics,
            node_id=self._identity.node_id,
            write_log=self._write_log,
            objects=self.objects,
            object_transactions=ObjectTransactions(self.objects, self._transactions.transactions),
            tables=self._table_requests(),
            facts=self.facts,
            peers=self.peers,
            change_partition=self._partition_changes.change,
            cluster_map=self.map,
        )
        await self._edges.open()

    def _table_requests(self) -> Context:
        """What DynamoDB's operations reach, from whichever protocol."""
        options, runtime = self._options, self._runtime
        meter = Meter(self.tables, self._throughput)
        for kind, name in ((Kind.READ, "Read"), (Kind.WRITE, "Write")):
            self.metrics.add_collector(
                f"trilith_dynamodb_Consumed{name}CapacityUnits",
                f"{name} capacity units that requests consumed.",
                "counter",
                partial(meter.consumed, kind),
                labels=("TableName",),
            )
        return Context(
            self.tables,
            self.tables.catalog,
            runtime.clock,
            options.config.s3.region,
            ROOT_ACCOUNT_ID,
            f"{options.host}:{options.dynamodb_port}",
            self._spawn,
            meter,
            TableUsage(self.router, runtime.clock, self._spawn),
            Streams(self.router, self._item_keys, options.config.tables.stream_retention_seconds),
            self._table_upkeep.expirer,
            self._transactions.transactions,
            Snapshots(self.router, self._item_keys, self._transactions.recovery),
        )

    # stop

    async def _close(self) -> None:
        grace_s = self._options.config.server.shutdown_grace_ms / 1000
        self.events("node_stopping")
        if self._pulse is not None:
            self._pulse.close()
        if hasattr(self, "host"):
            await self.host.drain()
        if hasattr(self, "_edges"):
            await self._edges.stop(grace_s)
            self.router.close()
            await self._edges.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "hub"):
            await self.hub.close()
        if hasattr(self, "host"):
            await self.host.close()
        if hasattr(self, "coordinator"):
            await self.coordinator.close()
        if hasattr(self, "chunks"):
            await self.chunks.close()
        if hasattr(self, "journal"):
            await self.journal.close()
        if hasattr(self, "store"):
            await self._runtime.workers.run(self.store.flush)
            self.store.close()
        self._runtime.workers.close()
        self.events("node_stopped")

    def close_log(self) -> None:
        """After the last word."""
        if self._log_file is not None:
            self._log_file.close()


def run_node(options: NodeOptions) -> int:
    """Run a node until SIGTERM or SIGINT; the exit status of its process."""

    async def main() -> int:
        node = Node(options)
        logging.basicConfig(
            level=options.config.log.level.upper(), handlers=[node.events.handler()], force=True
        )
        try:
            return await node.run()
        except TrilithError as error:
            node.events("node_failed", error=str(error), code=error.code)
            sys.stderr.write(f"trilith node: {error}\n")
            return EXIT_UNUSABLE
        finally:
            node.close_log()

    sys.setswitchinterval(0.001)
    return uvloop.run(main())
