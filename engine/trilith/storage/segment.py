"""Journal segments: names, record kinds, and what the journal remembers of each.

A segment is a file header and records, framed with a seed of its own, so that no byte of another
segment can pass for a record. Behind the last record lie zeros, reserved ahead.

Each group that was written with one sync starts with a MARK. A valid MARK proves that everything
before it had been synced before it was written: that is how recovery tells a torn, never
acknowledged group at the end (cut) from durable records that were damaged later (corruption).
"""

from __future__ import annotations

from typing import Final

from trilith.storage.file_header import FILE_HEADER_BYTES, file_seed

MAGIC: Final = b"TRILJRNL"
FIRST_RECORD_OFFSET: Final = FILE_HEADER_BYTES

# Record kinds. `index` and `epoch` are the record's own unless said otherwise.
ENTRY: Final = 1  # one log entry of a partition
STATE: Final = 2  # what the replica acts under; the latest wins
CUT: Final = 3  # entries with an index over this one are void
RESET: Final = 4  # the log restarts at index + 1 (`epoch`: of the entry at index); all earlier void
DROP: Final = 5  # the replica is gone
MARK: Final = 6  # partition 0; everything before it is durable
BASE: Final = 7  # entries up to index (of `epoch`) were trimmed; written when none is left to tell
SCAR: Final = 8  # partition 0; index = segment, epoch = offset of a lost region; payload = damaged

UNRECORDED: Final = 0  # in a SCAR: whatever partition the journal has no record of


class Segment:
    """What is known of one segment, in memory."""

    __slots__ = ("end", "entry_index_max", "number", "seed")

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.seed = seed
        self.end = FIRST_RECORD_OFFSET  # offset behind the last record
        # Highest index among the partition's living entries here: when all of them are flushed in
        # the ordered store, nobody needs this segment to recover.
        self.entry_index_max: dict[int, int] = {}


def segment_path(directory: str, number: int) -> str:
    return f"{directory}/{number:010d}.seg"


def segment_number(name: str) -> int | None:
    stem, _, suffix = name.partition(".")
    # Other scripts have digits too; no file of ours has them in its name.
    return int(stem) if suffix == "seg" and stem.isascii() and stem.isdigit() else None


def segment_seed(node_id: str, number: int) -> int:
    return file_seed(MAGIC, node_id, number)
