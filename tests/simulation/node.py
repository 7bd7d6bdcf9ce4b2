"""One node of a simulated cluster: the production floors over simulated ports.

Its files outlive its processes. A process can be killed (what it wrote stays), lose its power
(what it did not sync may be gone), or be paused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.disk import SimDisk
from tests.simulation.loop import Process, ProcessExit
from tests.simulation.ports import SimClock, SimEntropy, SimWorkers
from tests.storage.memory_ordered_store import MemoryOrderedStore

from trilith.cluster import forwarding
from trilith.cluster.disk_record import confirm_disk
from trilith.cluster.forwarding import Forwarding, ModelCodec
from trilith.cluster.router import Router
from trilith.errors import OutcomeUnknown, TrilithError
from trilith.peers.hub import PeerHub
from trilith.peers.link import Identity
from trilith.replication import messages
from trilith.replication.checkpoint import Checkpoints
from trilith.replication.host import ReplicaHost, Timing
from trilith.replication.ranges import Division
from trilith.replication.state_machine import Model
from trilith.runtime.ports import Runtime
from trilith.storage.journal import Journal, JournalConfig

if TYPE_CHECKING:
    from tests.simulation.cluster import SimCluster

TIMING = Timing(lease_s=0.6, margin_s=0.05, heartbeat_s=0.08, follower_timeout_s=0.4)
SECRET = b"s" * 32
SEGMENT_BYTES = 32 * 1024
ENTRY_BYTES_MAX = 4 * 1024  # of batches; an entry must fit a segment
# Events that a correct node never logs.
DEFECTS = ("background_failed", "call_failed", "evaluation_failed")


@dataclass
class NodePlan:
    """What one seed makes of a node."""

    clock_rate: float = 1.0
    wall_shift_ms: int = 0
    retain_bytes: int = 64 * 1024
    checkpoint_bytes: int = 16 * 1024
    capacity_bytes: int | None = None
    models: dict[int, Callable[[], Model]] = field(default_factory=dict)
    divisions: dict[int, Division] = field(default_factory=dict)


class SimNode:
    """`running`: its process is alive. `node_id` is also the name of its machine."""

    def __init__(self, cluster: SimCluster, node_id: str, zone: str, plan: NodePlan) -> None:
        self.node_id = node_id
        self.zone = zone
        self.address = f"{node_id}:7000"
        self.plan = plan
        self.process: Process | None = None
        self.past: list[tuple[Process, Any]] = []  # kept, so that nothing is finalized mid-run
        self.runs = 0
        self.booted = False
        self.boots_at: float | None = None
        self.waiting: dict[asyncio.Future[Any], None] = {}  # answers that clients wait for
        self.cluster = cluster
        self._random = Random(f"{cluster.seed}/{node_id}")
        self.disk = SimDisk(
            Random(f"{cluster.seed}/{node_id}/disk"),
            lambda: cluster.loop.now,
            capacity_bytes=plan.capacity_bytes,
        )
        self.store = MemoryOrderedStore()
        self.disk_id = f"{node_id}/0"
        self.burnt = False  # its disk is another one than at first
        self._zero_s = self._random.uniform(1.0, 1e5)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.alive

    def log(self, event: str, **facts: Any) -> None:
        cluster = self.cluster
        told = " ".join(f"{k}={v}" for k, v in facts.items())
        cluster.trace(f"{self.node_id} {event} {told}")
        if event in DEFECTS:
            cluster.defects.append(f"{self.node_id} {event} {told}")

    # life

    def boot(self) -> None:
        """Start a process on the files as they are now."""
        assert not self.running
        self.runs += 1
        self.booted = False
        self.boots_at = None
        process = self.process = Process(f"{self.node_id}.{self.runs}")
        loop = self.cluster.loop
        clock = SimClock(loop, process, self.plan.clock_rate, self._zero_s)
        clock.wall_shift_ms = self.plan.wall_shift_ms
        self.workers = SimWorkers(Random(f"{self.cluster.seed}/{process.name}/workers"))
        self.runtime = Runtime(
            clock,
            self.disk,
            self.cluster.network.port(process, self.node_id),
            self.workers,
            SimEntropy(Random(f"{self.cluster.seed}/{process.name}/entropy")),
        )
        self.clock = clock
        self.spawn(self._start())

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as this node's process."""
        assert self.process is not None
        context = self.process.context.copy()
        return self.cluster.loop.create_task(work, context=context)

    def keep_running(self, work: Coroutine[Any, Any, Any]) -> None:
        """Background work that ends with the process, or is a defect."""

        def ended(task: asyncio.Task[Any]) -> None:
            if not task.cancelled():
                self.cluster.defects.append(f"{process.name}: background work ended: {task!r}")

        process = self.process
        assert process is not None
        self.spawn(work).add_done_callback(ended, context=process.context)

    async def _start(self) -> None:
        """As the composition root does it; an error ends the process, and it is started anew."""
        try:
            await self._compose()
        except (TrilithError, OSError) as error:
            self.log("start_failed", error=str(error))
            self.kill(restart_after_s=0.5)
        else:
            self.booted = True
            self.log("booted")

    async def _compose(self) -> None:
        cluster, runtime, plan = self.cluster, self.runtime, self.plan
        assert self.process is not None
        self.coordinator = cluster.coordinator.port(self.process, self.node_id)
        identity = Identity("test", self.node_id, SECRET, runtime.entropy.token_bytes(8))
        config = JournalConfig(
            node_id=self.node_id,
            segment_bytes=SEGMENT_BYTES,
            retain_bytes=plan.retain_bytes,
            cache_bytes=8 * 1024,
            free_bytes_min=4096,
            full_retry_s=0.2,
        )
        self.journal = await Journal.open(runtime, "journal", config, on_failure=self._disk_failed)
        self.hub = PeerHub(runtime, identity, messages.Message | forwarding.Message, self.log)
        await self.hub.listen(self.address)
        models = {keyspace: make() for keyspace, make in plan.models.items()}
        await confirm_disk(self.coordinator, self.node_id, self.disk_id, self.log)
        codecs = {keyspace: ModelCodec(model) for keyspace, model in models.items()}
        self.host = ReplicaHost(
            runtime=runtime,
            hub=self.hub,
            journal=self.journal,
            store=self.store,
            coordinator=self.coordinator,
            timing=TIMING,
            model_of=models.__getitem__,
            division_of=plan.divisions.get,
            ready_to_join=self._ready_to_join,
            log=self.log,
        )
        forward = Forwarding(self.hub, self.host, runtime.clock, codecs)
        self.router = Router(runtime=runtime, host=self.host, forwarding=forward, codecs=codecs)
        self.checkpoints = Checkpoints(
            journal=self.journal,
            store=self.store,
            workers=runtime.workers,
            replicas=self.host.replicas,
            interval_bytes=plan.checkpoint_bytes,
            log=self.log,
            over=self.host.merging.over,
            forget=self.host.merging.forget,
        )
        await cluster.compose_more(self)
        self._let_commits_be_judged()
        self.hub.set_addresses(cluster.addresses)
        await self.host.start()
        self._checkpointing = self.spawn(self.checkpoints.run())

    def _let_commits_be_judged(self) -> None:
        host, told = self.host, self.host.on_commit

        def committed(partition_id: int) -> None:
            self.cluster.committed(host.replicas[partition_id])
            told(partition_id)

        host.on_commit = committed

    async def _ready_to_join(self, partition_id: int, node: str) -> bool:
        return await self.cluster.ready_to_join(self, partition_id, node)

    def _disk_failed(self, error: OSError) -> None:
        """Production ends the process here, at once."""
        self.log("disk_failed", error=str(error))
        self.kill(restart_after_s=self._random.uniform(0.3, 1.5))
        raise ProcessExit

    # death

    def kill(self, *, restart_after_s: float) -> None:
        """The process is gone; what it wrote is in the kernel's hands."""
        self._end(power=True)
        self.store = self.store.crashed(unflushed_kept=self._kept())
        self._boot_later(restart_after_s)

    def cut_power(self, *, restart_after_s: float | None) -> None:
        """The machine is gone; unsynced bytes may be too. None: for good."""
        if self.running:
            self._end(power=False)
            self.store = self.store.crashed(unflushed_kept=self._kept())
        self.disk = self.disk.after_power_cut()
        self._zero_s = self._random.uniform(1.0, 1e5) - self.cluster.loop.now
        if restart_after_s is not None:
            self._boot_later(restart_after_s)

    def burn(self, *, restart_after_s: float | None) -> None:
        """The machine and its disk are gone for good; one with an empty disk takes its place."""
        self.boots_at = None
        self.cut_power(restart_after_s=restart_after_s)
        cluster = self.cluster
        self.disk_id = f"{self.node_id}/{self.runs}"
        self.burnt = True
        self.disk = SimDisk(
            Random(f"{cluster.seed}/{self.disk_id}"),
            lambda: cluster.loop.now,
            capacity_bytes=self.plan.capacity_bytes,
        )
        self.store = MemoryOrderedStore()

    def _kept(self) -> float:
        return self._random.choice((0.0, 0.0, 0.5, 1.0))

    def _end(self, *, power: bool) -> None:
        process = self.process
        assert process is not None
        process.alive = False
        self.booted = False
        process.held.clear()
        network = self.cluster.network
        if power:
            network.process_died(process)
        else:
            network.power_lost(process, self.node_id)
        self.past.append((process, self.__dict__.copy()))
        waiting, self.waiting = self.waiting, {}
        for answer in waiting:
            if not answer.done():
                answer.set_exception(OutcomeUnknown(f"{process.name} died"))

    def _boot_later(self, after_s: float) -> None:
        loop = self.cluster.loop
        self.boots_at = loop.now + after_s

        def boot() -> None:
            if not self.running and self.boots_at is not None and loop.now >= self.boots_at - 1e-9:
                self.boot()

        loop.call_later(after_s, boot, context=self.cluster.unowned)

    async def _stop_cleanly(self) -> None:
        await self.host.drain()
        self.router.close()
        self._checkpointing.cancel()
        await self.hub.close()
        await self.host.close()
        await self.journal.close()
        self.store.flush()
        self.kill(restart_after_s=self._random.uniform(0.05, 1.0))

    def stop_cleanly(self) -> None:
        """SIGTERM: hand over, close, and start again."""
        self.booted = False
        self.spawn(self._stop_cleanly())


Predicate = Callable[[], bool]
Story = Callable[[], Awaitable[None]]
