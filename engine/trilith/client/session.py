"""The blocking way to the cluster: channels to its nodes, and calls that survive one of them."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, Self, TypeVar

import grpc

from trilith.client import object_calls
from trilith.client.access import Access
from trilith.client.bodies import BodyStream
from trilith.client.endpoints import Endpoints
from trilith.client.failures import failure_of
from trilith.client.retries import RETRY_S, STREAM_S_MAX, Attempts
from trilith.client.rpc import CHANNEL_OPTIONS, Call, Rpc
from trilith.errors import TrilithError, Unauthenticated

T = TypeVar("T")
G = TypeVar("G")


class Answers:
    """The answers of a server's stream, one after the other."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def read(self) -> Any | None:
        """The next one, None at the end. Raises grpc.RpcError."""
        return next(self._call, None)

    def cancel(self) -> None:
        """Whether or not it has come to its end."""
        self._call.cancel()


class Session:
    """Channels are opened when they are first used. May be used by several threads."""

    def __init__(
        self,
        endpoints: Endpoints,
        access: Access,
        *,
        trust: grpc.ChannelCredentials | None = None,
        timeout_s: float,
        discover: bool,
    ) -> None:
        """`trust`: connections are TLS, and whom they believe."""
        self._endpoints = endpoints
        self._access = access
        self._trust = trust
        self._timeout_s = timeout_s
        self._discover = discover
        self._channels: dict[str, grpc.Channel] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            channels = list(self._channels.values())
            self._channels.clear()
        for channel in channels:
            channel.close()

    def with_timeout(self, timeout_s: float) -> Self:
        """Another one of the same channels, for calls that have so long."""
        other = copy.copy(self)
        other._timeout_s = timeout_s
        return other

    def channel(self, address: str) -> grpc.Channel:
        with self._lock:
            channel = self._channels.get(address)
            if channel is None:
                if self._trust is None:
                    channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
                else:
                    channel = grpc.secure_channel(address, self._trust, options=CHANNEL_OPTIONS)
                self._channels[address] = channel
            return channel

    def run(self, call: Call[T], timeout_s: float | None = None) -> T:
        """The call's answer. Raises TrilithError."""

        def attempt(channel: grpc.Channel, attempt_s: float) -> Any:
            send = channel.unary_unary(call.rpc.path, call.rpc.encode, call.rpc.decode)
            return send(call.request, timeout=attempt_s, metadata=self._access.metadata())

        until_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        self._find_nodes(until_s)
        left_s = max(0.001, until_s - time.monotonic())
        return call.parse(self.attempts(attempt, left_s, repeatable=call.repeatable))

    def send(self, rpc: Rpc, body: BodyStream, timeout_s: float | None) -> Any:
        """The answer to a stream of ours, however long it takes unless `timeout_s` is given.

        Raises TrilithError, or what reading the body has raised.
        """

        def attempt(channel: grpc.Channel, _attempt_s: float) -> Any:
            call = channel.stream_unary(rpc.path, rpc.encode, rpc.decode)
            try:
                return call(body.messages(), timeout=timeout_s, metadata=self._access.metadata())
            except grpc.RpcError:
                if body.failure is not None:
                    raise body.failure from None
                raise

        self._find_nodes(time.monotonic() + (timeout_s or self._timeout_s))
        return self.attempts(
            attempt, timeout_s or STREAM_S_MAX, repeatable=body.is_repeatable, retry_s=RETRY_S
        )

    def side_by_side(self, work: Callable[[G], T], given: Iterable[G], limit: int) -> list[T]:
        """What `work` makes of each, at most `limit` at a time. The first failure keeps those from
        beginning that have not, and is raised.
        """
        with ThreadPoolExecutor(limit) as threads:
            futures = [threads.submit(work, value) for value in given]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                for future in futures:
                    future.cancel()
            failed = [one for one in futures if not one.cancelled() and one.exception()]
            return [future.result() for future in failed or futures]

    def attempts(
        self,
        attempt: Callable[[grpc.Channel, float], T],
        timeout_s: float | None,
        *,
        repeatable: bool,
        retry_s: float | None = None,
    ) -> T:
        """`attempt(channel, seconds)` until it succeeds or may not be made again: within
        `timeout_s`, and `retry_s` after the first failure.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        attempts = Attempts(time.monotonic(), timeout_s, retry_s, repeatable=repeatable)
        while True:
            address = self._endpoints.current
            try:
                return attempt(self.channel(address), attempts.time_s(time.monotonic()))
            except grpc.RpcError as error:
                failure = failure_of(error)
            except TrilithError as error:
                failure = error
            elsewhere = self.leave(address, failure)
            time.sleep(attempts.pause_s(failure, time.monotonic(), elsewhere=elsewhere))

    def leave(self, address: str, failure: TrilithError) -> bool:
        """After a failure: a new token, or another node. Whether it is another node."""
        if isinstance(failure, Unauthenticated):
            self._access.renew()
        return failure.retryable and self._endpoints.leave(address)

    def stream(self, rpc: Rpc, request: Any, address: str) -> Answers:
        """The answers of a server's stream."""
        call = self.channel(address).unary_stream(rpc.path, rpc.encode, rpc.decode)
        return Answers(call(request, metadata=self._access.metadata()))

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return self._access.metadata()

    def address(self) -> str:
        """The node that is asked now."""
        self._find_nodes(time.monotonic() + self._timeout_s)
        return self._endpoints.current

    def _find_nodes(self, until_s: float) -> None:
        """Once: where else the cluster serves, should this node fail. In half of the time that the
        call has for which it is asked.
        """
        with self._lock:
            discover, self._discover = self._discover, False
        if not discover:
            return
        try:
            nodes = self.run(object_calls.list_nodes(), (until_s - time.monotonic()) / 2)
        except TrilithError as error:
            if not error.retryable:
                raise
            with self._lock:
                self._discover = True
            return
        self._endpoints.add([node.address for node in nodes])
