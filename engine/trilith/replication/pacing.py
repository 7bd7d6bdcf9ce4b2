"""When a leader evaluates the commands that wait: at once while few come, in batches when many do.

An entry costs every replica a frame, an acknowledgement, a share of a sync and a write of its
store, whatever it holds. Clients that were answered by one commit come back within a few
milliseconds; a leader that waits for most of them before it makes the next entry halves the
number of entries. With few clients there is nothing to gather, and nothing waits.

Measured with 32 clients of 512-byte items on two cores: 2.6 times as many commands an entry, 30 %
less processor time a write, and so a lower median latency too.
"""

from __future__ import annotations

# The longest that a command waits for company, once no entry is in flight: as long as the last
# commit took. More than these two milliseconds is waited for those that are not coming, when
# clients leave the cluster time: at half of the full rate it made medians 0.5 ms higher, and the
# full rate no more than 1 %.
GATHER_S_MIN = 0.001
GATHER_S_MAX = 0.002
GATHERED_SHARE = (
    0.75  # of the commands that were under way at the last commit, how many to wait for
)
CROWD = 4  # commands under way in one partition: from here on they gather
IN_FLIGHT_MAX = 2  # entries: while so many wait for their commit, commands gather anyway
IN_FLIGHT_MAX_CROWDED = 1


class Pacing:
    """Of one leader."""

    __slots__ = ("_made_at", "gather_s", "in_flight_max", "wanted")

    def __init__(self) -> None:
        self._made_at = 0.0
        self.gather_s = GATHER_S_MIN
        self.in_flight_max = IN_FLIGHT_MAX
        self.wanted = 1  # so many commands are evaluated without a wait

    def evaluated(self, now: float) -> None:
        """A batch leaves. Times are monotonic seconds."""
        self._made_at = now

    def committed(self, under_way: int, now: float) -> None:
        """`under_way`: commands that this commit answers, others in flight and those that wait.

        All of different clients, that is: each may soon send another.
        """
        self.gather_s = min(GATHER_S_MAX, max(GATHER_S_MIN, now - self._made_at))
        if under_way >= CROWD:
            self.wanted = int(under_way * GATHERED_SHARE)
            self.in_flight_max = IN_FLIGHT_MAX_CROWDED
        else:
            self.wanted = 1
            self.in_flight_max = IN_FLIGHT_MAX
