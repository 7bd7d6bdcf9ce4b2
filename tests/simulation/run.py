"""One seed, one run: build a cluster, load it, break it, heal it, judge it."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field
from random import Random

from tests.replication.register_model import Anywhere, RegisterModel
from tests.simulation.cluster import SimCluster
from tests.simulation.faults import Faults
from tests.simulation.loop import Deadlock, Livelock
from tests.simulation.node import NodePlan
from tests.simulation.objects import ObjectCalls, ObjectCluster, models
from tests.simulation.registers import KEYSPACE, Registers
from tests.simulation.splits import Splits
from tests.simulation.together import TABLE_CUTS, TogetherCalls, TogetherCluster, all_models
from tests.simulation.verdicts import acknowledged_alone, converged, differences

from trilith.cluster.bootstrap import OBJECTS, SYSTEM, TABLES
from trilith.objects.division import ObjectsDivision
from trilith.tables.division import TableDivision

WHOLE_WITHIN_S = 60.0  # the longest a flapping replica is kept out, and some
PROGRESS_WITHIN_S = 12.0


@dataclass
class Result:
    """`problems` empty: the run kept every promise."""

    seed: int
    problems: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    faults: int = 0
    calls: int = 0
    unknown: int = 0
    refused: int = 0
    frames: int = 0
    steps: int = 0
    collected: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    digest: int = 0
    beyond_design: bool = False
    splits: int = 0
    merges: int = 0
    lines: list[str] = field(default_factory=list)


def plans_of(random: Random) -> list[NodePlan]:
    count = random.choice((3, 3, 3, 3, 4, 6, 9))
    drifting = random.random() < 0.5
    return [
        NodePlan(
            clock_rate=random.uniform(0.98, 1.02) if drifting else 1.0,
            wall_shift_ms=random.choice((0, 0, 0, -2_000, 2_000)),
            retain_bytes=random.choice((0, 16 * 1024, 256 * 1024)),
            checkpoint_bytes=random.choice((4 * 1024, 32 * 1024, 1024 * 1024)),
            models={KEYSPACE: RegisterModel},
            divisions={KEYSPACE: Anywhere()},
        )
        for _ in range(count)
    ]


def run_registers(seed: int, *, keep_trace: bool = False, kinds: list[str] | None = None) -> Result:
    """One run of the registers workload."""
    return _run(seed, keep_trace, kinds, objects=False)


def run_objects(seed: int, *, keep_trace: bool = False, kinds: list[str] | None = None) -> Result:
    """One run of the object service and its chunks."""
    return _run(seed, keep_trace, kinds, objects=True)


def run_together(seed: int, *, keep_trace: bool = False, kinds: list[str] | None = None) -> Result:
    """One run of transactions on objects and items."""
    return _run(seed, keep_trace, kinds, objects=True, tables=True)


def _run(
    seed: int,
    keep_trace: bool,
    kinds: list[str] | None,
    *,
    objects: bool,
    tables: bool = False,
) -> Result:
    started = time.process_time()
    random = Random(f"{seed}/plan")
    plans = plans_of(random)
    if objects:
        for plan in plans:
            plan.models = all_models() if tables else models()
            plan.divisions = {OBJECTS: ObjectsDivision()}
            if tables:
                plan.divisions[TABLES] = TableDivision()
            plan.wall_shift_ms //= 4
    make, calls = (ObjectCluster, ObjectCalls) if objects else (SimCluster, Registers)
    if tables:
        make, calls = TogetherCluster, TogetherCalls
    cluster = make(seed, plans, keep_trace=keep_trace)
    cuts = random.choice(([], [b"\x60"], [b"\x40", b"\xa0"]))
    keyspaces: dict[int, list[bytes]] = {SYSTEM: []} if objects else {}
    keyspaces[KEYSPACE] = cuts
    if tables:
        keyspaces[TABLES] = TABLE_CUTS
    cluster.create_partitions(keyspaces)
    workload = calls(
        cluster,
        clients=random.choice((2, 3) if objects else (2, 4, 6)),
        keys=random.choice((3, 6)),
        think_s=random.choice((0.2, 0.5) if objects else (0.02, 0.08, 0.3)),
    )
    result = Result(seed)
    gc.disable()
    try:
        cluster.run(_story(cluster, workload, result, kinds))
        if not result.problems:
            result.problems += workload.problems()
            result.problems += acknowledged_alone(cluster, workload)
    except Deadlock:
        result.problems.append("nothing would ever happen again")
    except Livelock:
        result.problems.append("messages without end")
    finally:
        result.problems += cluster.loop.defects + cluster.defects
        result.calls = len(workload.calls)
        result.unknown = sum(c.applied is None for c in workload.calls)
        result.refused = sum(c.applied is False for c in workload.calls)
        result.frames, result.steps = cluster.network.frames, cluster.loop.steps
        result.simulated_s, result.digest = cluster.loop.now, cluster.digest
        result.lines = list(cluster.lines)
        cluster.discard()
        gc.enable()
    result.cpu_s = time.process_time() - started
    return result


def beyond_design(cluster: SimCluster, faults: Faults) -> bool:
    """Whether the last good copy of a partition lay on the disk that rotted."""
    rotten = faults.rotten.node_id
    for descriptor in cluster.descriptors():
        replica = cluster.replica(rotten, descriptor.partition_id)
        if descriptor.in_sync == [rotten] and replica is not None and replica.damaged:
            return True
    return False


def splits_too(seed: int, kinds: list[str] | None) -> bool:
    """Half of all seeds; with kinds of fault given, when "split" is among them."""
    return Random(f"{seed}/plan of splits").random() < 0.5 if kinds is None else "split" in kinds


def merges_too(seed: int, kinds: list[str] | None) -> bool:
    """Half of the seeds that split; with kinds given, when "merge" is among them."""
    return Random(f"{seed}/plan of merges").random() < 0.5 if kinds is None else "merge" in kinds


async def _story(
    cluster: SimCluster, workload: Registers, result: Result, kinds: list[str] | None
) -> None:
    for node in cluster.nodes:
        node.boot()
    await workload.prepare()
    loading = cluster.loop.create_task(workload.run())
    if not await cluster.until(lambda: converged(cluster), WHOLE_WITHIN_S):
        result.problems.append("the cluster did not come up")
    faults = Faults(cluster, duration_s=workload.faults_s, kinds=kinds)
    result.kinds = faults.kinds
    workload.watch(faults)
    splits = Splits(cluster, ends_at=faults.ends_at, merging=merges_too(result.seed, kinds))
    splitting = cluster.loop.create_task(splits.run()) if splits_too(result.seed, kinds) else None
    await faults.run()
    if splitting is not None:
        await splitting
        result.splits, result.merges = splits.count, splits.merges
    result.faults = faults.count
    faults.heal()
    stuck = await workload.progress(PROGRESS_WITHIN_S)
    workload.stopping = True
    await loading
    if beyond_design(cluster, faults):
        result.beyond_design = True
        return
    result.problems += stuck
    if not await cluster.until(lambda: converged(cluster), WHOLE_WITHIN_S):
        result.problems.append(f"not every replica is in sync {WHOLE_WITHIN_S} s after the faults")
        return
    result.problems += await workload.judge_whole(faults)
    result.problems += await workload.read_everything()
    await cluster.until(lambda: converged(cluster), WHOLE_WITHIN_S)  # leadership may have moved
    result.problems += differences(cluster)
    result.collected = workload.collected
