"""Comparing the parts that a completion lists with the parts that were uploaded, in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from trilith.errors import InvalidPart, PartTooSmall
from trilith.objects.records import PartEntry, PartRecord
from trilith.objects.types import Checksum, CompletedPart, PartInfo


def checksum_of(part: PartRecord | PartInfo, algorithm: str | None) -> Checksum | None:
    """The checksum of this algorithm that is kept of an uploaded part; None: there is none."""
    for checksum in (part.checksum, part.whole_checksum):
        if checksum is not None and checksum.algorithm == algorithm:
            return checksum
    return None


class PartListCheck:
    """Feed it every uploaded part in order of number, then `finish`.

    Afterwards `parts`, `size` and `etag` describe the object; `dropped` are the owners of uploaded
    parts that are not listed. The list must be in ascending order.
    """

    def __init__(
        self,
        listed: Sequence[CompletedPart],
        part_size_bytes_min: int,
        algorithm: str | None = None,
    ) -> None:
        """`algorithm`: of the object's checksum, whose values the parts are to keep."""
        self._listed = listed
        self._algorithm = algorithm
        self._part_size_bytes_min = part_size_bytes_min
        self._next = 0
        self._digests = hashlib.md5(usedforsecurity=False)
        self._too_small: PartTooSmall | None = None
        self.parts: list[PartEntry] = []
        self.dropped: list[bytes] = []
        self.size = 0

    def add(self, number: int, part: PartRecord) -> None:
        """Raises InvalidPart when the list names an absent part or another content."""
        if self._next == len(self._listed) or number < self._listed[self._next].number:
            self.dropped.append(part.owner)
            return
        listed = self._listed[self._next]
        if number > listed.number or listed.etag != part.etag:
            raise InvalidPart(part_number=listed.number, etag=listed.etag)
        if listed.checksum is not None:
            found = checksum_of(part, listed.checksum.algorithm)
            if found is None or found.value != listed.checksum.value:
                raise InvalidPart("a listed part's checksum differs", part_number=listed.number)
        self._next += 1
        is_last = self._next == len(self._listed)
        if not is_last and part.size < self._part_size_bytes_min and self._too_small is None:
            self._too_small = PartTooSmall(
                part_number=number,
                etag=part.etag,
                size=part.size,
                size_min=self._part_size_bytes_min,
            )
        kept = checksum_of(part, self._algorithm)
        self.parts.append(PartEntry(number, part.size, part.owner, kept))
        self._digests.update(bytes.fromhex(part.etag))
        self.size += part.size

    def finish(self) -> None:
        """Raises InvalidPart for listed parts that never came, then PartTooSmall."""
        if self._next < len(self._listed):
            missing = self._listed[self._next]
            raise InvalidPart(part_number=missing.number, etag=missing.etag)
        if self._too_small is not None:
            raise self._too_small

    @property
    def etag(self) -> str:
        """MD5 of the parts' MD5s and their count, as AWS computes it."""
        return f"{self._digests.hexdigest()}-{len(self.parts)}"
