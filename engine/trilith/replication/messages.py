"""What replicas say to each other on control links.

Node-level messages serve all partitions at once.
"""

from __future__ import annotations

import msgspec


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """Once per interval and pair of nodes.

    `sent_at`: the sender's monotonic seconds. `echo`: the last `sent_at` received from the other
    side over this link (0: none yet). Leases given with a heartbeat are counted from `echo` by who
    receives them, and from `sent_at` by who gives them: so the holder's view ends first.
    `promise`: "I will not take over from you". `grants`: "what I granted you is in sync". `full`:
    "I have no room for much more": who leads goes on without the sender before that stalls it.
    """

    sent_at: float
    echo: float
    promise: bool
    grants: bool
    full: bool = False  # not told by an older version


class Grant(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """Leader to follower.

    From here on heartbeats do (or do not) extend your grant for a partition.
    """

    partition_id: int
    epoch: int
    granted: bool


class Append(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Leader to follower: entries after `previous_index`, in order, and how far to apply."""

    partition_id: int
    epoch: int
    previous_index: int
    previous_epoch: int
    commit_index: int
    entries: list[tuple[int, bytes]]  # (epoch, payload)
    log_end: int = 0  # the last index of the sender's log; 0: not told, by an older version


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """Follower to leader: everything up to `index` is durable here and equals your log."""

    partition_id: int
    epoch: int
    index: int


class Reject(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """Follower to leader: the append did not fit.

    `epoch` above the append's: the sender is deposed. Else `commit_index` is where both logs are
    known to be equal, so that the leader continues from there.
    """

    partition_id: int
    epoch: int
    commit_index: int
    needs_snapshot: bool = False
    no_room: bool = False  # send no entries until a probe is answered without this


class Commit(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Leader to follower: apply up to here. Repeats what the next append would say, sooner."""

    partition_id: int
    epoch: int
    commit_index: int


class DescriptorChanged(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """A nudge: the coordinator has a newer descriptor; saves waiting for the watch."""

    partition_id: int
    revision: int


Message = Heartbeat | Grant | Append | Ack | Reject | Commit | DescriptorChanged
