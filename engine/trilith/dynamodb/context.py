"""What every operation may reach."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from trilith.dynamodb.metering import Meter
from trilith.runtime.clock import Clock
from trilith.tables.catalog import Catalog
from trilith.tables.expirer import Expirer
from trilith.tables.service import CallerToken, TableService
from trilith.tables.streams import Streams
from trilith.tables.transacting import Snapshots
from trilith.tables.usage import TableUsage
from trilith.transactions.coordinator import Transactions


class Context(msgspec.Struct, frozen=True):
    """`spawn` runs work that goes on after the answer.

    A struct because every write of an SDK has one of its own: a dataclass takes 16 us to be
    replaced, this 0.2.

    `token`: of the request, when its caller may send it again; its writes are then applied once.
    """

    tables: TableService
    catalog: Catalog
    clock: Clock
    region: str
    account_id: str
    address: str  # host:port of this endpoint, for DescribeEndpoints
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    meter: Meter
    usage: TableUsage
    streams: Streams
    expirer: Expirer
    transactions: Transactions
    snapshots: Snapshots
    token: CallerToken | None = None

    def arn(self, table_name: str) -> str:
        return f"arn:aws:dynamodb:{self.region}:{self.account_id}:table/{table_name}"
