"""The Transactions service. Refused by name until transactions are served."""

from __future__ import annotations

from trilith.edge.grpc_call import Call
from trilith.errors import NotServed
from trilith.wire.v1 import transactions_pb2 as wire


class TransactionsService:
    """Items and objects, written together or not at all."""

    async def transact(self, _call: Call, _request: wire.TransactRequest) -> wire.TransactResponse:
        raise NotServed("Transact is not served in this version")
