import random

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from trilith_native.ring import Ring, ZoneRings

from . import oracles

tokens = st.integers(0, 2**64 - 1)
members = st.dictionaries(st.text(max_size=6), st.integers(1, 4), min_size=1, max_size=6)
SOURCE = random.Random(7)
SOME_TOKENS = [SOURCE.getrandbits(64) for _ in range(20_000)]


@given(members, st.integers(1, 20), tokens, st.integers(0, 8))
def test_owners_equal_the_oracles(
    nodes: dict[str, int], virtual_nodes: int, token: int, count: int
) -> None:
    ring = Ring(list(nodes.items()), virtual_nodes)
    oracle = oracles.Ring(list(nodes.items()), virtual_nodes)
    assert ring.owners(token, count) == oracle.owners(token, count)
    assert ring.owner(token) == oracle.owners(token, 1)[0]


@given(members, st.integers(1, 20), st.integers(-1, 1), st.data())
def test_a_point_belongs_to_its_node_and_what_follows_to_the_next(
    nodes: dict[str, int], virtual_nodes: int, step: int, data: st.DataObject
) -> None:
    oracle = oracles.Ring(list(nodes.items()), virtual_nodes)
    point, _ = data.draw(st.sampled_from(oracle.points))
    ring = Ring(list(nodes.items()), virtual_nodes)
    for token in ((point + step) % 2**64, 0, 2**64 - 1):
        assert ring.owner(token) == oracle.owners(token, 1)[0]


@given(members, st.binary(), st.randoms())
def test_a_keys_owner_is_that_of_its_hash_whatever_the_order_of_nodes(
    nodes: dict[str, int], key: bytes, order: random.Random
) -> None:
    pairs = list(nodes.items())
    ring = Ring(pairs)
    order.shuffle(pairs)
    assert ring.owner_of(key) == Ring(pairs).owner(xxhash.xxh3_64_intdigest(key))
    assert ring.node_ids == tuple(sorted(nodes))


def test_a_node_that_comes_takes_its_share_and_moves_nothing_else() -> None:
    before = Ring([(f"node{i}", 1) for i in range(9)])
    after = Ring([(f"node{i}", 1) for i in range(10)])
    moved = [t for t in SOME_TOKENS if before.owner(t) != after.owner(t)]
    assert {after.owner(t) for t in moved} == {"node9"}
    assert 0.05 < len(moved) / len(SOME_TOKENS) < 0.15


def test_shares_follow_the_weights() -> None:
    nodes = [("a", 1), ("b", 2), ("c", 3)]
    ring, shares = Ring(nodes), oracles.Ring(nodes, 128).shares()
    for node_id, weight in nodes:
        owned = sum(ring.owner(t) == node_id for t in SOME_TOKENS) / len(SOME_TOKENS)
        assert abs(owned - shares[node_id]) < 0.02
        assert abs(shares[node_id] - weight / 6) < 0.08


def test_the_placement_of_known_keys_is_that_of_the_format() -> None:
    # Changing it moves the chunks of every cluster.
    ring = Ring([(f"node{i}", i + 1) for i in range(4)])
    assert [ring.owner_of(f"chunk {i}".encode()) for i in range(8)] == [
        "node1",
        "node3",
        "node1",
        "node0",
        "node0",
        "node1",
        "node3",
        "node2",
    ]


@given(
    st.dictionaries(
        st.text(max_size=4), st.tuples(st.sampled_from("xyz"), st.integers(1, 3)), max_size=6
    ),
    tokens,
    st.binary(),
)
def test_every_zone_with_a_node_has_the_owner_that_its_own_ring_says(
    nodes: dict[str, tuple[str, int]], token: int, key: bytes
) -> None:
    rings = ZoneRings([(node_id, zone, weight) for node_id, (zone, weight) in nodes.items()], 8)
    zones = sorted({zone for zone, _ in nodes.values()})
    assert rings.zones == tuple(zones)
    expected = {}
    for zone in zones:
        ring = Ring([(n, weight) for n, (z, weight) in nodes.items() if z == zone], 8)
        expected[zone] = ring.owner(token)
        assert rings.ring(zone).owner(token) == ring.owner(token)
    assert rings.owners(token) == expected
    assert rings.owners_of(key) == rings.owners(xxhash.xxh3_64_intdigest(key))


def test_a_zone_without_nodes_has_no_ring() -> None:
    with pytest.raises(KeyError):
        ZoneRings([("a", "az1", 1)]).ring("az2")


@pytest.mark.parametrize(
    ("nodes", "virtual_nodes"),
    [
        ([], 128),
        ([("a", 1), ("a", 2)], 128),
        ([("a", 0)], 128),
        ([("a", -1)], 128),
        ([("a", 1)], 0),
        ([("a", 2**40)], 128),
    ],
)
def test_a_ring_that_makes_no_sense_is_refused(
    nodes: list[tuple[str, int]], virtual_nodes: int
) -> None:
    with pytest.raises(ValueError, match=r"node|points"):
        Ring(nodes, virtual_nodes)


@pytest.mark.parametrize("token", [-1, 2**64])
def test_a_token_off_the_circle_is_refused(token: int) -> None:
    with pytest.raises(OverflowError):
        Ring([("a", 1)]).owner(token)
