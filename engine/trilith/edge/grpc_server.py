"""The public gRPC server of a node: grpc.aio in the node's own event loop.

The path of a call: look at who claims to make it (before any of its message is read), bound the
calls in work, decode, run the service's method, answer or say the error, record it. Services are
plain classes with one method for each of the protocol's, in snake case:

    async def head_object(self, call: Call, request: Message) -> Message             unary
    async def put_object(self, call: Call, messages: AsyncIterator[bytes]) -> Message  client stream
    async def get_object(self, call: Call, request: Message) -> None       server stream: call.send

The health service alone is asked without credentials, and not counted among the calls in work.

Memory is bounded: messages by MESSAGE_BYTES_MAX, their number by `calls_max`, streams by HTTP/2
flow control, since a message is read when the service asks for it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from trilith.edge.grpc_call import CANCELLED, Call, abort, as_domain
from trilith.edge.grpc_health import WATCHERS_MAX, HealthService
from trilith.edge.grpc_status import status_of
from trilith.errors import Overloaded, Stopping, TrilithError
from trilith.iam.bearer_tokens import BearerTokens
from trilith.iam.credentials import Identity
from trilith.request_record import Observe, RequestRecord
from trilith.runtime.clock import Clock
from trilith.runtime.entropy import Entropy
from trilith.wire.v1 import health_pb2

# A batch of 25 items of 400 KB is for several calls; a transaction's 4 MB fit.
MESSAGE_BYTES_MAX = 6 << 20
_PREFIX_SIZE = 8
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", -1),  # pages of a batch; bounded by what they read
    ("grpc.max_concurrent_streams", 256),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 600_000),
    ("grpc.server_handshake_timeout_ms", 15_000),
    # Memory that a stalled reader or writer can hold.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 512 << 10),
)

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
Context = grpc.aio.ServicerContext[Any, Any]


class _Method(NamedTuple):
    operation: str
    run: Callable[[Call, Any], Any]
    request_type: type[Message]
    streams_in: bool
    streams_out: bool
    is_open: bool  # to callers without credentials


def method_name(method: MethodDescriptor) -> str:
    """The service's method for one of the protocol: PutObject is `put_object`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower()


class GrpcServer:
    """Serves services by their descriptors."""

    def __init__(
        self,
        services: Mapping[ServiceDescriptor, object],
        bearer_tokens: BearerTokens,
        clock: Clock,
        entropy: Entropy,
        observe: Observe,
        *,
        health: HealthService,
        calls_max: int,
        connections_max: int,
    ) -> None:
        self._health = health
        self._methods = {
            f"/{descriptor.full_name}/{method.name}": _Method(
                method.name,
                getattr(service, method_name(method)),
                message_factory.GetMessageClass(method.input_type),
                bool(method.client_streaming),
                bool(method.server_streaming),
                service is health,
            )
            for descriptor, service in {**services, HEALTH: health}.items()
            for method in descriptor.methods
        }
        self._bearer_tokens = bearer_tokens
        self._clock = clock
        self._observe = observe
        self._calls_max = calls_max
        self._connections_max = connections_max
        self._server: grpc.aio.Server | None = None
        self._stopping = False
        self._request_prefix = entropy.token_bytes(_PREFIX_SIZE).hex()
        self._request_count = 0
        self.in_flight = 0
        self.port = 0

    async def start(
        self,
        host: str,
        port: int,
        *,
        reuse_port: bool,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """Accepts calls when it returns; `credentials`: over TLS. Raises OSError."""
        self._server = server = grpc.aio.server(
            options=(
                *_OPTIONS,
                ("grpc.so_reuseport", int(reuse_port)),
                # With those whose handshake is under way.
                ("grpc.max_allowed_incoming_connections", self._connections_max),
            ),
            # Ours says which limit it was; this one holds where ours is not reached.
            maximum_concurrent_rpcs=self._calls_max + WATCHERS_MAX + 64,
        )
        server.add_generic_rpc_handlers((self,))  # type: ignore[arg-type]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if credentials is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address} for gRPC: {error}") from error
        await server.start()

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls, lets those in work finish for `grace_s`, then cancels them."""
        self._stopping = True
        self._health.stop()
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    # --- grpc.GenericRpcHandler ------------------------------------------------------------------

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of one call; None for what no service has (UNIMPLEMENTED)."""
        method = self._methods.get(_text(details.method))
        if method is None:
            return None
        self._request_count += 1
        request_id = f"{self._request_prefix}{self._request_count:010x}"
        try:
            identity = _NOBODY if method.is_open else self._admit(details.invocation_metadata)
        except TrilithError as error:
            return self._refusal(method.operation, error, request_id)

        async def unary(raw: bytes, context: Context) -> bytes:
            return await self._run(self._call(context, method, request_id, identity), method, raw)

        async def client_stream(messages: AsyncIterator[bytes], context: Context) -> bytes:
            call = self._call(context, method, request_id, identity)
            return await self._run(call, method, messages)

        async def server_stream(raw: bytes, context: Context) -> None:
            call = self._call(context, method, request_id, identity)
            await self._run(call, method, raw)

        if method.streams_in:
            return grpc.stream_unary_rpc_method_handler(client_stream)
        if method.streams_out:
            return grpc.unary_stream_rpc_method_handler(server_stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    def _admit(self, metadata: Any) -> Identity:
        """Raises Unauthenticated, Overloaded, Stopping."""
        authorization = next((v for k, v in metadata if k == "authorization"), None)
        identity = self._bearer_tokens.verify(authorization)
        if self._stopping:
            raise Stopping("the node is shutting down")
        if self.in_flight >= self._calls_max:
            raise Overloaded("too many calls in work on this node")
        return identity

    def _refusal(
        self, operation: str, error: TrilithError, request_id: str
    ) -> grpc.RpcMethodHandler[Any, Any]:
        # As a stream, whatever the method is: then not even the first message is read.
        async def refuse(_messages: AsyncIterator[bytes], context: Context) -> None:
            call = Call(context, self._clock, operation, request_id, _NOBODY)
            self._record(call, context, status_of(error).value[0], error.code)
            await abort(context, error, request_id)

        return grpc.stream_unary_rpc_method_handler(refuse)

    def _call(self, context: Context, method: _Method, request_id: str, who: Identity) -> Call:
        return Call(context, self._clock, method.operation, request_id, who)

    async def _run(self, call: Call, method: _Method, received: Any) -> bytes:
        """Run a call to its end; returns the answer of one without a stream of answers."""
        status, code = 0, ""
        self.in_flight += not method.is_open
        try:
            return await _answer(call, method, received)
        except asyncio.CancelledError:
            status, code = CANCELLED, "ClientGone"
            raise
        except Exception as error:
            domain = as_domain(error, call)
            status, code = status_of(domain).value[0], domain.code
            await abort(call.context, domain, call.request_id)
            raise AssertionError("abort raises") from error
        finally:
            self.in_flight -= not method.is_open
            self._record(call, call.context, status, code)

    def _record(self, call: Call, context: Context, status: int, code: str) -> None:
        clock = self._clock
        self._observe(
            RequestRecord(
                clock.wall_ms(),
                call.request_id,
                call.operation,
                status,
                round((clock.monotonic() - call.started_s) * 1000, 3),
                call.resource,
                call.key,
                code,
                call.bytes_in,
                call.bytes_out,
                _text(context.peer()),
                call.identity.access_key_id,
                _user_agent(context),
            )
        )


async def _answer(call: Call, method: _Method, received: Any) -> bytes:
    if method.streams_out:
        await method.run(call, call.decode(received, method.request_type))
        return b""
    if method.streams_in:
        answer = await method.run(call, received)
    else:
        request = call.decode(received, method.request_type)
        async with asyncio.timeout(call.time_left_s()):
            answer = await method.run(call, request)
    raw: bytes = answer.SerializeToString()
    call.bytes_out += len(raw)
    return raw


_NOBODY = Identity("", "", "", "", "")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _user_agent(context: Context) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "user-agent":
            return _text(value)
    return ""
