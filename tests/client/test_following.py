"""The reader of a stream over shards that end, split and run out, against a model of them."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilith.client.following import LOOK_S, Following
from trilith.client.stream_calls import ShardInfo, ShardPage
from trilith.client.types import Change
from trilith.errors import ChangesTrimmed, InvalidRequest

PAGE = 3
ITEMS = 6


class World:
    """A table whose partitions split; every change of an item goes to the shard that has it."""

    def __init__(self) -> None:
        self.shards: dict[str, dict[str, Any]] = {}
        self.counts = dict.fromkeys(range(ITEMS), 0)
        self.is_running = True
        self._sequence = 0
        self._open("", range(ITEMS))

    def _open(self, parent: str, items: range) -> None:
        name = f"shard-{len(self.shards):03d}"
        self.shards[name] = {"parent": parent, "items": items, "open": True, "changes": []}

    def holder(self, item: int) -> str:
        return next(n for n, one in self.shards.items() if one["open"] and item in one["items"])

    def write(self, item: int) -> None:
        self._sequence += 1
        self.counts[item] += 1
        change = (f"{self._sequence:09d}", item, self.counts[item])
        self.shards[self.holder(item)]["changes"].append(change)

    def split(self, item: int) -> None:
        name = self.holder(item)
        items = self.shards[name]["items"]
        self.shards[name]["open"] = False
        middle = items.start + len(items) // 2
        for part in (range(items.start, middle), range(middle, items.stop)):
            if part:
                self._open(name, part)

    def end(self) -> None:
        self.is_running = False
        for shard in self.shards.values():
            shard["open"] = False

    def infos(self) -> list[ShardInfo]:
        return [ShardInfo(n, one["parent"], one["open"]) for n, one in self.shards.items()]

    def page(self, name: str, after: str) -> ShardPage:
        shard = self.shards[name]
        behind = [one for one in shard["changes"] if one[0] > after]
        page = behind[:PAGE]
        changes = [
            Change(
                "MODIFY",
                {"id": item},
                None,
                {"n": count},
                datetime.now(UTC),
                at,
                name,
                f"{name} {at}",
                False,
            )
            for at, item, count in page
        ]
        is_end = not shard["open"] and len(behind) <= PAGE
        return ShardPage(changes, page[-1][0] if page else after, is_end)


class Reader:
    """Does what the clients do, on a clock that it sets itself."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.following = Following("arn")
        self.now_s = 1.0
        self.seen: dict[int, list[int]] = defaultdict(list)

    def step(self) -> bool:
        """One change, or one look or read. Whether there may be more."""
        change = self.following.take()
        if change is not None:
            assert change.new is not None
            self.seen[change.keys["id"]].append(change.new["n"])
            return True
        if self.following.must_look(self.now_s):
            self.following.looked(self.world.infos(), self.now_s, is_running=self.world.is_running)
        if self.following.is_over:
            return False
        shard = self.following.due(self.now_s)
        if shard is None:
            pause_s = self.following.pause_s(self.now_s)
            assert pause_s <= LOOK_S
            self.now_s += pause_s + 0.001
            return True
        if not self.following.has_begun(shard):
            self.following.begin(shard, "")
        page = self.world.page(shard, self.following.after(shard))
        self.following.read(shard, page, self.now_s)
        return True

    def go_on_elsewhere(self) -> None:
        self.following = Following.at(self.following.position)


EVENTS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, ITEMS - 1)),
    st.tuples(st.just("split"), st.integers(0, ITEMS - 1)),
    st.tuples(st.just("step"), st.integers(1, 6)),
    st.tuples(st.just("elsewhere"), st.just(0)),
)


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=120))
def test_the_changes_of_each_item_come_once_and_in_order(events: list[tuple[str, int]]) -> None:
    world = World()
    reader = Reader(world)
    for kind, number in events:
        if kind == "write":
            world.write(number)
        elif kind == "split":
            world.split(number)
        elif kind == "elsewhere":
            reader.go_on_elsewhere()
        else:
            for _ in range(number):
                reader.step()
        for numbers in reader.seen.values():
            assert numbers == list(range(1, len(numbers) + 1))
    world.end()
    for _ in range(20 * (len(events) + len(world.shards)) + 100):
        if not reader.step():
            break
    else:
        raise AssertionError("the reader does not come to the end of an ended stream")
    assert {item: len(reader.seen[item]) for item in range(ITEMS)} == world.counts


def test_a_shard_is_not_begun_before_its_parent_was_read_to_its_end() -> None:
    following = Following("arn")
    following.looked(
        [ShardInfo("a", "", False), ShardInfo("b", "a", True), ShardInfo("c", "b", True)],
        1.0,
        is_running=True,
    )
    for number in range(3):
        assert following.due(1.0) == "a"
        following.begin("a", str(number))
        following.read("a", ShardPage([], str(number), False), 1.0)
        assert following.due(1.0) is None
        following = Following.at(following.position)
        following.looked(
            [ShardInfo("a", "", False), ShardInfo("b", "a", True)], 1.0, is_running=True
        )
    following.read("a", ShardPage([], "3", True), 1.0)
    assert following.due(1.0) == "b"


def test_a_stream_that_goes_on_is_not_over_though_all_known_shards_have_ended() -> None:
    following = Following("arn")
    following.looked([ShardInfo("a", "", False)], 1.0, is_running=True)
    following.begin("a", "")
    following.read("a", ShardPage([], "", True), 1.0)
    assert not following.is_over
    assert following.must_look(1.0)
    following.looked([ShardInfo("a", "", False)], 1.0, is_running=True)
    assert following.due(1.0) is None
    assert following.pause_s(1.0) <= 1.0


def test_a_shard_that_was_read_half_and_is_gone_is_told() -> None:
    following = Following("arn")
    following.looked([ShardInfo("a", "", True), ShardInfo("b", "", True)], 1.0, is_running=True)
    following.begin("a", "5")
    following.skip("b")
    later = Following.at(following.position)
    with pytest.raises(ChangesTrimmed):
        later.looked([ShardInfo("b", "", True)], 2.0, is_running=True)


def test_it_is_quiet_when_every_shard_was_found_empty() -> None:
    following = Following("arn")
    following.looked([ShardInfo("a", "", True), ShardInfo("b", "", True)], 1.0, is_running=True)
    for shard in ("a", "b"):
        assert not following.is_quiet(1.0, 0.0)
        following.begin(shard, "")
        following.read(shard, ShardPage([], "", False), 1.0)
    assert following.is_quiet(1.0, 0.0)
    assert following.is_quiet(3.0, 2.0)
    assert not following.is_quiet(3.0, 2.5)


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"stream": "a", "shards": []}', "null"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Following.at(text)
