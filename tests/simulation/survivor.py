"""One zone is away, or just back, while partitions split and merge; then the two others are lost.

What is judged is what rule 9 promises of the zone that is left: every key can be read there soon;
each partition holds all that was acknowledged until the moment it is said to be complete to, and
nothing that nobody sent, nor anything twice; the map has neither gaps nor overlaps; and from there
the cluster becomes whole, and takes writes again.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from contextlib import suppress
from math import inf
from random import Random

from tests.linearizability.checker import Kind
from tests.replication.register_model import Anywhere, RegisterModel
from tests.simulation.cluster import SimCluster
from tests.simulation.loop import Deadlock, Livelock
from tests.simulation.node import NodePlan, SimNode
from tests.simulation.ports import WALL_START_MS
from tests.simulation.registers import KEYSPACE, Call, Registers, ask
from tests.simulation.run import PROGRESS_WITHIN_S, WHOLE_WITHIN_S, Result
from tests.simulation.splits import Splits
from tests.simulation.verdicts import converged, differences

from trilith.cluster.recovery import assess, make_sole_source
from trilith.errors import TrilithError
from trilith.replication import snapshot
from trilith.replication.descriptor import Descriptor

KEYS = [bytes([n, 7]) for n in range(3, 256, 12)]
PIECE_BYTES = 256  # of a snapshot: many, so that it can end in the middle
READABLE_WITHIN_S = 20.0


class Appends(Registers):
    """Clients that only append, each time something else."""

    async def _client(self, number: int) -> None:
        random = Random(f"{self.cluster.seed}/client{number}")
        count = 0
        while not self.stopping:
            await asyncio.sleep(random.expovariate(1 / self._think_s))
            node = random.choice(self.cluster.nodes)
            if node.booted:
                count += 1
                await self.append(node, random.choice(KEYS), b"%d.%d " % (number, count))

    async def append(self, node: SimNode, key: bytes, value: bytes) -> Call:
        call = Call(Kind.APPEND, key, node.node_id, 0.0, value=value)
        await self.perform(node, call)
        return call

    def sent(self, key: bytes) -> set[bytes]:
        return {c.value for c in self.calls if c.key == key and c.value and c.applied is not False}

    def acknowledged(self, key: bytes, *, until: float) -> set[bytes]:
        return {
            c.value
            for c in self.calls
            if c.key == key and c.value is not None and c.applied and c.returned <= until
        }


def run_survivor(seed: int, *, keep_trace: bool = False, kinds: list[str] | None = None) -> Result:
    """One run. `kinds` is not used: there is one kind of fault."""
    del kinds
    started = time.process_time()
    random = Random(f"{seed}/survivor")
    plans = [
        NodePlan(
            retain_bytes=random.choice((0, 0, 4 * 1024, 256 * 1024)),
            checkpoint_bytes=random.choice((2 * 1024, 4 * 1024, 1024 * 1024)),
            models={KEYSPACE: RegisterModel},
            divisions={KEYSPACE: Anywhere()},
        )
        for _ in range(random.choice((3, 3, 4)))
    ]
    piece_bytes, snapshot.PIECE_BYTES = snapshot.PIECE_BYTES, PIECE_BYTES
    cluster = SimCluster(seed, plans, keep_trace=keep_trace)
    cluster.create_partitions({KEYSPACE: random.choice(([], [], [b"\x60"], [b"\x40", b"\xa0"]))})
    workload = Appends(cluster, clients=4, keys=0, think_s=random.choice((0.02, 0.1)))
    result = Result(seed, kinds=["survivor"])
    gc.disable()
    try:
        cluster.run(_Story(cluster, workload, random, result).run())
    except Deadlock:
        result.problems.append("nothing would ever happen again")
    except Livelock:
        result.problems.append("messages without end")
    finally:
        result.problems += cluster.loop.defects + cluster.defects
        result.calls = len(workload.calls)
        result.simulated_s, result.digest = cluster.loop.now, cluster.digest
        result.lines = list(cluster.lines)
        cluster.discard()
        snapshot.PIECE_BYTES = piece_bytes
        gc.enable()
    result.cpu_s = time.process_time() - started
    return result


class _Story:
    def __init__(
        self, cluster: SimCluster, workload: Appends, random: Random, result: Result
    ) -> None:
        self.cluster = cluster
        self.workload = workload
        self.random = random
        self.result = result
        self.left = random.choice(cluster.nodes[:3])
        self.lost = [node for node in cluster.nodes[:3] if node is not self.left]

    async def run(self) -> None:
        cluster, random = self.cluster, self.random
        for node in cluster.nodes:
            node.boot()
        if not await cluster.until(lambda: converged(cluster), WHOLE_WITHIN_S):
            self.result.problems.append("the cluster did not come up")
            return
        loading = cluster.loop.create_task(self.workload.run())
        merging = Random(f"{cluster.seed}/survivor of merges").random() < 0.5
        splits = Splits(cluster, ends_at=cluster.loop.now + 20.0, merging=merging)
        splits.mean_pause_s = random.choice((0.3, 1.0))
        splitting = cluster.loop.create_task(splits.run())
        await asyncio.sleep(random.uniform(0.0, 3.0))
        await self._away()
        for node in self.lost:
            cluster.trace(f"fault burn {node.node_id}")
            node.burn(restart_after_s=None)
        self.workload.stopping = True
        splitting.cancel()
        await asyncio.gather(splitting, return_exceptions=True)
        await loading
        self.result.splits, self.result.merges = splits.count, splits.merges
        self._reconnect()
        self._rot()
        await self._recover()
        if await self._judge_left():
            for node in self.lost:
                node.boot()
            await self._judge_whole()

    async def _away(self) -> None:
        """The one that will be left is away once or more; at last it may just have come back."""
        cluster, random, node = self.cluster, self.random, self.left
        for _ in range(random.choice((1, 1, 2))):
            seconds = random.choice((0.3, 1.5, 3.0, 6.0)) * random.uniform(0.5, 1.5)
            how = random.choice(("kill", "kill", "cut"))
            cluster.trace(f"fault {how} {node.node_id} {seconds:.3f}")
            if how == "kill":
                node.kill(restart_after_s=seconds)
            else:
                for other in cluster.nodes:
                    cluster.network.cut(node.node_id, other.node_id)
                    cluster.network.cut(other.node_id, node.node_id)
            await asyncio.sleep(seconds * random.choice((0.5, 0.9, 1.0, 1.0)))
            if how == "cut" and random.random() < 0.8:
                self._reconnect()
            await asyncio.sleep(random.choice((0.0, 0.1, 0.3, 0.6, 1.0, 2.0)) * random.random())

    def _reconnect(self) -> None:
        for other in self.cluster.nodes:
            self.cluster.network.heal(self.left.node_id, other.node_id)
            self.cluster.network.heal(other.node_id, self.left.node_id)

    def _rot(self) -> None:
        """At times the disk of the last one is not whole either; what it lacks nobody can say."""
        self.rotten = Random(f"{self.cluster.seed}/survivor that rots").random() < 0.15
        if self.rotten:
            if self.left.running:
                self.left.kill(restart_after_s=0.3)
            self.cluster.trace(f"fault rot {self.left.node_id} {self.left.disk.rot()}")

    async def _recover(self) -> None:
        left, random = self.left, self.random
        await asyncio.sleep(random.choice((0.0, 0.5, 2.0)))
        for _ in range(random.choice((1, 1, 1, 2))):  # an operator may say it twice
            while True:
                if left.booted:
                    with suppress(TrilithError):
                        await ask(left, make_sole_source(left.coordinator, left.zone))
                        break
                await asyncio.sleep(0.2)
            self.cluster.trace("recovered")
            if random.random() < 0.4:
                await asyncio.sleep(random.choice((0.0, 0.1, 0.8, 1.3, 1.6)))
                self.cluster.trace(f"fault kill {left.node_id}")
                if left.booted:
                    left.kill(restart_after_s=0.3)

    def _gaps(self) -> list[str]:
        """What is wrong with the map, and with what the descriptors say the survivor holds."""
        found, at = [], b""
        held = sorted(self.cluster.descriptors(), key=lambda d: d.start_key)
        for descriptor in held:
            if descriptor.start_key != at:
                found.append(f"a gap or an overlap at {at!r}: {descriptor}")
            at = descriptor.end_key
            replica = self.cluster.replica(self.left.node_id, descriptor.partition_id)
            if replica is None or replica.damaged or replica.leader is None:
                found.append(f"the survivor does not lead {descriptor}")
            elif (replica.range.start, replica.range.end) != (descriptor.start_key, at):
                found.append(f"the survivor holds {replica.range} of {descriptor}")
        if at:
            found.append(f"nothing beyond {at!r}")
        return found

    async def _judge_left(self) -> bool:
        cluster, result = self.cluster, self.result
        if not await cluster.until(lambda: not self._gaps(), READABLE_WITHIN_S):
            result.problems += self._gaps()
            return False
        claims = [(d, assess(d, self.left.zone)) for d in cluster.descriptors()]
        for key in KEYS:
            value = await self._read(self.left, key)
            claim = next(claim for d, claim in claims if _covers(d, key))
            until = -inf
            if self.rotten:
                pass
            elif claim.complete:
                until = inf
            elif claim.complete_until_ms is not None:
                until = (claim.complete_until_ms - WALL_START_MS) / 1000
            result.problems += self._judge(key, value, until, f"{claim}")
        return not result.problems

    async def _read(self, node: SimNode, key: bytes) -> bytes | None:
        call = Call(Kind.READ, key, node.node_id, 0.0)
        await self.workload.perform(node, call)
        if not call.applied:
            self.result.problems.append(f"{key!r} cannot be read at {node.node_id}: {call}")
        return call.seen

    def _judge(self, key: bytes, value: bytes | None, until: float, why: str) -> list[str]:
        found = Counter((value or b"").split(b" ")[:-1])
        seen = {one + b" " for one in found}
        missing = sorted(self.workload.acknowledged(key, until=until) - seen)
        strange = sorted(seen - self.workload.sent(key))
        twice = sorted(one for one, count in found.items() if count > 1)
        if missing or strange or twice:
            return [f"{key!r}: missing {missing}, strange {strange}, twice {twice}; {why}"]
        return []

    async def _judge_whole(self) -> None:
        cluster, result, workload = self.cluster, self.result, self.workload
        before = {key: await self._read(self.left, key) for key in KEYS}
        if not await cluster.until(lambda: converged(cluster), WHOLE_WITHIN_S):
            result.problems.append(f"not every replica is in sync after {WHOLE_WITHIN_S} s")
            return
        result.problems += await workload.progress(PROGRESS_WITHIN_S)
        for key in KEYS:
            call = await workload.append(self.lost[0], key, b"after ")
            if not call.applied:
                result.problems.append(f"cannot append after it all: {call}")
            wanted = (before[key] or b"") + b"after "
            for node in cluster.nodes:
                value = await self._read(node, key)
                if value != wanted:
                    result.problems.append(f"{node.node_id} {key!r}: {value!r}, not {wanted!r}")
        await cluster.until(lambda: converged(cluster), WHOLE_WITHIN_S)
        result.problems += differences(cluster)


def _covers(descriptor: Descriptor, key: bytes) -> bool:
    return descriptor.start_key <= key and (not descriptor.end or key < descriptor.end_key)
