from typing import Final, Self, final

from typing_extensions import Buffer

GEAR_SEED: Final[int]
GEAR: Final[tuple[int, ...]]

@final
class Chunker:
    def __new__(cls, min_bytes: int, avg_bytes: int, max_bytes: int) -> Self: ...
    @property
    def min_bytes(self) -> int: ...
    @property
    def avg_bytes(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...
    def next_cut(self, buffer: Buffer, offset: int = 0, *, final: bool) -> int: ...
