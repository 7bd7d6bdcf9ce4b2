"""What a node does when its disk cannot be trusted any more: it ends, and comes back as it must.

Not through the usual stop: what this process could still write must not be written.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from trilith.errors import Corruption
from trilith.node.directory import mark_store_damaged
from trilith.node.quarantine import Damage, Quarantine
from trilith.peers.hub import PeerHub
from trilith.replication.host import ReplicaHost
from trilith.runtime.disk import Disk

EXIT_DISK_FAILED = 74  # EX_IOERR


class DiskFaults:
    """Of one node. `attach` before `store_damaged` is used."""

    def __init__(self, disk: Disk, log: Callable[..., None]) -> None:
        self._disk = disk
        self._log = log
        self._told = False
        # Told of a record that cannot be read here, and that nobody else has: its key, why.
        self.on_bad_record: Callable[[bytes, str], None] = lambda *_: None
        self._host: ReplicaHost
        self._hub: PeerHub
        self._quarantine: Quarantine

    def attach(self, host: ReplicaHost, hub: PeerHub, quarantine: Quarantine) -> None:
        self._host, self._hub, self._quarantine = host, hub, quarantine

    def sync_failed(self, error: OSError) -> None:
        """A retried sync may report success for lost pages.

        Nothing of this process is to be trusted.
        """
        self._log("disk_failed", error=str(error), action="the node stops at once")
        os._exit(EXIT_DISK_FAILED)

    def store_damaged(self, error: Corruption) -> None:
        """The ordered store has no copy of its own to heal from: rebuild the node from its peers.

        Only while another zone is in sync for everything that we have: else what is still readable
        here may be the last copy, and an operator decides.
        """
        alone = [
            partition_id
            for partition_id, (descriptor, _) in self._host.descriptors.items()
            if not any(
                node != self._hub.node_id and self._hub.is_reachable(node)
                for node in descriptor.in_sync
            )
        ]
        if alone:
            self._quarantine.add(
                Damage.STORE,
                "ordered store",
                f"{error}; no other zone is in sync for partitions {', '.join(map(str, alone))}",
            )
            if not self._told:
                self._log("store_damaged", error=str(error), sole_source_of=alone)
            self._told = True
            if key := error.details.get("key"):
                self.on_bad_record(bytes.fromhex(key), str(error))
            return
        self._log("store_damaged", error=str(error), action="the node is rebuilt from its peers")
        mark_store_damaged(self._disk, str(error))
        os._exit(EXIT_DISK_FAILED)
