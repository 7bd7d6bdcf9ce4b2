"""One partition's view of the node's journal: its log and what of it is durable.

Invariants: entries are numbered from 1 without holes; `durable_index <= last_index`; an entry is
identified by (epoch, index), since one leader writes in one epoch.
"""

from __future__ import annotations

from collections.abc import Callable

from trilith.replication.own_disk import OwnDisk
from trilith.storage.journal import CUT, ENTRY, RESET, STATE, Journal


class ReplicaLog:
    """Appends, cuts and reads the log of one partition."""

    __slots__ = (
        "_cuts",
        "_disk",
        "_journal",
        "_on_durable",
        "_partition",
        "durable_index",
        "last_epoch",
        "last_index",
    )

    def __init__(
        self, journal: Journal, disk: OwnDisk, partition: int, on_durable: Callable[[], None]
    ) -> None:
        """`on_durable` is called whenever `durable_index` grew."""
        self._journal = journal
        self._disk = disk
        self._partition = partition
        self._on_durable = on_durable
        self._cuts = 0
        self.last_index = journal.last_index(partition)
        self.last_epoch = journal.last_epoch(partition)
        self.durable_index = self.last_index

    @property
    def first_index(self) -> int:
        """The first entry that can still be read."""
        return self._journal.first_index(self._partition)

    def epoch_at(self, index: int) -> int:
        """The epoch of an entry; 0 when it is no longer in the journal."""
        if index == self.last_index:
            return self.last_epoch
        return self._journal.entry_epoch(self._partition, index) or 0

    def append(self, epoch: int, payload: bytes, *, notify: bool = True) -> int:
        """Log the next entry; returns its index. Durable when `durable_index` reaches it.

        Raises DiskFull, Overloaded or StorageFailure, with nothing changed.

        `notify` False: more entries follow at once, and the last one's word is enough.
        """
        index = self.last_index + 1
        cuts = self._cuts
        self._journal.append(
            ENTRY,
            self._partition,
            epoch,
            index,
            payload,
            (lambda: self._durable(index, cuts))
            if notify
            else (lambda: self._quietly(index, cuts)),
        )
        self.last_index, self.last_epoch = index, epoch
        return index

    def cut(self, last_index: int) -> None:
        """Drop the entries behind `last_index`; they were never committed. Raises like `append`."""
        cuts = self._cuts + 1
        epoch = self.epoch_at(last_index)
        self._journal.append(
            CUT, self._partition, epoch, last_index, b"", lambda: self._durable(last_index, cuts)
        )
        self._cuts = cuts
        self.last_index, self.last_epoch = last_index, epoch
        self.durable_index = min(self.durable_index, last_index)

    def reset(self, index: int, epoch: int, on_durable: Callable[[], None]) -> None:
        """Restart the log behind `index` (a snapshot holds what came before).

        Raises like `append`.
        """
        self._journal.append(RESET, self._partition, epoch, index, b"", on_durable)
        self._cuts += 1
        self.last_index = self.durable_index = index
        self.last_epoch = epoch

    def save_state(self, epoch: int, state: bytes, on_durable: Callable[[], None]) -> None:
        """Journal what this replica acts under, before it acts on it (rule 5)."""
        self._journal.append(STATE, self._partition, epoch, self.last_index, state, on_durable)

    def read(
        self, first_index: int, *, max_bytes: int, from_disk: bool = False
    ) -> list[tuple[int, int, bytes]]:
        """(epoch, index, payload) from `first_index` on. Raises LookupError when trimmed.

        `from_disk`: for the scrubber, which wants no cached copy. Raises Corruption.
        """
        return self._journal.read(
            self._partition,
            first_index,
            max_bytes=max_bytes,
            max_entries=4096,
            from_disk=from_disk,
        )

    @property
    def accepting(self) -> bool:
        """False: the disk has no room for another entry."""
        return self._disk.accepting

    def _quietly(self, index: int, cuts: int) -> None:
        """The entry after this one may have found no room, and then nobody else counts this one."""
        if cuts == self._cuts and index > self.durable_index:
            self.durable_index = index

    def _durable(self, index: int, cuts: int) -> None:
        if cuts == self._cuts and index > self.durable_index:
            self.durable_index = index
            self._on_durable()
