"""Bringing a replica up by copying its partition, when the journal no longer reaches back (rule 6).

The leader streams a frozen view of the partition's records in pieces, each acknowledged before the
next leaves; the follower wipes its range, marks the partition as being installed, writes the
pieces, flushes, and only then restarts its log behind the snapshot's index. A crash in the middle
leaves the mark: the replica starts empty and asks again. A snapshot of a range that another replica
of the node still holds a part of is refused (ranges.py), unless that one has been absorbed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from trilith.errors import DiskFull, NotInSync, TrilithError
from trilith.peers.hub import PeerHub
from trilith.replication.entry import Applied, applied_key, encode_applied
from trilith.replication.ranges import (
    Absorb,
    RangeRecord,
    decode_range,
    encode_range,
    range_key,
    ranges_of,
    tombstone,
)
from trilith.replication.replica import Replica
from trilith.runtime.workers import Workers
from trilith.storage.ordered_store import DELETE_RANGE, PUT, Operation, OrderedReader, OrderedStore
from trilith_native.codec import decode_batch, encode_batch

PIECE_BYTES = 1024 * 1024
PIECE_DEADLINE_S = 30.0
METHOD = "replication.snapshot"
INSTALLING = -1  # less the snapshot's index: the applied index of a partition until it is whole


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Header of one piece; its records are the body, as a batch."""

    partition_id: int
    epoch: int
    index: int  # the snapshot's last applied entry, and its epoch
    index_epoch: int
    first: bool
    last: bool
    range: bytes = b""  # the partition's RangeRecord at that entry; empty from earlier versions


_pieces = msgspec.msgpack.Decoder(Piece)


def target_of(applied: Applied) -> int:
    """The index of the snapshot that has begun to arrive and is not whole; else negative."""
    return INSTALLING - applied.index


def _batches(
    reader: OrderedReader, keyspace: int, partition_id: int, record: RangeRecord
) -> Iterator[list[Operation]]:
    """The partition's records in pieces; at least one, perhaps empty."""
    batch: list[Operation] = []
    size = 0
    for start, end in ranges_of(reader, keyspace, partition_id, record):
        for key, value in reader.scan(start, end):
            batch.append((PUT, key, value))
            size += len(key) + len(value)
            if size >= PIECE_BYTES:
                yield batch
                batch, size = [], 0
    yield batch


class Snapshots:
    """Sends and receives snapshots for one node."""

    def __init__(
        self, hub: PeerHub, store: OrderedStore, workers: Workers, replicas: dict[int, Replica]
    ) -> None:
        self._hub = hub
        self._store = store
        self._workers = workers
        self._replicas = replicas
        self._sent_bytes = 0
        hub.serve(METHOD, self._receive)

    async def send(self, replica: Replica, node: str) -> None:
        """Copy a led partition to a follower. Raises TrilithError when it could not be finished."""
        partition_id, epoch, record = replica.partition_id, replica.epoch, replica.range
        index, index_epoch = replica.applied_index, replica.applied_epoch
        keyspace = replica.descriptor.keyspace
        batches = _batches(self._store.snapshot(), keyspace, partition_id, record)
        encoded = encode_range(record)
        batch: list[Operation] | None = next(batches)
        first = True
        while batch is not None:
            following = await self._workers.run(next, batches, None)
            piece = Piece(
                partition_id, epoch, index, index_epoch, first, following is None, encoded
            )
            body = encode_batch(batch)
            header = msgspec.msgpack.encode(piece)
            await self._hub.call(node, METHOD, header, body, deadline_s=PIECE_DEADLINE_S)
            self._sent_bytes += len(body)
            batch, first = following, False

    async def _receive(self, peer_id: str, header: bytes, body: memoryview) -> tuple[bytes, bytes]:
        piece = _pieces.decode(header)
        replica = self._replicas.get(piece.partition_id)
        if (
            replica is None
            or replica.leader is not None
            or piece.epoch < replica.epoch
            or replica.retired
            or replica.descriptor.absorbed_by
        ):
            raise NotInSync(f"a snapshot of partition {piece.partition_id} is not wanted here")
        if replica.leader_node != peer_id and piece.epoch == replica.epoch:
            raise NotInSync(f"node {peer_id} does not lead partition {piece.partition_id}")
        key = applied_key(piece.partition_id)
        source = (peer_id, piece.epoch, piece.index)
        if piece.first:
            if not replica.log.accepting:  # what is here is kept until the log can be restarted
                raise DiskFull("there is no room for a snapshot")
            record = decode_range(piece.range) if piece.range else replica.range
            gone = self._require_free(replica, record)
            replica.begin_install(peer_id, piece.epoch, source, record)
            keyspace, partition_id = replica.descriptor.keyspace, replica.partition_id
            owned = ranges_of(self._store, keyspace, partition_id, record)
            wipe: list[Operation] = [(DELETE_RANGE, start, end) for start, end in owned]
            mark = (PUT, key, encode_applied(INSTALLING - piece.index, 0))
            held = (PUT, range_key(partition_id), encode_range(record))
            stones = [tombstone(other.partition_id, other.range, partition_id) for other in gone]
            self._store.write([mark, held, *stones, *wipe])
            for other in gone:
                other.retire()
        elif not replica.installing or replica.installing_from != source:
            raise NotInSync("the first piece of this snapshot is missing")
        self._store.write(decode_batch(body))
        if piece.last:
            self._store.write([(PUT, key, encode_applied(piece.index, piece.index_epoch))])
            under_way = replica.installing_from
            await self._workers.run(self._store.flush)
            if replica.installing_from is not under_way or piece.epoch < replica.epoch:
                raise NotInSync("another snapshot has begun meanwhile")
            replica.install(piece.index, piece.index_epoch)
        return b"", b""

    def _require_free(self, replica: Replica, record: RangeRecord) -> list[Replica]:
        """Raises NotInSync while another replica here holds a part of the range.

        It has yet to apply a split, or this snapshot was taken before one. What was absorbed gives
        way to who absorbed it, or to a child of that one: those replicas are returned. Nor may a
        snapshot take the place of what a neighbour here is about to absorb. Snapshot in the model
        of merges.
        """
        gone = []
        for other in self._replicas.values():
            absorbs = [e.merge.partition for e in other.absorbs if isinstance(e.merge, Absorb)]
            if replica.partition_id in absorbs:
                raise NotInSync(f"partition {other.partition_id} is about to absorb it here")
            if other is not replica and other.holds(replica.descriptor.keyspace, record):
                if other.descriptor.absorbed_by and not self._is_needed(other, replica):
                    gone.append(other)
                    continue
                raise NotInSync(
                    f"partition {other.partition_id} still holds a part of the range of partition"
                    f" {replica.partition_id} here"
                )
        return gone

    def _is_needed(self, absorbed: Replica, replica: Replica) -> bool:
        """Whether another than `replica` has the entry that absorbs it, and is yet to apply it.

        One that nobody leads any more applies it only if it is needed itself, by one to its left.
        Needed in the model of merges.
        """
        return any(
            isinstance(entry.merge, Absorb)
            and entry.merge.partition == absorbed.partition_id
            and (not left.descriptor.absorbed_by or self._is_needed(left, replica))
            for left in self._replicas.values()
            if left is not replica and not left.damaged
            for entry in left.absorbs
        )


async def send_and_report(snapshots: Snapshots, replica: Replica, node: str) -> None:
    """Send a snapshot; then, whatever came of it, ask the follower anew where the logs meet."""
    leader = replica.leader
    try:
        await snapshots.send(replica, node)
    except TrilithError as error:
        replica.ports.log(
            "snapshot_failed", partition=replica.partition_id, node=node, error=str(error)
        )
    except Exception:  # a defect: else nobody would ever send it anything again
        _ask_anew(leader, node)
        raise
    _ask_anew(leader, node)


def _ask_anew(leader: Any, node: str) -> None:
    if leader is not None:
        leader.followers.snapshot_done(node)
