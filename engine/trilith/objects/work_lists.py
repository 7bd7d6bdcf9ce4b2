"""Reading work lists (repairs, abandoned manifests, ...): one partition and one page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

from trilith.objects.commands import Keys, Query
from trilith.objects.keys import KEYSPACE_END, OBJECTS_KEYSPACE
from trilith.replication.state_machine import Partitions


async def work_pages(
    partitions: Partitions,
    query_from: Callable[[bytes], Query],
    routes: Sequence[bytes] | None = None,
) -> AsyncIterator[list[bytes]]:
    """Pages of logical keys, none empty. `query_from` makes the query that starts at a key.

    `routes`: the starts of the partitions to look at; all when None.
    """
    if routes is None:
        routes = partitions.partition_starts(OBJECTS_KEYSPACE, b"", KEYSPACE_END)
    for route in routes:
        start = route
        while True:
            found = cast(
                Keys,
                await partitions.query(
                    OBJECTS_KEYSPACE, route, query_from(start), touched=(route, KEYSPACE_END)
                ),
            )
            if found.keys:
                yield found.keys
            if not found.next_start:
                break
            start = found.next_start
