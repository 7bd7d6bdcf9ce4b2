"""What a table is: its keys, indexes and settings, as its record in the system keyspace says."""

from __future__ import annotations

import msgspec

from trilith.record_codec import RecordCodec

TABLE_ID_SIZE = 16
PAY_PER_REQUEST = "PAY_PER_REQUEST"
PROVISIONED = "PROVISIONED"

CREATING = "CREATING"
ACTIVE = "ACTIVE"
DELETING = "DELETING"


class KeyAttribute(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A key attribute. `kind` is S, N or B."""

    name: str
    kind: str


class LocalIndex(msgspec.Struct, frozen=True, array_like=True):
    """A local secondary index. `number` (from 0) names its family (layout.py).

    `included` are the further attributes of an INCLUDE projection.
    """

    number: int
    name: str
    sort: KeyAttribute
    projection: str  # ALL, KEYS_ONLY or INCLUDE
    included: tuple[str, ...] = ()


class Warm(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a table or index was asked to be warm for, in units a second; 0: not said.

    It is remembered only: a partition that becomes hot splits, whatever was said before.
    """

    read_units: int = 0
    write_units: int = 0


class GlobalIndex(msgspec.Struct, frozen=True, array_like=True):
    """A global secondary index: a table of entries of its own, fed from the base table's changes.

    `index_id` stands where a table's id does in the keys of its entries. `status` is what
    IndexStatus says: CREATING (also while it is filled), ACTIVE or DELETING. `filled`: while it is
    CREATING, every item below this logical key has its entry. `born`: the revision of the table's
    record that it came with; changes of an earlier era are none of its concern.
    """

    name: str
    index_id: bytes
    partition: KeyAttribute
    sort: KeyAttribute | None
    projection: str  # ALL, KEYS_ONLY or INCLUDE
    included: tuple[str, ...]
    status: str
    created_ms: int
    read_units: int = 0
    write_units: int = 0
    filled: bytes = b""
    born: int = 0
    warm: Warm = Warm()
    more_partition: tuple[KeyAttribute, ...] = ()
    more_sort: tuple[KeyAttribute, ...] = ()

    def partition_attributes(self) -> tuple[KeyAttribute, ...]:
        """What its partition key is made of: of one attribute, or of several."""
        return (self.partition, *self.more_partition)

    def sort_attributes(self) -> tuple[KeyAttribute, ...]:
        """What its sort key is made of, the most significant first; empty without one."""
        return () if self.sort is None else (self.sort, *self.more_sort)

    def key_attributes(self) -> tuple[KeyAttribute, ...]:
        return (*self.partition_attributes(), *self.sort_attributes())


class Stream(msgspec.Struct, frozen=True, array_like=True):
    """One enabling of a table's stream. `view` is the StreamViewType.

    `ended_ms` is 0 while it is enabled; what an ended one holds stays readable for a day. The
    streams of a table have different `created_ms`.
    """

    label: str
    view: str
    created_ms: int
    ended_ms: int = 0


def ended(streams: tuple[Stream, ...], now_ms: int) -> tuple[Stream, ...]:
    """The streams of a table when the running one, if there is any, ends now."""
    if not streams or streams[-1].ended_ms:
        return streams
    last = streams[-1]
    at_ms = max(now_ms, last.created_ms + 1)
    return (*streams[:-1], msgspec.structs.replace(last, ended_ms=at_ms))


class Feeds(msgspec.Struct, frozen=True, array_like=True):
    """What follows from the writes of a table beside the item and its local index entries.

    `era` is the revision of the table's record: of two writers the one that knows of the higher is
    right. `stream` is the running stream's `created_ms`, or 0; `is_indexed` says that
    global indexes are fed; `with_old` and `with_new`, which images a change record needs. `ttl`
    names the attribute by which items expire.
    """

    era: int = 0
    stream: int = 0
    is_indexed: bool = False
    with_old: bool = False
    with_new: bool = False
    ttl: str = ""


class TableRecord(msgspec.Struct, frozen=True, array_like=True):
    """A table. `attributes` are AttributeDefinitions in the caller's order.

    `revision` counts the changes of the record: a change is made against the one that was read.
    """

    name: str
    table_id: bytes
    created_ms: int
    attributes: tuple[KeyAttribute, ...]
    partition: KeyAttribute
    sort: KeyAttribute | None
    indexes: tuple[LocalIndex, ...] = ()
    billing_mode: str = PAY_PER_REQUEST
    read_units: int = 0
    write_units: int = 0
    is_protected: bool = False
    table_class: str = ""  # empty: never said, so STANDARD
    tags: dict[str, str] = {}
    deleting: bool = False
    revision: int = 0
    global_indexes: tuple[GlobalIndex, ...] = ()
    streams: tuple[Stream, ...] = ()  # the newest last
    ttl_attribute: str = ""  # empty: items do not expire
    ttl_changed_ms: int = 0
    ttl_settled: bool = True  # False: entries of items are still being made or removed
    table_class_changed_ms: int = 0
    warm: Warm = Warm()

    def index(self, name: str) -> LocalIndex | None:
        for index in self.indexes:
            if index.name == name:
                return index
        return None

    def stream(self) -> Stream | None:
        """The one that is enabled."""
        if self.streams and not self.streams[-1].ended_ms:
            return self.streams[-1]
        return None

    def feeds(self) -> Feeds | None:
        """None when nothing follows from a write."""
        stream = self.stream()
        is_indexed = bool(self.global_indexes)
        if stream is None and not is_indexed and not self.ttl_attribute:
            return None
        view = "" if stream is None else stream.view
        return Feeds(
            era=self.revision,
            stream=0 if stream is None else stream.created_ms,
            is_indexed=is_indexed,
            with_old=is_indexed or view in {"OLD_IMAGE", "NEW_AND_OLD_IMAGES"},
            with_new=is_indexed or view in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"},
            ttl=self.ttl_attribute,
        )

    def global_index(self, name: str) -> GlobalIndex | None:
        for index in self.global_indexes:
            if index.name == name:
                return index
        return None

    def names_of_keys(self) -> dict[str, None]:
        """Of the attributes that are keys of the table or of an index."""
        names = [*self.key_names(), *(index.sort.name for index in self.indexes)]
        names += [key.name for index in self.global_indexes for key in index.key_attributes()]
        return dict.fromkeys(names)

    def has_work(self) -> bool:
        """Whether a deletion, or the making or unmaking of an index, is under way."""
        return (
            self.deleting
            or not self.ttl_settled
            or any(index.status != ACTIVE for index in self.global_indexes)
        )

    def key_names(self) -> tuple[str, ...]:
        if self.sort is None:
            return (self.partition.name,)
        return (self.partition.name, self.sort.name)


TABLE_RECORD = RecordCodec(TableRecord)
