"""The gRPC services: any bytes as any method's message, and as a caller's token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import jwt
import msgspec
from google.protobuf import message_factory
from tests.edge.local_services import METHODS, LocalServices
from tests.fuzz.target import Choices, target
from tests.fuzz.targets.dynamodb_requests import DEFECTS, begin
from tests.s3.request_signing import ShiftedClock

from trilith.edge.grpc_call import Call, as_domain
from trilith.edge.grpc_status import status_of, trailer_of
from trilith.errors import InternalError, Unauthenticated
from trilith.iam.bearer_tokens import ALGORITHM, AUDIENCE, BearerTokens, issue
from trilith.iam.credentials import StaticCredentials, root_credential
from trilith.runtime.clock import SystemClock

LOOP = asyncio.new_event_loop()
SECRET = "secret" * 7
CREDENTIAL = root_credential("AKIA", SECRET)
NOW_S = 1_767_225_600
CLOCK = ShiftedClock(stopped_at_ms=NOW_S * 1000)
CALLS_MAX = 3


class _Context:
    """What a call asks of its transport."""

    async def write(self, _raw: bytes) -> None: ...

    def time_remaining(self) -> float | None:
        return None


async def _pieces(messages: list[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def _called(services: LocalServices, method: Any, choices: Choices) -> None:
    context: Any = _Context()
    call = Call(context, SystemClock(), method.name, "id", CREDENTIAL.identity)
    run = services.run(method)
    try:
        if method.client_streaming:
            messages = [choices.blob(300) for _ in range(choices.integer(0, 4))]
            answer = await run(call, _pieces(messages))
        else:
            message_type = message_factory.GetMessageClass(method.input_type)
            answer = await run(call, call.decode(choices.blob(600), message_type))
    except Exception as error:  # noqa: BLE001 - as the server takes it
        domain = as_domain(error, call)
        defect = error if isinstance(domain, InternalError) else None
        assert defect is None, (method.full_name, defect)
        status_of(domain)
        trailer_of(domain, "id")
    else:
        assert answer is None or answer.SerializeToString() is not None


@target(words=(b"\x0a\x06things", b"\x12\x06bucket", b"\x0a\x01p\x12\x03\x0a\x01a", b"\x18\x01"))
def grpc_messages(data: bytes) -> None:
    """Whatever bytes come as a message, the call has an answer or one of our errors."""
    choices, app = Choices(data), begin()
    services = LocalServices(app)
    LOOP.run_until_complete(
        services.objects.service.create_bucket(
            "bucket", owner=CREDENTIAL.identity.account_id, region="us-east-1"
        )
    )
    for _ in range(CALLS_MAX):
        if not choices:
            break
        LOOP.run_until_complete(_called(services, choices.pick(METHODS), choices))
    assert not DEFECTS.found, DEFECTS.found[0].getMessage()


def _claim(choices: Choices) -> Any:
    return choices.pick(
        (
            NOW_S,
            NOW_S + choices.integer(-2000, 2000),
            1 << 70,
            -1,
            1.5,
            True,
            None,
            "AKIA",
            AUDIENCE,
            [AUDIENCE],
            {},
            choices.text(4),
        )
    )


@target(words=(b"Bearer ", b"eyJhbGciOiJIUzI1NiIsImtpZCI6IkFLSUEifQ.", b".", b"W1tb" * 900))
def grpc_bearer_tokens(data: bytes) -> None:
    """Nobody is let in without the secret, nor with a token that is good for long or for others."""
    choices = Choices(data)
    tokens = BearerTokens(StaticCredentials([CREDENTIAL]), CLOCK)
    header = issue("AKIA", SECRET, NOW_S)
    assert tokens.verify(f"Bearer {header}").access_key_id == "AKIA"
    kind = choices.integer(0, 2)
    if kind == 0:  # signed with the secret, but what does it say?
        claims = {name: _claim(choices) for name in ("sub", "aud", "iat", "exp") if choices.flag()}
        payload = msgspec.json.encode(claims)
        header = jwt.api_jws.encode(payload, SECRET, ALGORITHM, {"kid": "AKIA"})
        good = (
            claims.get("sub") == "AKIA"
            and claims.get("aud") in (AUDIENCE, [AUDIENCE])
            and all(type(claims.get(name)) is int for name in ("iat", "exp"))
            and claims["exp"] - NOW_S + 30 > 0
            and claims["exp"] - claims["iat"] <= 900
        )
    elif kind == 1:
        place, other = choices.integer(0, len(header) - 1), choices.text(2)
        header, good = header[:place] + other + header[place + 1 :], False
        if header == issue("AKIA", SECRET, NOW_S):
            return
    else:
        header, good = choices.rest().decode("latin-1"), False
    try:
        BearerTokens(StaticCredentials([CREDENTIAL]), CLOCK).verify(f"Bearer {header}")
    except Unauthenticated:
        return
    # The last character of a signature has bits that count for nothing.
    assert good or header[:-1] == issue("AKIA", SECRET, NOW_S)[:-1], header
