"""Framed connections and what a stranger can make them do."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable

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
