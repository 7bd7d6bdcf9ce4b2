"""What nodes say to each other: frames, handshakes, control messages, calls."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from tests.fuzz.target import Choices, pieces_of, target

from trilith.cluster.forwarding import ModelCodec
from trilith.errors import InternalError, all_error_types, from_wire, to_wire
from trilith.node import auto_merge, partition_changes, read_heat
from trilith.objects.model import ObjectsModel, SystemModel
from trilith.peers import calls
from trilith.peers.handshake import CONTROL, Hello
from trilith.peers.hub import PeerHub
from trilith.peers.link import Identity, Link
from trilith.replication import positions, snapshot
from trilith.replication.messages import Message
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.tcp_network import _FramedConnection
from trilith.tables.key_ring import ItemKeys
from trilith.tables.model import DefinitionsModel, ItemsModel
from trilith.undecodable import UNDECODABLE
from trilith_native.crc import crc32c

LOOP = asyncio.new_event_loop()
IDENTITY = Identity("cluster", "b", b"s" * 32, b"session")
HELLO = msgspec.msgpack.encode(Hello(1, "cluster", "a", "b", CONTROL, b"s", b"n" * 16))
DEEP = b"\x91" * 2000


# Connections are asked what kind of socket they have.
SOCKET, _OTHER_END = socket.socketpair()


class Pipe(asyncio.Transport):
    """The transport of a connection whose other end is the input."""

    def __init__(self) -> None:
        super().__init__({"socket": SOCKET})
        self.aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def writelines(self, data: Any) -> None:
        pass


class Received:
    """A frame handler that keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lost: list[Exception | None] = []

    def frame_received(self, frame: memoryview) -> None:
        self.frames.append(bytes(frame))

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)


def receive(pieces: Sequence[bytes]) -> tuple[list[bytes], bool]:
    """The frames that come out, and whether the connection was cut."""
    received, pipe = Received(), Pipe()
    connection = _FramedConnection(lambda _: received)
    connection.connection_made(pipe)
    for piece in pieces:
        view = memoryview(piece)
        while view and not pipe.aborted:
            buffer = connection.get_buffer(len(view))
            assert buffer, "a transport cannot read into an empty buffer"
            count = min(len(buffer), len(view))
            buffer[:count] = view[:count]
            connection.buffer_updated(count)
            view = view[count:]
    assert len(received.lost) == pipe.aborted
    return received.frames, pipe.aborted


def framed(payload: bytes) -> bytes:
    return struct.pack("<II", len(payload), crc32c(payload)) + payload


@target(native=True, words=(framed(b""), framed(b"abc"), b"\xff\xff\xff\5"))
def peer_frames(data: bytes) -> None:
    """Any split of a stream gives the same frames; a damaged one is never handed on."""
    choices = Choices(data)
    stream, sent = b"", []
    for _ in range(choices.integer(0, 5)):
        payload = choices.blob(40)
        if choices.flag():
            payload *= 1 + choices.integer(0, 260_000) // (len(payload) + 1)
        sent.append(payload)
        stream += framed(payload)
    stream += choices.rest()
    whole = receive([stream] if stream else [])
    assert receive(list(pieces_of(stream))) == whole
    assert whole[0][: len(sent)] == sent


class Ports:
    """A connection that goes nowhere."""

    unsent_bytes = 0

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, buffers: Sequence[Any]) -> None:
        self.sent.append(b"".join(bytes(buffer) for buffer in buffers))

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@target(words=(HELLO, DEEP, b"\x91\xc4\x20" + b"p" * 32, b"\xa1\xff"))
def peer_handshake(data: bytes) -> None:
    """Nobody without the secret becomes ready, whatever they send; only the link ends."""
    choices = Choices(data)
    dialed = choices.flag()
    lost: list[Exception | None] = []
    ready: list[Link] = []
    connection = Ports()
    link = Link(
        connection,
        IDENTITY,
        SystemEntropy(),
        dial=("a", CONTROL) if dialed else None,
        on_ready=ready.append,
        on_lost=lambda _, error: lost.append(error),
    )
    if choices.flag():
        link.frame_received(memoryview(HELLO))
    while choices and not link.lost:
        link.frame_received(memoryview(choices.blob(4000)))
    assert not ready
    assert len(lost) <= 1
    assert not lost or connection.closed


def ready_link(channel: str) -> tuple[PeerHub, Link]:
    hub = PeerHub(
        Runtime(None, None, None, None, SystemEntropy()),  # type: ignore[arg-type]
        Identity("cluster", "z", b"s" * 32, b"session"),
        Message,
        lambda *_, **__: None,
    )
    connection = Ports()
    link = Link(
        connection,
        hub._identity,
        SystemEntropy(),
        dial=None,
        on_ready=hub._link_ready,
        on_lost=hub._link_lost,
    )
    link.peer_id, link.channel = "a", channel
    link._become_ready()
    return hub, link


@target(words=(DEEP, b"\x91\x93\xa1a\1\2", b"\xa1\xff", b"\xcf" + b"\xff" * 8))
def peer_control_frame(data: bytes) -> None:
    """Undecodable control messages end the link and nothing else."""
    hub, link = ready_link(CONTROL)
    taken: list[Any] = []
    for message_type in Message.__args__:
        hub.on_message(message_type, lambda _, message: taken.append(message))
    assert link.on_frame is not None
    link.on_frame(memoryview(data))
    if link.lost:
        assert not taken
    else:
        assert hub._decoder.decode(hub._encoder.encode(taken)) == taken


@target(
    words=(
        DEEP,
        b"\1\0\0\0",
        calls._encoder.encode(calls.Answer(1, b"", ("NotLeader", "no", {"leader": "a"}))),
        calls._encoder.encode(calls.Request(1, "chunk.put", b"")),
        b"\xa7message",
        b"\xa4self",
    )
)
def peer_call_frame(data: bytes) -> None:
    """Any frame of the bulk channel answers a call, asks one, or ends the link."""
    choices = Choices(data)
    framed_prefix = choices.flag()
    frame = choices.rest()
    if framed_prefix:
        frame = struct.pack("<I", len(frame)) + frame

    async def deliver() -> None:
        hub, link = ready_link("bulk")
        pending = hub._pending["a"]
        future = asyncio.get_running_loop().create_future()
        pending._futures[1] = future
        assert link.on_frame is not None
        link.on_frame(memoryview(frame))
        for task in list(hub._serving):
            await task
        assert link.ready or link.lost
        if future.done():
            future.exception()
        pending.fail_all("a")

    LOOP.run_until_complete(deliver())


@target(words=tuple(error.code.encode() for error in all_error_types()))
def peer_errors(data: bytes) -> None:
    """An error of another node, whatever it says, becomes one of ours."""
    choices = Choices(data)
    code = choices.text(30)
    details = {choices.text(12): choices.text(12) for _ in range(choices.integer(0, 3))}
    error = from_wire(code, choices.text(40), details)
    assert to_wire(error)[0] in (code, InternalError.code)
    assert error.details == details


CODECS = tuple(
    ModelCodec(model)
    for model in (
        ItemsModel(ItemKeys(b"k" * 32, SystemEntropy())),
        DefinitionsModel(),
        ObjectsModel(),
        SystemModel(),
    )
)
READERS = (
    *(one for codec in CODECS for one in (codec.command, codec.query, codec.result)),
    snapshot._pieces.decode,
    positions._questions.decode,
    positions._positions.decode,
    read_heat._told.decode,
    partition_changes._changes.decode,
    auto_merge._ids.decode,
    auto_merge._seconds.decode,
)


@target(words=(DEEP, b"\x93\xa1a\xc4\x01k\x01", b"\xa1\xff", b"\xcf" + b"\xff" * 8))
def peer_call_bodies(data: bytes) -> None:
    """What a node says inside of a call is what was encoded, or one of msgspec's errors."""
    choices = Choices(data)
    decode = choices.pick(READERS)
    try:
        found = decode(choices.rest())
    except UNDECODABLE:
        return
    again = decode(msgspec.msgpack.encode(found))
    assert again == found or found != found  # no number is equal to itself but NaN
