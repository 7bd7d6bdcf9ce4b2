"""Garbage collection against writers, by random histories: nothing that is referenced is removed,
and everything that is not comes back to the disk. Mutations of the collector are caught."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.chunks.local_zones import KIB, random_bytes

from trilith.chunks.renewal import Renewal
from trilith.errors import ConditionalConflict
from trilith.objects import manifests
from trilith.objects.commands import AbortUpload
from trilith.objects.keys import OBJECTS_KEYSPACE, REPAIR, stem_of
from trilith.objects.multipart import parse_upload_id
from trilith.storage.chunk_store import ChunkStore

from .collected_zones import GRACE_S, CollectedZones
from .service_cluster import PLAIN, GivenBody

KEYS = ("a", "b")
BODIES = tuple(random_bytes(size * KIB, seed) for seed, size in enumerate((3, 14, 30)))
SKEW_MS_MAX = GRACE_S * 1000 // 4 - 1000

_key = st.sampled_from(KEYS)
_body = st.sampled_from(range(len(BODIES)))
_node = st.sampled_from(range(3))
_step = st.one_of(
    st.tuples(st.just("put"), _key, _body, st.booleans()),
    st.tuples(st.just("put"), _key, _body, st.just(True)),
    st.tuples(st.just("copy"), _key, _key, st.booleans()),
    st.tuples(st.just("part"), _key, _body, st.booleans()),
    st.tuples(st.just("delete"), _key),
    st.tuples(st.just("abort")),
    st.tuples(st.just("release"), st.sampled_from(range(3))),
    st.tuples(st.just("cut"), st.sampled_from(range(3))),
    st.tuples(st.just("advance"), st.sampled_from((1, GRACE_S // 4, GRACE_S // 2, GRACE_S))),
    st.tuples(st.just("pass"), st.sampled_from((GRACE_S // 2, GRACE_S, 3 * GRACE_S))),
    st.tuples(st.just("house")),
    st.tuples(st.just("cycle"), _node, st.booleans()),
    st.tuples(st.just("crash"), _node),
    st.tuples(st.just("isolate"), st.sampled_from((1, 2))),
    st.tuples(st.just("rejoin")),
    st.tuples(st.just("repair"), _node),
)
_skews = st.tuples(*[st.integers(-SKEW_MS_MAX, SKEW_MS_MAX)] * 4)


class History:
    """Plays steps; steps that make no sense at that moment do nothing."""

    def __init__(self, skews_ms: tuple[int, int, int, int]) -> None:
        self.zones = CollectedZones(skews_ms)
        self.upload_id: str | None = None
        self.parts = 0

    async def play(self, steps: list[tuple]) -> None:
        await self.zones.open()
        try:
            for step in steps:
                await getattr(self, step[0])(*step[1:])
                self.zones.check()
            await self.forget_everything()
        finally:
            await self.zones.close()

    def _held(self, number: int):
        held = [work for work in self.zones.works.values() if work.held]
        return held[number] if number < len(held) else None

    async def put(self, key: str, body: int, hold: bool) -> None:
        await self.zones.start(self.zones.put(key, BODIES[body]), hold=hold)

    async def copy(self, source: str, target: str, hold: bool) -> None:
        await self.zones.start(self.zones.copy(source, target), hold=hold)

    async def part(self, key: str, body: int, hold: bool) -> None:
        service = self.zones.service
        if self.upload_id is None:
            self.upload_id = (await service.create_upload("b", "mp", PLAIN)).upload_id
        self.parts += 1
        put = service.put_part(
            "b", "mp", self.upload_id, self.parts % 3 + 1, GivenBody(BODIES[body])
        )
        await self.zones.start(put, hold=hold)

    async def abort(self) -> None:
        if self.upload_id is not None:
            stem = stem_of((await self.zones.service._bucket("b")).bucket_id, "mp")
            command = AbortUpload(stem, parse_upload_id(self.upload_id))
            await self.zones.partitions.execute(OBJECTS_KEYSPACE, stem, command)
            self.upload_id = None

    async def delete(self, key: str) -> None:
        await self.zones.delete(key)

    async def release(self, number: int) -> None:
        if work := self._held(number):
            await work.release()

    async def cut(self, number: int) -> None:
        if work := self._held(number):
            await work.cut()

    async def advance(self, seconds: int) -> None:
        self.zones.advance(seconds)

    async def house(self) -> None:
        await self.zones.keep_house()

    async def cycle(self, node: int, hold: bool) -> None:
        node_id = self.zones.nodes[node].node_id
        collector = self.zones.collectors[node_id]
        if collector.progress.phase == "idle":
            await self.zones.start(collector.step(), hold=hold, node_id=node_id)

    async def crash(self, node: int) -> None:
        await self.zones.crash(self.zones.nodes[node])

    async def isolate(self, node: int) -> None:
        await self.rejoin()
        self.zones.cluster.network.isolate(self.zones.nodes[node].node_id)

    async def rejoin(self) -> None:
        for node in self.zones.nodes:
            self.zones.cluster.network.isolate(node.node_id, up=True)

    async def repair(self, node: int) -> None:
        await self.zones.repair(self.zones.nodes[node])

    async def forget_everything(self) -> None:
        """Once nothing is referenced and nobody writes, every zone is empty in the end."""
        zones = self.zones
        for work in list(zones.works.values()):
            await work.cut()
        await self.rejoin()
        await self.abort()
        for key in KEYS:
            await zones.delete(key)
        for node in zones.nodes:
            zones.collectors.pop(node.node_id)
            zones._attach(node)
        await zones.pass_time(16 * GRACE_S)
        for node in zones.nodes:
            await self.zones.repair(node)
        await zones.pass_time(4 * GRACE_S)
        for node in zones.nodes:
            assert (node.store.chunks, node.store.bytes_stored) == (0, 0), zones.nodes.index(node)
            assert sum(node.store.files.extent_sizes().values()) <= 2 * 1024 * KIB

    async def pass_(self, seconds: int) -> None:
        if all(c.progress.phase == "idle" for c in self.zones.collectors.values()):
            await self.zones.pass_time(seconds)


setattr(History, "pass", History.pass_)


def play_random_histories(examples: int, *, shrink: bool = True) -> None:
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]

    @settings(
        max_examples=examples,
        deadline=None,
        phases=phases,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_skews, st.lists(_step, min_size=8, max_size=30))
    def histories(skews_ms: tuple[int, int, int, int], steps: list[tuple]) -> None:
        asyncio.run(History(skews_ms).play(steps))

    histories()


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of two chunks, so that manifests are written ahead."""
    monkeypatch.setattr(manifests, "CHUNKS_PER_SEGMENT", 2)


def test_no_history_loses_a_referenced_chunk_or_keeps_garbage() -> None:
    play_random_histories(60)


def _no_expiry(patch: pytest.MonkeyPatch) -> None:
    """Commits are never refused for their age."""
    patch.setattr(Renewal, "expiry_ms", lambda self: 1 << 60)


def _no_look_at_stamps(patch: pytest.MonkeyPatch) -> None:
    """What is not marked is removed, touched or not."""
    remove = ChunkStore.remove
    patch.setattr(
        ChunkStore,
        "remove",
        lambda self, ids, *, untouched_since: remove(self, ids, untouched_since=1 << 62),
    )


def _copies_do_not_touch(patch: pytest.MonkeyPatch) -> None:
    async def renew(self: Renewal, chunks: list) -> list:
        return [type(c)(c.ref, c.missed_zones, self.expiry_ms()) for c in chunks]

    patch.setattr(Renewal, "renew", renew)


def _touches_keep_their_stamp(patch: pytest.MonkeyPatch) -> None:
    """A chunk that is here is never stamped again."""
    patch.setattr(
        ChunkStore,
        "_touch",
        lambda self, chunk_id, found, done: self._loop.call_soon(done, None),
    )


@pytest.mark.parametrize("mutate", [_no_expiry, _no_look_at_stamps])
def test_a_broken_collector_is_caught(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    with pytest.raises(BaseException, match="collected a chunk that is referenced"):
        play_random_histories(600, shrink=False)


async def revive_condemned_chunks() -> None:
    """Chunks of an upload that was cut are due for removal when another one names them."""
    zones = CollectedZones()
    await zones.open()
    first = await zones.start(zones.put("a", BODIES[1]), hold=True)
    await first.cut()
    for seconds in (0, GRACE_S):
        zones.advance(seconds)
    for collector in zones.collectors.values():
        await collector.step()
    zones.advance(GRACE_S)
    second = await zones.start(zones.put("b", BODIES[1]), hold=True)
    for collector in zones.collectors.values():
        await collector.step()
    zones.advance(1)
    await second.release()
    zones.check()
    assert second.failure is None
    assert await zones.read("b") == BODIES[1]
    await zones.close()


def test_a_referenced_chunk_that_a_node_lacks_is_told() -> None:
    async def scenario() -> None:
        zones = CollectedZones()
        await zones.open()
        await (await zones.start(zones.put("a", BODIES[1]))).rest()
        node = zones.nodes[0]
        held = [chunk_id for chunk_id, _ in node.store.files.entries(b"", 1000)]
        node.store.remove(held[:1], untouched_since=node.store.mark_time())
        for seconds in (0, GRACE_S):
            zones.advance(seconds)
            await zones.collectors[node.node_id].step()
        assert zones.missing == held[:1]
        await zones.close()

    asyncio.run(scenario())


def test_a_touch_revives_a_condemned_chunk() -> None:
    asyncio.run(revive_condemned_chunks())


def test_a_touch_that_is_not_stamped_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    _touches_keep_their_stamp(monkeypatch)
    with pytest.raises(AssertionError, match="collected a chunk that is referenced"):
        asyncio.run(revive_condemned_chunks())


async def copy_what_is_about_to_go() -> None:
    """The reader of a copy was opened before its source was deleted and collected."""
    zones = CollectedZones()
    await zones.open()
    await zones.put("a", BODIES[0])
    reader = await zones.service.open_object("b", "a")
    await zones.delete("a")
    for seconds in (0, GRACE_S):
        zones.advance(seconds)
        for collector in zones.collectors.values():
            await collector.step()
    zones.advance(GRACE_S)
    await zones.keep_house()
    copy = await zones.start(zones.service.copy_object(reader, "b", "b", PLAIN), hold=True)
    for collector in zones.collectors.values():
        await collector.step()
    await copy.release()
    zones.check()
    assert copy.failure is None
    assert await zones.read("b") == BODIES[0]
    await zones.close()


def test_a_copy_by_reference_keeps_its_chunks() -> None:
    asyncio.run(copy_what_is_about_to_go())


def test_a_copy_that_does_not_touch_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    _copies_do_not_touch(monkeypatch)
    with pytest.raises(AssertionError, match="collected a chunk that is referenced"):
        asyncio.run(copy_what_is_about_to_go())


def test_a_commit_that_comes_too_late_is_refused_and_leaves_nothing() -> None:
    async def scenario() -> None:
        zones = CollectedZones()
        await zones.open()
        late = await zones.start(zones.put("a", BODIES[1]), hold=True)
        zones.advance(GRACE_S)
        await late.release()
        assert isinstance(late.failure, ConditionalConflict)
        await zones.pass_time(4 * GRACE_S)
        assert [node.store.chunks for node in zones.nodes] == [0, 0, 0]
        await zones.close()

    asyncio.run(scenario())


def test_a_slow_upload_keeps_its_chunks_and_commits() -> None:
    async def scenario() -> None:
        zones = CollectedZones()
        await zones.open()

        class SlowBody(GivenBody):
            async def read(self) -> bytes:
                zones.advance(GRACE_S / 3)
                for collector in zones.collectors.values():
                    await collector.step()
                return await super().read()

        runs = [random_bytes(16 * KIB, seed) for seed in range(40, 60)]
        await zones.service.put_object("b", "a", SlowBody(*runs), PLAIN)
        zones.check()
        assert await zones.read("a") == b"".join(runs)
        await zones.close()

    asyncio.run(scenario())


def test_repairs_of_chunks_that_nobody_needs_any_more_are_dropped() -> None:
    async def scenario() -> None:
        zones = CollectedZones()
        await zones.open()
        away = zones.nodes[2]
        zones.cluster.network.isolate(away.node_id)
        await zones.put("a", BODIES[1])
        await zones.delete("a")
        await zones.pass_time(5 * GRACE_S)
        assert zones.partitions.records(REPAIR)
        zones.cluster.network.isolate(away.node_id, up=True)
        await zones.repair(away)
        assert not zones.partitions.records(REPAIR)
        await zones.close()

    asyncio.run(scenario())
