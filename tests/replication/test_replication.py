"""Replication over real sockets and files: agreement, takeover, rejoin, retries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.replication.local_cluster import KEYSPACE, LocalCluster, eventually
from tests.replication.register_model import Append, Pairs, Read, Scan, Value, Write

from trilith.cluster.router import QUERY_ATTEMPT_S
from trilith.errors import PreconditionFailed
from trilith.replication import leader


def run(tmp_path: Path, story: Callable[[LocalCluster], Awaitable[None]]) -> None:
    async def main() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        try:
            async with asyncio.timeout(60):
                await story(cluster)
        finally:
            await cluster.stop()

    asyncio.run(main())


def test_a_write_at_any_node_is_read_at_every_node(tmp_path: Path) -> None:
    async def story(cluster: LocalCluster) -> None:
        for number, writer in enumerate(cluster.nodes):
            value = b"v%d" % number
            await writer.router.execute(KEYSPACE, b"k", Write(b"k", value))
            for reader in cluster.nodes:
                assert await reader.router.query(KEYSPACE, b"k", Read(b"k")) == Value(value)

    run(tmp_path, story)


def test_followers_answer_reads_themselves(tmp_path: Path) -> None:
    async def story(cluster: LocalCluster) -> None:
        await cluster.nodes[0].router.execute(KEYSPACE, b"k", Write(b"k", b"v"))
        for node in cluster.nodes:
            router = node.router
            await eventually(
                lambda router=router: router.try_query(KEYSPACE, b"k", Read(b"k")) == Value(b"v")
            )

    run(tmp_path, story)


def test_a_reader_at_a_follower_asks_how_far_to_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader tells by itself only after a while: by then the query would have been given up."""
    monkeypatch.setattr(leader, "COMMIT_NOTICE_DELAY_S", 60.0)

    async def story(cluster: LocalCluster) -> None:
        for number in range(5):
            value = b"v%d" % number
            await cluster.nodes[0].router.execute(KEYSPACE, b"k", Write(b"k", value))
            async with asyncio.timeout(QUERY_ATTEMPT_S / 2):
                for reader in cluster.nodes:
                    assert await reader.router.query(KEYSPACE, b"k", Read(b"k")) == Value(value)

    run(tmp_path, story)


def test_concurrent_appends_all_count_once(tmp_path: Path) -> None:
    async def story(cluster: LocalCluster) -> None:
        await asyncio.gather(
            *(
                cluster.nodes[i % 3].router.execute(KEYSPACE, b"k", Append(b"k", b"x"))
                for i in range(300)
            )
        )
        value = await cluster.nodes[1].router.query(KEYSPACE, b"k", Read(b"k"))
        assert value == Value(b"x" * 300)

    run(tmp_path, story)


def test_of_concurrent_compare_and_sets_one_wins(tmp_path: Path) -> None:
    async def story(cluster: LocalCluster) -> None:
        await cluster.nodes[0].router.execute(KEYSPACE, b"k", Write(b"k", b"0"))
        outcomes = await asyncio.gather(
            *(
                cluster.nodes[i % 3].router.execute(
                    KEYSPACE, b"k", Write(b"k", b"w%d" % i, expected=b"0")
                )
                for i in range(30)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(o, Value) for o in outcomes) == 1
        assert sum(isinstance(o, PreconditionFailed) for o in outcomes) == 29

    run(tmp_path, story)


def test_a_retry_with_the_same_token_is_applied_once(tmp_path: Path) -> None:
    async def story(cluster: LocalCluster) -> None:
        leader = cluster.leader_of
        router = cluster.nodes[0].router
        token = router.new_token()
        await router.execute(KEYSPACE, b"k", Append(b"k", b"x"), token=token)
        from trilith.replication.proposal import Proposal

        partition_id = router._find(KEYSPACE, b"k")
        node = leader(partition_id)
        assert node is not None
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        leading = node.host.replicas[partition_id].leader
        assert leading is not None
        leading.propose(
            Proposal(b"k", Append(b"k", b"x"), token, True, lambda r, _, e: done.set_result(e or r))
        )
        assert await done == Value(b"x")
        assert await router.query(KEYSPACE, b"k", Read(b"k")) == Value(b"x")

    run(tmp_path, story)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_writes_go_on_without_a_zone_and_it_catches_up(tmp_path: Path, victim: int) -> None:
    async def story(cluster: LocalCluster) -> None:
        keys = [bytes([40 * i]) for i in range(6)]  # one in every partition
        for key in keys:
            await cluster.nodes[0].router.execute(KEYSPACE, key, Write(key, b"before"))
        dead = cluster.nodes[victim]
        await dead.stop()
        alive = [n for n in cluster.nodes if n is not dead]
        for key in keys:
            await alive[0].router.execute(KEYSPACE, key, Write(key, b"after"))
        await cluster.restart(dead)

        def whole() -> bool:
            return all(len(d.in_sync) == 3 for d, _ in dead.host.descriptors.values())

        await eventually(whole)
        for key in keys:
            for node in cluster.nodes:
                assert await node.router.query(KEYSPACE, key, Read(key)) == Value(b"after")
        await alive[1].stop()
        cluster.nodes.remove(alive[1])
        for key in keys:
            await dead.router.execute(KEYSPACE, key, Write(key, b"last"))

    run(tmp_path, story)


def test_everything_acknowledged_is_there_after_all_nodes_restart(tmp_path: Path) -> None:
    async def story(cluster: LocalCluster) -> None:
        for i in range(50):
            key = bytes([5 * i])
            await cluster.nodes[i % 3].router.execute(KEYSPACE, key, Write(key, b"v%d" % i))
        for node in cluster.nodes:
            await node.stop()
        for node in cluster.nodes:
            await cluster.restart(node)
        for i in range(50):
            key = bytes([5 * i])
            found = await cluster.nodes[i % 3].router.query(KEYSPACE, key, Read(key))
            assert found == Value(b"v%d" % i)
        for start in cluster.nodes[0].router.partition_starts(KEYSPACE, b"", b""):
            page = await cluster.nodes[0].router.query(
                KEYSPACE, start, Scan(b"", b""), touched=(b"", b"")
            )
            assert isinstance(page, Pairs)

    run(tmp_path, story)


def test_a_mark_changes_with_what_it_stands_for(tmp_path: Path) -> None:
    async def story(cluster: LocalCluster) -> None:
        await cluster.nodes[0].router.execute(KEYSPACE, b"k", Write(b"k", b"old"))
        for number, node in enumerate(cluster.nodes):
            router = node.router
            await eventually(lambda router=router: router.try_mark(KEYSPACE, b"k") is not None)
            before = router.try_mark(KEYSPACE, b"k")
            assert router.try_mark(KEYSPACE, b"k") == before
            await cluster.nodes[0].router.execute(KEYSPACE, b"k", Write(b"k", b"%d" % number))
            # None while the write is on its way to this replica, and never the old one again.
            assert router.try_mark(KEYSPACE, b"k") != before

    run(tmp_path, story)
