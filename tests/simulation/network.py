"""A network of streams with delays, cuts in one direction, resets and half-open connections.

Within a connection frames arrive whole and in order, or the connection is lost: what TCP gives.
A cut link holds frames back, as retransmission does, until it heals or the sender's kernel gives
up; the other end learns of that only when it sends. What is sent to a process that is gone is
answered with a reset, but a machine without power says nothing at all until it runs again.
"""

from __future__ import annotations

import asyncio
import errno
import os
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from random import Random

from tests.simulation.loop import Process, SimLoop

from trilith.runtime.network import Buffer, Connection, FrameHandler

Trace = Callable[[str], None]


class Link:
    """One direction between two machines."""

    __slots__ = ("blocked", "bytes_per_s", "cut", "delay_s", "jitter_s")

    def __init__(self) -> None:
        self.cut = False
        self.delay_s = 0.0003
        self.jitter_s = 0.0004
        self.bytes_per_s = 1e9
        self.blocked: list[Endpoint] = []  # their next frame waits for the cut to heal


class Endpoint:
    """One end of a connection; implements `Connection` for its owner."""

    __slots__ = (
        "_arrivals",
        "_blocked",
        "_closed",
        "_last_arrival",
        "_network",
        "_reading",
        "_unread",
        "handler",
        "local",
        "peer",
        "process",
        "remote",
        "unsent_bytes",
    )

    def __init__(self, network: SimNetwork, process: Process, local: str, remote: str) -> None:
        self._network = network
        self.process = process
        self.local = local
        self.remote = remote
        self.handler: FrameHandler | None = None
        self.peer: Endpoint | None = None
        self.unsent_bytes = 0
        self._closed = False
        self._blocked = False
        self._last_arrival = 0.0
        self._arrivals: deque[tuple[float, bytes]] = deque()  # sent by this end, under way
        self._reading = True
        self._unread: list[memoryview] = []

    # the port

    def send(self, buffers: Sequence[Buffer]) -> None:
        if self._closed or not self.process.alive:
            return
        network = self._network
        link = network.link(self.local, self.remote)
        frame = b"".join(buffers)
        self.unsent_bytes += len(frame)
        now = max(network.loop.now, self.process.paused_until)
        transit_s = network.transit_s(link) + len(frame) / link.bytes_per_s
        self._last_arrival = max(now + transit_s, self._last_arrival)
        self._arrivals.append((self._last_arrival, frame))
        if len(self._arrivals) == 1:
            self._pump_at(self._last_arrival)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        unread, self._unread = self._unread, []
        for frame in unread:
            if self.handler is not None:
                self.handler.frame_received(frame)

    def close(self) -> None:
        """As abort: what is under way may be lost, and the other end is told if it can be."""
        if self._closed:
            return
        self._shut()
        if self.process.alive:
            self._network.loop.call_soon(self._tell_lost, None, context=self.process.context)
        self._network.send_reset(self)

    # delivery

    def _pump_at(self, when: float) -> None:
        assert self.peer is not None
        receiver = self.peer.process
        # The kernel answers for a process that is gone.
        context = receiver.context if receiver.alive else self._network.unowned
        self._network.loop.call_at(when, self._pump, context=context)

    def pump_again(self) -> None:
        """The receiver's process has died, and with it the timer of what is under way."""
        if self._arrivals and not self._blocked:
            self._pump_at(max(self._network.loop.now, self._arrivals[0][0]))

    def _pump(self) -> None:
        """The oldest frame under way arrives; runs as the receiver."""
        if not self._arrivals or self.peer is None or self._blocked:
            return
        network = self._network
        blocked_at = network.blocked_at(self.peer)
        if blocked_at is not None:
            self._blocked = True
            blocked_at.append(self)
            network.give_up_later(self)
            return
        _, frame = self._arrivals.popleft()
        self.unsent_bytes -= len(frame)
        if self._arrivals:
            self._pump_at(max(network.loop.now, self._arrivals[0][0]))
        self.peer._arrived(frame)

    def unblock(self, delay_s: float) -> None:
        if self._blocked:
            self._blocked = False
            self._last_arrival = max(self._last_arrival, self._network.loop.now + delay_s)
            self._pump_at(self._network.loop.now + delay_s)

    @property
    def blocked(self) -> bool:
        return self._blocked

    def _arrived(self, frame: bytes) -> None:
        if self._closed:
            self._network.send_reset(self)  # nobody is here any more
            return
        self._network.frames += 1
        self._network.trace(f"frame {self.remote}>{self.local} {len(frame)} {zlib.crc32(frame):x}")
        if not self._reading:
            self._unread.append(memoryview(frame))
        elif self.handler is not None:
            self.handler.frame_received(memoryview(frame))

    # the end

    def _shut(self) -> None:
        self._closed = True
        self._network.endpoints.pop(self, None)

    @property
    def closed(self) -> bool:
        return self._closed

    def _tell_lost(self, error: Exception | None) -> None:
        handler, self.handler = self.handler, None
        if handler is not None:
            handler.connection_lost(error)

    def lose(self, code: int) -> None:
        """The kernel reports the connection dead to this end."""
        if self._closed:
            return
        self._shut()
        self._drop_arrivals()
        self._tell_lost(OSError(code, os.strerror(code)))

    def _drop_arrivals(self) -> None:
        self._arrivals.clear()
        self.unsent_bytes = 0

    def lose_at(self, when: float, code: int) -> None:
        self._network.loop.call_at(when, self.lose, code, context=self.process.context)

    def vanish(self) -> None:
        """The machine lost its power, and retransmits nothing any more."""
        self._shut()
        if self._blocked:
            self._drop_arrivals()


class _Listener:
    def __init__(self, network: SimNetwork, address: str) -> None:
        self._network = network
        self.address = address

    async def close(self) -> None:
        self._network.listeners.pop(self.address, None)


Accept = Callable[[Connection], FrameHandler]


class SimNetwork:
    """All machines' network. `port(process, machine)` is what a node is given."""

    def __init__(self, loop: SimLoop, random: Random, trace: Trace) -> None:
        self.loop = loop
        self.trace = trace
        self.frames = 0
        self.listeners: dict[str, tuple[Process, Accept]] = {}
        self.endpoints: dict[Endpoint, None] = {}
        self._random = random
        self._links: dict[tuple[str, str], Link] = {}
        self._dark: dict[str, list[Endpoint]] = {}  # machines without power, and who sends to them
        self.unowned = Context()

    def link(self, source: str, target: str) -> Link:
        found = self._links.get((source, target))
        if found is None:
            found = self._links[source, target] = Link()
        return found

    def transit_s(self, link: Link) -> float:
        return link.delay_s + self._random.random() * link.jitter_s

    def blocked_at(self, receiver: Endpoint) -> list[Endpoint] | None:
        """Where its sender waits, whose next frame it cannot be given; None: it can.

        One that is closed takes none, but answers, which a cut the other way would keep back.
        """
        there = self.link(receiver.remote, receiver.local)
        if there.cut:
            return there.blocked
        if not receiver.closed:
            return None
        if receiver.local in self._dark:
            return self._dark[receiver.local]
        back = self.link(receiver.local, receiver.remote)
        return back.blocked if back.cut else None

    def port(self, process: Process, machine: str) -> NodeNetwork:
        """What a process that starts on the machine is given; so the machine has power."""
        self._unblock(self._dark.pop(machine, []))
        return NodeNetwork(self, process, machine)

    # faults

    def cut(self, source: str, target: str) -> None:
        self.link(source, target).cut = True

    def heal(self, source: str, target: str) -> None:
        link = self.link(source, target)
        link.cut = False
        blocked, link.blocked = link.blocked, []
        self._unblock(blocked)

    def _unblock(self, blocked: list[Endpoint]) -> None:
        for endpoint in blocked:  # retransmitted with its own back-off
            endpoint.unblock(self._random.uniform(0.0, 0.3))

    def reset_between(self, one: str, other: str) -> None:
        """A middlebox forgets the connections; each end learns of it in its own time."""
        for endpoint in list(self.endpoints):
            if {endpoint.local, endpoint.remote} == {one, other}:
                endpoint.lose_at(self.loop.now + self._random.uniform(0, 0.05), errno.ECONNRESET)

    def process_died(self, process: Process) -> None:
        """The kernel closes what the process had open."""
        for address, (owner, _) in list(self.listeners.items()):
            if owner is process:
                del self.listeners[address]
        for endpoint in list(self.endpoints):
            if endpoint.process is process:
                endpoint.close()
                if endpoint.peer is not None:
                    endpoint.peer.pump_again()

    def power_lost(self, process: Process, machine: str) -> None:
        """What its peers have idle they lose by their keepalives."""
        self._dark.setdefault(machine, [])
        for address, (owner, _) in list(self.listeners.items()):
            if owner is process:
                del self.listeners[address]
        for endpoint in list(self.endpoints):
            if endpoint.process is process:
                endpoint.vanish()
                if endpoint.peer is not None:
                    endpoint.peer.pump_again()
                    endpoint.peer.lose_at(
                        self.loop.now + self._random.uniform(3.0, 15.0), errno.ETIMEDOUT
                    )

    def give_up_later(self, endpoint: Endpoint) -> None:
        """Retransmission ends at some time: only the sender learns of it."""
        patience_s = self._random.uniform(3.0, 20.0)

        def give_up() -> None:
            if endpoint.blocked:
                endpoint.lose(errno.ETIMEDOUT)

        self.loop.call_later(patience_s, give_up, context=endpoint.process.context)

    def send_reset(self, endpoint: Endpoint) -> None:
        peer = endpoint.peer
        if peer is None or peer.closed:
            return
        link = self.link(endpoint.local, endpoint.remote)
        if link.cut:
            return  # sent once, lost: the other end is half-open now
        if self._random.random() < 0.5:
            endpoint._drop_arrivals()
        when = max(self.loop.now + self.transit_s(link), endpoint._last_arrival)
        peer.lose_at(when, errno.ECONNRESET)

    # connecting

    def open(
        self, process: Process, source: str, address: str, make_handler: Accept
    ) -> asyncio.Future[Connection]:
        future: asyncio.Future[Connection] = self.loop.create_future()
        target = address.partition(":")[0]
        there, back = self.link(source, target), self.link(target, source)

        def refuse() -> None:
            if not future.done():
                future.set_exception(ConnectionRefusedError(errno.ECONNREFUSED, address))

        def opened(near: Endpoint) -> None:
            if future.done():
                near.close()  # its caller gave up
                return
            near.handler = make_handler(near)
            future.set_result(near)
            if near.closed:  # reset before its owner looked
                error = ConnectionResetError(errno.ECONNRESET, "reset")
                self.loop.call_soon(near._tell_lost, error, context=process.context)

        def arrived() -> None:
            if there.cut or target in self._dark:
                return
            listener = self.listeners.get(address)
            moment = self.loop.now + self.transit_s(back)
            if listener is None or not listener[0].alive:
                if not back.cut:
                    self.loop.call_at(moment, refuse, context=process.context)
                return
            owner, accept = listener
            near = Endpoint(self, process, source, target)
            far = Endpoint(self, owner, target, source)
            near.peer, far.peer = far, near
            self.endpoints[near] = self.endpoints[far] = None

            def accepted() -> None:
                far.handler = accept(far)

            self.loop.call_soon(accepted, context=owner.context)
            if not back.cut:
                self.loop.call_at(moment, opened, near, context=process.context)

        self.loop.call_at(self.loop.now + self.transit_s(there), arrived, context=self.unowned)
        return future


class NodeNetwork:
    """Implements `Network` for one process."""

    def __init__(self, network: SimNetwork, process: Process, machine: str) -> None:
        self._network = network
        self._process = process
        self._machine = machine

    async def listen(self, address: str, accept: Accept) -> _Listener:
        self._network.listeners[address] = (self._process, accept)
        return _Listener(self._network, address)

    async def connect(
        self, address: str, make_handler: Accept, *, timeout_s: float, bulk: bool
    ) -> Connection:
        del bulk
        async with asyncio.timeout(timeout_s):
            return await self._network.open(self._process, self._machine, address, make_handler)
