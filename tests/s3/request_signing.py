"""Requests signed by botocore, as an S3 server receives them."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from trilith.iam.credentials import StaticCredentials, root_credential
from trilith.s3.request_head import RequestHead
from trilith.s3.sigv4 import SigV4Authenticator

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CLIENT = Credentials(ACCESS_KEY, SECRET_KEY)
CREDENTIALS = StaticCredentials([root_credential(ACCESS_KEY, SECRET_KEY)])
HOST = "storage.example:9000"


class ShiftedClock:
    """The real clock (botocore signs with it), off by some seconds; or stopped at an instant."""

    def __init__(self, offset_s: float = 0, *, stopped_at_ms: int | None = None) -> None:
        self._offset_ms = int(offset_s * 1000)
        self._stopped_at_ms = stopped_at_ms

    def monotonic(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        if self._stopped_at_ms is not None:
            return self._stopped_at_ms
        return time.time_ns() // 1_000_000 + self._offset_ms


def authenticator(clock: ShiftedClock | None = None, **options: object) -> SigV4Authenticator:
    return SigV4Authenticator(
        CREDENTIALS, clock or ShiftedClock(), **({"region": "us-east-1"} | options)
    )


def signed_by_header(
    method: str = "GET",
    path: str = "/bucket/key",
    *,
    params: dict[str, str] | None = None,
    wire_query: str | None = None,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    region: str = "us-east-1",
    client: Credentials = CLIENT,
) -> RequestHead:
    """`path` is percent-encoded. `wire_query`: sent in place of botocore's encoding of `params`."""
    request = AWSRequest(
        method, f"http://{HOST}{path}", headers=headers or {}, data=body, params=params
    )
    S3SigV4Auth(client, "s3", region).add_auth(request)
    query = wire_query
    if query is None:
        query = urlsplit(request.prepare().url).query
    wire = [(b"host", HOST.encode())]
    wire += [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    return RequestHead(method, path.encode(), query.encode(), wire)


def presigned(
    method: str = "GET",
    path: str = "/bucket/key",
    *,
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    expires_s: int = 3600,
    region: str = "us-east-1",
    client: Credentials = CLIENT,
) -> RequestHead:
    request = AWSRequest(method, f"http://{HOST}{path}", headers=headers or {}, params=params)
    S3SigV4QueryAuth(client, "s3", region, expires=expires_s).add_auth(request)
    wire = [(b"host", HOST.encode())]
    wire += [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    return RequestHead(method, path.encode(), urlsplit(request.url).query.encode(), wire)


def changed(
    head: RequestHead,
    *,
    method: str | None = None,
    path: bytes | None = None,
    query: bytes | None = None,
    headers: dict[bytes, bytes | None] | None = None,
) -> RequestHead:
    """The request with something replaced on its way; a header given as None is left out."""
    new_headers = {**dict(head.headers), **(headers or {})}
    return RequestHead(
        head.method if method is None else method,
        head.raw_path if path is None else path,
        head.query_string if query is None else query,
        [(name, value) for name, value in new_headers.items() if value is not None],
    )
