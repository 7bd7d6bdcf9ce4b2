"""Clients of registers: writes, compare-and-sets, appends and reads, at any node.

Every call and what came of it is recorded; `problems` judges the record, apart from the code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from tests.linearizability.checker import Kind, Operation, explain
from tests.replication.register_model import Append, Read, Write
from tests.simulation.cluster import SimCluster
from tests.simulation.node import SimNode

from trilith.errors import Outcome, OutcomeUnknown, PreconditionFailed, TrilithError

if TYPE_CHECKING:
    from tests.simulation.faults import Faults

KEYSPACE = 2
PHASE_S = 3.0  # keys change with time, so that no key gathers too many unknown outcomes
CALL_PATIENCE_S = 15.0


@dataclass
class Call:
    """One call as its client saw it. `returned` infinite: the client never learned the outcome."""

    kind: Kind
    key: bytes
    where: str
    called: float
    value: bytes | None = None
    expected: bytes | None = None
    returned: float = inf
    seen: bytes | None = None
    holds: bool | None = None
    applied: bool | None = None  # False: told that it was not
    error: str = ""

    def operation(self) -> Operation:
        return Operation(
            self.kind,
            self.called,
            self.returned,
            value=self.value,
            expected=self.expected,
            seen=self.seen,
            holds=self.holds,
            who=self.where,
        )

    def __str__(self) -> str:
        told = {True: "yes", False: "no", None: "unknown"}[self.applied]
        return (
            f"{self.called:.6f}..{self.returned:.6f} {self.where} {self.kind.value} "
            f"{self.value!r} expected={self.expected!r} seen={self.seen!r} "
            f"holds={self.holds} applied={told}{self.error}"
        )


class Registers:
    """The workload of one run. Faults last for `faults_s`."""

    faults_s = 12.0
    collected = 0
    keyspace = KEYSPACE

    def __init__(self, cluster: SimCluster, *, clients: int, keys: int, think_s: float) -> None:
        self.cluster = cluster
        self.calls: list[Call] = []
        self.stopping = False
        self._clients = clients
        self._keys = keys
        self._think_s = think_s
        self._moments = 0

    def _moment(self) -> float:
        """Virtual time, made unique: calls at one instant keep their order."""
        self._moments += 1
        return self.cluster.loop.now + self._moments * 1e-9

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._client(n)) for n in range(self._clients)]
        await asyncio.gather(*tasks)

    async def _client(self, number: int) -> None:
        random = Random(f"{self.cluster.seed}/client{number}")
        last_seen: dict[bytes, bytes | None] = {}
        home = random.choice(self.cluster.nodes)
        count = 0
        while not self.stopping:
            await asyncio.sleep(random.expovariate(1 / self._think_s))
            node = home if random.random() < 0.5 else random.choice(self.cluster.nodes)
            if not node.booted:
                continue
            count += 1
            phase = int(self.cluster.loop.now / PHASE_S)
            slot = random.randrange(self._keys)
            key = bytes([37 * slot % 256]) + b"/%d/%d" % (phase, slot)
            call = self.draw(random, key, b"%d.%d " % (number, count), last_seen.get(key))
            call.where = node.node_id
            await self.perform(node, call)
            if call.returned != inf and call.applied and call.holds is not False:
                last_seen[call.key] = call.seen if call.kind is Kind.READ else call.value

    def draw(self, random: Random, key: bytes, unique: bytes, seen: bytes | None) -> Call:
        """The next call on a key. Every third key is appended to, the others are written."""
        appends = int(key.rpartition(b"/")[2]) % 3 == 2
        roll = random.random()
        if roll < 0.45:
            return Call(Kind.READ, key, "", 0.0)
        if appends:
            return Call(Kind.APPEND, key, "", 0.0, value=unique)
        if roll < 0.75 or seen is None:
            return Call(Kind.WRITE, key, "", 0.0, value=unique)
        return Call(Kind.COMPARE_AND_SET, key, "", 0.0, value=unique, expected=seen)

    def routing_key(self, call: Call) -> bytes:
        """What finds the partition of a call."""
        return call.key

    async def prepare(self) -> None:
        """What must be there before the first call."""

    async def progress(self, within_s: float) -> list[str]:
        """Whether each partition takes a write soon, now that nothing is wrong any more."""
        problems = []
        deadline = self.cluster.loop.now + within_s
        for descriptor in self.cluster.descriptors():
            key = descriptor.start_key + b"\0progress"
            node = self.cluster.nodes[0]
            while self.cluster.loop.now < deadline:
                if node.booted:
                    call = Call(Kind.WRITE, key, node.node_id, 0.0, value=b"on")
                    await self.perform(node, call)
                    if call.applied:
                        break
                await asyncio.sleep(0.1)
            else:
                problems.append(f"no write on {descriptor} within {within_s} s of the last fault")
        return problems

    async def perform(self, node: SimNode, call: Call) -> None:
        """Make a call at a node and record what came of it."""
        call.called = self._moment()
        self.calls.append(call)
        try:
            call.seen = await ask(node, self.work(node, call))
        except PreconditionFailed:
            call.returned, call.holds, call.applied = self._moment(), False, True
        except TrilithError as error:
            call.applied = False if error.outcome is Outcome.NOT_APPLIED else None
            call.error = f" {type(error).__name__}: {error}"
        else:
            call.returned, call.holds, call.applied = self._moment(), True, True
        self.cluster.trace(f"call {call.key!r} {call}")

    async def work(self, node: SimNode, call: Call) -> bytes | None:
        """The call itself, as the node's process; the value that it saw."""
        router = node.router
        if call.kind is Kind.READ:
            found = router.try_query(KEYSPACE, call.key, Read(call.key))
            if found is None:
                found = await router.query(KEYSPACE, call.key, Read(call.key))
        else:
            assert call.value is not None
            if call.kind is Kind.APPEND:
                command: Append | Write = Append(call.key, call.value)
            else:
                command = Write(call.key, call.value, expected=call.expected)
            found = await router.execute(KEYSPACE, call.key, command)
        value: bytes | None = found.value
        return value

    async def read_everything(self) -> list[str]:
        """Read each key at each node; says which reads failed."""
        failures = []
        for key in sorted({call.key for call in self.calls}):
            for node in self.cluster.nodes:
                call = Call(Kind.READ, key, node.node_id, 0.0)
                await self.perform(node, call)
                if not call.applied and not self.may_fail(call):
                    failures.append(f"{key!r} cannot be read at {node.node_id} after all faults")
        return failures

    def may_fail(self, call: Call) -> bool:
        """Whether what a read needs may be lost by design, and its error says just that."""
        return False

    def watch(self, faults: Faults) -> None:
        """Called before the first fault, to judge what happens from then on."""

    async def judge_whole(self, faults: Faults) -> list[str]:
        """What is wrong with a cluster in which every replica is in sync."""
        return []

    def problems(self) -> list[str]:
        """What no correct store could have answered."""
        found = []
        for key in sorted({call.key for call in self.calls}):
            calls = [c for c in self.calls if c.key == key and c.applied is not False]
            if explain(c.operation() for c in calls) is None:
                story = "\n    ".join(str(c) for c in self.calls if c.key == key)
                found.append(f"{key!r} is not linearizable:\n    {story}")
        return found


async def ask(node: SimNode, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a call at a node for a client outside. Raises OutcomeUnknown when the node dies."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()
    process = node.process

    def settle(task: asyncio.Task[Any]) -> None:
        if answer.done() or task.cancelled():
            return
        error = task.exception()
        if error is None:
            answer.set_result(task.result())
        else:
            answer.set_exception(error)

    task = node.spawn(work)
    task.add_done_callback(settle, context=node.cluster.unowned)
    node.waiting[answer] = None
    try:
        async with asyncio.timeout(CALL_PATIENCE_S):
            return await answer
    except TimeoutError:
        raise OutcomeUnknown(f"no answer from {process and process.name}") from None
    finally:
        node.waiting.pop(answer, None)
