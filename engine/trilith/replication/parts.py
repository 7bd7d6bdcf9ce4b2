"""Walking a range of keys partition by partition, while partitions may split.

Each step asks for the first part of what is left that one partition holds, as far as this node
knows, and says so to the partition: one that ends before refuses (WrongRange), and the step is
planned anew. So every key is asked for once, of a partition that held it at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trilith.errors import WrongRange
from trilith.replication.state_machine import Partitions

PLANS_MAX = 16  # of one step: so often in a row nobody splits


def part_end(partitions: Partitions, keyspace: int, start: bytes, end: bytes) -> bytes:
    """Where the part of [start, end) ends that the partition of `start` holds."""
    starts = partitions.partition_starts(keyspace, start, end)
    return starts[1] if len(starts) > 1 else end


async def query_part(
    partitions: Partitions,
    keyspace: int,
    start: bytes,
    end: bytes,
    query: msgspec.Struct,
    *,
    consistent: bool = True,
) -> tuple[Any, bytes]:
    """The answer for the first part of [start, end), and where that part ends.

    Raises as `Partitions.query`; WrongRange when others keep splitting.
    """
    for left in reversed(range(PLANS_MAX)):
        last = part_end(partitions, keyspace, start, end)
        try:
            answer = await partitions.query(
                keyspace, start, query, consistent=consistent, touched=(start, last), until=last
            )
        except WrongRange:
            if not left:
                raise
        else:
            return answer, last
    raise AssertionError("the last attempt returns or raises")


async def execute_part(
    partitions: Partitions,
    keyspace: int,
    start: bytes,
    end: bytes,
    command_of: Callable[[bytes], msgspec.Struct],
) -> tuple[Any, bytes]:
    """As `query_part`, for a command that acts on a whole part: `command_of(where it ends)`.

    Raises as `Partitions.execute`.
    """
    for left in reversed(range(PLANS_MAX)):
        last = part_end(partitions, keyspace, start, end)
        try:
            return await partitions.execute(keyspace, start, command_of(last), until=last), last
        except WrongRange:
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")
