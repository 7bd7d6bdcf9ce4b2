"""Compressed requests and answers, as AWS reads and writes them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest

from trilith.dynamodb import compression

from .local_app import PREFIX, LocalApp, Reply, signed_headers

LIST = b'{"Limit": 10}'
LONG = "a long text " * 1000


@pytest.fixture
def app() -> LocalApp:
    app = LocalApp()
    app.make_table("people")
    app.ok("PutItem", TableName="people", Item={"pk": {"S": "ann"}, "text": {"S": LONG}})
    return app


def send(app: LocalApp, body: bytes, encoding: str, operation: str = "ListTables") -> Reply:
    headers = signed_headers(PREFIX + operation, body)
    return app.send(body, {**headers, "Content-Encoding": encoding})


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(LIST), "gzip"),
        (gzip.compress(LIST), "GZIP"),
        (gzip.compress(LIST[:5]) + gzip.compress(LIST[5:]), "gzip"),
        (zlib.compress(LIST), "deflate"),
        (LIST, "identity"),
    ],
)
def test_a_compressed_request_is_read(app: LocalApp, body: bytes, encoding: str) -> None:
    assert send(app, body, encoding).json() == {"TableNames": ["people"]}


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (LIST, "gzip"),
        (LIST, "deflate"),
        (LIST, "br"),
        (b"", "gzip"),
        (b"", "deflate"),
        (gzip.compress(LIST)[:-1], "gzip"),
        (gzip.compress(LIST) + b"more", "gzip"),
        (zlib.compress(LIST[:5]) + zlib.compress(LIST[5:]), "deflate"),
    ],
)
def test_a_body_that_cannot_be_inflated_fails_as_with_aws(
    app: LocalApp, body: bytes, encoding: str
) -> None:
    reply = send(app, body, encoding)
    assert (reply.status, reply.error) == (500, "InternalServerError")


def test_many_members_cannot_inflate_beyond_16_megabytes(app: LocalApp) -> None:
    member = gzip.compress(b" " * (4 << 20))
    assert send(app, member * 4 + gzip.compress(LIST), "gzip").status == 413


def test_members_are_few(app: LocalApp) -> None:
    """Each costs a copy of all that follows it: 16 MiB of empty ones took minutes."""
    empty = gzip.compress(b"")
    most = empty * (compression.MEMBERS_MAX - 1) + gzip.compress(LIST)
    assert send(app, most, "gzip").status == 200
    assert send(app, empty + most, "gzip").error == "InternalServerError"


def test_inflated_bodies_count_among_those_in_work(
    app: LocalApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trilith.dynamodb.app.BODIES_BYTES_MAX", 1 << 20)
    for _ in range(2):  # each is let go of
        assert send(app, gzip.compress(b" " * 600_000 + LIST), "gzip").status == 200
    reply = send(app, gzip.compress(b" " * (1 << 20) + LIST), "gzip")
    assert reply.error == "ThrottlingException"
    assert send(app, LIST, "identity").status == 200


def get_item(app: LocalApp, accepted: str = "", projection: str = "pk, #t") -> Reply:
    names = ', "ExpressionAttributeNames": {"#t": "text"}' if "#t" in projection else ""
    body = (
        '{"TableName": "people", "Key": {"pk": {"S": "ann"}}, '
        f'"ProjectionExpression": "{projection}"{names}}}'
    ).encode()
    headers = signed_headers(PREFIX + "GetItem", body)
    return app.send(body, {**headers, "Accept-Encoding": accepted} if accepted else headers)


@pytest.mark.parametrize(
    ("encoding", "inflate"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
def test_a_long_answer_is_compressed_for_who_asks(
    app: LocalApp, encoding: str, inflate: Callable[[bytes], bytes]
) -> None:
    plain, packed = get_item(app), get_item(app, encoding)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == encoding
    assert inflate(packed.body) == plain.body
    assert len(packed.body) * 10 < len(plain.body)
    short = get_item(app, encoding, projection="pk")
    assert "content-encoding" not in short.headers


def test_an_answer_beyond_64_kibibytes_is_compressed_too(app: LocalApp) -> None:
    text = {"S": LONG * 20}
    app.ok("PutItem", TableName="people", Item={"pk": {"S": "ann"}, "text": text})
    packed = get_item(app, "gzip")
    assert gzip.decompress(packed.body) == get_item(app).body


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("", ""),
        ("identity", ""),
        ("br, zstd, x-gzip", ""),
        ("gzip, deflate", "gzip"),
        ("br, identity, deflate, gzip", "deflate"),
        ("GZIP", "gzip"),
        ("dog, gzip ,, cat", "gzip"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0, deflate;q=0.001", "deflate"),
        ("gzip ; q=0", ""),
        ("gzip;q=0, gzip", "gzip"),
        ("*", "gzip"),
        ("*, deflate", "deflate"),
        ("*, gzip;q=0.5", "deflate"),
        ("*;q=0", ""),
        ("*;q=0.5, identity", "gzip"),
        ("gzip;q=31, deflate;q=51", "gzip"),
        ("deflate;q=0.5, gzip;q=1;q=0.2", "gzip"),
        ("deflate;q=0.5, gzip;q=0.x", "gzip"),
        ("deflate;q=-1, gzip;q=0.2", "gzip"),
        ('"gzip"', ""),
        ("gzip br", ""),
        ("gzip;q=", "gzip"),
    ],
)
def test_the_encoding_with_the_highest_quality_is_chosen(accepted: str, encoding: str) -> None:
    assert compression.preferred(accepted) == encoding


def test_answers_tell_the_time(app: LocalApp) -> None:
    headers = app.call("ListTables").headers
    assert headers["date"].endswith(" GMT")
    assert headers["server"] == "Trilith"
