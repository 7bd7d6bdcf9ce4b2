"""Handshakes of TLS connections are bounded, and keep nobody out who means it."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.conformance.certificates import Authority
from tests.conformance.processes import wait_until
from tests.edge.local_server import Running, read_all, read_answer, serving
from tests.edge.test_http_server import Echo

from trilith.edge import tls_listener
from trilith.edge.certificate import Certificate

DEADLINE_S = 30.0
REQUEST = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


class World:
    """A certificate, and who trusts it."""

    def __init__(self, directory: Path) -> None:
        authority = Authority(directory)
        files = directory / "server.pem", directory / "server.key"
        authority.issue(*files)
        self.certificate = Certificate(str(files[0]), str(files[1]))
        self._trust = ssl.create_default_context(cafile=str(authority.ca_file))

    def connect(self, running: Running) -> ssl.SSLSocket:
        plain = running.connect()
        try:
            return self._trust.wrap_socket(plain, server_hostname="127.0.0.1")
        except BaseException:
            plain.close()
            raise


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def few_handshakes(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(tls_listener, "HANDSHAKES_MAX", 4)
    monkeypatch.setattr(tls_listener, "PATIENCE_S", 0.05)
    return 4


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_requests_are_answered_over_tls(world: World) -> None:
    with serving(Echo(), world.certificate) as running:
        for _ in range(3):
            with world.connect(running) as connection:
                for _ in range(2):
                    connection.sendall(REQUEST)
                    assert read_answer(connection).startswith(b"HTTP/1.1 200 ")


def test_clients_that_never_shake_hands_are_bounded_and_keep_nobody_out(
    world: World, few_handshakes: int
) -> None:
    """Each had its place for a quarter of a minute, and there were as many as they liked."""
    with serving(Echo(), world.certificate) as running, ExitStack() as mute:
        silent = [mute.enter_context(running.connect()) for _ in range(5 * few_handshakes)]
        with world.connect(running) as connection:
            connection.sendall(REQUEST)
            assert read_answer(connection).startswith(b"HTTP/1.1 200 ")
        wait_until(
            lambda: sum(map(is_closed, silent)) >= len(silent) - few_handshakes,
            deadline_s=DEADLINE_S,
            what="all but the last handshakes are given up",
        )


def test_a_handshake_that_takes_too_long_is_ended(world: World) -> None:
    with (
        serving(Echo(), world.certificate, header_timeout_s=0.05) as running,
        running.connect() as silent,
    ):
        assert read_all(silent) == b""


def test_bytes_that_are_no_handshake_end_their_connection_alone(world: World) -> None:
    with serving(Echo(), world.certificate) as running:
        assert b"HTTP" not in running.exchange(REQUEST)
        with world.connect(running) as connection:
            connection.sendall(REQUEST)
            assert read_answer(connection).startswith(b"HTTP/1.1 200 ")


def test_a_stop_ends_the_handshakes_that_are_under_way(world: World) -> None:
    with serving(Echo(), world.certificate) as running, running.connect() as silent:
        with world.connect(running):
            pass  # the one before was accepted by now
        running.stop(0.0)
        wait_until(
            lambda: is_closed(silent),
            deadline_s=DEADLINE_S,
            what="the handshake is given up",
        )
        with pytest.raises(OSError):
            running.connect()
