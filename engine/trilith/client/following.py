"""Where the reader of a stream is, whichever client reads: which shard is next. No I/O, no clock.

A shard is begun when its parent has been read to its end, so the changes of each item come in order
over splits. Shards that may be read take turns; one that had nothing is left alone for a while.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable

from trilith.client.stream_calls import ShardInfo, ShardPage
from trilith.client.types import Change
from trilith.errors import ChangesTrimmed, InvalidRequest

PAUSE_S_FIRST = 0.05
PAUSE_S_MAX = 1.0
LOOK_S = 10.0  # between descriptions of a stream none of whose shards ends
_END = "end"


class Following:
    """Progress over the shards of one stream.

    `position` is a text that says all of it: another reader, in another process, goes on there,
    within the day that changes are kept.
    """

    def __init__(self, arn: str) -> None:
        self.arn = arn
        self._at: dict[str, str] = {}  # shard -> the sequence number behind which we are, or _END
        self._known: dict[str, ShardInfo] = {}
        self._is_running = True
        self._due_s: dict[str, float] = {}
        self._pause_s: dict[str, float] = {}
        self._look_s = 0.0
        self._ready: deque[Change] = deque()
        self._read: tuple[str, ShardPage] | None = None
        self._last_change_s: float | None = None

    @classmethod
    def at(cls, position: str) -> Following:
        """Raises InvalidRequest for what is no position."""
        try:
            said = json.loads(position)
            following = cls(str(said["stream"]))
            following._at = {str(shard): str(after) for shard, after in said["shards"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InvalidRequest("this is no position of a stream's reader") from None
        return following

    @property
    def position(self) -> str:
        return json.dumps({"stream": self.arn, "shards": self._at})

    # --- shards ----------------------------------------------------------------------------------

    def must_look(self, now_s: float) -> bool:
        """Whether the stream is to be described (again)."""
        return now_s >= self._look_s

    def looked(self, shards: Iterable[ShardInfo], now_s: float, *, is_running: bool) -> None:
        """The stream has these shards; `is_running`: there may be more. Raises ChangesTrimmed."""
        self._known = {shard.name: shard for shard in shards}
        self._is_running = is_running
        self._look_s = now_s + (LOOK_S if self._readable() else PAUSE_S_MAX)
        gone = [name for name in self._at if name not in self._known]
        if any(self._at[name] != _END for name in gone):
            raise ChangesTrimmed("a shard that was not read to its end is no longer kept")
        for name in gone:
            del self._at[name]

    def begin(self, shard: str, after: str) -> None:
        """Be behind a position in a shard."""
        self._at[shard] = after

    def skip(self, shard: str) -> None:
        """Take a shard for read."""
        self._at[shard] = _END

    def has_begun(self, shard: str) -> bool:
        return shard in self._at

    def _readable(self) -> list[str]:
        """Shards that are not read to their end, and whose parents are."""
        return [
            name
            for name, shard in self._known.items()
            if self._at.get(name) != _END
            and (shard.parent not in self._known or self._at.get(shard.parent) == _END)
        ]

    def due(self, now_s: float) -> str | None:
        """The shard that waits longest for its turn, None while all pause."""
        waiting = [(self._due_s.get(name, 0.0), name) for name in self._readable()]
        due_s, name = min(waiting, default=(now_s + 1.0, None))
        return name if due_s <= now_s else None

    def after(self, shard: str) -> str:
        return self._at[shard]

    def pause_s(self, now_s: float) -> float:
        """How long until a shard is due, or the stream is looked at again."""
        times = [self._due_s.get(name, 0.0) for name in self._readable()]
        return max(0.0, min([self._look_s, *times]) - now_s)

    @property
    def is_over(self) -> bool:
        """No shard is left: the stream has ended, and all of it was read."""
        return not self._is_running and all(self._at.get(name) == _END for name in self._known)

    def is_quiet(self, now_s: float, wait_s: float) -> bool:
        """Whether nothing has come for `wait_s`, and every shard was found empty since."""
        if self._last_change_s is None:
            self._last_change_s = now_s
        return now_s - self._last_change_s >= wait_s and all(
            self._pause_s.get(name) for name in self._readable()
        )

    # --- changes ---------------------------------------------------------------------------------

    def read(self, shard: str, page: ShardPage, now_s: float) -> None:
        """What a shard had behind our position."""
        self._ready.extend(page.changes)
        self._read = (shard, page)
        if page.changes:
            self._last_change_s = now_s
        if page.changes or page.is_end:
            self._pause_s[shard] = 0.0
        else:
            before_s = self._pause_s.get(shard, 0.0)
            self._pause_s[shard] = min(max(PAUSE_S_FIRST, 2 * before_s), PAUSE_S_MAX)
        self._due_s[shard] = now_s + self._pause_s[shard]
        if page.is_end:
            self._look_s = now_s  # its children are there now
        self._settle()

    def take(self) -> Change | None:
        """The next change; the position is behind it from now on. None: read on."""
        if not self._ready:
            return None
        change = self._ready.popleft()
        self._at[change.shard] = change.sequence
        self._settle()
        return change

    def _settle(self) -> None:
        if not self._ready and self._read is not None:
            shard, page = self._read
            self._at[shard] = _END if page.is_end else page.after
            self._read = None
