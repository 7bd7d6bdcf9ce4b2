"""Where one partition's log entries lie in the journal: compact, in memory.

Invariant: the entries are contiguous, from `first_index` to `last_index`; the log is empty when
`last_index == first_index - 1`. A position is `segment number << 32 | offset` and grows with every
record, so positions are sorted too.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

NOWHERE = -1


class PartitionLog:
    """12 bytes an entry, and one pair per epoch."""

    __slots__ = (
        "_epoch_starts",
        "_epochs",
        "base_epoch",
        "base_segment",
        "damaged",
        "first_index",
        "last_epoch",
        "last_index",
        "lengths",
        "positions",
        "reset_position",
        "state",
        "state_epoch",
        "state_index",
        "state_segment",
    )

    def __init__(self) -> None:
        self.first_index = 1
        self.last_index = 0
        self.last_epoch = 0
        self.base_epoch: int | None = None  # of the entry at first_index - 1, when known
        self.base_segment = NOWHERE  # where a RESET or BASE last told first_index and base_epoch
        self.positions = array("Q")
        self.lengths = array("I")  # payload bytes
        self._epochs: list[int] = []
        self._epoch_starts: list[int] = []
        self.state: bytes | None = None
        self.state_epoch = 0
        self.state_index = 0
        self.state_segment = NOWHERE
        self.damaged = False
        self.reset_position = NOWHERE

    def accepts(self, index: int) -> bool:
        """Whether an entry may come at `index`: the next one, or any in a log that is new."""
        return index == self.last_index + 1 or (
            not self.positions and self.base_segment == NOWHERE and self.last_index == 0
        )

    def append(self, epoch: int, index: int, position: int, length: int) -> None:
        if index != self.last_index + 1:
            self.first_index = index
            self._epochs.clear()
            self._epoch_starts.clear()
        if epoch != self.last_epoch or not self._epochs:
            self._epochs.append(epoch)
            self._epoch_starts.append(index)
            self.last_epoch = epoch
        self.last_index = index
        self.positions.append(position)
        self.lengths.append(length)

    def epoch_of(self, index: int) -> int | None:
        """The epoch of the entry at `index`; None when it is not known here."""
        if self.first_index <= index <= self.last_index:
            return self._epochs[bisect_right(self._epoch_starts, index) - 1]
        if index == self.first_index - 1:
            return self.base_epoch
        return None

    def cut(self, index: int) -> None:
        """Void every entry over `index`."""
        if index < self.first_index - 1:
            # Read back after a trim: the entries that this cut left are in segments dropped since.
            self._rebase(None, index)
            return
        keep = max(0, index + 1 - self.first_index)
        if keep >= len(self.positions):
            return
        del self.positions[keep:]
        del self.lengths[keep:]
        while self._epoch_starts and self._epoch_starts[-1] > index:
            self._epoch_starts.pop()
            self._epochs.pop()
        self.last_index = index
        self.last_epoch = self._epochs[-1] if self._epochs else (self.base_epoch or 0)

    def reset(self, epoch: int, index: int, position: int) -> None:
        """Restart behind `index`, an entry of `epoch`; damage before this no longer matters."""
        self._rebase(epoch, index)
        self.base_segment = position >> 32
        self.reset_position = position
        self.damaged = False

    def set_base(self, epoch: int, index: int, position: int) -> None:
        """Everything up to `index` was trimmed."""
        if index >= self.last_index:
            self._rebase(epoch, index)
        else:
            self._forget(index + 1 - self.first_index, epoch)
        self.base_segment = position >> 32

    def forget_before(self, position: int) -> None:
        """Drop the entries that lie before `position`: their segment is going."""
        count = bisect_left(self.positions, position)
        if count == 0:
            return
        last = self.first_index + count - 1
        self._forget(count, self.epoch_of(last))

    def _forget(self, count: int, base_epoch: int | None) -> None:
        if count <= 0:
            return
        del self.positions[:count]
        del self.lengths[:count]
        self.first_index += count
        self.base_epoch = base_epoch
        keep = max(0, bisect_right(self._epoch_starts, self.first_index) - 1)
        del self._epoch_starts[:keep]
        del self._epochs[:keep]
        if not self.positions:
            self._epoch_starts.clear()
            self._epochs.clear()

    def _rebase(self, epoch: int | None, index: int) -> None:
        del self.positions[:]
        del self.lengths[:]
        self._epochs.clear()
        self._epoch_starts.clear()
        self.first_index = index + 1
        self.last_index = index
        self.base_epoch = epoch
        self.last_epoch = epoch or 0
