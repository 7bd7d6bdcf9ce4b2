"""What goes wrong in a run, drawn from its seed.

Each seed enables its own few kinds of fault ("swarm testing", Groce et al., ISSTA '12): runs with
everything at once hide the bugs that need a long undisturbed stretch of something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from tests.simulation.cluster import SimCluster
from tests.simulation.meetings import (
    hand_over_behind_a_cut,
    merge_behind_a_cut,
    parted_follower,
    unheard_hand_over,
)
from tests.simulation.node import SimNode
from tests.simulation.registers import ask

from trilith.cluster.recovery import make_sole_source
from trilith.errors import TrilithError

Fault = Callable[["Faults"], Awaitable[None]]


class Faults:
    """Runs faults on a cluster for `duration_s`; `heal` ends every one of them.

    What cannot be survived by design is not done: bytes rot on one machine only (`rotten`).
    """

    def __init__(
        self, cluster: SimCluster, *, duration_s: float, kinds: list[str] | None = None
    ) -> None:
        self.cluster = cluster
        self.random = Random(f"{cluster.seed}/faults")
        self.ends_at = cluster.loop.now + duration_s
        self.rotten = self.random.choice(cluster.nodes[:3])
        self.survivor: SimNode | None = None
        self.lost: list[SimNode] = []
        self.lost_at = 0.0
        # Judges what the survivor says of itself, before any other zone is there again.
        self.judge_recovery: Callable[[SimNode], Awaitable[None]] | None = None
        self.count = 0
        chosen = self.random.sample(sorted(KINDS), self.random.randint(1, 6))
        self.kinds = chosen if kinds is None else [kind for kind in kinds if kind in KINDS]
        self.mean_pause_s = self.random.choice((0.5, 1.0, 2.0, 4.0))

    async def run(self) -> None:
        """Start faults one after the other; they overlap as they may."""
        tasks: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.mean_pause_s))
            if self.cluster.loop.now >= self.ends_at:
                break
            if not self.kinds:
                continue
            kind = self.random.choice(self.kinds)
            self.count += 1
            tasks.append(loop.create_task(self._one(kind)))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, kind: str) -> None:
        await KINDS[kind](self)

    def note(self, text: str) -> None:
        self.cluster.trace(f"fault {text}")

    def node(self) -> SimNode:
        return self.random.choice(self.cluster.nodes)

    def running(self) -> SimNode | None:
        candidates = [node for node in self.cluster.nodes if node.booted]
        return self.random.choice(candidates) if candidates else None

    def seconds(self) -> float:
        """How long a fault lasts: often about a lease, at times much longer."""
        return self.random.choice((0.1, 0.3, 0.6, 0.8, 1.2, 2.5, 6.0)) * self.random.uniform(
            0.5, 1.5
        )

    def heal(self) -> None:
        """End everything that is still wrong; what is down starts again."""
        cluster = self.cluster
        self.note("all healed")
        names = [node.node_id for node in cluster.nodes]
        for source in names:
            for target in names:
                link = cluster.network.link(source, target)
                link.delay_s, link.jitter_s, link.bytes_per_s = 0.0003, 0.0004, 1e9
                cluster.network.heal(source, target)
        service = cluster.coordinator
        service.down, service.slowness, service.lose_answers = False, 1.0, 0.0
        service.cut.clear()
        service.deaf.clear()
        for node in cluster.nodes:
            node.disk.slowness, node.disk.wedged_until = 1.0, 0.0
            node.disk.capacity_bytes = None
            node.disk.forget_sync_failures()
            node.store.full = False
            if not node.running:
                node.boot()


async def kill(faults: Faults) -> None:
    node = faults.running()
    if node is not None:
        faults.note(f"kill {node.node_id}")
        node.kill(restart_after_s=faults.seconds())


async def power(faults: Faults) -> None:
    node = faults.running()
    if node is not None:
        faults.note(f"power cut {node.node_id}")
        node.cut_power(restart_after_s=faults.seconds())


async def blackout(faults: Faults) -> None:
    """Several machines lose their power at once; perhaps all."""
    nodes = faults.cluster.nodes
    victims = faults.random.sample(nodes, faults.random.randint(2, len(nodes)))
    for node in victims:
        if node.booted:
            faults.note(f"blackout {node.node_id}")
            node.cut_power(restart_after_s=faults.seconds())


async def burn(faults: Faults) -> None:
    """A zone is lost for good, while every partition has another one in sync that runs."""
    node = faults.rotten  # the one whose disk may be bad: never two
    cluster = faults.cluster
    for descriptor in cluster.descriptors():
        others = [n for n in descriptor.in_sync if n != node.node_id]
        if len(descriptor.in_sync) < 3 or not all(cluster.node(n).booted for n in others):
            return
    if node.booted:
        faults.note(f"burn {node.node_id}")
        node.burn(restart_after_s=faults.seconds())


async def two_zones_lost(faults: Faults) -> None:
    """Once a run, for good: the third has all that was acknowledged, after `trilith recover`."""
    cluster = faults.cluster
    able = [
        node
        for node in cluster.nodes[:3]
        if node.booted
        and node is not faults.rotten
        and all(node.node_id in descriptor.in_sync for descriptor in cluster.descriptors())
    ]
    if not able or faults.survivor is not None:
        return
    survivor = faults.survivor = faults.random.choice(able)
    lost = faults.lost = [node for node in cluster.nodes[:3] if node is not survivor]
    faults.lost_at = cluster.loop.now
    faults.note(f"two zones lost, {survivor.node_id} is left")
    for node in lost:
        node.burn(restart_after_s=None)
    await asyncio.sleep(faults.seconds())
    while True:
        if survivor.booted:
            work = make_sole_source(survivor.coordinator, survivor.zone)
            with suppress(TrilithError):
                verdicts = await ask(survivor, work)
                break
        await asyncio.sleep(0.2)
    faults.note(f"recovered {verdicts}")
    if faults.judge_recovery is not None:
        await _settled(faults, survivor)
        await faults.judge_recovery(survivor)
    for node in lost:
        if not node.running:
            node.boot()


async def _settled(faults: Faults, survivor: SimNode) -> None:
    """Until it answers for all that it is the source of: then `trilith recover` asks once more."""

    def is_settled() -> bool:
        reclaiming = survivor.host.reclaiming
        known = faults.cluster.descriptors()
        return survivor.booted and not any(reclaiming.is_under_way(d) for d in known)

    while not is_settled():
        await asyncio.sleep(0.2)


async def stop(faults: Faults) -> None:
    node = faults.running()
    if node is not None:
        faults.note(f"clean stop {node.node_id}")
        node.stop_cleanly()


async def pause(faults: Faults) -> None:
    node = faults.running()
    if node is not None and node.process is not None:
        seconds = faults.seconds()
        faults.note(f"pause {node.node_id} {seconds:.3f}")
        faults.cluster.loop.pause(node.process, faults.cluster.loop.now + seconds)


async def stall(faults: Faults) -> None:
    """A pause that strikes inside a callback, right behind a look at the clock."""
    node = faults.running()
    if node is not None and node.process is not None:
        seconds = faults.seconds()
        faults.note(f"stall {node.node_id} {seconds:.3f}")
        node.process.stall = (faults.random.randrange(40), seconds)


async def cut(faults: Faults) -> None:
    """One direction of one link."""
    one, other = faults.random.sample(faults.cluster.nodes, 2)
    network = faults.cluster.network
    faults.note(f"cut {one.node_id}>{other.node_id}")
    network.cut(one.node_id, other.node_id)
    await asyncio.sleep(faults.seconds())
    faults.note(f"heal {one.node_id}>{other.node_id}")
    network.heal(one.node_id, other.node_id)


async def isolate(faults: Faults) -> None:
    """A node against all others; one-way at times; the coordinator is at times behind it too."""
    node, network = faults.node(), faults.cluster.network
    ways = faults.random.choice(("out", "in", "both", "both"))
    with_coordinator = faults.random.random() < 0.4
    others = [n.node_id for n in faults.cluster.nodes if n is not node]
    pairs = [(node.node_id, o) for o in others if ways != "in"]
    pairs += [(o, node.node_id) for o in others if ways != "out"]
    faults.note(f"isolate {node.node_id} {ways} coordinator={with_coordinator}")
    for source, target in pairs:
        network.cut(source, target)
    if with_coordinator:
        faults.cluster.coordinator.cut.add(node.node_id)
    await asyncio.sleep(faults.seconds())
    for source, target in pairs:
        network.heal(source, target)
    faults.cluster.coordinator.cut.discard(node.node_id)
    faults.note(f"rejoin {node.node_id}")


async def reset(faults: Faults) -> None:
    one, other = faults.random.sample(faults.cluster.nodes, 2)
    faults.note(f"reset {one.node_id} {other.node_id}")
    faults.cluster.network.reset_between(one.node_id, other.node_id)


async def slow_link(faults: Faults) -> None:
    one, other = faults.random.sample(faults.cluster.nodes, 2)
    link = faults.cluster.network.link(one.node_id, other.node_id)
    link.delay_s = faults.random.choice((0.005, 0.05, 0.2, 0.45))
    link.jitter_s = link.delay_s * faults.random.random()
    link.bytes_per_s = faults.random.choice((1e4, 1e6, 1e9))
    faults.note(f"slow {one.node_id}>{other.node_id} {link.delay_s}")
    await asyncio.sleep(faults.seconds() * 2)
    link.delay_s, link.jitter_s, link.bytes_per_s = 0.0003, 0.0004, 1e9


async def wall_clock(faults: Faults) -> None:
    """Somebody sets a clock; as far wrong as the workload may see it."""
    node = faults.node()
    node.plan.wall_shift_ms = faults.random.choice(faults.cluster.wall_shifts_ms)
    faults.note(f"wall clock {node.node_id} {node.plan.wall_shift_ms}")
    if node.running:
        node.clock.wall_shift_ms = node.plan.wall_shift_ms


async def slow_disk(faults: Faults) -> None:
    node = faults.node()
    node.disk.slowness = faults.random.choice((10.0, 100.0, 400.0))
    faults.note(f"slow disk {node.node_id} {node.disk.slowness}")
    await asyncio.sleep(faults.seconds())
    node.disk.slowness = 1.0


async def wedged_disk(faults: Faults) -> None:
    node = faults.node()
    node.disk.wedged_until = faults.cluster.loop.now + faults.seconds()
    faults.note(f"wedged disk {node.node_id}")


async def full_disk(faults: Faults) -> None:
    node = faults.node()
    disk = node.disk
    disk.capacity_bytes = disk.used_bytes() + faults.random.choice((0, 5_000, 30_000))
    faults.note(f"full disk {node.node_id}")
    await asyncio.sleep(faults.seconds())
    disk.capacity_bytes = None
    node.disk.capacity_bytes = None


async def full_store(faults: Faults) -> None:
    """The ordered store cannot flush, and says so at the next write."""
    node = faults.node()
    faults.note(f"full store {node.node_id}")
    node.store.full = True
    await asyncio.sleep(faults.seconds())
    node.store.full = False


async def failing_sync(faults: Faults) -> None:
    node = faults.running()
    if node is not None:
        faults.note(f"failing sync {node.node_id}")
        node.disk.fail_next_sync()


async def rot(faults: Faults) -> None:
    node = faults.rotten
    if not node.booted:
        return
    damage = node.disk.rot if faults.random.random() < 0.6 else node.disk.misdirect
    faults.note(f"rot {node.node_id} {damage()}")
    if faults.random.random() < 0.7 and node.booted:
        node.kill(restart_after_s=faults.seconds())


async def rotten_end(faults: Faults) -> None:
    """The power fails right after a write, and what it wrote last cannot be read any more.

    A synced group at the very end that rots before a MARK follows it cannot be told from a torn
    one (Protocol-Aware Recovery, FAST '18, names it).
    """
    node, cluster = faults.rotten, faults.cluster
    if not node.booted:
        return
    await cluster.until(lambda: not node.booted or node.journal._unproven, 2.0)
    alone = any(d.in_sync == [node.node_id] for d in cluster.descriptors())
    if not node.booted or alone:  # the only copy that counts
        return
    faults.note(f"rotten end {node.node_id} {node.disk.rot_end('journal/')}")
    node.cut_power(restart_after_s=faults.random.choice((0.02, 0.1, 0.3, faults.seconds())))


async def coordinator_down(faults: Faults) -> None:
    service = faults.cluster.coordinator
    faults.note("coordinator down")
    service.down = True
    await asyncio.sleep(faults.seconds())
    service.down = False
    service.break_watches()
    faults.note("coordinator up")


async def coordinator_slow(faults: Faults) -> None:
    service = faults.cluster.coordinator
    service.slowness = faults.random.choice((20.0, 80.0, 200.0))
    faults.note(f"coordinator slow {service.slowness}")
    await asyncio.sleep(faults.seconds() * 2)
    service.slowness = 1.0


async def coordinator_lossy(faults: Faults) -> None:
    service = faults.cluster.coordinator
    service.lose_answers = faults.random.choice((0.2, 0.6))
    faults.note(f"coordinator loses answers {service.lose_answers}")
    await asyncio.sleep(faults.seconds() * 2)
    service.lose_answers = 0.0


async def coordinator_cut(faults: Faults) -> None:
    node = faults.node()
    faults.note(f"coordinator cut {node.node_id}")
    faults.cluster.coordinator.cut.add(node.node_id)
    await asyncio.sleep(faults.seconds())
    faults.cluster.coordinator.cut.discard(node.node_id)


KINDS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill,
        power,
        blackout,
        burn,
        two_zones_lost,
        stop,
        pause,
        stall,
        cut,
        isolate,
        reset,
        slow_link,
        wall_clock,
        slow_disk,
        wedged_disk,
        full_disk,
        full_store,
        failing_sync,
        rot,
        rotten_end,
        coordinator_down,
        coordinator_slow,
        coordinator_lossy,
        coordinator_cut,
        unheard_hand_over,
        hand_over_behind_a_cut,
        parted_follower,
        merge_behind_a_cut,
    )
}
