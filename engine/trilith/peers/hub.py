"""All links of one node: keeps a control and a bulk link to every known peer, sends and dispatches.

Of each pair of nodes the one with the smaller id dials. A new link for the same peer and channel
replaces the old one (the peer restarted, or its end broke first). A bulk link is dialed behind a
control link to the same process, and ends with it: only the control link is never idle, so only it
tells when the peer has let go. Messages sent while there is no link are dropped: every protocol
above repeats what matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from trilith.errors import InternalError, PeerUnreachable, TrilithError
from trilith.peers.calls import Answer, PendingCalls, Request, decode, encode, error_answer
from trilith.peers.handshake import BULK, CONTROL
from trilith.peers.link import Identity, Link
from trilith.runtime.network import Buffer, Connection, FrameHandler, Listener
from trilith.runtime.ports import Runtime
from trilith.undecodable import UNDECODABLE

CallHandler = Callable[[str, bytes, memoryview], Awaitable[tuple[bytes, Buffer]]]
Log = Callable[..., None]

DIAL_TIMEOUT_S = 2.0
# Who dials proves itself at once; whoever does not is a stranger, or was cut off meanwhile.
PROOF_TIMEOUT_S = 5.0
UNPROVEN_MAX = 256
REDIAL_DELAY_S_MIN = 0.05
REDIAL_DELAY_S_MAX = 1.0
CONTROL_FRAME_BYTES_MAX = 16 * 1024 * 1024  # what more is sent in one tick makes several frames
UNSENT_CONTROL_BYTES_MAX = (
    256 * 1024 * 1024
)  # a peer this far behind is cut off and caught up later


class _ReplacedLink(ConnectionError):
    """By a newer one, and the other channel's link is perhaps as new."""


class PeerHub:
    """`peers.ports.Peers`, and the control messages of replication and routing."""

    def __init__(self, runtime: Runtime, identity: Identity, message_types: Any, log: Log) -> None:
        """`message_types`: the union of Structs that travel on control links."""
        self.node_id = identity.node_id
        self._runtime = runtime
        self._identity = identity
        self._log = log
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[message_types])
        self._links: dict[tuple[str, str], Link] = {}
        self._dialers: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._unproven: dict[Link, asyncio.TimerHandle] = {}  # accepted; the oldest first
        self._addresses: dict[str, str] = {}
        self._outboxes: dict[str, list[msgspec.Struct]] = {}
        self._flush_scheduled = False
        self._message_handlers: dict[type, Callable[[str, Any], None]] = {}
        self._call_handlers: dict[str, CallHandler] = {}
        self._pending: dict[str, PendingCalls] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._up_listeners: list[Callable[[str], None]] = []
        self._down_listeners: list[Callable[[str], None]] = []
        self._open = False
        self._closed = False

    # set-up

    async def listen(self, address: str) -> str:
        """Take the port; returns host:port. Peers are let in from the first `set_addresses` on."""
        self._listener = await self._runtime.network.listen(address, self._accept)
        return self._listener.address

    def on_message(self, message_type: type, handler: Callable[[str, Any], None]) -> None:
        """`handler(peer_id, message)` is called on the loop for each message of the type."""
        self._message_handlers[message_type] = handler

    def on_up(self, listener: Callable[[str], None]) -> None:
        """Told whenever a control link to a peer becomes ready."""
        self._up_listeners.append(listener)

    def on_down(self, listener: Callable[[str], None]) -> None:
        self._down_listeners.append(listener)

    def serve(self, method: str, handler: CallHandler) -> None:
        self._call_handlers[method] = handler

    def set_addresses(self, addresses: dict[str, str]) -> None:
        """The peers to keep links with: node id -> host:port. This node's own entry is ignored.

        Call it once every handler is registered: from here on messages arrive.
        """
        self._open = True
        self._addresses = {k: v for k, v in addresses.items() if k != self.node_id}
        for peer_id in self._addresses:
            if self.node_id < peer_id:
                self._dial_soon(peer_id, CONTROL)

    async def close(self) -> None:
        self._closed = True
        if self._listener is not None:
            await self._listener.close()
        for task in (*self._dialers.values(), *self._serving):
            task.cancel()
        for link in [*self._links.values(), *self._unproven]:
            link.close()

    # links

    @property
    def process_number(self) -> int:
        """32 bits that are another number in every process of this node."""
        return int.from_bytes(self._identity.session[:4])

    @property
    def peers(self) -> list[str]:
        """The nodes that links are kept with, in order."""
        return sorted(self._addresses)

    def is_reachable(self, node_id: str) -> bool:
        return node_id == self.node_id or (node_id, CONTROL) in self._links

    def drop(self, peer_id: str, reason: str) -> None:
        """Close the links to a peer that fell silent; they are dialed anew."""
        for channel in (CONTROL, BULK):
            link = self._links.get((peer_id, channel))
            if link is not None:
                link.close(ConnectionError(reason))

    def _accept(self, connection: Connection) -> FrameHandler:
        link = Link(
            connection,
            self._identity,
            self._runtime.entropy,
            dial=None,
            on_ready=self._link_ready,
            on_lost=self._link_lost,
        )
        loop = asyncio.get_running_loop()
        if not self._open or self._closed:
            loop.call_soon(link.close)  # the peer dials again
            return link
        if len(self._unproven) >= UNPROVEN_MAX:
            self._refuse_stranger(next(iter(self._unproven)))
        self._unproven[link] = loop.call_later(PROOF_TIMEOUT_S, self._refuse_stranger, link)
        return link

    def _refuse_stranger(self, link: Link) -> None:
        link.close(ConnectionError("it did not prove itself"))

    def _settled(self, link: Link) -> None:
        timer = self._unproven.pop(link, None)
        if timer is not None:
            timer.cancel()

    def _dial_soon(self, peer_id: str, channel: str) -> None:
        key = (peer_id, channel)
        if self._closed or key in self._dialers or key in self._links:
            return
        task = asyncio.get_running_loop().create_task(self._dial_until_up(peer_id, channel))
        self._dialers[key] = task

    async def _dial_until_up(self, peer_id: str, channel: str) -> None:
        delay_s = REDIAL_DELAY_S_MIN
        key = (peer_id, channel)
        try:
            while key not in self._links and self._may_dial(peer_id, channel):
                # A peer that is down or unreachable is no error: `is_reachable` says so.
                with suppress(OSError, TimeoutError):
                    await self._dial_once(peer_id, channel)
                if key not in self._links:
                    await asyncio.sleep(delay_s * self._runtime.entropy.uniform(0.5, 1.5))
                    delay_s = min(delay_s * 2, REDIAL_DELAY_S_MAX)
        finally:
            # In the same step as the last look at the links: one that is lost from here on must
            # find no dialer, and start its own.
            del self._dialers[key]

    def _may_dial(self, peer_id: str, channel: str) -> bool:
        known = peer_id in self._addresses
        return known and (channel == CONTROL or (peer_id, CONTROL) in self._links)

    async def _dial_once(self, peer_id: str, channel: str) -> None:
        """One attempt; returns when the handshake is over, either way."""
        settled = asyncio.Event()

        def ready(link: Link) -> None:
            self._link_ready(link)
            settled.set()

        def lost(link: Link, error: Exception | None) -> None:
            self._link_lost(link, error)
            settled.set()

        def make(connection: Connection) -> FrameHandler:
            return Link(
                connection,
                self._identity,
                self._runtime.entropy,
                dial=(peer_id, channel),
                on_ready=ready,
                on_lost=lost,
            )

        connection = await self._runtime.network.connect(
            self._addresses[peer_id], make, timeout_s=DIAL_TIMEOUT_S, bulk=channel == BULK
        )
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await settled.wait()
        except TimeoutError:
            connection.close()
            raise

    def _link_ready(self, link: Link) -> None:
        self._settled(link)
        key = (link.peer_id, link.channel)
        if link.channel == BULK and link.dialed and not self._has_control_beside(link):
            link.close(ConnectionError("the control link broke meanwhile"))
            return
        old = self._links.get(key)
        if old is not None and old is not link:
            old.close(_ReplacedLink("replaced by a newer link"))
        self._links[key] = link
        if link.channel == CONTROL:
            bulk = self._links.get((link.peer_id, BULK))
            if bulk is not None and bulk.peer_session != link.peer_session:
                bulk.close(ConnectionError("the peer has restarted"))
            if link.dialed:
                self._dial_soon(link.peer_id, BULK)
            self._outboxes[link.peer_id] = []
            link.on_frame = partial(self._control_frame, link)
            self._log("peer_up", peer=link.peer_id)
            for listener in self._up_listeners:
                listener(link.peer_id)
        else:
            pending = self._pending[link.peer_id] = PendingCalls()
            link.on_frame = partial(self._bulk_frame, link, pending)

    def _has_control_beside(self, bulk: Link) -> bool:
        """A control link to the very process that the bulk link has reached."""
        control = self._links.get((bulk.peer_id, CONTROL))
        return control is not None and control.peer_session == bulk.peer_session

    def _link_lost(self, link: Link, error: Exception | None) -> None:
        self._settled(link)
        key = (link.peer_id, link.channel)
        if self._links.get(key) is not link:
            return
        del self._links[key]
        if link.channel == CONTROL:
            self._outboxes.pop(link.peer_id, None)
            self._log("peer_down", peer=link.peer_id, reason=str(error or "closed"))
            for listener in self._down_listeners:
                listener(link.peer_id)
            bulk = self._links.get((link.peer_id, BULK))
            if bulk is not None and not isinstance(error, _ReplacedLink):
                bulk.close(ConnectionError("the control link broke"))
        else:
            pending = self._pending.pop(link.peer_id, None)
            if pending is not None:
                pending.fail_all(link.peer_id)
        if self.node_id < link.peer_id and link.peer_id in self._addresses:
            self._dial_soon(link.peer_id, link.channel)

    # control messages

    def send(self, peer_id: str, message: msgspec.Struct) -> bool:
        """Queue a message; those of one loop tick leave as one frame. False: there is no link."""
        outbox = self._outboxes.get(peer_id)
        if outbox is None:
            return False
        outbox.append(message)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)
        return True

    def _flush(self) -> None:
        self._flush_scheduled = False
        for peer_id, outbox in list(self._outboxes.items()):
            if not outbox:
                continue
            self._outboxes[peer_id] = []
            link = self._links[(peer_id, CONTROL)]
            if link.connection.unsent_bytes > UNSENT_CONTROL_BYTES_MAX:
                link.close(ConnectionError("the peer does not read"))
                continue
            self._send_frames(link.connection, outbox)

    def _send_frames(self, connection: Connection, messages: list[msgspec.Struct]) -> None:
        """In their order; in halves when they are too much for one frame."""
        frame = self._encoder.encode(messages)
        if len(frame) <= CONTROL_FRAME_BYTES_MAX or len(messages) == 1:
            connection.send([frame])
            return
        half = len(messages) // 2
        self._send_frames(connection, messages[:half])
        self._send_frames(connection, messages[half:])

    def _control_frame(self, link: Link, frame: memoryview) -> None:
        try:
            messages = self._decoder.decode(frame)
        except UNDECODABLE as error:
            link.close(ConnectionError(f"undecodable control frame: {error}"))
            return
        handlers = self._message_handlers
        peer_id = link.peer_id
        for message in messages:
            handlers[type(message)](peer_id, message)

    # calls with bodies

    async def call(
        self, node_id: str, method: str, header: bytes, body: Buffer = b"", *, deadline_s: float
    ) -> tuple[bytes, memoryview]:
        link = self._links.get((node_id, BULK))
        if link is None:
            raise PeerUnreachable(f"no link to node {node_id}", node=node_id)
        pending = self._pending[node_id]
        return await pending.call(link.connection.send, method, header, body, deadline_s)

    def _bulk_frame(self, link: Link, pending: PendingCalls, frame: memoryview) -> None:
        try:
            prefix, body = decode(frame)
        except Exception as error:  # noqa: BLE001 - any undecodable bytes end the link
            link.close(ConnectionError(f"undecodable bulk frame: {error}"))
            return
        if isinstance(prefix, Answer):
            pending.answered(prefix, body)
            return
        task = asyncio.get_running_loop().create_task(self._answer_call(link, prefix, body))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _unserved(
        self, peer_id: str, header: bytes, body: memoryview
    ) -> tuple[bytes, Buffer]:
        del peer_id, header, body
        raise InternalError(f"node {self.node_id} does not serve this method")

    async def _answer_call(self, link: Link, request: Request, body: memoryview) -> None:
        out: Buffer = b""
        try:
            handler = self._call_handlers.get(request.method, self._unserved)
            header, out = await handler(link.peer_id, request.header, body)
            answer = Answer(request.call_id, header)
        except TrilithError as error:
            answer = error_answer(request.call_id, error)
        except Exception as error:  # noqa: BLE001 - a defect must answer, and be logged, not hang the caller
            self._log("call_failed", method=request.method, error=repr(error), traceback=True)
            answer = error_answer(request.call_id, InternalError(f"{request.method}: {error!r}"))
        if link.ready:
            link.connection.send(encode(answer, out))
