"""The application over in-process tables, called as the HTTP server calls it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import zlib
from collections.abc import Coroutine
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.tables.local_tables import LocalTables

from trilith.dynamodb.app import DynamoDBApp
from trilith.dynamodb.authentication import Authenticator
from trilith.dynamodb.context import Context
from trilith.dynamodb.metering import Meter
from trilith.dynamodb.routing import SERVED_OF_STREAMS
from trilith.iam.credentials import StaticCredentials, root_credential
from trilith.request_record import RequestRecord
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.tables.expirer import Expirer
from trilith.tables.streams import Streams
from trilith.tables.throughput import Spent, Throughput
from trilith.tables.usage import TableUsage

REGION = "us-east-1"
ACCESS, SECRET = "AKIDEXAMPLE", "secret-of-the-tests"
HOST = "tables.example:8000"
PREFIX = "DynamoDB_20120810."
STREAMS_PREFIX = "DynamoDBStreams_20120810."
CUTS = [bytes((slot,)) for slot in (2, 4, 6, 8, 10)]


class Reply:
    """Status, headers and body of one answer; its checksum is verified."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = {name.decode(): value.decode() for name, value in headers}
        self.body = body
        assert self.headers["x-amz-crc32"] == str(zlib.crc32(body))
        assert self.headers["content-length"] == str(len(body))
        assert self.headers["content-type"] == "application/x-amz-json-1.0"

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The exception's name without its prefix; empty for a success."""
        return "" if self.status == 200 else self.json()["__type"].partition("#")[2]


class LocalApp:
    """One application; every call runs its own event loop."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self._tasks: list[asyncio.Task[None]] = []
        tables, clock = LocalTables(cuts=CUTS), SystemClock()
        self.tables = tables
        self.shared: list[Spent] = []
        self.throughput = Throughput(clock, self.shared.extend)
        self.context = context = Context(
            tables.service,
            tables.catalog,
            clock,
            REGION,
            "000000000001",
            HOST,
            self._spawn,
            Meter(tables.service, self.throughput),
            TableUsage(tables, clock, self._spawn),
            Streams(tables, tables.keys, 24 * 3600),
            Expirer(tables, tables.catalog, clock),
            tables.transactions,
            tables.snapshots,
        )
        credentials = StaticCredentials([root_credential(ACCESS, SECRET)])
        self.app = DynamoDBApp(
            context,
            Authenticator(credentials, clock, region=REGION),
            clock,
            SystemEntropy(),
            self.records.append,
            requests_inflight_max=100,
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def call(self, operation: str, document: Any = None, **members: Any) -> Reply:
        """A signed request, as an SDK sends it."""
        body = json.dumps(members if document is None else document).encode()
        prefix = STREAMS_PREFIX if operation in SERVED_OF_STREAMS else PREFIX
        return self.send(body, signed_headers(prefix + operation, body))

    def ok(self, operation: str, **members: Any) -> Any:
        reply = self.call(operation, **members)
        assert reply.status == 200, reply.body
        return reply.json() if reply.body else None

    def make_table(self, name: str, key: str = "pk") -> None:
        """Of items with a partition key that is text; on demand."""
        self.ok(
            "CreateTable",
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def send(
        self,
        body: bytes,
        headers: dict[str, str],
        *,
        method: str = "POST",
        path: str = "/",
        piece: int = 1 << 20,
    ) -> Reply:
        """A request as it is, its body in pieces."""
        pieces = [body[at : at + piece] for at in range(0, len(body), piece)] or [b""]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            data = pieces.pop(0)
            return {"type": "http.request", "body": data, "more_body": bool(pieces)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def run() -> None:
            scope = {
                "type": "http",
                "method": method,
                "raw_path": path.encode(),
                "query_string": b"",
                "headers": [(n.lower().encode(), v.encode()) for n, v in headers.items()],
                "client": ("127.0.0.1", 1),
            }
            await self.app(scope, receive, send)
            await self.tables.transactions.settlements.drain()
            await asyncio.gather(*self._tasks)
            self._tasks.clear()
            await self.tables.settle()

        asyncio.run(run())
        return Reply(sent[0]["status"], sent[0]["headers"], sent[1]["body"])


def signed_headers(
    target: str, body: bytes, *, secret: str = SECRET, access: str = ACCESS, region: str = REGION
) -> dict[str, str]:
    """What botocore would send."""
    headers = {
        "Host": HOST,
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest(),
    }
    request = AWSRequest("POST", f"http://{HOST}/", headers, body)
    SigV4Auth(Credentials(access, secret), "dynamodb", region).add_auth(request)
    return dict(request.headers.items())
