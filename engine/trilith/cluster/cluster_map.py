"""The nodes of the cluster, as the coordinator last told. In memory; whoever watches fills it.

Membership only: whether a node can be reached right now is the peers' knowledge. A node that is
down stays in the map, and stays the owner of its chunks, until an operator removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

MERGES = "merges"  # knows the entries of replication/merging.py
ABILITIES = (MERGES,)  # of this version's nodes, beyond the first one's


class NodeState(StrEnum):
    """ACTIVE takes new data; LEAVING still serves what it has, and gets nothing new."""

    ACTIVE = "active"
    LEAVING = "leaving"


class NodeRecord(msgspec.Struct, frozen=True, array_like=True):
    """A node. `weight` is its share of its zone's chunks, in proportion; 0: it keeps none.

    `grpc_address`: host:port of its public gRPC services, empty where clients must know it.
    `abilities`: what its software announced at its start; one that announces nothing is older.
    """

    node_id: str
    zone: str
    address: str  # host:port of its peer listener
    state: NodeState = NodeState.ACTIVE
    weight: int = 1
    grpc_address: str = ""
    abilities: tuple[str, ...] = ()


class ClusterMap:
    """Current membership. `version` counts changes; equal contents are no change."""

    def __init__(self, nodes: Iterable[NodeRecord] = ()) -> None:
        self.version = 0
        self._nodes: dict[str, NodeRecord] = {}
        self._listeners: list[Callable[[], None]] = []
        self.replace(nodes)

    @property
    def nodes(self) -> Mapping[str, NodeRecord]:
        return MappingProxyType(self._nodes)

    def zones(self) -> tuple[str, ...]:
        """Names of all zones that have a node, sorted."""
        return tuple(sorted({record.zone for record in self._nodes.values()}))

    def zone_of(self, node_id: str) -> str:
        """Raises KeyError for a node that is not in the map."""
        return self._nodes[node_id].zone

    def unable(self, ability: str, nodes: Iterable[str]) -> list[str]:
        """Those of the nodes that have not announced an ability, or are not in the map."""
        return [n for n in nodes if n not in self._nodes or ability not in self._nodes[n].abilities]

    def on_change(self, listener: Callable[[], None]) -> None:
        """`listener()` is called after each change, in the order of registration."""
        self._listeners.append(listener)

    def put(self, record: NodeRecord) -> None:
        """Add a node, or change its record."""
        self._become({**self._nodes, record.node_id: record})

    def remove(self, node_id: str) -> None:
        """No error when the node is not there."""
        self._become({k: v for k, v in self._nodes.items() if k != node_id})

    def replace(self, nodes: Iterable[NodeRecord]) -> None:
        """Make these the whole map, as one change."""
        self._become({record.node_id: record for record in nodes})

    def _become(self, nodes: dict[str, NodeRecord]) -> None:
        if nodes == self._nodes:
            return
        self._nodes = nodes
        self.version += 1
        for listener in self._listeners:
            listener()
