"""Listings that may span partitions: each query answers for one, this joins them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

from trilith.errors import (
    DeadlineExceeded,
    InvalidRequest,
    OutcomeUnknown,
    Unavailable,
    UploadNotFound,
    WrongRange,
)
from trilith.objects.access import Access
from trilith.objects.commands import (
    LIST_LIMIT_MAX,
    LOCKS_MAX,
    ListObjects,
    ListUploads,
    ObjectsPage,
    UploadsPage,
)
from trilith.objects.keys import OBJECTS_KEYSPACE, open_stem, successor
from trilith.objects.multipart import parse_upload_id
from trilith.objects.types import ListEntry, ListPage, UploadInfo, UploadPage
from trilith.replication.parts import query_part
from trilith.transactions.commands import LockHead


def _range(bucket_id: bytes, prefix: str, after: str) -> tuple[bytes, bytes]:
    """The logical keys that a listing may read."""
    under = open_stem(bucket_id, prefix.encode())
    return max(under, open_stem(bucket_id, after.encode())), successor(under)


class ListOperations(Access):
    async def list_objects(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
        consistent: bool = True,
    ) -> ListPage:
        """Keys in UTF-8 byte order; at most min(limit, 1000) entries and common prefixes."""
        info = await self._bucket(bucket, consistent=consistent)
        limit = min(limit, LIST_LIMIT_MAX)
        start, end = _range(info.bucket_id, prefix, after)
        entries: list[ListEntry] = []
        prefixes: list[str] = []
        if limit <= 0 or start >= end:
            return ListPage(entries, prefixes, None)
        last = after
        while start < end:
            room = limit - len(entries) - len(prefixes)
            query = ListObjects(start, info.bucket_id, prefix, delimiter, last, max(room, 1))
            page, start = await self._list_part(start, end, query, consistent=consistent)
            if room == 0:
                if page.entries or page.common_prefixes:
                    return ListPage(entries, prefixes, last)
                continue
            entries += page.entries
            prefixes += page.common_prefixes
            if page.next_after is not None:
                return ListPage(entries, prefixes, page.next_after)
            last = _last(page, last)
        return ListPage(entries, prefixes, None)

    async def _list_part(
        self, start: bytes, end: bytes, query: ListObjects, *, consistent: bool
    ) -> tuple[ListPage, bytes]:
        """One partition's page, and where its part ends."""
        answer, last = await query_part(
            self._partitions, OBJECTS_KEYSPACE, start, end, query, consistent=consistent
        )
        found = cast(ObjectsPage, answer)
        if not found.locks:
            return found.page, last

        def ask() -> Awaitable[ObjectsPage]:
            return self._partitions.query(
                OBJECTS_KEYSPACE, start, query, touched=(start, last), until=last
            )

        try:
            found = await self._recovery.behind_locks(
                OBJECTS_KEYSPACE, found, lambda answer: answer.locks, ask, _was_read
            )
        except WrongRange:  # the partition was split meanwhile
            return await self._list_part(start, end, query, consistent=consistent)
        except Unavailable:
            if consistent:
                raise
        except OutcomeUnknown as error:
            if consistent:
                raise DeadlineExceeded(f"a transaction could not be settled: {error}") from None
        return found.page, last

    async def list_uploads(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after_key: str = "",
        after_upload_id: str = "",
        limit: int = 1000,
    ) -> UploadPage:
        """By key, then by time of initiation; at most min(limit, 1000) uploads and prefixes.

        Raises InvalidRequest for an `after_upload_id` that never was one.
        """
        if after_key and after_upload_id:
            _check_marker(after_upload_id)
        info = await self._bucket(bucket)
        limit = min(limit, LIST_LIMIT_MAX)
        start, end = _range(info.bucket_id, prefix, after_key)
        uploads: list[UploadInfo] = []
        prefixes: list[str] = []
        if limit <= 0 or start >= end:
            return UploadPage(uploads, prefixes, None)
        last = (after_key, after_upload_id)
        while start < end:
            room = limit - len(uploads) - len(prefixes)
            query = ListUploads(
                start, info.bucket_id, prefix, delimiter, last[0], last[1], max(room, 1)
            )
            found, start = await query_part(self._partitions, OBJECTS_KEYSPACE, start, end, query)
            page = cast(UploadsPage, found).page
            if room == 0:
                if page.uploads or page.common_prefixes:
                    return UploadPage(uploads, prefixes, last)
                continue
            uploads += page.uploads
            prefixes += page.common_prefixes
            if page.next_after is not None:
                return UploadPage(uploads, prefixes, page.next_after)
            last = _last_upload(page, last)
        return UploadPage(uploads, prefixes, None)


def _check_marker(upload_id: str) -> None:
    try:
        parse_upload_id(upload_id)
    except UploadNotFound:
        raise InvalidRequest("the upload to list behind has no such id") from None


def _was_read(first: ObjectsPage, lock: LockHead) -> bool:
    """Whether a page would have told of a lock."""
    if len(first.locks) >= LOCKS_MAX:
        return False
    return not first.read_to or lock.key < first.read_to


def _last(page: ListPage, before: str) -> str:
    """The greatest name of a page, in UTF-8 byte order (which is code point order)."""
    ends = [before]
    if page.entries:
        ends.append(page.entries[-1].key)
    if page.common_prefixes:
        ends.append(page.common_prefixes[-1])
    return max(ends)


def _last_upload(page: UploadPage, before: tuple[str, str]) -> tuple[str, str]:
    ends = [before]
    if page.uploads:
        ends.append((page.uploads[-1].key, page.uploads[-1].upload_id))
    if page.common_prefixes:
        ends.append((page.common_prefixes[-1], ""))
    return max(ends)
