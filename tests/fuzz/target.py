"""What a fuzz target is: a function that judges any bytes, and raises when a promise is broken.

A target takes its input apart itself, so that the same bytes always mean the same run: with a
fuzzer, in a replay of the corpus, and in a debugger. Exceptions that the code under test documents
are caught by the target; anything that leaves it is a bug.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

CORPUS = Path(__file__).parent / "corpus"

T = TypeVar("T")
Check = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Target:
    """`native`: runs compiled code of ours first of all, so it also runs under the sanitizers.

    `words`: what a mutation may insert. `input_bytes_max`: longer inputs find nothing new.
    """

    name: str
    check: Check
    native: bool
    words: tuple[bytes, ...]
    input_bytes_max: int

    @property
    def corpus(self) -> Path:
        return CORPUS / self.name

    def seeds(self) -> list[Path]:
        return sorted(self.corpus.iterdir()) if self.corpus.is_dir() else []


TARGETS: dict[str, Target] = {}


def target(
    *, native: bool = False, words: Sequence[bytes] = (), input_bytes_max: int = 2048
) -> Callable[[Check], Check]:
    """Registers a function as the target of its name."""

    def register(check: Check) -> Check:
        name = check.__name__
        assert name not in TARGETS, name
        TARGETS[name] = Target(name, check, native, tuple(words), input_bytes_max)
        return check

    return register


class Choices:
    """Decisions drawn from the input, byte by byte; all zeros once it has ended."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._data)

    def bytes(self, count: int) -> bytes:
        """Up to `count` bytes: what is left may be less."""
        taken = self._data[self._position : self._position + count]
        self._position += len(taken)
        return taken

    def integer(self, low: int, high: int) -> int:
        """Within both bounds."""
        span = high - low
        width = max(1, (span.bit_length() + 7) // 8)
        return low + int.from_bytes(self.bytes(width), "little") % (span + 1)

    def flag(self) -> bool:
        return bool(self.integer(0, 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[self.integer(0, len(options) - 1)]

    def blob(self, size_max: int) -> bytes:
        """Bytes that say their own length."""
        return self.bytes(self.integer(0, size_max))

    def text(self, size_max: int) -> str:
        return self.blob(size_max).decode("utf-8", "replace")

    def rest(self) -> bytes:
        return self.bytes(len(self._data))


def pieces_of(data: bytes, count_max: int = 8) -> Iterator[bytes]:
    """`data` cut at places that depend on nothing but `data`."""
    random = Random(zlib.crc32(data))
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randint(1, count_max)))
    start = 0
    for cut in (*cuts, len(data)):
        if cut > start:
            yield data[start:cut]
            start = cut
