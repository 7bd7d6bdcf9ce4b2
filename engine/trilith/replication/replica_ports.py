"""What a replica needs of its node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from trilith.replication.lease import PeerLease
from trilith.replication.own_disk import OwnDisk
from trilith.replication.ranges import Absorb, Division
from trilith.replication.state_machine import Model
from trilith.runtime.clock import Clock
from trilith.storage.journal import Journal
from trilith.storage.ordered_store import OrderedStore

if TYPE_CHECKING:
    from trilith.replication.replica import Replica


class Readiness(Enum):
    """Whether all of a closed log is applied here, so that its partition can be absorbed."""

    READY = "ready"
    AWAITED = "awaited"
    LOST = "lost"  # it will never be: what is absorbed comes with a snapshot


@dataclass(slots=True)
class ReplicaPorts:
    """See the module's text."""

    node_id: str
    clock: Clock
    journal: Journal
    store: OrderedStore
    disk: OwnDisk
    send: Callable[[str, msgspec.Struct], bool]
    lease_of: Callable[[str], PeerLease]
    model_of: Callable[[int], Model]
    on_newer_epoch: Callable[[int], None]  # partition id: the coordinator knows more than we do
    division_of: Callable[[int], Division | None]  # keyspace: where its partitions may be split
    on_split: Callable[[Replica, int], None]  # it has applied a split; the child's id
    is_coming: Callable[[Replica], bool]  # whether a split applied here will make the awaited one
    log: Callable[..., None]
    on_commit: Callable[[int], None] = lambda _: None  # a partition that is led here
    absorbable: Callable[[Absorb], Readiness] = lambda _: Readiness.AWAITED  # applies what it may
    make_ready: Callable[[Replica, int], bool] = lambda *_: False  # for what it absorbs up to there
    on_close: Callable[[Replica], None] = lambda _: None  # it has applied the entry that closed it
    on_absorb: Callable[[Replica, int], None] = lambda *_: None  # it has absorbed that partition
    # By node: bytes sent to it and not acknowledged, of all partitions led here.
    in_flight: Counter[str] = field(default_factory=Counter)
