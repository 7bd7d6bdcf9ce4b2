"""Listings: range scans that seek over common prefixes and never read under them.

Order is that of the keys' UTF-8 bytes. With a delimiter, all keys that share prefix + everything
up to the delimiter's next occurrence roll up into one common prefix. `after` is exclusive; when it
is itself a common prefix of this listing, everything under it is skipped.

One query looks at one partition. Its work is bounded: per entry or common prefix returned it reads
at most _STEPS_BEFORE_SEEK records and makes one seek.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from trilith.objects.commands import (
    LOCKS_MAX,
    ListObjects,
    ListUploads,
    ObjectsPage,
    UploadsPage,
)
from trilith.objects.keys import (
    LOCK,
    OBJECT,
    OWNER_SIZE,
    UPLOAD,
    after_key,
    key_of,
    open_stem,
    successor,
)
from trilith.objects.records import OBJECT_RECORD, UPLOAD_RECORD
from trilith.objects.types import ListEntry, ListPage, UploadInfo, UploadPage
from trilith.replication.state_machine import View
from trilith.transactions.commands import LockHead
from trilith.transactions.stage import head_of
from trilith_native.codec import escape_bytes

_Walked = tuple[bytes, bytes | None, bytes, bytes]
_STEPS_BEFORE_SEEK = 8  # stepping over a few records is cheaper than a new iterator


class _Rollup:
    """The grouping that a prefix and a delimiter define over the keys of a bucket."""

    def __init__(self, bucket_id: bytes, prefix: str, delimiter: str) -> None:
        self.bucket_id = bucket_id
        self.prefix = prefix.encode()
        self.delimiter = delimiter.encode()
        self.start = open_stem(bucket_id, self.prefix)
        self.end = successor(self.start)

    def common_prefix(self, key: bytes) -> bytes | None:
        """What `key` rolls up into, or None when it is listed itself."""
        if not self.delimiter:
            return None
        found = key.find(self.delimiter, len(self.prefix))
        return None if found < 0 else key[: found + len(self.delimiter)]

    def start_after(self, after: bytes) -> bytes:
        """Where to begin, to see only what comes after `after`."""
        if not after:
            return self.start
        if after.startswith(self.prefix) and self.common_prefix(after) == after:
            return max(self.start, self.past(after))
        return max(self.start, after_key(self.bucket_id, after))

    def past(self, common_prefix: bytes) -> bytes:
        return successor(open_stem(self.bucket_id, common_prefix))

    def walk(self, view: View, family: int, start: bytes) -> Iterator[_Walked]:
        """(key, common prefix or None, logical key, record); each common prefix once."""
        position: bytes | None = start
        while position is not None and position < self.end:
            position = yield from self._walk_until_seek(view, family, position)

    def _walk_until_seek(
        self, view: View, family: int, start: bytes
    ) -> Generator[_Walked, None, bytes | None]:
        """Returns where to seek to, or None at the end."""
        under: bytes | None = None  # records below this logical key lie under a common prefix
        steps = 0
        for logical_key, record in view.scan(family, start, self.end):
            if under is not None:
                if logical_key < under:
                    steps += 1
                    if steps == _STEPS_BEFORE_SEEK:
                        return under
                    continue
                under = None
            key = key_of(logical_key)
            common_prefix = self.common_prefix(key)
            yield key, common_prefix, logical_key, record
            if common_prefix is not None:
                under, steps = self.past(common_prefix), 0
        return None


def list_objects(query: ListObjects, view: View) -> ObjectsPage:
    rollup = _Rollup(query.bucket_id, query.prefix, query.delimiter)
    if query.limit <= 0:
        return ObjectsPage(ListPage([], [], None))
    start = rollup.start_after(query.after.encode())
    page = _list_page(query, rollup, start, view)
    read_to = b""
    if page.next_after is not None:
        last = page.next_after.encode()
        is_prefix = rollup.common_prefix(last) == last
        read_to = rollup.past(last) if is_prefix else after_key(query.bucket_id, last)
    return ObjectsPage(page, _locks(view, start, read_to or rollup.end), read_to)


def _locks(view: View, start: bytes, end: bytes) -> list[LockHead]:
    locks: list[LockHead] = []
    if start >= end:
        return locks
    for key, raw in view.scan(LOCK, start, end):
        locks.append(head_of(key, raw))
        if len(locks) >= LOCKS_MAX:
            break
    return locks


def _list_page(query: ListObjects, rollup: _Rollup, start: bytes, view: View) -> ListPage:
    entries: list[ListEntry] = []
    prefixes: list[str] = []
    last: bytes | None = None
    for key, common_prefix, _, record in rollup.walk(view, OBJECT, start):
        if len(entries) + len(prefixes) == query.limit:
            assert last is not None
            return ListPage(entries, prefixes, last.decode())
        if common_prefix is not None:
            prefixes.append(common_prefix.decode())
            last = common_prefix
        else:
            entries.append(_entry(key, record))
            last = key
    return ListPage(entries, prefixes, None)


def _entry(key: bytes, record: bytes) -> ListEntry:
    listed = OBJECT_RECORD.decode_listed(record)
    checksum = listed.checksum
    return ListEntry(
        key.decode(),
        listed.size,
        listed.etag,
        listed.last_modified_ms,
        listed.storage_class,
        checksum.algorithm if checksum is not None else None,
        checksum.kind if checksum is not None else None,
    )


def list_uploads(query: ListUploads, view: View) -> UploadsPage:
    """By key, then by upload id, which is the order of initiation."""
    rollup = _Rollup(query.bucket_id, query.prefix, query.delimiter)
    if query.limit <= 0:
        return UploadsPage(UploadPage([], [], None))
    start = rollup.start_after(query.after_key.encode())
    if query.after_key and query.after_upload_id:
        stem = query.bucket_id + escape_bytes(query.after_key.encode())
        start = max(rollup.start, stem + bytes.fromhex(query.after_upload_id) + b"\x00")
    uploads: list[UploadInfo] = []
    prefixes: list[str] = []
    last = ("", "")
    for key, common_prefix, logical_key, record in rollup.walk(view, UPLOAD, start):
        if len(uploads) + len(prefixes) == query.limit:
            return UploadsPage(UploadPage(uploads, prefixes, last))
        if common_prefix is not None:
            prefixes.append(common_prefix.decode())
            last = (common_prefix.decode(), "")
        else:
            uploads.append(_upload(key.decode(), logical_key, record))
            last = (uploads[-1].key, uploads[-1].upload_id)
    return UploadsPage(UploadPage(uploads, prefixes, None))


def _upload(key: str, logical_key: bytes, record: bytes) -> UploadInfo:
    upload = UPLOAD_RECORD.decode(record)
    return UploadInfo(
        key,
        logical_key[-OWNER_SIZE:].hex(),
        upload.initiated_ms,
        upload.metadata,
        upload.checksum_algorithm,
        upload.checksum_kind,
    )
