"""What no SDK sends: each a clear error, nothing stored, and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .processes import wait_until
from .trees import MIB, random_bytes
from .wire import Answer, Caller, ConnectionCutError


@pytest.fixture(autouse=True)
def _server_stays_healthy(s3: Any, bucket: str) -> Iterator[None]:
    """After every test here the server still stores and returns an object."""
    yield
    s3.put_object(Bucket=bucket, Key="healthy", Body=b"healthy")
    assert s3.get_object(Bucket=bucket, Key="healthy")["Body"].read() == b"healthy"


def assert_absent(caller: Caller, bucket: str, key: str) -> None:
    answer = caller.call("GET", f"/{bucket}/{key}")
    assert (answer.status, answer.error_code) == (404, "NoSuchKey")


@pytest.mark.parametrize(("size", "sent"), [(1000, 500), (20_000, 0), (4 * MIB, 3 * MIB)])
def test_a_body_that_ends_early_is_incomplete(
    caller: Caller, bucket: str, size: int, sent: int
) -> None:
    target, headers, _ = caller.sign("PUT", f"/{bucket}/o", headers={"content-length": str(size)})
    with caller.connect() as wire:
        wire.send_head("PUT", target, headers)
        wire.send(random_bytes(sent))
        wire.end_of_sending()
        try:
            answer = wire.read_answer("PUT")
        except ConnectionError:
            answer = None  # a server may not answer a client that has gone
    assert answer is None or (answer.status, answer.error_code) == (400, "IncompleteBody")
    assert_absent(caller, bucket, "o")


@pytest.mark.parametrize("sent", [0, 100, 10_000, 5 * MIB])
def test_a_connection_cut_in_the_middle_of_an_upload_stores_nothing(
    caller: Caller, s3: Any, bucket: str, sent: int
) -> None:
    s3.put_object(Bucket=bucket, Key="before", Body=b"before")
    for key in ("o", "before"):
        target, headers, _ = caller.sign(
            "PUT", f"/{bucket}/{key}", headers={"content-length": str(9 * MIB)}
        )
        wire = caller.connect()
        wire.send_head("PUT", target, headers)
        wire.send(random_bytes(sent))
        wire.reset()
    assert_absent(caller, bucket, "o")
    assert s3.get_object(Bucket=bucket, Key="before")["Body"].read() == b"before"


def test_a_connection_cut_in_the_middle_of_a_download_harms_nobody(
    caller: Caller, s3: Any, bucket: str
) -> None:
    body = random_bytes(9 * MIB)
    s3.put_object(Bucket=bucket, Key="o", Body=body)
    for _ in range(5):
        target, headers, _ = caller.sign("GET", f"/{bucket}/o")
        wire = caller.connect()
        wire.send_head("GET", target, headers)
        assert wire.read_interim().status == 200
        wire.reset()
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == body


def send_text(caller: Caller, text: bytes) -> Answer | None:
    """The answer to raw bytes; None when the server just closes."""
    with caller.connect() as wire:
        try:
            wire.send(text)
            return wire.read_answer()
        except (ConnectionCutError, ConnectionResetError, BrokenPipeError):
            return None


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n\r\n\x00\x01garbage\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client hello
    ],
    ids=range(8),
)
def test_what_is_no_http_is_refused(caller: Caller, text: bytes) -> None:
    answer = send_text(caller, text)
    assert answer is None or 400 <= answer.status < 500


@pytest.mark.parametrize("kib", [20, 200])
def test_oversized_headers_are_refused(caller: Caller, bucket: str, kib: int) -> None:
    headers = {f"x-amz-meta-{number}": "v" * 1000 for number in range(kib)}
    answer = caller.call("PUT", f"/{bucket}/o", headers=headers)
    assert answer.status in {400, 431}
    # the one is found by the HTTP edge, which speaks no XML; the other by S3
    assert answer.error_code == "MetadataTooLarge" or b"RequestHeaderSection" in answer.body
    assert_absent(caller, bucket, "o")


def test_one_endless_header_is_refused_and_not_collected(caller: Caller) -> None:
    with caller.connect() as wire:
        wire.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-endless: ")

        def refused() -> bool:
            try:
                wire.send(b"a" * 65_536)
            except (BrokenPipeError, ConnectionResetError):
                return True
            wire.socket.settimeout(0.001)
            try:
                return wire.socket.recv(65_536, 2) is not None  # MSG_PEEK: an answer or the end
            except TimeoutError:
                return False
            except ConnectionResetError:
                return True
            finally:
                wire.socket.settimeout(10)

        wait_until(refused, deadline_s=60, what="an endless header is refused", interval_s=0)


@pytest.mark.parametrize("path", ["/%FF%FE", "/a%80b", "/%ED%A0%80"])
def test_a_key_that_is_no_utf8_is_refused(caller: Caller, bucket: str, path: str) -> None:
    signature_path = f"/{bucket}{path}"
    target, headers, _ = caller.sign("PUT", f"/{bucket}/o")
    answer = caller.send("PUT", signature_path, headers)
    assert target != signature_path
    assert answer.status in {400, 403}  # 403 when the signature is looked at first
    assert answer.error_code in {"InvalidURI", "InvalidArgument", "SignatureDoesNotMatch"}


def test_a_signed_key_that_is_no_utf8_is_refused(caller: Caller, bucket: str) -> None:
    from .sigv4 import UNSIGNED, Signature

    path = f"/{bucket}/%FF%FE"
    headers = Signature(caller.credentials).headers(
        "PUT", path, "", {"host": caller.host}, UNSIGNED
    )
    answer = caller.send("PUT", path, headers)
    assert answer.status == 400
    assert answer.error_code in {"InvalidURI", "InvalidArgument"}


def test_an_upload_without_a_length_is_refused(caller: Caller, bucket: str) -> None:
    target, headers, _ = caller.sign("PUT", f"/{bucket}/o")
    with caller.connect() as wire:
        wire.send_head("PUT", target, headers)
        answer = wire.read_answer("PUT")
    assert (answer.status, answer.error_code) == (411, "MissingContentLength")


def test_an_upload_of_more_than_5_gib_is_refused_before_its_body(
    caller: Caller, bucket: str
) -> None:
    target, headers, _ = caller.sign(
        "PUT", f"/{bucket}/o", headers={"content-length": str((5 << 30) + 1)}
    )
    with caller.connect() as wire:
        wire.send_head("PUT", target, headers)
        answer = wire.read_answer("PUT")
    assert (answer.status, answer.error_code) == (400, "EntityTooLarge")


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "BREW"])
def test_a_method_that_s3_does_not_have_is_refused(
    caller: Caller, bucket: str, method: str
) -> None:
    answer = caller.call(method, f"/{bucket}/o")
    assert answer.status in {400, 405, 501}


BOMB = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<Delete><Object><Key>&b;</Key></Object></Delete>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<Delete><Object><Key>&a;</Key></Object></Delete>"""


@pytest.mark.parametrize(
    "body",
    [b"", b"<Delete>", b"<Delete/>", b"<Delete><Object/></Delete>", b"{}", b"\xff", BOMB, OUTSIDE],
    ids=range(8),
)
def test_malformed_xml_is_refused(caller: Caller, bucket: str, body: bytes) -> None:
    import base64
    import hashlib

    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = caller.call(
        "POST", f"/{bucket}", query=[("delete", "")], headers={"content-md5": md5}, body=body
    )
    assert (answer.status, answer.error_code) == (400, "MalformedXML")
    assert b"root:" not in answer.body


@pytest.mark.parametrize("body", [b"<a", b"<Other/>", b"\xff\xfe"])
def test_a_malformed_bucket_configuration_is_refused(caller: Caller, body: bytes) -> None:
    answer = caller.call("PUT", "/conformance-malformed", body=body)
    assert (answer.status, answer.error_code) == (400, "MalformedXML")
    assert caller.call("HEAD", "/conformance-malformed").status == 404
