"""How long to wait for a node's answer, learnt from its answers.

A node that works but is slow must not be given up (its zone would miss the chunk), and a node that
hangs must not hold up every write for the full time. So the deadline grows with the node's usual
answer time, and shrinks with each answer that did not come, until one does.
"""

from __future__ import annotations

# The deadline is at least this many usual answer times: as TCP's timer, generous to spikes.
USUAL_TIMES = 8
SLOW_FACTOR_MAX = 4  # ... and at most this many times the configured timeout
SILENT_DEADLINE_S_MIN = 0.25
_WEIGHT = 1 / 8  # of a new observation in the moving average


class Patience:
    """Deadlines of calls to one node."""

    __slots__ = ("_average_s", "_silences", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._average_s = 0.0
        self._silences = 0

    @property
    def deadline_s(self) -> float:
        usual = min(USUAL_TIMES * self._average_s, SLOW_FACTOR_MAX * self._timeout_s)
        deadline: float = max(self._timeout_s, usual)
        if self._silences:
            deadline = max(deadline / 2**self._silences, SILENT_DEADLINE_S_MIN)
        return deadline

    def answered(self, seconds: float) -> None:
        """It answered, with a result or an error."""
        self._silences = 0
        self._average_s += _WEIGHT * (seconds - self._average_s)

    def silent(self) -> None:
        """No answer came within the deadline."""
        self._silences = min(self._silences + 1, 8)
