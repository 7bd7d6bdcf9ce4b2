"""What every operation may reach."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from trilith.dynamodb.metering import Meter
from trilith.runtime.clock import Clock
from trilith.tables.catalog import Catalog
from trilith.tables.expirer import Expirer
from trilith.tables.service import CallerToken, TableService
from trilith.tables.streams import Streams
from trilith.tables.transacting import Snapshots
from trilith.tables.usage import TableUsage
from trilith.transactions.coordinator import Transactions


@dataclass(frozen=True, slots=True)
class Context:
    """`spawn` runs work that goes on after the answer.

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
