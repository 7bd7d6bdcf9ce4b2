"""What nodes ask each other about themselves, so that one port answers for the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trilith.cluster.cluster_map import MERGES, ClusterMap
from trilith.edge.metrics import Metrics
from trilith.errors import TrilithError
from trilith.node.facts import NodeFacts
from trilith.node.repair import RepairStation
from trilith.peers.hub import PeerHub
from trilith.runtime.network import Buffer

METRICS, FACTS = "node.metrics", "node.facts"
DEADLINE_S = 1.0


class NodePeers:
    """Gathers metrics and facts from all reachable nodes."""

    def __init__(
        self,
        hub: PeerHub,
        cluster_map: ClusterMap,
        facts: NodeFacts,
        work: Mapping[str, Callable[[], dict[str, Any]]],
        repair: RepairStation,
        metrics: Metrics,
    ) -> None:
        """`work`: what runs in the background here, by its name in the status."""
        self._hub = hub
        self._map = cluster_map
        self._facts = facts
        self._work = work
        self._repair = repair
        self._metrics = metrics
        hub.serve(METRICS, self._serve_metrics)
        hub.serve(FACTS, self._serve_facts)

    async def _serve_metrics(
        self, peer: str, header: bytes, body: memoryview
    ) -> tuple[bytes, Buffer]:
        del peer, header, body
        return b"", self._metrics.render().encode()

    async def _serve_facts(
        self, peer: str, header: bytes, body: memoryview
    ) -> tuple[bytes, Buffer]:
        del peer, header, body
        return b"", msgspec.json.encode(await self._own_facts())

    async def _own_facts(self) -> dict[str, Any]:
        return {
            **self._facts.node(),
            "repair": self._repair.facts(),
            "owed_chunks": await self._repair.owed(),
            **{name: facts() for name, facts in self._work.items()},
        }

    async def _ask_all(self, method: str) -> dict[str, bytes]:
        """Answers by node; a node that does not answer in time is left out."""

        async def ask(node: str) -> tuple[str, bytes | None]:
            try:
                _, body = await self._hub.call(node, method, b"", deadline_s=DEADLINE_S)
            except TrilithError:
                return node, None
            return node, bytes(body)

        others = [
            n for n in self._map.nodes if self._hub.is_reachable(n) and n != self._hub.node_id
        ]
        answers = await asyncio.gather(*(ask(node) for node in others))
        return {node: body for node, body in answers if body is not None}

    async def gather_metrics(self) -> list[tuple[str, str, str]]:
        me = self._hub.node_id
        texts = {me: self._metrics.render()}
        for node, body in (await self._ask_all(METRICS)).items():
            texts[node] = body.decode()
        return [(node, self._map.zone_of(node), text) for node, text in sorted(texts.items())]

    async def status(self) -> dict[str, Any]:
        """The cluster as this node and those that answer it see it; who does not is named.

        Within about a second, whatever leads and answers.
        """
        own, others, queue = await asyncio.gather(
            self._own_facts(), self._ask_all(FACTS), self._repair.pending_by_zone()
        )
        nodes = {self._hub.node_id: own}
        for node, body in others.items():
            nodes[node] = msgspec.json.decode(body)
        behind = {
            (entry["partition"], entry["node"]): entry
            for facts in nodes.values()
            for entry in facts.get("under_replicated", ())
        }
        damaged = [
            {"node": node, **entry}
            for node, facts in nodes.items()
            for entry in facts.get("quarantine", {}).get("entries", ())
        ]
        return {
            "partitions": self._facts.partitions(),
            "under_replicated": [behind[key] for key in sorted(behind)],
            "quarantine": sorted(damaged, key=lambda entry: int(entry["since_ms"])),
            "not_answering": sorted(set(self._map.nodes) - set(nodes)),
            "unable_to_merge": self._map.unable(MERGES, sorted(self._map.nodes)),
            "repair_queue": queue,
            "node_facts": nodes,
            "answered_by": self._hub.node_id,
        }
