"""What a failed gRPC call means: the domain errors of trilith.errors, as the engine raised them."""

from __future__ import annotations

import json
from typing import Any

import grpc

from trilith.errors import (
    EntityTooLarge,
    InternalError,
    NotServed,
    OutcomeUnknown,
    Overloaded,
    PeerUnreachable,
    TrilithError,
    Unauthenticated,
    from_wire,
)

# gRPC's own words, where it says no more than a status.
_NOT_CONNECTED = ("failed to connect", "connection refused", "name resolution", "dns resolution")
_NOT_TRUSTED = ("certificate_verify_failed", "is not in peer certificate")
_TOO_LARGE = "larger than max"


def failure_of(error: grpc.RpcError) -> TrilithError:
    """The domain error. Whatever may have been applied is an OutcomeUnknown."""
    call: Any = error
    code, text = call.code(), call.details() or ""
    trailer = dict(call.trailing_metadata() or ())
    name = trailer.get("trilith-code")
    if name is not None:
        return from_wire(_text(name), text, _details(trailer.get("trilith-details-bin")))
    lower = text.lower()
    if code is grpc.StatusCode.UNAVAILABLE and any(words in lower for words in _NOT_TRUSTED):
        return Unauthenticated(f"the server's certificate is not trusted: is ca_file right? {text}")
    match code:
        case grpc.StatusCode.UNAVAILABLE if any(words in lower for words in _NOT_CONNECTED):
            return PeerUnreachable(text)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if _TOO_LARGE in lower:
            return EntityTooLarge(text)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Overloaded(text)
        case grpc.StatusCode.UNIMPLEMENTED:
            return NotServed(text or "the server does not know the method")
        case grpc.StatusCode.UNAUTHENTICATED:
            return Unauthenticated(text)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return OutcomeUnknown("no answer before the deadline")
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return OutcomeUnknown(f"the connection broke: {text}")
        case _:
            return InternalError(f"{code}: {text}")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _details(encoded: str | bytes | None) -> dict[str, Any]:
    if encoded is None:
        return {}
    details: dict[str, Any] = json.loads(encoded)
    return details
