from typing import Final

from typing_extensions import Buffer

HEADER_SIZE: Final[int]
MAX_PAYLOAD: Final[int]

def frame(
    segment_seed: int, kind: int, partition: int, epoch: int, index: int, payload: Buffer
) -> bytes: ...
def scan(
    buffer: Buffer, offset: int, segment_seed: int
) -> tuple[list[tuple[int, int, int, int, int, int]], int]: ...
def find_valid_after(buffer: Buffer, offset: int, segment_seed: int) -> int: ...
def verify(buffer: Buffer, offset: int, segment_seed: int) -> bool: ...
