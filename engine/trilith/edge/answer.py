"""An HTTP answer as applications build it and the protocol writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

Headers = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """A whole answer. `headers` names are written as given; content-length is the builder's."""

    status: int
    headers: Headers
    body: bytes = b""


class ImmediateApp(Protocol):
    """What an ASGI application may offer besides its call, to skip the task of a request."""

    def answer_at_once(self, scope: dict[str, object]) -> Answer | None:
        """The answer to a bodiless GET or HEAD that needs no awaiting; None: call the application.

        None must leave no trace: the same request then goes through the application's call.
        """
        ...


# Builds the answer to a request that never became one: status, code, message -> answer.
Refuse = Callable[[int, str, str], Answer]


def refuse_in_text(status: int, code: str, message: str) -> Answer:
    """The default `Refuse`."""
    body = f"{code}: {message}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    return Answer(status, headers, body)
