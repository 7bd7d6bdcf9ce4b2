"""The console's answers, called as ASGI."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from trilith.console.app import ConsoleApp
from trilith.errors import ConditionalConflict, InvalidRequest


class Node:
    """What the console asks its node. `ready` is set by tests."""

    ready = True

    def readiness(self) -> tuple[bool, list[tuple[str, bool, str]]]:
        return self.ready, [("journal", True, "synced"), ("partitions", self.ready, "2 of 3")]

    async def gather(self) -> list[tuple[str, str, str]]:
        return [("n1", "az1", "up 1.0\n")]

    async def status(self) -> Any:
        return {"zones": [{"name": "az1"}]}

    def app(self) -> ConsoleApp:
        return ConsoleApp(
            readiness=self.readiness,
            gather_metrics=self.gather,
            status=self.status,
            token="secret",
            change_partition=self.change,
        )

    async def change(self, action: str, partition_id: int, key: bytes) -> Any:
        if partition_id == 404:
            raise InvalidRequest("there is no partition 404")
        if not self.ready:
            raise ConditionalConflict("a replica is not in sync")
        return {"action": action, "partition": partition_id, "key": key.hex()}


def call(
    app: ConsoleApp, target: str, method: str = "GET", **headers: str
) -> tuple[int, dict[bytes, bytes], bytes]:
    path, _, query = target.partition("?")
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(app(scope, None, send))
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


@pytest.mark.parametrize("path", ["/livez", "/minio/health/live", "/livez/"])
def test_a_process_that_answers_is_alive(path: str) -> None:
    node = Node()
    node.ready = False
    status, headers, body = call(node.app(), path)
    assert (status, body) == (200, b"ok\n")
    assert headers[b"content-length"] == b"3"


def test_readiness_follows_the_node() -> None:
    node = Node()
    app = node.app()
    assert call(app, "/readyz")[0] == 200
    node.ready = False
    assert call(app, "/readyz")[0] == 503
    status, _, body = call(app, "/readyz?verbose")
    assert status == 503
    assert body == b"[+]journal synced\n[-]partitions 2 of 3\nnot ready\n"
    assert call(app, "/readyz?verbose=1")[2].endswith(b"not ready\n")


def test_a_browser_is_told_how_it_is_and_what_else_there_is() -> None:
    node = Node()
    status, headers, body = call(node.app(), "/")
    assert (status, headers[b"content-type"][:10]) == (200, b"text/plain")
    assert body.startswith(b"Trilith is ready\n")
    assert b"/metrics" in body
    node.ready = False
    assert b"BAD partitions: 2 of 3" in call(node.app(), "/")[2]


def test_localstacks_health_names_the_services() -> None:
    body = call(Node().app(), "/_localstack/health")[2]
    assert msgspec.json.decode(body) == {
        "services": dict.fromkeys(("s3", "dynamodb", "dynamodbstreams"), "running")
    }


def test_metrics_name_their_node() -> None:
    status, headers, body = call(Node().app(), "/metrics")
    assert status == 200
    assert headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
    assert body == b'up{node="n1",zone="az1"} 1.0\n'


def test_status_needs_the_token() -> None:
    app = Node().app()
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
        status, answered, body = call(app, "/v1/status", **headers)
        assert status == 401
        assert answered[b"www-authenticate"] == b"Bearer"
        assert b"az1" not in body
    status, _, body = call(app, "/v1/status", authorization="Bearer secret")
    assert (status, msgspec.json.decode(body)) == (200, {"zones": [{"name": "az1"}]})


def test_other_paths_and_methods_are_refused() -> None:
    app = Node().app()
    assert call(app, "/nothing")[0] == 404
    status, headers, _ = call(app, "/livez", method="POST")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")


def test_a_failing_part_is_answered_500_without_its_reason() -> None:
    node = Node()

    async def fails() -> Any:
        raise RuntimeError("a reason")

    node.status = fails  # type: ignore[method-assign]
    status, _, body = call(node.app(), "/v1/status", authorization="Bearer secret")
    assert status == 500
    assert b"a reason" not in body


def test_an_operator_splits_and_merges_partitions_with_the_token_alone() -> None:
    app = Node().app()
    path = "/v1/partitions/7/split?key=0aff"
    assert call(app, path, "POST")[0] == 401
    assert call(app, path, "GET", authorization="Bearer secret")[0] == 405
    status, _, body = call(app, path, "POST", authorization="Bearer secret")
    assert status == 200
    assert msgspec.json.decode(body) == {"action": "split", "partition": 7, "key": "0aff"}
    status, _, body = call(app, "/v1/partitions/7/merge", "POST", authorization="Bearer secret")
    assert msgspec.json.decode(body) == {"action": "merge", "partition": 7, "key": ""}
    assert call(app, "/v1/partitions/7/melt", "POST", authorization="Bearer secret")[0] == 404


@pytest.mark.parametrize(
    ("target", "status"),
    [("/v1/partitions/7/split?key=xy", 400), ("/v1/partitions/404/merge", 400)],
)
def test_what_cannot_be_done_to_a_partition_is_said(target: str, status: int) -> None:
    answer = call(Node().app(), target, "POST", authorization="Bearer secret")
    assert answer[0] == status
    assert msgspec.json.decode(answer[2])["message"]


def test_what_may_be_done_to_a_partition_later_is_to_be_tried_again() -> None:
    node = Node()
    node.ready = False
    answer = call(node.app(), "/v1/partitions/7/merge", "POST", authorization="Bearer secret")
    assert answer[0] == 503
    assert msgspec.json.decode(answer[2])["error"] == "ConditionalConflict"
