"""Who is at the other end: both sides prove that they know the cluster's secret.

Three frames: dialer's Hello, acceptor's Hello with its proof, dialer's proof. A proof is BLAKE3
keyed with the cluster secret over the direction and both nonces, so that it cannot be replayed or
reflected.
"""

from __future__ import annotations

import hmac

import msgspec
from blake3 import blake3

PROTOCOL_VERSION = 1

CONTROL = "control"
BULK = "bulk"


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """First frame of each side."""

    version: int
    cluster_id: str
    node_id: str
    target: str  # the node that the dialer means to reach; "" from the acceptor
    channel: str
    session: bytes  # random, names this run of the process
    nonce: bytes
    proof: bytes = b""


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """The dialer's second frame."""

    proof: bytes


class HandshakeError(ConnectionError):
    """The other end is not a node of this cluster, or not the one that was dialed."""


def prove(secret: bytes, direction: bytes, dialer: Hello, acceptor_nonce: bytes) -> bytes:
    """The proof of one side. `direction` is b"dialer" or b"acceptor"."""
    text = msgspec.msgpack.encode(
        (
            direction,
            dialer.cluster_id,
            dialer.node_id,
            dialer.target,
            dialer.channel,
            dialer.nonce,
            acceptor_nonce,
        )
    )
    return blake3(text, key=secret).digest()


def check(expected: bytes, received: bytes) -> None:
    """Raises HandshakeError unless the proofs are equal."""
    if not hmac.compare_digest(expected, received):
        raise HandshakeError("the peer does not know the cluster secret")


def check_hello(hello: Hello, cluster_id: str, node_id: str | None) -> None:
    """Raises HandshakeError unless the hello fits. `node_id`: whom we expect, when we know."""
    if hello.version != PROTOCOL_VERSION:
        raise HandshakeError(
            f"peer {hello.node_id} speaks protocol {hello.version}, not {PROTOCOL_VERSION}"
        )
    if hello.cluster_id != cluster_id:
        raise HandshakeError(f"peer {hello.node_id} is of cluster {hello.cluster_id}")
    if node_id is not None and hello.node_id != node_id:
        raise HandshakeError(f"dialed {node_id} but reached {hello.node_id}")
