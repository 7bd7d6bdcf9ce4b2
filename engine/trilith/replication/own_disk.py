"""Whether this node's own disk works, as its replicas feel it.

A sync that takes too long is a wedged disk, which heartbeats would hide for ever. While it hangs
the node is silent, as if it were cut off: no lease of it is renewed, another takes over what it
leads, it is dropped from all in-sync sets at once instead of by each partition's next write, and it
answers no probe that would take it in again. (Naming another leader itself would be slower: that
one would have to wait out our leases.)

The ordered store may be out of room while the journal, which reserves its own, has some left. Then
what is committed cannot be applied, and whoever waits for it gets no answer. So the node counts as
full, for all its partitions: others lead, and go on without it, until the store takes a write
again.
"""

from __future__ import annotations

from collections.abc import Callable

from trilith.errors import DiskFull, StorageFailure
from trilith.replication.entry import applied_key
from trilith.storage.journal import Journal
from trilith.storage.ordered_store import DELETE, Operation, OrderedStore

UNAPPLIED_MAX = 1024  # entries that a follower takes while its store takes none
NO_PARTITION = applied_key(0)  # a record that is never there


class OwnDisk:
    """Looked at once a tick."""

    def __init__(
        self,
        journal: Journal,
        store: OrderedStore,
        limit_s: float,
        log: Callable[..., None],
    ) -> None:
        """`limit_s`: how long a sync may take."""
        self.hangs = False
        self.store_refuses = False
        self._journal = journal
        self._store = store
        self._limit_s = limit_s
        self._log = log
        self._late: float | None = None  # when the sync began that the last look found late

    @property
    def accepting(self) -> bool:
        """False: there is no room for another entry, or for what one says."""
        return self._journal.accepting and not self.store_refuses

    def apply(self, partition: int, operations: list[Operation]) -> bool:
        """Write what is committed to the store; False: nothing of it is kept, try again later."""
        try:
            self._store.write(operations)
        except (DiskFull, StorageFailure) as error:
            if not self.store_refuses:
                self._log("apply_failed", partition=partition, error=str(error))
            self.store_refuses = True
            return False
        if self.store_refuses:
            self._log("store_has_room")
        self.store_refuses = False
        return True

    def require_room(self, unapplied: int, *, needed: bool) -> None:
        """Raises DiskFull while the store refuses what is committed: entries would only pile up.

        A replica that is `needed`, for it is in sync, takes some all the same: the leader goes on
        without it as soon as it may, and until then no write has to wait.
        """
        if self.store_refuses and (unapplied >= UNAPPLIED_MAX or not needed):
            raise DiskFull("the ordered store has no room")

    def look(self, now: float) -> None:
        """A late sync counts when seen twice, so that a pause of the whole process, which makes
        every sync look long, is not taken for a hanging disk. A store that refused is asked again.
        """
        began = self._journal.sync_started_at
        late = began if began is not None and now - began > self._limit_s else None
        hangs = late is not None and late == self._late
        if late is not None and hangs and not self.hangs:
            self._log("disk_hangs", for_s=round(now - late, 3))
        self._late, self.hangs = late, hangs
        if self.store_refuses:
            self.apply(0, [(DELETE, NO_PARTITION, b"")])
