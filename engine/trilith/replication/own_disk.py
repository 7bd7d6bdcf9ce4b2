"""Whether this node's own disk works: a sync that takes too long is a wedged disk, which heartbeats
would hide for ever.

While it hangs the node is silent, as if it were cut off: no lease of it is renewed, another takes
over what it leads, it is dropped from all in-sync sets at once instead of by each partition's next
write, and it answers no probe that would take it in again. (Naming another leader itself would be
slower: that one would have to wait out our leases.)
"""

from __future__ import annotations

from collections.abc import Callable

from trilith.storage.journal import Journal


class OwnDisk:
    """Looked at once a tick."""

    def __init__(self, journal: Journal, *, limit_s: float, log: Callable[..., None]) -> None:
        """`limit_s`: how long a sync may take."""
        self.hangs = False
        self._journal = journal
        self._limit_s = limit_s
        self._log = log
        self._late: float | None = None  # when the sync began that the last look found late

    def look(self, now: float) -> None:
        """Seen twice, so that a pause of the whole process, which makes every sync look long, is
        not taken for a hanging disk.
        """
        began = self._journal.sync_started_at
        late = began if began is not None and now - began > self._limit_s else None
        hangs = late is not None and late == self._late
        if late is not None and hangs and not self.hangs:
            self._log("disk_hangs", for_s=round(now - late, 3))
        self._late, self.hangs = late, hangs
