"""Framed connections and what a stranger can make them do."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
import uvloop

from trilith.runtime.network import Connection
from trilith.runtime.tcp_network import FRAME_BYTES_MAX, TcpNetwork

STRANGERS = 8
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Silent:
    def frame_received(self, frame: memoryview) -> None:
        raise AssertionError("no frame was ever whole")

    def connection_lost(self, error: Exception | None) -> None:
        pass


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as status:
        return int(status.read().split()[1]) * PAGE_BYTES


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_a_length_field_takes_no_memory_before_its_bytes_arrive() -> None:
    """Eight bytes of a stranger, before any handshake, took 96 MiB each."""

    async def body() -> None:
        accepted: list[Connection] = []

        def accept(connection: Connection) -> Silent:
            accepted.append(connection)
            return Silent()

        listener = await TcpNetwork().listen("127.0.0.1:0", accept)
        host, _, port = listener.address.rpartition(":")
        before = resident_bytes()
        writers = []
        for _ in range(STRANGERS):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(struct.pack("<II", FRAME_BYTES_MAX, 0))
            writers.append(writer)
        await until(lambda: len(accepted) == STRANGERS)
        await until(lambda: all(one._large is not None for one in accepted))  # type: ignore[attr-defined]
        assert resident_bytes() - before < 32 << 20
        for writer in writers:
            writer.close()
        await listener.close()

    asyncio.run(body())


class Kept:
    """Collects what arrives."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.is_lost = False

    def frame_received(self, frame: memoryview) -> None:
        self.frames.append(bytes(frame))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True


def family_of(connection: Connection) -> int:
    transport = connection._transport  # type: ignore[attr-defined]
    return int(transport.get_extra_info("socket").family)


@pytest.mark.parametrize("bulk", [False, True])
def test_frames_go_over_a_unix_socket_within_a_machine_but_for_bulk(bulk: bool) -> None:
    async def body() -> None:
        here, there = Kept(), Kept()
        accepted: list[Connection] = []

        def accept(connection: Connection) -> Kept:
            accepted.append(connection)
            return there

        network = TcpNetwork()
        listener = await network.listen("127.0.0.1:0", accept)
        connection = await network.connect(listener.address, lambda _: here, timeout_s=5, bulk=bulk)
        assert family_of(connection) == (socket.AF_INET if bulk else socket.AF_UNIX)
        frames = [b"", b"one", os.urandom(700_000), b"two"]
        for frame in frames:
            connection.send([frame[:2], frame[2:]])
        await until(lambda: there.frames == frames)
        accepted[0].send([b"back"])
        await until(lambda: here.frames == [b"back"])
        connection.close()
        await until(lambda: there.is_lost)
        await listener.close()

    uvloop.run(body())


def test_a_port_without_a_unix_socket_is_reached_by_tcp() -> None:
    """A proxy's, or that of a node whose name for it was taken."""

    async def body() -> None:
        there = Kept()
        network = TcpNetwork()
        listener = await network.listen("0.0.0.0:0", lambda _: there)
        address = "127.0.0.1:" + listener.address.rpartition(":")[2]
        connection = await network.connect(address, lambda _: Kept(), timeout_s=5, bulk=False)
        assert family_of(connection) == socket.AF_INET
        connection.send([b"frame"])
        await until(lambda: there.frames == [b"frame"])
        connection.close()
        await listener.close()

    uvloop.run(body())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connection_that_ends_at_once_closes_its_descriptor_once(
    run: Callable[..., None],
) -> None:
    """The second time it was another file's: a journal that no longer heard of its syncs."""

    class Leaving(Silent):
        def __init__(self, connection: Connection) -> None:
            connection.close()

    async def body() -> None:
        network = TcpNetwork()
        listener = await network.listen("127.0.0.1:0", lambda _: Silent())
        others: list[int] = []
        for _ in range(20):
            with suppress(OSError, RuntimeError):
                await network.connect(listener.address, Leaving, timeout_s=5, bulk=False)
            await asyncio.sleep(0)  # the loop lets go of the descriptor
            others += os.pipe()
        gc.collect()
        for descriptor in others:
            os.fstat(descriptor)
            os.close(descriptor)
        await listener.close()

    run(body())
