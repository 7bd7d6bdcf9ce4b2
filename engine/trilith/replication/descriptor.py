"""The descriptor of a partition: the little state that needs consensus, kept in the coordinator."""

from __future__ import annotations

import msgspec

PREFIX = "partitions/"
NOT_KNOWN_MS = 0  # in `complete_until_ms`: nobody can say until when
IN_SYNC_MIN = 2  # never acknowledge with fewer (Kafka KIP-966; DESIGN rule 2)


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """Who replicates a range of keys, who leads, and who has everything acknowledged.

    `start` <= logical key < `end` (empty end: no bound), hex-encoded. `epoch` grows with every
    change of leader; `in_sync` changes only by compare-and-swap (DESIGN rule 3). Invariant: the
    leader is in `in_sync`; every node in `in_sync` has every acknowledged entry.

    `complete_until_ms`: for a node that left the set, the wall clock before it did: everything
    acknowledged until then is in its log. `recovered`: an operator made the one node in `in_sync`
    the sole source (DESIGN rule 9); it commits what it inherited alone, and takes no new writes.
    Of such a node `complete_until_ms` tells, too, unless it was in sync all along.

    `start` and `end` are for routing, and follow the log (ranges.py): `generation` counts the
    changes of the range that are told here. `parent`: the partition whose split made this one; 0:
    none. `first_end`: the end that the range had at the log's beginning; None: as now.
    `absorbed_by`: the partition that has taken this one in (merging.py); 0: none has. The
    descriptor stays, for replicas that were away, and nothing is routed by it.
    """

    partition_id: int
    keyspace: int
    start: str
    end: str
    replicas: dict[str, str]  # zone -> node id
    leader: str
    epoch: int
    in_sync: list[str]
    preferred_leader: str = ""
    complete_until_ms: dict[str, int] = {}
    recovered: bool = False
    generation: int = 0
    parent: int = 0
    first_end: str | None = None
    absorbed_by: int = 0

    @property
    def start_key(self) -> bytes:
        return bytes.fromhex(self.start)

    @property
    def end_key(self) -> bytes:
        return bytes.fromhex(self.end)

    @property
    def first_end_key(self) -> bytes:
        return bytes.fromhex(self.end if self.first_end is None else self.first_end)

    def left(self, node: str, now_ms: int) -> dict[str, int]:
        """`complete_until_ms` of a descriptor that the node is no longer in sync in, whose log has
        all that was acknowledged until now."""
        return {**self.complete_until_ms, node: now_ms}

    def lost(self, node: str) -> dict[str, int]:
        """The same for a node that has not everything, though it should: nobody knows until when
        it has."""
        return {n: until for n, until in self.complete_until_ms.items() if n != node}

    def replica_nodes(self) -> list[str]:
        return list(self.replicas.values())


_decoder = msgspec.json.Decoder(Descriptor)


def key_of(partition_id: int) -> str:
    """The coordinator key of a descriptor."""
    return f"{PREFIX}{partition_id:016x}"


def id_of(key: str) -> int:
    """The partition whose descriptor has this coordinator key."""
    return int(key.removeprefix(PREFIX), 16)


def encode(descriptor: Descriptor) -> bytes:
    return msgspec.json.encode(descriptor)


def decode(data: bytes) -> Descriptor:
    """Raises what `undecodable` lists for what is not a descriptor."""
    return _decoder.decode(data)
