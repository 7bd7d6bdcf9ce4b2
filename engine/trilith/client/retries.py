"""When a failed call is made again, and what its caller is told in the end. No I/O, no clock.

A call is made again when it was surely not applied and may succeed, or when its outcome is unknown
and repeating it is harmless: it changes nothing, or carries a token by which the engine knows it.
Pauses grow, with full jitter (AWS Architecture Blog, "Exponential Backoff and Jitter").
"""

from __future__ import annotations

import random

from trilith.errors import (
    CallerError,
    Outcome,
    OutcomeUnknown,
    TrilithError,
    Unauthenticated,
)

PAUSE_S_FIRST = 0.05
PAUSE_S_MAX = 2.0
# A first attempt is short, since a node may be cut off; a last one a little longer than a node
# tries by itself.
ATTEMPT_S_FIRST = 4.0
ATTEMPT_S_MAX = 12.0
RETRY_S = 30.0  # for a stream to be taken up again
STREAM_S_MAX = 86_400.0
# The engine remembers tokens for ten minutes.
REPEAT_S_MAX = 480.0


class Attempts:
    """The attempts of one call. `deadline_s` is on the caller's monotonic clock."""

    def __init__(
        self,
        now_s: float,
        timeout_s: float,
        retry_s: float | None = None,
        *,
        repeatable: bool,
    ) -> None:
        """`retry_s`: for further attempts, from the first failure on."""
        self._deadline_s = now_s + timeout_s
        self._retry_s = retry_s
        self._repeat_until_s = now_s + REPEAT_S_MAX
        self._repeatable = repeatable
        self._may_be_applied = False
        self._made = 0
        self._renewed = False

    def time_s(self, now_s: float) -> float:
        """For the next attempt; one that cannot be repeated gets its node's whole patience."""
        if not self._repeatable:
            return max(0.001, min(self._deadline_s - now_s, ATTEMPT_S_MAX))
        attempt_s = min(ATTEMPT_S_FIRST * (1 << min(self._made, 10)), ATTEMPT_S_MAX)
        return max(0.001, min(self._deadline_s - now_s, attempt_s))

    def pause_s(self, failure: TrilithError, now_s: float, *, elsewhere: bool) -> float:
        """How long to wait before the next attempt. Raises what the caller is told instead.

        `elsewhere`: the next attempt goes to another node, the first time at once.
        """
        self._made += 1
        if self._made == 1 and self._retry_s is not None:
            self._deadline_s = min(self._deadline_s, now_s + self._retry_s)
            self._repeat_until_s = now_s + REPEAT_S_MAX
        if failure.outcome is Outcome.UNKNOWN:
            self._may_be_applied = True
        if not self._may_repeat(failure):
            raise self._told(failure)
        ceiling_s = min(PAUSE_S_FIRST * (1 << min(self._made - 1, 10)), PAUSE_S_MAX)
        pause_s = 0.0 if elsewhere and self._made == 1 else random.uniform(0, ceiling_s)
        if now_s + pause_s >= self._deadline_s:
            raise self._told(failure)
        if self._may_be_applied and now_s >= self._repeat_until_s:
            raise self._told(failure)
        return pause_s

    def _may_repeat(self, failure: TrilithError) -> bool:
        if isinstance(failure, Unauthenticated) and not self._renewed:
            self._renewed = True  # a token may have run out on the way; a new one is sent
            return True
        if not failure.retryable:
            return False
        return failure.outcome is Outcome.NOT_APPLIED or self._repeatable

    def _told(self, failure: TrilithError) -> TrilithError:
        """An earlier attempt may have been applied, whatever became of the last one; an answer
        about the request itself was given by an engine that knows of all attempts.
        """
        if (
            self._may_be_applied
            and failure.outcome is Outcome.NOT_APPLIED
            and not isinstance(failure, CallerError)
        ):
            return OutcomeUnknown(f"an earlier attempt may have been applied; then: {failure}")
        return failure
