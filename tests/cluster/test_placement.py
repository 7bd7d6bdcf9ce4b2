"""Placement: one owner in each zone, few moves, former owners remembered."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from trilith.cluster.cluster_map import ClusterMap, NodeRecord, NodeState
from trilith.cluster.placement import Placement

CHUNKS = [Random(number).randbytes(32) for number in range(2000)]


def make_map(nodes_per_zone: int = 1, zones: int = 3) -> ClusterMap:
    return ClusterMap(
        NodeRecord(f"n{zone}{number}", f"az{zone}", "h:1")
        for zone in range(1, zones + 1)
        for number in range(1, nodes_per_zone + 1)
    )


@given(
    nodes_per_zone=st.integers(1, 5),
    zones=st.integers(1, 4),
    chunk_id=st.binary(min_size=32, max_size=32),
)
def test_a_chunk_has_one_owner_in_every_zone(
    nodes_per_zone: int, zones: int, chunk_id: bytes
) -> None:
    cluster_map = make_map(nodes_per_zone, zones)
    placement = Placement(cluster_map)
    owners = placement.owners(chunk_id)
    assert tuple(sorted(owners)) == cluster_map.zones() == placement.zones()
    for zone, node_id in owners.items():
        assert cluster_map.zone_of(node_id) == zone
        assert placement.owner_in(zone, chunk_id) == node_id


def test_a_zones_chunks_are_spread_over_its_nodes() -> None:
    placement = Placement(make_map(4))
    counts = Counter(placement.owners(chunk_id)["az2"] for chunk_id in CHUNKS)
    assert len(counts) == 4
    assert max(counts.values()) < 1.6 * len(CHUNKS) / 4


def test_a_new_node_takes_its_share_and_moves_nothing_else() -> None:
    cluster_map = make_map(3)
    placement = Placement(cluster_map)
    before = {chunk_id: placement.owners(chunk_id) for chunk_id in CHUNKS}
    cluster_map.put(NodeRecord("n14", "az1", "h:1"))
    moved = 0
    for chunk_id, owners in before.items():
        now = placement.owners(chunk_id)
        assert (now["az2"], now["az3"]) == (owners["az2"], owners["az3"])
        if now["az1"] != owners["az1"]:
            moved += 1
            assert now["az1"] == "n14"
            assert placement.earlier_owners("az1", chunk_id) == [owners["az1"]]
        else:
            assert placement.earlier_owners("az1", chunk_id) == []
    assert 0.1 < moved / len(CHUNKS) < 0.4


def test_former_owners_are_listed_latest_first_while_they_are_in_the_map() -> None:
    cluster_map = make_map(1, 1)
    placement = Placement(cluster_map)
    chunk_id = CHUNKS[0]
    cluster_map.replace(
        [NodeRecord("a", "az1", "h"), NodeRecord("n11", "az1", "h", NodeState.LEAVING)]
    )
    cluster_map.replace(
        [
            NodeRecord("b", "az1", "h"),
            NodeRecord("a", "az1", "h", NodeState.LEAVING),
            NodeRecord("n11", "az1", "h", NodeState.LEAVING),
        ]
    )
    assert placement.owner_in("az1", chunk_id) == "b"
    assert placement.earlier_owners("az1", chunk_id) == ["a", "n11"]
    cluster_map.remove("a")
    assert placement.earlier_owners("az1", chunk_id) == ["n11"]


def test_an_address_change_moves_no_chunk_and_forgets_no_former_owner() -> None:
    cluster_map = make_map(1, 1)
    placement = Placement(cluster_map)
    cluster_map.put(NodeRecord("n12", "az1", "h:1"))
    former = {chunk_id: placement.earlier_owners("az1", chunk_id) for chunk_id in CHUNKS}
    for port in range(20):
        cluster_map.put(NodeRecord("n12", "az1", f"h:{port}"))
    assert former == {chunk_id: placement.earlier_owners("az1", chunk_id) for chunk_id in CHUNKS}


def test_nodes_that_leave_or_have_no_weight_get_no_chunks() -> None:
    cluster_map = make_map(2, 1)
    placement = Placement(cluster_map)
    cluster_map.put(NodeRecord("n11", "az1", "h:1", NodeState.LEAVING))
    cluster_map.put(NodeRecord("gateway", "az1", "h:1", weight=0))
    assert {placement.owner_in("az1", chunk_id) for chunk_id in CHUNKS} == {"n12"}
    assert placement.owner_in("az9", CHUNKS[0]) is None


def test_a_zone_is_reachable_when_any_of_its_data_nodes_is() -> None:
    placement = Placement(make_map(2))
    assert placement.reachable_zones({"n11", "n32"}.__contains__) == {"az1", "az3"}


def test_the_version_of_a_map_moves_only_when_its_contents_do() -> None:
    cluster_map = make_map()
    told: list[int] = []
    cluster_map.on_change(lambda: told.append(cluster_map.version))
    version = cluster_map.version
    cluster_map.put(cluster_map.nodes["n11"])
    cluster_map.remove("nobody")
    assert (cluster_map.version, told) == (version, [])
    cluster_map.remove("n11")
    assert (cluster_map.version, told) == (version + 1, [version + 1])
    assert cluster_map.zones() == ("az2", "az3")
