"""Control links over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from trilith.peers import hub as hub_module
from trilith.peers.hub import PeerHub
from trilith.peers.link import Identity
from trilith.replication.messages import Append, Grant, Message
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.system_disk import SystemDisk
from trilith.runtime.tcp_network import FRAME_BYTES_MAX, TcpNetwork
from trilith.runtime.workers import ThreadWorkers

MIB = 1024 * 1024


class Pair:
    """Two hubs, and what the second was sent."""

    def __init__(self, root: Path) -> None:
        self.workers = ThreadWorkers(1)
        disk = SystemDisk(str(root))
        self.received: list[Append | Grant] = []
        self.lost_links: list[str] = []
        entropy = SystemEntropy()
        runtime = Runtime(SystemClock(), disk, TcpNetwork(), self.workers, entropy)
        self.hubs = [
            PeerHub(
                runtime,
                Identity("test", name, b"s" * 32, entropy.token_bytes(8)),
                Message,
                lambda *_, **__: None,
            )
            for name in ("a", "b")
        ]

    async def start(self) -> None:
        first, second = self.hubs
        addresses = {hub.node_id: await hub.listen("127.0.0.1:0") for hub in self.hubs}
        self.addresses = addresses
        second.on_message(Append, lambda _, message: self.received.append(message))
        second.on_message(Grant, lambda _, message: self.received.append(message))
        second.on_down(self.lost_links.append)
        for hub in self.hubs:
            hub.set_addresses(addresses)
        async with asyncio.timeout(10):
            while not (first.is_reachable("b") and second.is_reachable("a")):
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for hub in self.hubs:
            await hub.close()
        self.workers.close()


def test_messages_of_one_tick_that_no_frame_can_hold_arrive_in_their_order(tmp_path: Path) -> None:
    """What many partitions send at once to a node that comes back; a revocation is among it."""
    count = FRAME_BYTES_MAX // MIB + 4
    sent = [Append(n, 1, 0, 0, 0, [(1, bytes(MIB))]) for n in range(count)]

    async def main() -> None:
        pair = Pair(tmp_path)
        await pair.start()
        try:
            first = pair.hubs[0]
            for message in sent:
                first.send("b", message)
            first.send("b", Grant(count, 1, granted=False))
            async with asyncio.timeout(30):
                while len(pair.received) <= count and not pair.lost_links:
                    await asyncio.sleep(0.01)
            assert [message.partition_id for message in pair.received] == [*range(count + 1)]
            assert pair.lost_links == []
        finally:
            await pair.stop()

    asyncio.run(main())


def test_strangers_at_the_peer_port_are_bounded_in_number_and_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kept its connection for as long as it liked, and there was no end to them."""
    monkeypatch.setattr(hub_module, "UNPROVEN_MAX", 3)
    monkeypatch.setattr(hub_module, "PROOF_TIMEOUT_S", 0.2)

    async def main() -> None:
        pair = Pair(tmp_path)
        await pair.start()
        host, _, port = pair.addresses["b"].rpartition(":")
        strangers = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
        strangers[0][1].write(bytes(100))  # and one that is not even a frame
        try:
            async with asyncio.timeout(10):
                for reader, _ in strangers:
                    with suppress(ConnectionResetError):
                        assert await reader.read() == b""
            assert pair.hubs[0].is_reachable("b")
            assert pair.lost_links == []
        finally:
            for _, writer in strangers:
                writer.close()
            await pair.stop()

    asyncio.run(main())


def test_one_more_stranger_than_may_be_there_takes_the_place_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "UNPROVEN_MAX", 3)
    monkeypatch.setattr(hub_module, "PROOF_TIMEOUT_S", 600.0)

    async def main() -> None:
        pair = Pair(tmp_path)
        await pair.start()
        host, _, port = pair.addresses["b"].rpartition(":")
        strangers = [await asyncio.open_connection(host, int(port)) for _ in range(4)]
        try:
            async with asyncio.timeout(10):
                with suppress(ConnectionResetError):
                    assert await strangers[0][0].read() == b""
            assert len(pair.hubs[1]._unproven) == 3
        finally:
            for _, writer in strangers:
                writer.close()
            await pair.stop()

    asyncio.run(main())
