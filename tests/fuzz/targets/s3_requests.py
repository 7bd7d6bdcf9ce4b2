"""The whole S3 protocol over local twins of the partitions: any request, signed or not.

An input is requests as a person would write them, one after another:

    PUT /bucket/key?x-id=PutObject
    x-amz-meta-a: b

    body
    ====
    GET /bucket/key
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import fromstring

from tests.fuzz.target import pieces_of, target
from tests.objects.service_cluster import SeededEntropy, ServiceCluster
from tests.s3.request_signing import ShiftedClock

from trilith.edge.exchange import render_head
from trilith.iam.credentials import StaticCredentials, root_credential
from trilith.iam.signing_keys import SigningKeys
from trilith.s3.app import S3App
from trilith.s3.errors import S3Error
from trilith.s3.request_head import RequestHead
from trilith.s3.sigv2 import signature as signature_2
from trilith.s3.sigv4 import SigV4Authenticator

LOOP = asyncio.new_event_loop()
SEPARATOR = b"\n====\n"
CREDENTIAL = root_credential("AKIA", "secret")
SCOPE = "20260101/us-east-1/s3/aws4_request"
KEY = SigningKeys().get(CREDENTIAL, "20260101", "us-east-1", "s3")
CLOCK = ShiftedClock(stopped_at_ms=1_767_225_600_000)  # 2026-01-01
AUTHENTICATOR = SigV4Authenticator(StaticCredentials([CREDENTIAL]), CLOCK, region="us-east-1")
PRESIGNED = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F{SCOPE}".encode() + (
    b"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature="
)
# Version 2, in a URL and in a header.
PRESIGNED_2 = b"AWSAccessKeyId=AKIA&Expires=1767225700&Signature="
BY_VERSION_2 = (b"authorization", b"AWS")
# Characters that S3 writes as references, and that XML 1.0 cannot carry.
_NO_XML = re.compile(rb"&#x(?:[0-8bcef]|1[0-9a-f]|d[89a-f]..|fff[ef]);")
WORDS = (
    SEPARATOR,
    b"PUT /bucket/key",
    b"GET /bucket/key",
    b"POST /bucket/key?uploads",
    b"POST /bucket?delete",
    b"?list-type=2&prefix=&delimiter=%2F&max-keys=1",
    b"x-amz-copy-source: /bucket/old",
    b"x-amz-meta-",
    b"x-amz-checksum-crc32: ",
    b"x-amz-sdk-checksum-algorithm: ",
    b"range: bytes=0-1",
    b"if-none-match: *",
    b"if-modified-since: Thu, 01 Jan 2026 00:00:00 GMT",
    b"content-md5: ",
    b"response-content-type=",
    b"encoding-type=url",
    b"=?utf-8?B?",
    b"=?utf-7?q?+2AA-?=",
    b"%E2%82%AC",
    b"%0d%0a",
    b"<Delete><Object><Key>old</Key></Object></Delete>",
    PRESIGNED,
    PRESIGNED_2,
    b"authorization: AWS\n",
    b"x-amz-tagging: a=b",
)
Header = tuple[bytes, bytes]


class Forgetful(logging.Handler):
    """Keeps what the server logged as a defect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


DEFECTS = Forgetful()
logging.getLogger("trilith").addHandler(DEFECTS)


def parse(text: bytes) -> tuple[str, bytes, list[Header], bytes] | None:
    """Method, target, headers, body; None for what no HTTP parser would hand on."""
    head, _, body = text.partition(b"\n\n")
    line, *rest = head.split(b"\n")
    method, _, aim = line.partition(b" ")
    headers = []
    for one in rest:
        name, colon, value = one.partition(b":")
        name = name.strip().lower()
        header = (name, value.strip())
        ours = name in (b"content-length", b"host", b"authorization") and header != BY_VERSION_2
        if not colon or not name.replace(b"-", b"").isalnum() or ours:
            continue
        headers.append(header)
    printable = all(32 < byte < 127 or byte >= 128 for byte in aim)
    values = b"".join(value for _, value in headers)
    if not (method.isalpha() and method.isupper() and aim.startswith(b"/") and printable):
        return None
    if any(byte < 32 and byte != 9 for byte in values):
        return None
    return method.decode(), aim, headers, body


def signed(method: str, path: bytes, query: bytes, headers: list[Header]) -> RequestHead:
    """The request with the signature that the server says it expected."""
    if BY_VERSION_2 in headers:
        rest = [header for header in headers if header[0] not in (b"authorization", b"x-amz-date")]
        rest += [(b"x-amz-date", b"Thu, 01 Jan 2026 00:00:00 GMT"), (b"host", b"localhost")]
        return _completed(
            lambda signature: RequestHead(
                method, path, query, [*rest, (b"authorization", b"AWS AKIA:" + signature)]
            ),
            _sign_2,
        )
    if b"AWSAccessKeyId=" in query and b"Signature=" in query:
        prefix, _, rest_of_it = query.partition(b"Signature=")
        suffix = b"".join(rest_of_it.partition(b"&")[1:])
        sent = [*headers, (b"host", b"localhost")]
        return _completed(
            lambda signature: RequestHead(
                method, path, prefix + b"Signature=" + quote(signature).encode() + suffix, sent
            ),
            _sign_2,
        )
    if b"x-amz-content-sha256" not in dict(headers):
        headers = [*headers, (b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")]
    headers = [*headers, (b"host", b"localhost")]
    if b"X-Amz-Signature=" in query:
        prefix, _, rest = query.partition(b"X-Amz-Signature=")
        _, ampersand, rest = rest.partition(b"&")
        suffix = ampersand + rest
        return _completed(
            lambda signature: RequestHead(
                method, path, prefix + b"X-Amz-Signature=" + signature + suffix, headers
            )
        )
    headers = [(b"x-amz-date", b"20260101T000000Z"), *[h for h in headers if h[0] != b"x-amz-date"]]
    names = b";".join(sorted({name for name, _ in headers}))
    claims = b"AWS4-HMAC-SHA256 Credential=AKIA/%b, SignedHeaders=%b, Signature=" % (
        SCOPE.encode(),
        names,
    )
    return _completed(
        lambda signature: RequestHead(
            method, path, query, [*headers, (b"authorization", claims + signature)]
        )
    )


def _sign_4(text: bytes) -> bytes:
    return KEY.sign(text).encode()


def _sign_2(text: bytes) -> bytes:
    return signature_2(CREDENTIAL.secret_key, text).encode()


def _completed(
    build: Callable[[bytes], RequestHead], sign: Callable[[bytes], bytes] = _sign_4
) -> RequestHead:
    placeholder = b"0" * 64
    head = build(placeholder)
    try:
        AUTHENTICATOR.authenticate(head)
    except S3Error as error:
        if error.code != "SignatureDoesNotMatch":
            return head
        if error.elements["SignatureProvided"] != placeholder.decode():
            return head  # the query has a second one, and the server reads that
        text = bytes.fromhex(str(error.elements["StringToSignBytes"]))
        head = build(sign(text))
        # What a client signs, the server takes.
        AUTHENTICATOR.authenticate(head)
        return head
    raise AssertionError("a request without a signature was let in")


class Exchange:
    def __init__(self, body: bytes) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.body = b""
        self._pieces = list(pieces_of(body, 3))

    async def receive(self) -> dict[str, Any]:
        piece = self._pieces.pop(0) if self._pieces else b""
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")


async def ask(app: S3App, head: RequestHead, body: bytes) -> Exchange:
    headers = [h for h in head.headers if h[0] != b"content-length"]
    if body or head.method not in ("GET", "HEAD"):
        headers.append((b"content-length", b"%d" % len(body)))
    scope = {
        "type": "http",
        "method": head.method,
        "raw_path": head.raw_path,
        "query_string": head.query_string,
        "headers": headers,
        "client": None,
    }
    exchange = Exchange(body)
    at_once = app.answer_at_once(scope) if head.method in ("GET", "HEAD") else None
    if at_once is not None:
        exchange.status, exchange.headers, exchange.body = (
            at_once.status,
            at_once.headers,
            at_once.body,
        )
    else:
        await app(scope, exchange.receive, exchange.send)
    judge(head, exchange)
    return exchange


def judge(head: RequestHead, exchange: Exchange) -> None:
    """Never a defect, always well-formed."""
    if DEFECTS.found:
        record = DEFECTS.found.pop()
        DEFECTS.found.clear()
        raise AssertionError(record.getMessage()) from (record.exc_info or (None, None))[1]
    assert exchange.status != 500, exchange.body
    render_head(exchange.status, exchange.headers, close=False, chunked=False)
    headers = dict(exchange.headers)
    length = headers.get(b"content-length")
    if length is not None and head.method != "HEAD":
        assert int(length) == len(exchange.body)
    if headers.get(b"content-type") == b"application/xml" and exchange.body.startswith(b"<?xml"):
        fromstring(_NO_XML.sub(b"", exchange.body))


def begin() -> tuple[ServiceCluster, S3App]:
    DEFECTS.found.clear()  # of whoever else runs in this process
    cluster = ServiceCluster(inline=64, chunk_size=64, part_size_bytes_min=64)
    app = S3App(
        cluster.service,
        AUTHENTICATOR,
        CLOCK,
        SeededEntropy(),
        lambda _: None,
        node_id="a",
        region="us-east-1",
        domains=("localhost",),
        requests_inflight_max=8,
    )
    return cluster, app


async def serve(requests: list[bytes]) -> None:
    cluster, app = begin()
    await cluster.service.create_bucket(
        "bucket", owner=CREDENTIAL.identity.account_id, region="us-east-1"
    )
    await cluster.put("bucket", "old", b"0123456789")
    for text in requests:
        parsed = parse(text)
        if parsed is None:
            continue
        method, aim, headers, body = parsed
        path, _, query = aim.partition(b"?")
        exchange = await ask(app, signed(method, path, query, headers), body)
        created = method == "PUT" and exchange.status == 200 and path.count(b"/") > 1
        if created and b"uploadId=" not in query and b"tagging" not in query:
            # What was stored can be read.
            found = await ask(app, signed("GET", path, b"", []), b"")
            assert found.status == 200, found.body
            found = await ask(app, signed("HEAD", path, b"", []), b"")
            assert found.status == 200, path


@target(words=WORDS)
def s3_requests(data: bytes) -> None:
    LOOP.run_until_complete(serve(data.split(SEPARATOR)[:6]))


@target(words=(*WORDS, b"authorization: AWS4-HMAC-SHA256 Credential=", b"authorization: AWS AKIA:"))
def s3_strangers(data: bytes) -> None:
    """Nobody is let in without the secret; the refusal is one of S3's."""
    lines = data.split(b"\n")
    method, _, aim = lines[0].partition(b" ")
    path, _, query = aim.partition(b"?")
    headers = []
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        headers.append((name.strip().lower(), value.strip()))
    head = RequestHead(method.decode("latin-1"), path, query, headers)
    try:
        AUTHENTICATOR.authenticate(head)
    except S3Error as error:
        error.to_xml("1", "2", path.decode("latin-1"))
    else:
        raise AssertionError("let in")
