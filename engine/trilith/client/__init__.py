"""The SDK: buckets, tables and transactions of a cluster from Python, over gRPC.

    import trilith

    db = trilith.connect("127.0.0.1:7000")            # or: await trilith.connect_async(...)
    db.create_bucket("photos").put("cat.jpg", pathlib.Path("cat.jpg"))
    pictures = db.create_table("pictures", ("id", "S"))
    pictures.put({"id": "cat", "key": "cat.jpg", "likes": 0})

It stands alone: of the engine it knows the errors, the form of bearer tokens, and the wire. What a
request is and means is decided once for both clients (object_calls, table_calls, definition_calls,
transact_calls, bodies, reading, retries); session.py and async_session.py do the I/O. The classes
of the blocking client are made from those of the asynchronous one (tools/blocking_client.py).
"""

from trilith.client.async_client import AsyncClient, connect_async
from trilith.client.client import Client, connect
from trilith.client.definition_calls import ON_DEMAND
from trilith.client.table_calls import Reading
from trilith.client.transact_calls import Get
from trilith.client.types import Index

__all__ = [
    "ON_DEMAND",
    "AsyncClient",
    "Client",
    "Get",
    "Index",
    "Reading",
    "connect",
    "connect_async",
]
