"""What llhttp, the general parser, makes of bytes: the oracle of trilith_native.http_request."""

from __future__ import annotations

import httptools


class Collected:
    """Everything that one feeding of a fresh parser told. `count`: of requests that ended."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.begun = self.count = 0
        self.parser = httptools.HttpRequestParser(self)
        self.failed = False
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.failed = True

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.count += 1


def require_same(data: bytes, found: tuple[str, bytes, list[tuple[bytes, bytes]], bytes]) -> None:
    """AssertionError unless llhttp takes the bytes for exactly this request, and for more to come
    behind it.
    """
    told = Collected(data)
    assert not told.failed
    assert (told.begun, told.count) == (1, 1)
    assert told.parser.should_keep_alive()
    assert not told.parser.should_upgrade()
    assert told.parser.get_http_version() == "1.1"
    method = told.parser.get_method().decode("ascii")
    assert found == (method, told.url, told.headers, told.body)
