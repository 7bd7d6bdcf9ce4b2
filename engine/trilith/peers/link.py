"""One authenticated connection to a peer, either end, before and after its handshake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from trilith.peers.handshake import (
    PROTOCOL_VERSION,
    HandshakeError,
    Hello,
    Proof,
    check,
    check_hello,
    prove,
)
from trilith.runtime.entropy import Entropy
from trilith.runtime.network import Connection
from trilith.undecodable import UNDECODABLE

_hello = msgspec.msgpack.Decoder(Hello)
_proof = msgspec.msgpack.Decoder(Proof)


@dataclass(frozen=True, slots=True)
class Identity:
    """What this node says of itself in handshakes."""

    cluster_id: str
    node_id: str
    secret: bytes  # 32 bytes
    session: bytes


class Link:
    """A connection that becomes `ready` once both sides have proven themselves.

    Invariant: `on_frame` is only called, and `send` only used, after `on_ready`.
    """

    def __init__(
        self,
        connection: Connection,
        identity: Identity,
        entropy: Entropy,
        *,
        dial: tuple[str, str] | None,
        on_ready: Callable[[Link], None],
        on_lost: Callable[[Link, Exception | None], None],
    ) -> None:
        """`dial`: (peer node id, channel) when this side dialed; None when it accepted."""
        self.connection = connection
        self.peer_id = dial[0] if dial else ""
        self.channel = dial[1] if dial else ""
        self.peer_session = b""
        self.ready = False
        self.lost = False
        self.on_frame: Callable[[memoryview], None] | None = None
        self._identity = identity
        self._entropy = entropy
        self._on_ready = on_ready
        self._on_lost = on_lost
        self.dialed = dial is not None
        self._dialer_hello: Hello | None = None
        self._acceptor_nonce = b""
        if dial is not None:
            self._dialer_hello = self._make_hello(dial[0], dial[1], entropy.token_bytes(16), b"")
            connection.send([msgspec.msgpack.encode(self._dialer_hello)])

    def _make_hello(self, target: str, channel: str, nonce: bytes, proof: bytes) -> Hello:
        me = self._identity
        return Hello(
            PROTOCOL_VERSION, me.cluster_id, me.node_id, target, channel, me.session, nonce, proof
        )

    def frame_received(self, frame: memoryview) -> None:
        if self.ready:
            if self.on_frame is not None:
                self.on_frame(frame)
            return
        try:
            if self.dialed:
                self._accept_answer(_hello.decode(frame))
            elif self._dialer_hello is None:
                self._answer(_hello.decode(frame))
            else:
                self._accept_proof(_proof.decode(frame))
        except (HandshakeError, *UNDECODABLE) as error:
            self.close(error)

    def _answer(self, hello: Hello) -> None:
        check_hello(hello, self._identity.cluster_id, None)
        if hello.target != self._identity.node_id:
            raise HandshakeError(f"peer {hello.node_id} looks for {hello.target}")
        self._dialer_hello = hello
        self.peer_id, self.channel, self.peer_session = hello.node_id, hello.channel, hello.session
        self._acceptor_nonce = self._entropy.token_bytes(16)
        proof = prove(self._identity.secret, b"acceptor", hello, self._acceptor_nonce)
        answer = self._make_hello("", hello.channel, self._acceptor_nonce, proof)
        self.connection.send([msgspec.msgpack.encode(answer)])

    def _accept_answer(self, answer: Hello) -> None:
        assert self._dialer_hello is not None
        check_hello(answer, self._identity.cluster_id, self.peer_id)
        secret = self._identity.secret
        check(prove(secret, b"acceptor", self._dialer_hello, answer.nonce), answer.proof)
        self.peer_session = answer.session
        mine = prove(secret, b"dialer", self._dialer_hello, answer.nonce)
        self.connection.send([msgspec.msgpack.encode(Proof(mine))])
        self._become_ready()

    def _accept_proof(self, proof: Proof) -> None:
        assert self._dialer_hello is not None
        secret = self._identity.secret
        check(prove(secret, b"dialer", self._dialer_hello, self._acceptor_nonce), proof.proof)
        self._become_ready()

    def _become_ready(self) -> None:
        self.ready = True
        self._on_ready(self)

    def close(self, error: Exception | None = None) -> None:
        self.connection.close()
        self.connection_lost(error)

    def connection_lost(self, error: Exception | None) -> None:
        if self.lost:
            return
        self.lost, self.ready = True, False
        self._on_lost(self, error)
