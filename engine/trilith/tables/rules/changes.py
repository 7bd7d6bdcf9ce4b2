"""Rules of the change log: what a change of an item adds to it, shards, reading, trimming.

Which shard a change belongs to is said by the Head record of its table and partition. It is
rewritten only when it is out of date: when the partition's range was changed (a split or merge), or
when the table's definition was changed since. tables/changes.py has the picture.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from msgspec.structs import replace

from trilith.errors import IndexThroughputExceeded
from trilith.replication.state_machine import Context, Effects, View
from trilith.tables.changes import (
    BY_TTL,
    CHANGE_RECORD,
    FOR_INDEX,
    HEAD_RECORD,
    IN_STREAM,
    INSERT,
    MODIFY,
    REMOVE,
    SHARD_RECORD,
    Change,
    ChangeActivity,
    Head,
    Shard,
)
from trilith.tables.commands import (
    Changes,
    CloseFeeds,
    DropFeeds,
    Dropped,
    ListShards,
    LocateChange,
    Located,
    ReadChanges,
    Rolled,
    RollShards,
    Shards,
    Terms,
    TrimChanges,
    Trimmed,
)
from trilith.tables.definitions import TABLE_ID_SIZE, Feeds
from trilith.tables.key_codec import successor
from trilith.tables.layout import (
    CHANGE,
    FED,
    SEQUENCE_MAX,
    SHARD,
    anchored,
    change_key,
    sequence_in,
    slot_ranges,
)
from trilith.tables.rules.expiry import drop_entries
from trilith.tables.rules.fed import noted_sequence

_HEADS_MAX = 1024
_ANCHOR = anchored(b"", b"")
_NOWHERE = b"\x00\x00"  # where no partition ends


class ChangeRules:
    """Writes change records. One per model: it numbers what one command emits."""

    def __init__(self, activity: ChangeActivity) -> None:
        self._activity = activity
        self._heads: dict[bytes, Head] = {}  # decoded, by what was decoded
        self._effects: Effects | None = None
        self._emitted = 0

    def emit(
        self,
        table_id: bytes,
        feeds: Feeds,
        key: bytes,
        images: tuple[bytes | None, bytes | None],
        view: View,
        effects: Effects,
        context: Context,
        *,
        by_ttl: bool = False,
    ) -> Feeds:
        """Add the change of an item from one record to another (None: no item) to the log.

        Returns what is known here of what follows from the table's writes.
        """
        if not feeds.stream and not feeds.is_indexed:
            return feeds
        head = self._head(table_id, feeds, view, effects, context)
        feeds = head.feeds
        if not feeds.stream and not feeds.is_indexed:
            return feeds
        old, new = images
        kind = INSERT if old is None else REMOVE if new is None else MODIFY
        flags = (
            (IN_STREAM if feeds.stream else 0)
            | (FOR_INDEX if feeds.is_indexed else 0)
            | (BY_TTL if by_ttl else 0)
        )
        change = Change(
            kind,
            flags,
            context.now_ms,
            key,
            old if feeds.with_old else None,
            new if feeds.with_new else None,
            feeds.era,
        )
        start, _ = head.shards[bisect_right(head.shards, key, key=_start_of) - 1]
        if feeds.is_indexed:
            self._activity.changed.add((start, table_id))
        sequence = context.sequence + self._ordinal(effects)
        effects.put(CHANGE, change_key(start, table_id, sequence), CHANGE_RECORD.encode(change))
        return feeds

    @property
    def is_any_behind(self) -> bool:
        """Whether `require_fed` may refuse anything."""
        return bool(self._activity.behind)

    def require_fed(self, terms: Terms, key: bytes) -> None:
        """Raises IndexThroughputExceeded for a write whose change would only wait for indexes that
        are far behind: the log of those is to stay bounded.
        """
        activity = self._activity
        if activity.behind and terms.global_indexes and activity.is_behind(terms.table_id, key):
            activity.refused += 1
            raise IndexThroughputExceeded

    def feeds_here(self, table_id: bytes, view: View, context: Context) -> Feeds | None:
        """What the partition knows to follow from a write whose sender knew of nothing.

        The sender read the table's record before an index or a stream was added. Whoever adds an
        index has every partition know of it first (RollShards), before it looks at the items.
        """
        known = view.memo.get(table_id)
        if known is None:
            known = view.get(CHANGE, anchored(context.start, table_id)) is not None
            _remember(table_id, view, known=known)
        if not known:
            return None
        raw = view.get(CHANGE, anchored(context.start, table_id))
        return None if raw is None else self._decoded(raw).feeds

    def _ordinal(self, effects: Effects) -> int:
        """0 for the first change of a command, 1 for its second, ..."""
        if effects is not self._effects:
            self._effects, self._emitted = effects, 0
        self._emitted += 1
        return self._emitted - 1

    def _head(
        self, table_id: bytes, feeds: Feeds, view: View, effects: Effects, context: Context
    ) -> Head:
        raw = view.get(CHANGE, anchored(context.start, table_id))
        if raw is not None:
            head = self._decoded(raw)
            same = head.end == context.end and head.generation == context.generation
            if same and head.feeds.era >= feeds.era:
                return head
            if head.feeds.era > feeds.era:
                feeds = head.feeds
        # A second change of the same command finds the same and writes the same again.
        self._activity.rolls += 1
        return _roll(table_id, feeds, view, effects, context)

    def _decoded(self, raw: bytes) -> Head:
        head = self._heads.get(raw)
        if head is None:
            head = HEAD_RECORD.decode(raw)
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            self._heads[raw] = head
        return head

    def roll_shards(
        self, command: RollShards, view: View, effects: Effects, context: Context
    ) -> Rolled:
        """As the next change would; nothing is done where that would change nothing."""
        self._head(command.table_id, command.feeds, view, effects, context)
        return Rolled()


def _remember(table_id: bytes, view: View, *, known: bool) -> None:
    if len(view.memo) >= _HEADS_MAX:
        view.memo.clear()
    view.memo[table_id] = known


def carried_heads(view: View, start: bytes, split_key: bytes) -> list[tuple[int, bytes, bytes]]:
    """For the half that begins at `split_key` of a partition that begins at `start`: Heads that
    say what follows from writes, and are out of date, so that the first of these opens a shard.

    Without them a write whose sender knew of nothing would go unrecorded there.
    """
    return [_outdated(split_key, table_id, head.feeds) for table_id, head in _heads_at(start, view)]


def united_heads(
    left: View, left_start: bytes, right: View, right_start: bytes
) -> list[tuple[int, bytes, bytes]]:
    """As `carried_heads`, for a partition that absorbs its right neighbour, of whose tables it may
    never have heard. (Those that it has heard of have Heads of another generation.)
    """
    known = dict(_heads_at(left_start, left))
    return [
        _outdated(left_start, table_id, head.feeds)
        for table_id, head in _heads_at(right_start, right)
        if table_id not in known or known[table_id].feeds.era < head.feeds.era
    ]


def _heads_at(start: bytes, view: View) -> Iterator[tuple[bytes, Head]]:
    """The Heads of a partition that begins at `start`, by table, by one or two seeks each."""
    low, above = start + _ANCHOR, successor(start + _ANCHOR)
    while found := next(iter(view.scan(CHANGE, low, above)), None):
        table_id = found[0][len(start) + len(_ANCHOR) :][:TABLE_ID_SIZE]
        mine = anchored(start, table_id)
        if found[0] == mine:
            yield table_id, HEAD_RECORD.decode(found[1])
        low = successor(mine)


def _outdated(start: bytes, table_id: bytes, feeds: Feeds) -> tuple[int, bytes, bytes]:
    head = Head(_NOWHERE, feeds, ())
    return CHANGE, anchored(start, table_id), HEAD_RECORD.encode(head)


def _start_of(shard: tuple[bytes, int]) -> bytes:
    return shard[0]


def _roll(table_id: bytes, feeds: Feeds, view: View, effects: Effects, context: Context) -> Head:
    """Close the shards that do not fit the partition or the stream, open those that are missing."""
    held = [shard for shard in _shards_in(table_id, view, context) if not shard.last]
    kept: list[Shard] = []
    for place, shard in enumerate(held):
        beside = held[place + 1].start if place + 1 < len(held) else context.end
        if shard.stream == feeds.stream and _ends_by(shard, beside):
            kept.append(shard)
        else:
            last = context.sequence - 1
            _put(replace(shard, last=last, closed_ms=context.now_ms), effects)
        if shard.start != context.start:  # may have been a partition's start, and be one again
            effects.delete(CHANGE, anchored(shard.start, table_id))
    opened: list[Shard] = []
    start: bytes | None = context.start  # of what no shard covers so far; None: nothing is left
    for shard in kept:
        if start != shard.start:
            opened.append(_opened(table_id, start or b"", shard.start, feeds, context))
        start = None if shard.end == context.end else shard.end
    if start is not None:
        opened.append(_opened(table_id, start, context.end, feeds, context))
    for shard in opened:
        _put(shard, effects)
    pairs = sorted((shard.start, shard.first) for shard in kept + opened)
    head = Head(context.end, feeds, tuple(pairs), context.generation)
    effects.put(CHANGE, anchored(context.start, table_id), HEAD_RECORD.encode(head))
    _remember(table_id, view, known=True)
    return head


def _ends_by(shard: Shard, end: bytes) -> bool:
    return not end or (bool(shard.end) and shard.end <= end)


def _opened(table_id: bytes, start: bytes, end: bytes, feeds: Feeds, context: Context) -> Shard:
    return Shard(table_id, start, end, feeds.stream, context.sequence, context.now_ms)


def _put(shard: Shard, effects: Effects) -> None:
    key = change_key(shard.start, shard.table_id, shard.first)
    effects.put(SHARD, key, SHARD_RECORD.encode(shard))


def _shards_in(table_id: bytes, view: View, context: Context) -> list[Shard]:
    """The table's shards in the partition, by start and sequence."""
    shards = (SHARD_RECORD.decode(raw) for _, raw in view.scan(SHARD, context.start, context.end))
    found = [shard for shard in shards if shard.table_id == table_id]
    return sorted(found, key=lambda shard: (shard.start, shard.first))


def close_feeds(command: CloseFeeds, view: View, effects: Effects, context: Context) -> Dropped:
    """The Head that is left says that nothing follows: a write that is late opens no shard.

    A Head is found again by a shard that begins where it is; an empty one will do.
    """
    table_id = command.table_id
    drop_entries(table_id, view, effects, context)
    shards = _shards_in(table_id, view, context)
    for shard in shards:
        if not shard.last:
            _put(replace(shard, last=context.sequence - 1, closed_ms=context.now_ms), effects)
        if shard.start != context.start:
            effects.delete(CHANGE, anchored(shard.start, table_id))
    here = anchored(context.start, table_id)
    may_hold = _may_hold(table_id, context)
    if may_hold and not any(shard.start == context.start for shard in shards):
        empty = _opened(table_id, context.start, context.end, Feeds(0, command.stream), context)
        _put(replace(empty, last=empty.first, closed_ms=context.now_ms), effects)
    if shards or may_hold or view.get(CHANGE, here) is not None:
        head = Head(context.end, Feeds(command.era), (), context.generation)
        effects.put(CHANGE, here, HEAD_RECORD.encode(head))
        _remember(table_id, view, known=True)
    return Dropped()


def _may_hold(table_id: bytes, context: Context) -> bool:
    """Whether items of the table may be in the partition."""
    return any(
        context.start < end and (not context.end or start < context.end)
        for start, end in slot_ranges(table_id)
    )


def drop_feeds(command: DropFeeds, view: View, effects: Effects, context: Context) -> Dropped:
    drop_entries(command.table_id, view, effects, context)
    starts = {context.start}
    for shard in _shards_in(command.table_id, view, context):
        effects.delete(SHARD, change_key(shard.start, command.table_id, shard.first))
        starts.add(shard.start)
    for start in sorted(starts):
        low = anchored(start, command.table_id)
        if view.get(FED, low) is not None:
            effects.delete(FED, low)
        if next(iter(view.scan(CHANGE, low, successor(low))), None) is not None:
            effects.delete_range(CHANGE, low, successor(low))
    return Dropped()


def list_shards(query: ListShards, view: View) -> Shards:
    records: list[tuple[bytes, bytes]] = []
    start = query.after + b"\x00" if query.after else query.key
    for key, raw in view.scan(SHARD, start, b""):
        if query.table_id and SHARD_RECORD.decode(raw).table_id != query.table_id:
            continue
        if len(records) >= query.limit:
            return Shards(records, more=True)
        records.append((key, raw))
    return Shards(records, more=False)


def read_changes(query: ReadChanges, view: View) -> Changes:
    raw = view.get(SHARD, change_key(query.key, query.table_id, query.first))
    if raw is None:
        return Changes(None, [], is_whole=True)
    shard = SHARD_RECORD.decode(raw)
    records: list[tuple[int, bytes]] = []
    size = 0
    for key, record in _changes_in(shard, max(query.after, shard.trimmed), view):
        size += len(record)
        if records and (len(records) >= query.limit or size > query.bytes_max):
            return Changes(raw, records, is_whole=False)
        records.append((sequence_in(key), record))
    return Changes(raw, records, is_whole=True)


def _changes_in(
    shard: Shard, after: int, view: View, *, reverse: bool = False
) -> Iterator[tuple[bytes, bytes]]:
    start = change_key(shard.start, shard.table_id, max(after + 1, shard.first))
    end = change_key(shard.start, shard.table_id, (shard.last or SEQUENCE_MAX) + 1)
    return view.scan(CHANGE, start, end, reverse=reverse)


def locate_change(query: LocateChange, view: View) -> Located:
    """A binary search: times grow with sequences, but for what clocks of leaders differ by."""
    raw = view.get(SHARD, change_key(query.key, query.table_id, query.first))
    if raw is None:
        return Located(None, 0, 0)
    shard = SHARD_RECORD.decode(raw)
    newest = next(_changes_in(shard, shard.trimmed, view, reverse=True), None)
    last = 0 if newest is None else sequence_in(newest[0])
    if newest is None or CHANGE_RECORD.decode(newest[1]).time_ms < query.time_ms:
        return Located(raw, 0, last)
    # The least `low` such that the first change above it is late enough.
    low, high = max(shard.trimmed, shard.first - 1), last - 1
    while low < high:
        middle = (low + high) // 2
        key, record = next(_changes_in(shard, middle, view))
        if CHANGE_RECORD.decode(record).time_ms < query.time_ms:
            low = sequence_in(key)
        else:
            high = middle
    return Located(raw, sequence_in(next(_changes_in(shard, low, view))[0]), last)


def trim_changes(command: TrimChanges, view: View, effects: Effects, context: Context) -> Trimmed:
    """The floor of each shard is kept in its record: behind it, nothing was ever removed."""
    start, table_id = command.key, command.table_id
    until = max(command.until, noted_sequence(start, table_id, view))
    raw_head = view.get(CHANGE, anchored(context.start, table_id))
    if raw_head is not None and not HEAD_RECORD.decode(raw_head).feeds.is_indexed:
        until = SEQUENCE_MAX  # the indexes that they were for are gone
    shards = _shards_at(start, table_id, view)
    trimmed = min((shard.trimmed for shard in shards), default=0)
    count, more, stays = 0, False, SEQUENCE_MAX  # `stays`: the first that is not removed
    low, high = change_key(start, table_id, trimmed + 1), change_key(start, table_id, SEQUENCE_MAX)
    for key, raw in view.scan(CHANGE, low, high):
        change, sequence = CHANGE_RECORD.decode(raw), sequence_in(key)
        waits = change.flags & FOR_INDEX and sequence > until
        if waits or (change.flags & IN_STREAM and change.time_ms >= command.before_ms):
            stays = sequence
            break
        if count >= command.limit:
            more, stays = True, sequence
            break
        count += 1
        trimmed = sequence
    if count:
        low = change_key(start, table_id, 0)
        effects.delete_range(CHANGE, low, change_key(start, table_id, trimmed + 1))
    left = len(shards)
    for shard in shards:
        is_over = shard.last and (not shard.stream or shard.closed_ms < command.before_ms)
        if is_over and shard.last < stays:
            effects.delete(SHARD, change_key(start, table_id, shard.first))
            left -= 1
        elif count and shard.trimmed < trimmed:
            _put(replace(shard, trimmed=trimmed), effects)
    if not left and start != context.start:
        # What was said there when a partition began there: no split finds it any more.
        for family in (CHANGE, FED):
            effects.delete(family, anchored(start, table_id))
    return Trimmed(count, more)


def _shards_at(start: bytes, table_id: bytes, view: View) -> list[Shard]:
    low, high = change_key(start, table_id, 0), change_key(start, table_id, SEQUENCE_MAX)
    return [SHARD_RECORD.decode(raw) for _, raw in view.scan(SHARD, low, high)]
