"""An ObjectService over the local twins, and bodies to feed it."""

from __future__ import annotations

import random

from trilith.objects.key_ring import KeyRing
from trilith.objects.service import ObjectService
from trilith.objects.types import Checksum, ObjectMetadata
from trilith.transactions.recovery import Recovery

from .local_chunks import LocalPipeline
from .local_partitions import LocalPartitions

PLAIN = ObjectMetadata()


class SeededEntropy:
    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, length: int) -> bytes:
        return self._random.randbytes(length)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class GivenBody:
    """A Body of given runs; `error` is raised where its end would be."""

    def __init__(
        self,
        *runs: bytes,
        announced: bool = True,
        checksum: Checksum | None = None,
        error: Exception | None = None,
    ) -> None:
        self._runs = [run for run in runs if run]
        self._announced = sum(map(len, runs)) if announced else None
        self._checksum = checksum
        self._error = error

    @property
    def size(self) -> int | None:
        return self._announced

    async def read(self) -> bytes:
        if self._runs:
            return self._runs.pop(0)
        if self._error is not None:
            raise self._error
        return b""

    def checksum(self) -> Checksum | None:
        return self._checksum


class ServiceCluster:
    """`inline`: the largest inline body; chunks have `chunk_size` bytes.

    `partitions`: where others than objects live too; `cuts` is for those of its own.
    """

    def __init__(
        self,
        *,
        cuts: list[bytes] | None = None,
        inline: int = 100,
        chunk_size: int = 1000,
        part_size_bytes_min: int = 2000,
        partitions: LocalPartitions | None = None,
        recovery: Recovery | None = None,
    ) -> None:
        self.partitions = partitions or LocalPartitions(cuts=cuts)
        self.pipeline = LocalPipeline(chunk_size=chunk_size)
        entropy = SeededEntropy()
        self.keys = KeyRing(bytes(range(32)), entropy)
        self.service = ObjectService(
            self.partitions,
            self.pipeline,
            self.keys,
            entropy,
            inline_size_bytes_max=inline,
            part_size_bytes_min=part_size_bytes_min,
            recovery=recovery,
        )

    async def put(self, bucket: str, key: str, data: bytes, **options: object) -> object:
        return await self.service.put_object(bucket, key, GivenBody(data), PLAIN, **options)  # type: ignore[arg-type]

    async def get(self, bucket: str, key: str) -> bytes:
        reader = await self.service.open_object(bucket, key)
        small = reader.small_body()
        if small is not None:
            return small
        return b"".join([run async for run in reader.stream(0, reader.info.size - 1)])
