"""Bringing a replica up by copying its partition, when the journal no longer reaches back (rule 6).

The leader streams a frozen view of the partition's records in pieces, each acknowledged before the
next leaves; the follower wipes its range, marks the partition as being installed, writes the
pieces, flushes, and only then restarts its log behind the snapshot's index. A crash in the middle
leaves the mark: the replica starts empty and asks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from trilith.errors import NotInSync, TrilithError
from trilith.peers.hub import PeerHub
from trilith.replication.descriptor import Descriptor
from trilith.replication.entry import TOKEN_FAMILY, applied_key, encode_applied, token_key
from trilith.replication.replica import Replica
from trilith.replication.state_machine import FAMILY_MAX
from trilith.runtime.workers import Workers
from trilith.storage.ordered_store import DELETE_RANGE, PUT, Operation, OrderedReader, OrderedStore
from trilith_native.codec import decode_batch, encode_batch

PIECE_BYTES = 1024 * 1024
PIECE_DEADLINE_S = 30.0
METHOD = "replication.snapshot"
INSTALLING = -1  # the applied index of a partition whose snapshot is not whole


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Header of one piece; its records are the body, as a batch."""

    partition_id: int
    epoch: int
    index: int  # the snapshot's last applied entry, and its epoch
    index_epoch: int
    first: bool
    last: bool


_pieces = msgspec.msgpack.Decoder(Piece)


def ranges_of(descriptor: Descriptor) -> Iterator[tuple[bytes, bytes]]:
    """Physical key ranges that a partition owns: its range of every family, and its tokens."""
    start, end = descriptor.start_key, descriptor.end_key
    for family in range(FAMILY_MAX + 1):
        prefix = bytes((descriptor.keyspace, family))
        yield prefix + start, prefix + end if end else bytes((descriptor.keyspace, family + 1))
    partition_id = descriptor.partition_id
    following = bytes((descriptor.keyspace, TOKEN_FAMILY)) + (partition_id + 1).to_bytes(8, "big")
    yield token_key(descriptor.keyspace, partition_id, b""), following


def _batches(reader: OrderedReader, descriptor: Descriptor) -> Iterator[list[Operation]]:
    """The partition's records in pieces; at least one, perhaps empty."""
    batch: list[Operation] = []
    size = 0
    for start, end in ranges_of(descriptor):
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
        descriptor, epoch = replica.descriptor, replica.epoch
        index, index_epoch = replica.applied_index, replica.applied_epoch
        batches = _batches(self._store.snapshot(), descriptor)
        batch: list[Operation] | None = next(batches)
        first = True
        while batch is not None:
            following = await self._workers.run(next, batches, None)
            piece = Piece(
                descriptor.partition_id, epoch, index, index_epoch, first, following is None
            )
            body = encode_batch(batch)
            header = msgspec.msgpack.encode(piece)
            await self._hub.call(node, METHOD, header, body, deadline_s=PIECE_DEADLINE_S)
            self._sent_bytes += len(body)
            batch, first = following, False

    async def _receive(self, peer_id: str, header: bytes, body: memoryview) -> tuple[bytes, bytes]:
        piece = _pieces.decode(header)
        replica = self._replicas.get(piece.partition_id)
        if replica is None or replica.leader is not None or piece.epoch < replica.epoch:
            raise NotInSync(f"a snapshot of partition {piece.partition_id} is not wanted here")
        if replica.leader_node != peer_id and piece.epoch == replica.epoch:
            raise NotInSync(f"node {peer_id} does not lead partition {piece.partition_id}")
        key = applied_key(piece.partition_id)
        source = (peer_id, piece.epoch, piece.index)
        if piece.first:
            replica.begin_install(peer_id, piece.epoch, source)
            wipe: list[Operation] = [
                (DELETE_RANGE, start, end) for start, end in ranges_of(replica.descriptor)
            ]
            self._store.write([(PUT, key, encode_applied(INSTALLING, 0)), *wipe])
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


async def send_and_report(snapshots: Snapshots, replica: Replica, node: str) -> None:
    """Send a snapshot; then, whatever came of it, ask the follower anew where the logs meet."""
    leader: Any = replica.leader
    try:
        await snapshots.send(replica, node)
    except TrilithError as error:
        replica.ports.log(
            "snapshot_failed", partition=replica.partition_id, node=node, error=str(error)
        )
    if leader is not None:
        leader.followers.snapshot_done(node)
