"""Reading work lists (repairs, abandoned manifests, ...): one partition and one page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

from trilith.objects.commands import Keys, Query
from trilith.objects.keys import KEYSPACE_END, OBJECTS_KEYSPACE
from trilith.replication.parts import part_end, query_part
from trilith.replication.state_machine import Partitions


async def work_pages(
    partitions: Partitions,
    query_from: Callable[[bytes], Query],
    routes: Sequence[bytes] | None = None,
) -> AsyncIterator[list[bytes]]:
    """Pages of logical keys, none empty. `query_from` makes the query that starts at a key.

    `routes`: the starts of the partitions to look at; all when None.
    """
    parts = [(b"", KEYSPACE_END)]
    if routes is not None:
        parts = [
            (start, part_end(partitions, OBJECTS_KEYSPACE, start, KEYSPACE_END)) for start in routes
        ]
    for start, end in parts:
        position = start
        while position < end:
            query = query_from(position)
            answer, last = await query_part(partitions, OBJECTS_KEYSPACE, position, end, query)
            found = cast(Keys, answer)
            if found.keys:
                yield found.keys
            position = found.next_start or last
