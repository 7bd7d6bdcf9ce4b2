"""HTTP/1.1 over a bare socket: what an SDK would refuse to send, and answers read byte by byte."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from urllib.parse import urlsplit
from xml.etree import ElementTree

from . import sigv4

READ_BYTES = 1 << 16


class ConnectionCutError(ConnectionError):
    """The server closed the connection before a whole answer."""


@dataclass(frozen=True)
class Answer:
    """One HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def error_code(self) -> str:
        """The `Code` of an S3 error document, "" where there is none."""
        if not self.body.lstrip().startswith(b"<"):
            return ""
        root = ElementTree.fromstring(self.body)
        return root.findtext("Code") or root.findtext("Error/Code") or ""


class Wire:
    """One TCP connection."""

    def __init__(self, host: str, port: int, *, timeout_s: float = 30.0) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Cuts the connection with a RST: what a died client or a pulled cable leaves."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def end_of_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_head(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.send(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode())

    def _fill(self) -> None:
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise ConnectionCutError(f"connection closed after {bytes(self._buffer[:200])!r}")
        self._buffer += data

    def _take_until(self, mark: bytes) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            self._fill()
        taken = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return taken

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _head(self) -> Answer:
        lines = self._take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return Answer(int(lines[0].split(" ", 2)[1]), headers)

    def read_interim(self) -> Answer:
        """The head of the next response only: how a client sees `100 Continue`."""
        return self._head()

    def read_answer(self, method: str = "GET") -> Answer:
        """The next final response with its whole body."""
        head = self._head()
        while 100 <= head.status < 200:
            head = self._head()
        if method == "HEAD" or head.status in {204, 304}:
            return head
        if "chunked" in head.headers.get("transfer-encoding", ""):
            body = bytearray()
            while size := int(self._take_until(b"\r\n").split(b";")[0], 16):
                body += self._take(size)
                self._take(2)
            self._take_until(b"\r\n")
            return Answer(head.status, head.headers, bytes(body))
        if "content-length" in head.headers:
            body_bytes = self._take(int(head.headers["content-length"]))
            return Answer(head.status, head.headers, body_bytes)
        return Answer(head.status, head.headers, self._rest())

    def _rest(self) -> bytes:
        while data := self.socket.recv(READ_BYTES):
            self._buffer += data
        return bytes(self._buffer)


@dataclass(frozen=True)
class Caller:
    """Signs requests for one endpoint and sends each over a connection of its own."""

    endpoint: str
    credentials: sigv4.Credentials
    timeout_s: float = 30.0
    host_header: str = field(default="")

    @property
    def host(self) -> str:
        return self.host_header or urlsplit(self.endpoint).netloc

    def connect(self) -> Wire:
        parts = urlsplit(self.endpoint)
        assert parts.hostname
        return Wire(parts.hostname, parts.port or 80, timeout_s=self.timeout_s)

    def sign(
        self,
        method: str,
        path: str,
        *,
        query: sigv4.Query = (),
        headers: Mapping[str, str] | None = None,
        payload_hash: str = sigv4.UNSIGNED,
        at: datetime | None = None,
    ) -> tuple[str, dict[str, str], sigv4.Signature]:
        """Request target, all headers, and the signing state to sign chunks with."""
        signature = sigv4.Signature(self.credentials, at)
        encoded_path, encoded_query = sigv4.encode_path(path), sigv4.encode_query(query)
        given = {"host": self.host, **(headers or {})}
        signed = signature.headers(method, encoded_path, encoded_query, given, payload_hash)
        target = f"{encoded_path}?{encoded_query}" if encoded_query else encoded_path
        return target, signed, signature

    def call(
        self,
        method: str,
        path: str,
        *,
        query: sigv4.Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        payload_hash: str = sigv4.UNSIGNED,
        at: datetime | None = None,
    ) -> Answer:
        """One signed request and its answer."""
        target, signed, _ = self.sign(
            method, path, query=query, headers=headers, payload_hash=payload_hash, at=at
        )
        return self.send(method, target, signed, body)

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """One request exactly as given (Content-Length added when missing) and its answer."""
        if body or method in {"PUT", "POST"}:
            headers = {"content-length": str(len(body)), **headers}
        with self.connect() as wire:
            wire.send_head(method, target, headers)
            # refused before the whole body was read: the answer says why
            with suppress(BrokenPipeError, ConnectionResetError):
                wire.send(body)
            return wire.read_answer(method)
