"""HTTP/1.1 as clients and attackers speak it, over real sockets."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import weakref
from contextlib import suppress
from typing import Any

import pytest

from trilith.edge import http_server
from trilith.edge.answer import Answer
from trilith.edge.protocol import HttpProtocol

from .local_server import read_all, read_answer, serving


class Echo:
    """Answers with the method, the path, the query and the body. `seen` counts requests."""

    def __init__(self) -> None:
        self.seen = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen += 1
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            more = message["more_body"]
        text = b"%b %b %b " % (scope["method"].encode(), scope["raw_path"], scope["query_string"])
        await answer(send, 200, text + body)


async def answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Early:
    """Answers without reading the body."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 403, b"no")


class AtOnce(Echo):
    """Answers GETs without a task, unless the path says otherwise."""

    def answer_at_once(self, scope: Any) -> Answer | None:
        if scope["raw_path"] == b"/slow":
            return None
        return Answer(
            200, [(b"content-length", b"4")], b"" if scope["method"] == "HEAD" else b"once"
        )


def test_requests_on_one_connection_are_answered_in_order() -> None:
    with serving(Echo()) as running, running.connect() as connection:
        for number in range(3):
            connection.sendall(b"GET /a/%d?x=%d HTTP/1.1\r\nhost: h\r\n\r\n" % (number, number))
            assert read_answer(connection).endswith(b"GET /a/%d x=%d " % (number, number))


def test_pipelined_requests_are_answered_in_order_however_they_are_served() -> None:
    targets = [b"/slow", b"/fast", b"/fast", b"/slow", b"/fast"]
    with serving(AtOnce()) as running, running.connect() as connection:
        connection.sendall(b"".join(b"GET %b HTTP/1.1\r\nhost: h\r\n\r\n" % t for t in targets))
        connection.shutdown(socket.SHUT_WR)
        answers = read_all(connection)
    bodies = [one.rpartition(b"\r\n\r\n")[2].split()[-1] for one in answers.split(b"HTTP/1.1 ")[1:]]
    assert [body.replace(b"once", b"/fast") for body in bodies] == targets


def test_a_body_that_ends_early_is_seen_as_incomplete() -> None:
    head = b"PUT /b HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n"
    with serving(Echo()) as running:
        assert running.exchange(head + b"abc", end=True).startswith(b"HTTP/1.1 500 ")


def test_a_body_may_come_in_any_pieces() -> None:
    head = b"PUT /b HTTP/1.1\r\nhost: h\r\ncontent-length: 6\r\nconnection: close\r\n\r\n"
    request = head + b"abcdef"
    with serving(Echo()) as running:
        for cut in range(1, len(request), 7):
            reply = running.exchange(request[:cut], request[cut:])
            assert reply.endswith(b"PUT /b  abcdef")


def test_a_large_body_passes_through_flow_control() -> None:
    body = bytes(range(256)) * 8192
    head = b"PUT /b HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(
        body
    )
    with serving(Echo()) as running:
        assert running.exchange(head + body).endswith(body)


def test_a_chunked_body_is_decoded() -> None:
    head = b"PUT /b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    with serving(Echo()) as running:
        assert running.exchange(head + b"3\r\nabc\r\n0\r\n\r\n").endswith(b"PUT /b  abc")


def test_a_waiting_client_is_told_to_continue_once_its_body_is_wanted() -> None:
    head = b"PUT /b HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n"
    with serving(Echo()) as running, running.connect() as connection:
        connection.sendall(head)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert read_answer(connection).endswith(b"PUT /b  abc")


def test_a_refused_client_is_not_told_to_continue_and_the_connection_ends() -> None:
    head = b"PUT /b HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n"
    with serving(Early()) as running, running.connect() as connection:
        connection.sendall(head)
        reply = read_all(connection)
    assert reply.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in reply


def test_the_answer_arrives_though_the_body_was_not_read() -> None:
    """A reset over unread bytes would take the answer away from the client."""
    body = bytes(1 << 20)
    head = b"PUT /b HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(body)
    with serving(Early()) as running:
        assert running.exchange(head + body).startswith(b"HTTP/1.1 403 ")


def test_malformed_requests_are_refused() -> None:
    app = Echo()
    with serving(app) as running:
        for request in (
            b"nonsense\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n",
            b"PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\0b\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        ):
            assert running.exchange(request).startswith(b"HTTP/1.1 400 "), request
    assert app.seen == 0


@pytest.mark.parametrize(
    "refused",
    [
        b"PUT /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
        b"PUT /b HTTP/1.1\r\nhost: h\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
@pytest.mark.parametrize("earlier", [1, 2])
def test_a_refusal_is_not_taken_for_the_answer_to_an_earlier_request(
    refused: bytes, earlier: int
) -> None:
    good = b"PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody"
    with serving(Echo()) as running:
        answers = running.exchange(good * earlier + refused + good, end=True)
    assert answers.startswith(b"HTTP/1.1 200 ")
    first, *others = answers.split(b"HTTP/1.1 ")[1:]
    assert first.endswith(b"PUT /a  body")
    assert all(one.endswith(b"PUT /a  body") for one in others)
    assert len(others) < earlier


def test_a_request_with_two_framings_is_refused() -> None:
    """Content-Length and Transfer-Encoding together: request smuggling."""
    request = (
        b"PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
        b"0\r\n\r\n"
    )
    with serving(Echo()) as running:
        assert running.exchange(request).startswith(b"HTTP/1.1 400 ")


def test_a_head_that_is_too_large_is_refused_finished_or_not() -> None:
    app = Echo()
    with serving(app, header_bytes_max=4096) as running:
        start = b"GET / HTTP/1.1\r\nhost: h\r\nx: "
        finished = running.exchange(start + b"a" * 5000 + b"\r\n\r\n")
        unfinished = running.exchange(start + b"a" * 20000)
        long_target = running.exchange(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: h\r\n\r\n")
    for reply in (finished, unfinished, long_target):
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"RequestHeaderSectionTooLarge" in reply
    assert app.seen == 0


def test_a_client_that_never_ends_its_headers_is_cut_off() -> None:
    with serving(Echo(), header_timeout_s=0.05) as running:
        reply = running.exchange(b"GET / HTTP/1.1\r\nhost: h\r\n")
    assert b"RequestTimeout" in reply


def test_a_client_whose_body_stalls_is_cut_off() -> None:
    head = b"PUT /b HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n"
    with serving(Echo(), body_timeout_s=0.05) as running:
        assert running.exchange(head + b"abc").startswith(b"HTTP/1.1 500 ")


def test_an_idle_connection_is_closed() -> None:
    with serving(Echo(), keep_alive_timeout_s=0.05) as running, running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")


def test_a_defect_in_one_sweep_does_not_end_the_time_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They were looked at no more, and whoever dawdled kept the connection for good."""
    monkeypatch.setattr(http_server, "SWEEP_INTERVAL_S", 0.05)
    passed, failed = HttpProtocol.deadline_passed, []

    def fail_once(connection: HttpProtocol) -> None:
        if not failed:
            failed.append(connection)
            raise ZeroDivisionError
        passed(connection)

    monkeypatch.setattr(HttpProtocol, "deadline_passed", fail_once)
    with serving(Echo(), header_timeout_s=0.05) as running:
        reply = running.exchange(b"GET / HTTP/1.1\r\nhost: h\r\n")
    assert failed
    assert b"RequestTimeout" in reply


def test_connections_beyond_the_limit_are_refused() -> None:
    with serving(Echo(), connections_max=1) as running, running.connect() as first:
        first.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        read_answer(first)
        assert b"SlowDown" in running.exchange(b"")


def test_a_head_request_is_answered_without_a_body() -> None:
    for app in (Echo(), AtOnce()):
        with serving(app) as running:
            reply = running.exchange(b"HEAD / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert reply.endswith(b"\r\n\r\n")


def test_a_wish_to_upgrade_is_ignored() -> None:
    request = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    for app in (Echo(), AtOnce()):
        with serving(app) as running:
            reply = running.exchange(request)
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in reply


def test_an_absolute_target_is_understood() -> None:
    request = b"GET http://h:1/a?b=c HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    with serving(Echo()) as running:
        assert running.exchange(request).endswith(b"GET /a b=c ")


class Streams:
    """Sends until the client is gone; says so."""

    def __init__(self) -> None:
        self.gone = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % (1 << 40))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while True:
                message = {"type": "http.response.body", "body": bytes(1 << 20), "more_body": True}
                await send(message)
        except ConnectionError:
            self.gone.set()
            raise


def test_nobody_streams_to_a_client_that_left() -> None:
    app = Streams()
    with serving(app) as running:
        with running.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
            assert connection.recv(1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert app.gone.wait(60)


class NeverWaits:
    """Holds the loop until the client has left, and then has much to send that is all at hand."""

    def __init__(self) -> None:
        self.left, self.ended = threading.Event(), threading.Event()
        self.sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % (1 << 40))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        message = {"type": "http.response.body", "body": bytes(1 << 20), "more_body": True}
        try:
            await send(message)
            assert self.left.wait(60)
            while self.sent < 100:
                await send(message)
                self.sent += 1
        finally:
            self.ended.set()


def test_a_sender_that_never_waits_learns_that_its_client_left() -> None:
    app = NeverWaits()
    with serving(app) as running:
        with running.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
            assert connection.recv(1000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        app.left.set()
        assert app.ended.wait(60)
    assert app.sent < 100


def test_nobody_streams_to_a_client_that_stopped_reading() -> None:
    app = Streams()
    with serving(app, body_timeout_s=0.05) as running, running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert app.gone.wait(60)


class Fails:
    """Fails before or after its answer began."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["raw_path"] == b"/late":
            headers = [(b"content-length", b"10")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        raise RuntimeError("a defect")


def test_a_failing_application_is_answered_500() -> None:
    with serving(Fails()) as running:
        reply = running.exchange(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 500 ")
    assert b"a defect" not in reply


def test_an_answer_that_breaks_off_looks_broken() -> None:
    with serving(Fails()) as running, running.connect() as connection:
        connection.sendall(b"GET /late HTTP/1.1\r\nhost: h\r\n\r\n")
        try:
            reply = read_all(connection)
        except ConnectionResetError:
            return
    assert not reply.endswith(b"1234567890")


class Injects:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0"), (b"x", b"a\r\nset-cookie: b")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


def test_a_header_value_cannot_split_an_answer() -> None:
    with serving(Injects()) as running:
        reply = running.exchange(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in reply


class Waits:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        self.go = asyncio.Event()
        self.began.set()
        await self.go.wait()
        await answer(send, 200, b"finished")


def test_a_stopping_server_lets_a_request_finish_and_takes_no_more() -> None:
    app = Waits()
    with serving(app) as running, running.connect() as connection, running.connect() as idle:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert app.began.wait(60)
        stopping = threading.Thread(target=running.stop, args=(10.0,))
        stopping.start()
        assert idle.recv(100) == b""
        running.loop.call_soon_threadsafe(app.go.set)
        reply = read_all(connection)
        stopping.join(10)
    assert reply.endswith(b"finished")
    assert b"connection: close" in reply


def test_a_stopping_server_cuts_what_does_not_finish() -> None:
    app = Waits()
    with serving(app) as running, running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert app.began.wait(60)
        running.stop(0.05)
        with suppress(ConnectionResetError):
            assert read_all(connection) == b""


def test_a_pipelined_body_that_is_never_read_gives_its_budget_back() -> None:
    """Else any stranger could use up, for good, what all uploads of a node share."""
    app = Waits()
    with serving(app) as running, running.connect() as connection:
        body = b"POST /b HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc"
        connection.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n" + body + b"no request\r\n\r\n")
        assert app.began.wait(60)
        running.loop.call_soon_threadsafe(app.go.set)
        assert read_all(connection).endswith(b"finished")
        running.stop(10.0)
        assert running.server._budget.held == 0


class Marks:
    """Ties a mark to each request, and answers at once where it can."""

    class Mark:
        """Something that can be looked for."""

    def __init__(self) -> None:
        self.marks: list[weakref.ref[Marks.Mark]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        mark = scope["mark"] = self.Mark()
        self.marks.append(weakref.ref(mark))
        if scope["raw_path"] == b"/at-once":
            assert scope["trilith.answer"](200, [(b"content-length", b"4")], b"once")
        else:
            await answer(send, 200, b"sent")


def test_an_answered_request_leaves_no_ring_for_the_garbage_collector() -> None:
    app = Marks()
    gc.disable()
    try:
        with serving(app) as running, running.connect() as connection:
            for target in [b"/at-once", b"/by-messages"] * 3:
                connection.sendall(b"GET %b HTTP/1.1\r\nhost: h\r\n\r\n" % target)
                read_answer(connection)
            running.stop(10.0)
        assert len(app.marks) == 6
        assert [mark() for mark in app.marks[:-1]] == [None] * 5  # a connection holds its last one
    finally:
        gc.enable()
