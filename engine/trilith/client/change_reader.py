# Made from async_change_reader.py by `make blocking`: change that one.
"""A table's changes, as the blocking client follows them."""

from __future__ import annotations

import time
from typing import Self

from trilith.client import definition_calls, stream_calls
from trilith.client.following import Following
from trilith.client.session import Session
from trilith.client.stream_calls import ShardInfo, Start, require_start
from trilith.client.types import Change
from trilith.errors import StreamNotFound


class ChangeReader:
    """Iterate over it: the changes of each item come in order, each once, over splits of the table
    and the loss of zones.

    `position`, kept once a change has been dealt with, is where another reader goes on: a change
    whose position was not kept comes again. Changes are kept for a day: ChangesTrimmed is raised
    where some that were not read are gone.
    """

    def __init__(self, session: Session, following: Following, wait_s: float | None) -> None:
        self._session = session
        self._following = following
        self._wait_s = wait_s

    @property
    def position(self) -> str:
        """Behind the last change that was handed out."""
        return self._following.position

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        """Waits for a change. It ends with the stream, or after `wait_s` without a change."""
        while (change := self._following.take()) is None:
            if not self._read_on():
                raise StopIteration
        return change

    def _read_on(self) -> bool:
        """Whether there may be more."""
        following = self._following
        if following.must_look(time.monotonic()):
            look(self._session, following)
        now_s = time.monotonic()
        if following.is_over:
            return False
        if self._wait_s is not None and following.is_quiet(now_s, self._wait_s):
            return False
        shard = following.due(now_s)
        if shard is None:
            time.sleep(following.pause_s(now_s))
        else:
            self._read(shard)
        return True

    def _read(self, shard: str) -> None:
        following = self._following
        if not following.has_begun(shard):
            position = stream_calls.shard_position(following.arn, shard, "oldest")
            following.begin(shard, self._session.run(position))
        call = stream_calls.get_records(following.arn, shard, following.after(shard))
        following.read(shard, self._session.run(call), time.monotonic())


def look(session: Session, following: Following) -> list[ShardInfo]:
    """See which shards the stream has. Raises StreamNotFound, ChangesTrimmed."""
    page = session.run(stream_calls.describe_stream(following.arn, ""))
    shards = page.shards
    while page.next_after is not None:
        page = session.run(stream_calls.describe_stream(following.arn, page.next_after))
        shards += page.shards
    following.looked(shards, time.monotonic(), is_running=page.is_running)
    return shards


def open_changes(
    session: Session,
    table: str,
    start: Start,
    position: str | None,
    wait_s: float | None,
) -> ChangeReader:
    """Raises ValueError, InvalidRequest, StreamNotFound, TableNotFound."""
    require_start(start)
    if position is not None:
        return ChangeReader(session, Following.at(position), wait_s)
    arn = (session.run(definition_calls.describe_table(table))).stream_arn
    if arn is None:
        raise StreamNotFound(
            f"the table {table} has no stream: update_table(stream=...) begins one"
        )
    following = Following(arn)
    shards = look(session, following)
    for shard in shards if start != "oldest" else []:
        if start == "latest" and not shard.is_open:
            following.skip(shard.name)
        else:
            place = stream_calls.shard_position(arn, shard.name, start)
            following.begin(shard.name, session.run(place))
    return ChangeReader(session, following, wait_s)
