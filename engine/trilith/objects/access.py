"""What all operations of the object service share: the way to buckets, commands and queries."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, cast

import msgspec

from trilith.errors import (
    BucketClosed,
    BucketNotFound,
    ConditionalConflict,
    TransactionConflict,
)
from trilith.objects.chunk_port import ChunkPipeline
from trilith.objects.commands import (
    Command,
    FoundBucket,
    GetBucket,
    PutObject,
    Query,
    ReopenBucket,
    Stored,
    UpdateGeneration,
)
from trilith.objects.key_ring import KeyRing
from trilith.objects.keys import OBJECTS_KEYSPACE, SYSTEM_KEYSPACE, successor
from trilith.objects.types import BucketInfo
from trilith.replication.proposal import scoped_token
from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import Entropy
from trilith.transactions.recovery import Recovery

_REOPEN_ATTEMPTS = 8


class Access:
    """Base of the service's operation groups.

    `inline_size_bytes_max`: bodies up to this travel sealed inside the replicated command.
    `part_size_bytes_min`: of every part but the last. `recovery`: what finds a way around the locks
    of transactions.
    """

    def __init__(
        self,
        partitions: Partitions,
        pipeline: ChunkPipeline,
        keys: KeyRing,
        entropy: Entropy,
        *,
        inline_size_bytes_max: int = 16 * 1024,
        part_size_bytes_min: int = 5 * 1024 * 1024,
        recovery: Recovery | None = None,
    ) -> None:
        self._partitions = partitions
        self._pipeline = pipeline
        self._keys = keys
        self._entropy = entropy
        self._inline_size_bytes_max = inline_size_bytes_max
        self._part_size_bytes_min = part_size_bytes_min
        self._recovery = recovery or Recovery(partitions, SystemClock())

    async def _bucket(self, name: str, *, consistent: bool = True) -> BucketInfo:
        """The bucket's record, read anew each time: a local lookup where the partition is in sync.

        Not cached: a bucket that another node deleted a moment ago must be BucketNotFound here.
        """
        query = GetBucket(name)
        key = name.encode()
        found = self._partitions.try_query(SYSTEM_KEYSPACE, key, query)
        if found is None:
            found = await self._partitions.query(SYSTEM_KEYSPACE, key, query, consistent=consistent)
        return cast(FoundBucket, found).bucket

    async def _query(self, stem: bytes, query: Query, *, consistent: bool = True) -> Any:
        """A query that reads records of one stem."""
        return await self._partitions.query(
            OBJECTS_KEYSPACE,
            stem,
            query,
            consistent=consistent,
            touched=(stem, successor(stem)),
        )

    async def _execute(
        self,
        key: bytes,
        command: Command,
        token: bytes | None = None,
        *,
        repeated: bool = False,
        until: bytes | None = None,
    ) -> Any:
        """Run a command, after the transactions that are in its way.

        Raises TransactionConflict when one stays there.
        """

        def write(_waiter: bytes = b"") -> Awaitable[Any]:
            return self._partitions.execute(
                OBJECTS_KEYSPACE, key, command, token=token, repeated=repeated, until=until
            )

        try:
            return await write()
        except TransactionConflict:
            return await self._recovery.around_locks(OBJECTS_KEYSPACE, write)

    async def _commit(
        self,
        bucket: BucketInfo,
        stem: bytes,
        command: Command,
        token: bytes,
        *,
        repeated: bool = False,
    ) -> Any:
        """Run a command that may create the first record of a key: it may meet a closed bucket.

        `repeated`: the token is of a caller who may have sent it before. Raises BucketNotFound
        when the bucket was deleted meanwhile (rules/fence.py).
        """
        for _ in range(_REOPEN_ATTEMPTS):
            try:
                return await self._execute(stem, command, token, repeated=repeated)
            except BucketClosed as closed:
                await self._reopen(bucket, stem, closed.details["generation"])
        return await self._execute(stem, command, token, repeated=repeated)

    async def _commit_object(
        self, bucket: BucketInfo, command: PutObject, version_id: bytes, token: bytes | None
    ) -> Stored:
        """Store an object whose version id is its command's token; or under a caller's `token`:
        then the answer may be of that caller's earlier attempt, with another version id.
        """
        if token is None:
            stored = await self._commit(bucket, command.stem, command, version_id)
        else:
            scoped = scoped_token(token, "PutObject", command.stem)
            named = msgspec.structs.replace(command, version_id=version_id)
            stored = await self._commit(bucket, command.stem, named, scoped, repeated=True)
        return cast(Stored, stored)

    async def _reopen(self, bucket: BucketInfo, key: bytes, closed_generation: int) -> None:
        """One attempt to take the bucket back from a deletion that closed `key`'s partition."""
        current = cast(
            FoundBucket,
            await self._partitions.query(
                SYSTEM_KEYSPACE, bucket.name.encode(), GetBucket(bucket.name)
            ),
        ).bucket
        if current.bucket_id != bucket.bucket_id:
            raise BucketNotFound
        try:
            if current.generation <= closed_generation:
                current = await self._raise_generation(current)
            await self._execute(key, ReopenBucket(key, bucket.bucket_id, current.generation), None)
        except ConditionalConflict:
            return  # another writer or another deletion was faster: the caller looks again

    async def _raise_generation(self, bucket: BucketInfo) -> BucketInfo:
        raised = await self._partitions.execute(
            SYSTEM_KEYSPACE,
            bucket.name.encode(),
            UpdateGeneration(bucket.name, bucket.bucket_id, bucket.generation),
        )
        return cast(FoundBucket, raised).bucket
