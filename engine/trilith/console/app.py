"""The console's HTTP application: health, metrics and the status API.

    GET /livez                 the process answers
    GET /readyz[?verbose]      it can serve requests: 200, else 503; verbose names each check
    GET /metrics               Prometheus text of all nodes
    GET /v1/status             JSON; needs `Authorization: Bearer TOKEN`
    POST /v1/partitions/ID/split[?key=HEX]     likewise: at that key, or where it halves the bytes
    POST /v1/partitions/ID/merge               likewise: into the partition to its left

`/minio/health/live`, `/minio/health/ready` and `/_localstack/health` answer as their users expect.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from trilith.console.merge_metrics import CONTENT_TYPE, merge
from trilith.errors import Fault, TrilithError

log = logging.getLogger("trilith.console")

Check = tuple[str, bool, str]
Readiness = Callable[[], tuple[bool, list[Check]]]
GatherMetrics = Callable[[], Awaitable[list[tuple[str, str, str]]]]
Status = Callable[[], Awaitable[Any]]
ChangePartition = Callable[[str, int, bytes], Awaitable[Any]]

TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"
_CHANGE = re.compile(r"/v1/partitions/(?P<id>[0-9]{1,18})/(?P<action>split|merge)/?")


class Answer(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class ConsoleApp:
    """Raw ASGI. The callables are injected by the composition root.

    `readiness()` returns (ready, [(check, ok, detail)]); `gather_metrics()` the text of every
    reachable node as (node id, zone, text); `status()` what `/v1/status` shows.
    """

    def __init__(
        self,
        *,
        readiness: Readiness,
        gather_metrics: GatherMetrics,
        status: Status,
        token: str,
        change_partition: ChangePartition | None = None,
    ) -> None:
        self._readiness = readiness
        self._gather_metrics = gather_metrics
        self._status = status
        self._change_partition = change_partition
        self._authorization = f"Bearer {token}".encode()
        self._routes: dict[str, Callable[[dict[str, Any]], Awaitable[Answer]]] = {
            "/": self._index,
            "/livez": self._livez,
            "/healthz": self._livez,
            "/readyz": self._readyz,
            "/minio/health/live": self._livez,
            "/minio/health/ready": self._readyz,
            "/_localstack/health": self._localstack_health,
            "/metrics": self._metrics,
            "/v1/status": self._show_status,
        }

    async def __call__(self, scope: dict[str, Any], _receive: object, send: Any) -> None:
        try:
            answer = await self._answer(scope)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("a console request failed: %s", scope.get("path"))
            answer = _json(500, {"error": "InternalError"})
        headers = [*answer.headers, (b"cache-control", b"no-store"), (b"server", b"Trilith")]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: dict[str, Any]) -> Answer:
        change = _CHANGE.fullmatch(scope["path"])
        if change is not None and self._change_partition is not None:
            return await self._change(scope, change["action"], int(change["id"]))
        route = self._routes.get(scope["path"].rstrip("/") or "/")
        if route is None:
            return _json(404, {"error": "NotFound", "paths": sorted(self._routes)})
        if scope["method"] not in ("GET", "HEAD"):
            answer = _json(405, {"error": "MethodNotAllowed"})
            return Answer(answer.status, [*answer.headers, (b"allow", b"GET, HEAD")], answer.body)
        return await route(scope)

    async def _index(self, _scope: dict[str, Any]) -> Answer:
        """For whoever opens the port in a browser: how it is, and what else is here."""
        ready, checks = self._readiness()
        lines = ["Trilith is ready" if ready else "Trilith is not ready", ""]
        lines += [f"{'ok ' if ok else 'BAD'} {name}: {detail}" for name, ok, detail in checks]
        lines += ["", "/livez   /readyz?verbose   /metrics", ""]
        lines.append("`trilith status` shows zones, partitions and background work.")
        return _answer_of(200, TEXT, ("\n".join(lines) + "\n").encode())

    async def _livez(self, _scope: dict[str, Any]) -> Answer:
        return _answer_of(200, TEXT, b"ok\n")

    async def _readyz(self, scope: dict[str, Any]) -> Answer:
        ready, checks = self._readiness()
        status = 200 if ready else 503
        if not _asks_for(scope, b"verbose"):
            return _answer_of(status, TEXT, b"ok\n" if ready else b"not ready\n")
        lines = [f"[{'+' if ok else '-'}]{name} {detail}".rstrip() for name, ok, detail in checks]
        lines.append("ready" if ready else "not ready")
        return _answer_of(status, TEXT, ("\n".join(lines) + "\n").encode())

    async def _localstack_health(self, _scope: dict[str, Any]) -> Answer:
        ready, _ = self._readiness()
        state = "running" if ready else "starting"
        return _json(200, {"services": dict.fromkeys(("s3", "dynamodb", "dynamodbstreams"), state)})

    async def _metrics(self, _scope: dict[str, Any]) -> Answer:
        text = merge(await self._gather_metrics())
        return _answer_of(200, CONTENT_TYPE, text.encode())

    async def _show_status(self, scope: dict[str, Any]) -> Answer:
        return self._refused(scope) or _json(200, await self._status())

    def _refused(self, scope: dict[str, Any]) -> Answer | None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._authorization):
            return None
        answer = _json(401, {"error": "Unauthorized"})
        return Answer(401, [*answer.headers, (b"www-authenticate", b"Bearer")], answer.body)

    async def _change(self, scope: dict[str, Any], action: str, partition_id: int) -> Answer:
        if scope["method"] != "POST":
            answer = _json(405, {"error": "MethodNotAllowed"})
            return Answer(answer.status, [*answer.headers, (b"allow", b"POST")], answer.body)
        refused = self._refused(scope)
        if refused is not None:
            return refused
        assert self._change_partition is not None
        try:
            key = bytes.fromhex(_value_of(scope, b"key"))
        except ValueError:
            return _json(400, {"error": "InvalidRequest", "message": "the key is not in hex"})
        try:
            return _json(200, await self._change_partition(action, partition_id, key))
        except TrilithError as error:
            status = 400 if error.fault is Fault.CALLER else 503
            return _json(status, {"error": error.code, "message": error.message})


def _asks_for(scope: dict[str, Any], name: bytes) -> bool:
    return any(
        part.partition(b"=")[0] == name for part in scope["query_string"].split(b"&") if part
    )


def _value_of(scope: dict[str, Any], name: bytes) -> str:
    for part in scope["query_string"].split(b"&"):
        key, _, value = part.partition(b"=")
        if key == name:
            return str(value, "latin-1")
    return ""


def _json(status: int, value: Any) -> Answer:
    return _answer_of(status, JSON, msgspec.json.encode(value) + b"\n")


def _answer_of(status: int, content_type: bytes, body: bytes) -> Answer:
    length = b"%d" % len(body)
    return Answer(status, [(b"content-type", content_type), (b"content-length", length)], body)
