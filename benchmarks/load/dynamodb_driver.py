"""Drives any DynamoDB endpoint with wrk over signed requests: one workload a call.

Signing happens before the run, so the driver costs the machine little: a run measures the server.

    python -m benchmarks.load.dynamodb_driver http://127.0.0.1:8000 TABLE put --connections 32

reads the keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and prints one JSON line. The table
must have the partition key pk (S) and the sort key sk (N); `create_table` makes one.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import json
import os
import random
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.load.processes import wait_until
from benchmarks.load.s3_driver import RESULT, Endpoint, LoadError, Result

LUA_SCRIPT = Path(__file__).with_name("dynamodb_requests.lua")
REGION = "us-east-1"
API = "DynamoDB_20120810."
ITEMS_A_KEY = 4  # items that share a partition key: what a query finds
BATCH_ITEMS = 25
LOADERS = 4
SIGNED = "content-type;host;x-amz-date;x-amz-target"


@dataclass(frozen=True)
class Workload:
    """`operation`: put, get, update, query or transact. `rate`: requests/s, 0 for all there are.

    `keys` requests are made, over the items from 0 to `items`; none given: one for each.
    """

    operation: str
    size_bytes: int = 512
    connections: int = 32
    keys: int = 20_000
    items: int = 0
    rate: float = 0.0


class Signer:
    """SigV4 in the Authorization header, at one moment."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._scope = f"{self.time[:8]}/{REGION}/dynamodb/aws4_request"
        key = b"AWS4" + endpoint.secret_key.encode()
        for part in self._scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        self._key = key

    def authorization(self, target: str, body: str) -> str:
        headers = (
            f"content-type:application/x-amz-json-1.0\nhost:{self._endpoint.host}\n"
            f"x-amz-date:{self.time}\nx-amz-target:{target}\n"
        )
        digest = hashlib.sha256(body.encode()).hexdigest()
        canonical = "\n".join(["POST", "/", "", headers, SIGNED, digest])
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256", self.time, self._scope, hashed])
        signature = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        credential = f"{self._endpoint.access_key}/{self._scope}"
        return (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={SIGNED}, "
            f"Signature={signature}"
        )


class Client:
    """One connection for the few requests that are not measured."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connection = http.client.HTTPConnection(endpoint.host, timeout=60)

    def call(self, operation: str, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        body, signer = json.dumps(document, separators=(",", ":")), Signer(self._endpoint)
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Date": signer.time,
            "X-Amz-Target": API + operation,
            "Authorization": signer.authorization(API + operation, body),
        }
        self._connection.request("POST", "/", body, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")

    def must(self, operation: str, document: dict[str, Any]) -> dict[str, Any]:
        status, answer = self.call(operation, document)
        if status != 200:
            raise LoadError(f"{operation}: {status} {answer}")
        return answer


def create_table(endpoint: Endpoint, table: str) -> None:
    """Creates the table and waits until it is active; one that exists is fine."""
    client = Client(endpoint)
    document = {
        "TableName": table,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    }
    status, answer = client.call("CreateTable", document)
    if status != 200 and "ResourceInUse" not in str(answer):
        raise LoadError(f"CreateTable: {status} {answer}")

    def active() -> bool:
        found = client.must("DescribeTable", {"TableName": table})
        return bool(found["Table"]["TableStatus"] == "ACTIVE")

    wait_until(active, f"table {table} is active")


def key_of(number: int) -> dict[str, Any]:
    """The key attributes of the item with this number."""
    return {
        "pk": {"S": f"user-{number // ITEMS_A_KEY:09d}"},
        "sk": {"N": str(number % ITEMS_A_KEY)},
    }


def _value(size_bytes: int, random_: random.Random) -> str:
    piece = "".join(random_.choices(string.ascii_letters, k=min(size_bytes, 64)))
    return (piece * (size_bytes // 64 + 1))[:size_bytes]


def item_of(number: int, size_bytes: int, random_: random.Random) -> dict[str, Any]:
    value = {"S": _value(size_bytes, random_)}
    return {**key_of(number), "v": value, "n": {"N": str(number)}}


def load_items(endpoint: Endpoint, table: str, items: int, size_bytes: int) -> None:
    """Writes the items from 0 to `items` with BatchWriteItem."""

    def write(share: int) -> None:
        client, random_ = Client(endpoint), random.Random(share)
        for first in range(share * BATCH_ITEMS, items, LOADERS * BATCH_ITEMS):
            numbers = range(first, min(items, first + BATCH_ITEMS))
            wanted: dict[str, Any] = {
                table: [{"PutRequest": {"Item": item_of(n, size_bytes, random_)}} for n in numbers]
            }
            while wanted:
                answer = client.must("BatchWriteItem", {"RequestItems": wanted})
                wanted = answer.get("UnprocessedItems") or {}

    with ThreadPoolExecutor(LOADERS) as pool:
        list(pool.map(write, range(LOADERS)))


def _documents(table: str, workload: Workload) -> Iterator[tuple[str, dict[str, Any]]]:
    random_, size = random.Random(7), workload.size_bytes
    count = workload.items or workload.keys
    for position in range(workload.keys):
        # In an order of its own, so that neighbours in time are no neighbours in the table.
        number = random_.randrange(count) if workload.items else position * 7_919 % count
        key = key_of(number)
        one: dict[str, Any] = {"TableName": table}
        if workload.operation == "put":
            yield "PutItem", {**one, "Item": item_of(number, size, random_)}
        elif workload.operation == "get":
            yield "GetItem", {**one, "Key": key, "ConsistentRead": True}
        elif workload.operation == "update":
            values = {
                ":v": {"S": _value(size, random_)},
                ":one": {"N": "1"},
                ":max": {"N": "9" * 9},
            }
            yield (
                "UpdateItem",
                {
                    **one,
                    "Key": key,
                    "UpdateExpression": "SET v = :v ADD c :one",
                    "ConditionExpression": "attribute_not_exists(c) OR c < :max",
                    "ExpressionAttributeValues": values,
                },
            )
        elif workload.operation == "query":
            yield (
                "Query",
                {
                    **one,
                    "ConsistentRead": True,
                    "KeyConditionExpression": "pk = :p AND sk >= :s",
                    "ExpressionAttributeValues": {":p": key["pk"], ":s": {"N": "0"}},
                },
            )
        else:
            account = {"pk": {"S": f"account-{number % 5000}"}, "sk": {"N": "0"}}
            add = {
                **one,
                "Key": account,
                "UpdateExpression": "ADD c :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
            put = {**one, "Item": {**key, "v": {"S": _value(size, random_)}}}
            yield "TransactWriteItems", {"TransactItems": [{"Put": put}, {"Update": add}]}


def drive(endpoint: Endpoint, table: str, workload: Workload, seconds: int) -> Result:
    """Runs the workload for `seconds`. Raises LoadError when wrk fails."""
    signer = Signer(endpoint)
    with tempfile.TemporaryDirectory() as folder:
        requests = Path(folder, "requests")
        with requests.open("w") as file:
            for operation, document in _documents(table, workload):
                body = json.dumps(document, separators=(",", ":"))
                target = API + operation
                file.write(f"{signer.authorization(target, body)}\t{target}\t{body}\n")
        done = subprocess.run(
            [
                *("wrk", "-t1", f"-c{workload.connections}", f"-d{seconds}s", "--timeout", "20s"),
                *("-s", str(LUA_SCRIPT), endpoint.url, "--"),
                *(str(requests), signer.time, f"{workload.rate:.3f}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    match = RESULT.search(done.stdout)
    if match is None:
        raise LoadError(f"wrk failed: {done.stdout}{done.stderr}")
    values = [float(value) for value in match.groups()]
    count, duration_us, _, refused, socket_errors = map(int, values[:5])
    rate = count / (duration_us / 1e6)
    return Result(
        count,
        round(rate, 1),
        round(rate * workload.size_bytes / 1e6, 1),
        *values[5:],
        refused=refused,
        socket_errors=socket_errors,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("endpoint")
    parser.add_argument("table")
    parser.add_argument("operation", choices=["put", "get", "update", "query", "transact"])
    parser.add_argument("--size-bytes", type=int, default=512)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.0, help="requests/s; 0: all there are")
    parser.add_argument("--seconds", type=int, default=8)
    given = parser.parse_args()
    endpoint = Endpoint(
        given.endpoint, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    )
    create_table(endpoint, given.table)
    workload = Workload(
        given.operation, given.size_bytes, given.connections, given.keys, rate=given.rate
    )
    print(json.dumps(asdict(drive(endpoint, given.table, workload, given.seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
