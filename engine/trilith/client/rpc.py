"""What a call is, whoever makes it: the method, its request, how to read its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

T = TypeVar("T")

# Answers of a batch of reads hold up to 16 MB of items.
MESSAGE_BYTES_MAX = 24 << 20
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A node that is cut off is noticed while calls wait for it.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 512 << 10),
    ("grpc.enable_retries", 0),  # they are ours: with tokens
    ("grpc.enable_http_proxy", 0),  # that one is for the web
)


class Rpc(NamedTuple):
    """A method of a service."""

    path: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def rpc_of(file: FileDescriptor, service: str, name: str) -> Rpc:
    found = file.services_by_name[service]
    method = found.methods_by_name[name]
    request: type[Message] = message_factory.GetMessageClass(method.input_type)
    answer: type[Message] = message_factory.GetMessageClass(method.output_type)
    return Rpc(f"/{found.full_name}/{name}", request.SerializeToString, answer.FromString)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One unary call. `repeatable`: sent again after an unknown outcome it has no further effect,
    as it changes nothing or carries a token.
    """

    rpc: Rpc
    request: Message
    parse: Callable[[Any], T]
    repeatable: bool
