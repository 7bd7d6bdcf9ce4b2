"""How long a call may take is the client's to say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

import trilith
from trilith.errors import OutcomeUnknown, Unavailable

AN_HOUR_S = 3600.0


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


def test_a_call_gives_up_by_the_timeout_of_the_client_that_makes_it(nobody: str) -> None:
    keys = {"access_key": "access", "secret_key": "s" * 40}
    with trilith.connect(nobody, timeout_s=AN_HOUR_S, **keys) as client:
        with pytest.raises((Unavailable, OutcomeUnknown)):
            client.with_timeout(0.5).table("people").get({"id": "ann"})
        with pytest.raises((Unavailable, OutcomeUnknown)):
            client.with_timeout(0.5).bucket("photos").head("cat.jpg")


def test_so_does_one_of_the_asynchronous_client(nobody: str) -> None:
    async def scenario() -> None:
        keys = {"access_key": "access", "secret_key": "s" * 40}
        async with await trilith.connect_async(nobody, timeout_s=AN_HOUR_S, **keys) as client:
            with pytest.raises((Unavailable, OutcomeUnknown)):
                await client.with_timeout(0.5).table("people").put({"id": "ann"})

    asyncio.run(scenario())
