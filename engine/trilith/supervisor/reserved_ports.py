"""Picks and reserves the ports that the zones share, so that a start fails early and clearly.

A reserved port is held by a bound socket with SO_REUSEPORT that never listens: the nodes bind the
same port with SO_REUSEPORT and the kernel spreads connections over the ones that listen.
"""

from __future__ import annotations

import errno
import random
import socket

from trilith.config import ConfigError
from trilith.supervisor import proc

# Below Linux's default range for outgoing connections (32768 upward): a remembered peer port is
# not taken by some client's connection while its node is down.
_PEER_PORTS = range(20_000, 32_000)
PORT_MAX = 65535
_PEER_HOST = "127.0.0.1"


def reserve(host: str, port: int, name: str) -> socket.socket:
    """A bound, never listening socket; `port` 0 picks a free one. Raises ConfigError.

    Another program's port is refused even where that program uses SO_REUSEPORT: sharing it would
    send a client's requests to two different clusters.
    """
    option = f"--{name}-port"
    family = _family(host)
    try:
        if port:
            _refuse_shared(family, host, port)
        reserved = socket.socket(family, socket.SOCK_STREAM)
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind((host, port))
        except OSError:
            reserved.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is in use by another program: choose another with "
                f"{option}, or {option} 0 to have one picked"
            ) from error
        if error.errno == errno.EACCES:
            raise ConfigError(
                f"this user may not bind port {port}: choose {option} 1024 or above"
            ) from error
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return reserved


def _refuse_shared(family: socket.AddressFamily, host: str, port: int) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as exclusive:
        exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            exclusive.bind((host, port))
        except OSError:
            # Connections of an earlier run, still closing, are no reason to refuse.
            if port in proc.listeners().values():
                raise


def port_of(reserved: socket.socket) -> int:
    port: int = reserved.getsockname()[1]
    return port


def reserve_grpc(host: str, first: int, count: int) -> list[socket.socket]:
    """Ports that follow each other, one for each zone; `first` 0 picks them. Raises ConfigError."""
    if first:
        if first + count - 1 > PORT_MAX:
            raise ConfigError(f"--grpc-port {first}: each zone needs one, and there are none above")
        return _reserve_run(host, first, count)
    for port in random.sample(range(_PEER_PORTS.start, _PEER_PORTS.stop - count), 200):
        try:
            return _reserve_run(host, port, count)
        except ConfigError:
            continue
    raise ConfigError(f"no {count} free ports next to each other for gRPC: name --grpc-port")


def _reserve_run(host: str, first: int, count: int) -> list[socket.socket]:
    reserved: list[socket.socket] = []
    try:
        for port in range(first, first + count):
            reserved.append(reserve(host, port, "grpc"))  # noqa: PERF401 - closed on a failure
    except BaseException:
        for one in reserved:
            one.close()
        raise
    return reserved


def pick_peer_port(remembered: int, taken: set[int]) -> int:
    """The remembered port if it is still free (0: none is), else a new one."""
    candidates = [remembered] if remembered else []
    candidates += random.sample(_PEER_PORTS, 200)
    for port in candidates:
        if port not in taken and _is_free(port):
            return port
    raise ConfigError(
        f"no free port between {_PEER_PORTS.start} and {_PEER_PORTS.stop - 1} on {_PEER_HOST} "
        "for the zones to talk to each other"
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_PEER_HOST, port))
        except OSError:
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    """As the nodes' listeners choose it: IPv6 only for a literal address of it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"--host {host} is not an address of this machine: {error}") from error
    return family
