"""Bucket operations of the object service. How a deletion stays safe: rules/fence.py."""

from __future__ import annotations

from typing import cast

from trilith.errors import (
    BucketNotEmpty,
    ConditionalConflict,
    TransactionConflict,
    WrongRange,
)
from trilith.objects.access import Access
from trilith.objects.commands import (
    BucketsPage,
    CloseBucket,
    CreateBucket,
    DeleteBucket,
    FoundBucket,
    FoundSettings,
    GetBucketSettings,
    ListBuckets,
    PutBucketTags,
    PutCors,
    PutPublicAccessBlock,
    ReopenBucket,
)
from trilith.objects.keys import (
    BUCKET_ID_SIZE,
    OBJECTS_KEYSPACE,
    SYSTEM_KEYSPACE,
    bucket_range,
    successor,
)
from trilith.objects.types import BucketInfo, BucketSettings, CorsRule, PublicAccessBlock

_DELETE_ATTEMPTS = 4


class BucketOperations(Access):
    async def create_bucket(
        self, name: str, *, owner: str, region: str, tags: dict[str, str] | None = None
    ) -> BucketInfo:
        bucket_id = self._entropy.token_bytes(BUCKET_ID_SIZE)
        command = CreateBucket(name, bucket_id, owner, region, tags or {})
        created = await self._partitions.execute(SYSTEM_KEYSPACE, name.encode(), command)
        return cast(FoundBucket, created).bucket

    async def get_bucket(self, name: str) -> BucketInfo:
        return await self._bucket(name)

    async def put_bucket_tags(self, name: str, tags: dict[str, str]) -> None:
        command = PutBucketTags(name, tags)
        await self._partitions.execute(SYSTEM_KEYSPACE, name.encode(), command)

    async def get_bucket_settings(self, name: str) -> BucketSettings:
        query = GetBucketSettings(name)
        found = await self._partitions.query(SYSTEM_KEYSPACE, name.encode(), query)
        return cast(FoundSettings, found).settings

    async def put_cors(self, name: str, rules: list[CorsRule]) -> None:
        await self._partitions.execute(SYSTEM_KEYSPACE, name.encode(), PutCors(name, rules))

    async def put_public_access_block(self, name: str, block: PublicAccessBlock | None) -> None:
        command = PutPublicAccessBlock(name, block)
        await self._partitions.execute(SYSTEM_KEYSPACE, name.encode(), command)

    async def delete_bucket(self, name: str) -> None:
        """Raises BucketNotEmpty; ConditionalConflict when writers kept getting in between."""
        for _ in range(_DELETE_ATTEMPTS - 1):
            try:
                return await self._delete_bucket(await self._bucket(name))
            except ConditionalConflict:
                continue
        return await self._delete_bucket(await self._bucket(name))

    async def _delete_bucket(self, bucket: BucketInfo) -> None:
        start, end = bucket_range(bucket.bucket_id)
        keys = self._partitions.partition_starts(OBJECTS_KEYSPACE, start, end)
        closed: list[bytes] = []
        try:
            for key, until in zip(keys, [*keys[1:], end], strict=True):
                close = CloseBucket(key, bucket.bucket_id, bucket.generation)
                await self._execute(key, close, until=until)
                closed.append(key)
        except (BucketNotEmpty, TransactionConflict):
            await self._reopen_all(bucket, closed)
            raise
        except WrongRange:
            raise ConditionalConflict("a partition split before it was closed") from None
        if self._partitions.partition_starts(OBJECTS_KEYSPACE, start, end) != keys:
            raise ConditionalConflict("a partition split while the bucket was being deleted")
        await self._partitions.execute(
            SYSTEM_KEYSPACE,
            bucket.name.encode(),
            DeleteBucket(bucket.name, bucket.bucket_id, bucket.generation),
        )

    async def _reopen_all(self, bucket: BucketInfo, keys: list[bytes]) -> None:
        """A courtesy to writers, who would reopen each partition themselves."""
        if not keys:
            return
        try:
            raised = await self._raise_generation(bucket)
            for key in keys:
                await self._execute(
                    key, ReopenBucket(key, bucket.bucket_id, raised.generation), None
                )
        except ConditionalConflict:
            return  # a writer or another deletion has moved on: theirs to reopen

    async def list_buckets(
        self,
        *,
        owner: str,
        prefix: str = "",
        after: str = "",
        limit: int = 10_000,
        consistent: bool = True,
    ) -> tuple[list[BucketInfo], str | None]:
        """In order of name. The second value continues the listing, None at its end. Not
        `consistent`: as they were at some recent moment, told where nobody leads, too.
        """
        start = prefix.encode()
        end = successor(start) if start else b"\xff"
        buckets: list[BucketInfo] = []
        for key in self._partitions.partition_starts(SYSTEM_KEYSPACE, start, end):
            more: str | None = after
            while more is not None:
                query = ListBuckets(key, owner, prefix, more, limit - len(buckets))
                found = await self._partitions.query(
                    SYSTEM_KEYSPACE, key, query, touched=(start, end), consistent=consistent
                )
                page = cast(BucketsPage, found)
                buckets += page.buckets
                more = page.next_after
                if more is not None and len(buckets) >= limit:
                    return buckets, buckets[-1].name if buckets else more
        return buckets, None
