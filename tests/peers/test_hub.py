"""Control links over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
