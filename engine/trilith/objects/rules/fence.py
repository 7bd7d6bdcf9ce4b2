"""The fence that keeps the deletion of a bucket from orphaning an object.

A bucket's record lives in the system keyspace, its objects in any number of partitions, and no
command spans them. The bucket's record carries a `generation`; each partition may hold fence
markers of the bucket, `(generation, open | closed)`; none means open at generation 0.

Deleting bucket B, read at generation g:
  1. Close(B, g) on every partition that overlaps B's range. It is refused when a marker has a
     generation > g, and answers BucketNotEmpty when the partition holds an object or an upload of
     B. So it is while a transaction has locked a key of B: it may be about to put an object, and
     its lock, like a record, proves to what it commits that nobody closed. Else it leaves the
     marker closed(g).
  2. Delete B's record if its generation is still g.
A write that would create the first record of a key is refused with BucketClosed(c) while the
partition has a marker closed(c). Its gateway then reads B's record: gone is BucketNotFound. Else,
if the record's generation is still <= c, it raises it by one (compare-and-swap); then
Reopen(B, generation read), which turns closed(c) into open(generation) only if c < generation;
then it retries. A deletion that gives up (BucketNotEmpty) reopens in the same way.

Why nothing acknowledged is lost: say the record is deleted at generation g. The swap proves that
the generation never exceeded g, so no Reopen with more than g was ever sent, and none will be: a
generation is raised before it is used, and the record is gone. Every partition was closed(g) at
some moment before, at which it held nothing of B. Only a Reopen above g could turn closed(g) back,
and a Close above g cannot exist either. So all partitions stay closed(g) for ever: late writes and
late Reopens (of slow gateways) are refused. In the other direction, a late Close(g) of a deletion
that a write overtook finds open(g + 1) and is refused, and its step 2 fails. Bucket ids are never
used again; a closed marker of a dead bucket (some 40 bytes per partition) stays.

Overwrites, parts and completions need no look at the fence: the record that they replace proves
that the partition is not closed for this bucket, because closing requires that none exists.

Splits: a marker must reach both children, `carry_over` says what to copy. Close must reach all of
B's range: it names the key at which it believes that its partition starts, and up to which key
(`Partitions.execute`, `until`): a partition that does not hold all of that refuses it. Merges:
several markers in one partition are read together, any closed one closes.
"""

from __future__ import annotations

from trilith.errors import BucketClosed, BucketNotEmpty, ConditionalConflict
from trilith.objects.commands import CloseBucket, Done, ReopenBucket
from trilith.objects.keys import (
    BUCKET_ID_SIZE,
    FENCE,
    LOCK,
    NULL_VERSION,
    OBJECT,
    UPLOAD,
    bucket_range,
)
from trilith.objects.records import FENCE_RECORD, FenceRecord
from trilith.replication.state_machine import Context, Effects, View
from trilith.transactions.stage import require_unlocked


def _markers(view: View, bucket_id: bytes) -> list[tuple[bytes, FenceRecord]]:
    start, end = bucket_range(bucket_id)
    return [(key, FENCE_RECORD.decode(raw)) for key, raw in view.scan(FENCE, start, end)]


def require_open(view: View, bucket_id: bytes) -> None:
    """Raises BucketClosed, with the marker's generation, while the bucket is being deleted here."""
    start, end = bucket_range(bucket_id)
    for _, raw in view.scan(FENCE, start, end):
        marker = FENCE_RECORD.decode(raw)
        if marker.closed:
            raise BucketClosed(generation=marker.generation)


def close_bucket(command: CloseBucket, view: View, effects: Effects, _context: Context) -> Done:
    markers = _markers(view, command.bucket_id)
    if any(marker.generation > command.generation for _, marker in markers):
        raise ConditionalConflict("the bucket was written to while it was being deleted")
    _require_empty(view, *bucket_range(command.bucket_id))
    closed = FENCE_RECORD.encode(FenceRecord(command.generation, closed=True))
    for key in [key for key, _ in markers] or [command.key]:
        effects.put(FENCE, key, closed)
    return Done()


def _require_empty(view: View, start: bytes, end: bytes) -> None:
    """Raises BucketNotEmpty; TransactionConflict where that depends on a transaction."""
    if next(iter(view.scan(UPLOAD, start, end)), None) is not None:
        raise BucketNotEmpty
    for key, _ in view.scan(OBJECT, start, end):
        if view.get(LOCK, key[: -len(NULL_VERSION)]) is None:
            raise BucketNotEmpty
    for stem, _ in view.scan(LOCK, start, end):
        require_unlocked(view, LOCK, stem)


def reopen_bucket(command: ReopenBucket, view: View, effects: Effects, _context: Context) -> Done:
    markers = _markers(view, command.bucket_id)
    if any(m.closed and m.generation >= command.generation for _, m in markers):
        raise ConditionalConflict("the bucket is being deleted again")
    opened = FENCE_RECORD.encode(FenceRecord(command.generation, closed=False))
    for key, marker in markers:
        if marker.generation < command.generation:
            effects.put(FENCE, key, opened)
    if not markers:
        effects.put(FENCE, command.key, opened)
    return Done()


def carry_over(view: View, split_key: bytes) -> list[tuple[int, bytes, bytes]]:
    """(family, key, value) that the right child of a split at `split_key` must be given.

    The one bucket whose range the split tears is that of the split key's first bytes. `view` is
    the parent's.
    """
    found = _markers(view, split_key[:BUCKET_ID_SIZE])
    if not found or any(key == split_key for key, _ in found):
        return []
    strongest = max((marker for _, marker in found), key=lambda m: (m.generation, m.closed))
    return [(FENCE, split_key, FENCE_RECORD.encode(strongest))]
