"""Clients that never stop: what they were promised is remembered, and judged at the end.

Two kinds of work. Unique keys with random bodies, written once: an acknowledged one must be found
with its bytes by every later read, through every zone. And registers: a few keys that all clients
read, overwrite and overwrite under conditions (If-Match, If-None-Match); the history of each must
be linearizable (tests/linearizability).

Each client keeps to a zone of its own and turns to the next one after an error, as behind a load
balancer; a `pinned` client never turns away. A client goes on with one request until it is
answered, so its longest time without a success is what an application would have felt.
"""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from tests.conformance.load import AwakeClock
from tests.conformance.wire import Answer, Caller, Wire
from tests.linearizability.checker import Kind, Operation, is_linearizable

BUCKETS = ("chaos-a", "chaos-b", "chaos-c", "chaos-d")
SIZES = (100, 4 << 10, 20 << 10, 200 << 10)
SIZE_WEIGHTS = (5, 5, 3, 2)
REGISTERS = 6
REQUEST_TIMEOUT_S = 1.5
PAUSE_S = 0.02
UNKNOWN_PAUSE_S = 0.1
END_DEADLINE_S = 60.0


@dataclass(frozen=True)
class ZoneCaller(Caller):
    """The S3 endpoint of one zone."""

    zone: str = ""


@dataclass
class Gaps:
    """The longest times without a success of any one client, in seconds."""

    writes_s: float = 0.0
    reads_s: float = 0.0


class Pulse:
    """When one client last had a success, and the longest time between two."""

    def __init__(self, clock: AwakeClock) -> None:
        self._clock = clock
        self._last = clock.now()
        self._longest_s = 0.0

    def restart(self) -> None:
        self._last, self._longest_s = self._clock.now(), 0.0

    def success(self) -> None:
        now = self._clock.now()
        self._longest_s = max(self._longest_s, now - self._last)
        self._last = now

    def longest_s(self) -> float:
        """Counting the one that is not over yet."""
        return max(self._longest_s, self._clock.now() - self._last)


class Endpoints:
    """One client's connections. After an error the next zone is asked, unless it is pinned."""

    def __init__(self, callers: list[ZoneCaller], *, pinned: bool) -> None:
        self._callers = callers[:1] if pinned else callers
        self._at = 0
        self._wire: Wire | None = None

    def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """Raises OSError when there was no whole answer in time."""
        caller = self._callers[self._at]
        given = dict(headers or {})
        if method == "PUT":
            given["content-length"] = str(len(body))
        target, signed, _ = caller.sign(method, path, headers=given)
        try:
            if self._wire is None:
                self._wire = caller.connect()
            self._wire.send_head(method, target, signed)
            self._wire.send(body)
            answer = self._wire.read_answer(method)
        except OSError:
            self.turn()
            raise
        if answer.status >= 500:
            self.turn()
        elif answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def turn(self) -> None:
        self.close()
        self._at = (self._at + 1) % len(self._callers)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


@dataclass
class Client:
    """One thread's state."""

    name: str
    endpoints: Endpoints
    chance: random.Random
    pulse: Pulse
    writes: bool
    counted: bool = True  # whether its gaps are interruptions of the service
    successes: int = 0
    thread: threading.Thread | None = field(default=None, repr=False)


class Workload:
    """`start`, hurt the cluster, `stop`, then `check`."""

    def __init__(self, callers: list[ZoneCaller], *, pinned_to: ZoneCaller | None = None) -> None:
        """`pinned_to`: a zone that some more clients keep to, whatever befalls it."""
        self._callers = callers
        self._run = secrets.token_hex(4)  # no key of an earlier workload
        self._clock = AwakeClock()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._kept: dict[str, str] = {}  # path -> digest of an acknowledged unique key
        self._recent: list[str] = []
        self.history: dict[str, list[Operation]] = defaultdict(list)
        self.errors: Counter[str] = Counter()
        self.violations: list[str] = []
        self.clients: list[Client] = []
        for number in range(3):
            self._add(f"writer-{number}", number, self._write_unique, writes=True)
            self._add(f"register-{number}", number, self._use_registers, writes=True)
        for number in range(2):
            self._add(f"reader-{number}", number, self._read_unique, writes=False)
        if pinned_to is not None:
            self._add("pinned-r", 0, self._use_registers, writes=True, pinned=pinned_to)
            self._add("pinned-u", 0, self._read_unique, writes=False, pinned=pinned_to)

    def _add(
        self,
        name: str,
        number: int,
        work: Callable[[Client], None],
        *,
        writes: bool,
        pinned: ZoneCaller | None = None,
    ) -> None:
        turned = self._callers[number % len(self._callers) :]
        turned = [pinned] if pinned else turned + self._callers[: number % len(self._callers)]
        endpoints = Endpoints(turned, pinned=pinned is not None)
        client = Client(
            name,
            endpoints,
            random.Random(name),
            Pulse(self._clock),
            writes,
            counted=pinned is None,
        )
        client.thread = threading.Thread(target=self._guard, args=(work, client))
        self.clients.append(client)

    # -- life

    def start(self) -> None:
        endpoints = Endpoints(self._callers, pinned=False)
        for bucket in BUCKETS:
            while (answer := endpoints.call("PUT", f"/{bucket}")).status not in (200, 409):
                self._note(f"bucket: {answer.status}")
        endpoints.close()
        self.measure()
        for client in self.clients:
            assert client.thread
            client.thread.start()

    def stop(self) -> None:
        self._stop.set()
        for client in self.clients:
            if client.thread and client.thread.is_alive():
                client.thread.join(END_DEADLINE_S)
                assert not client.thread.is_alive(), client.name
        self._clock.stop()

    def measure(self) -> None:
        """Forgets the gaps so far."""
        for client in self.clients:
            client.pulse.restart()

    def gaps(self) -> Gaps:
        counted = [c for c in self.clients if c.counted]
        return Gaps(
            max(c.pulse.longest_s() for c in counted if c.writes),
            max(c.pulse.longest_s() for c in counted if not c.writes),
        )

    def progress(self) -> int:
        """Successes of the client that had the fewest; pinned ones are not counted."""
        return min(c.successes for c in self.clients if c.counted)

    def total(self) -> int:
        return sum(c.successes for c in self.clients)

    def _guard(self, work: Callable[[Client], None], client: Client) -> None:
        try:
            while not self._stop.is_set():
                work(client)
        except Exception as error:  # noqa: BLE001 - a died client must fail the test
            self._violation(f"{client.name} failed: {error!r}")
        finally:
            client.endpoints.close()

    def _violation(self, text: str) -> None:
        with self._lock:
            self.violations.append(text)

    def _note(self, error: str) -> None:
        with self._lock:
            self.errors[error] += 1

    def _call(
        self,
        client: Client,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer | None:
        """None: no answer, or one that leaves the outcome open or asks to try again."""
        try:
            answer = client.endpoints.call(method, path, body, headers)
        except OSError as error:
            self._note(type(error).__name__)
            return None
        if answer.status >= 500:
            self._note(f"{answer.status} {answer.error_code}")
            return None
        return answer

    @staticmethod
    def _succeeded(client: Client) -> None:
        client.successes += 1
        client.pulse.success()

    # -- unique keys

    def _write_unique(self, client: Client) -> None:
        chance = client.chance
        body = chance.randbytes(chance.choices(SIZES, SIZE_WEIGHTS)[0])
        bucket = BUCKETS[int(client.name[-1]) % len(BUCKETS)]
        path = f"/{bucket}/{self._run}/{client.name}/{client.successes:06d}"
        while not self._stop.is_set():
            answer = self._call(client, "PUT", path, body)
            if answer is None:
                self._stop.wait(PAUSE_S)
                continue
            if answer.status != 200:
                self._violation(f"PUT {path}: {answer.status} {answer.error_code}")
                return
            with self._lock:
                self._kept[path] = hashlib.sha256(body).hexdigest()
                self._recent.append(path)
            self._succeeded(client)
            return

    def _read_unique(self, client: Client) -> None:
        with self._lock:
            path = client.chance.choice(self._recent[-200:]) if self._recent else None
        if path is None or not self._read_one(client, path):
            self._stop.wait(PAUSE_S)

    def _read_one(self, client: Client, path: str) -> bool:
        answer = self._call(client, "GET", path)
        if answer is None:
            return False
        if answer.status != 200:
            self._violation(
                f"GET {path} by {client.name}: {answer.status} {answer.error_code}, was kept"
            )
        elif hashlib.sha256(answer.body).hexdigest() != self._kept[path]:
            self._violation(f"GET {path} by {client.name}: wrong bytes")
        self._succeeded(client)
        return True

    # -- registers

    def _use_registers(self, client: Client) -> None:
        chance = client.chance
        number = chance.randrange(REGISTERS)
        path = f"/{BUCKETS[number % len(BUCKETS)]}/{self._run}/register-{number}"
        value = self._read_register(client, path)
        if value is False or self._stop.is_set():
            return
        fresh = f"{client.name} {client.successes} {chance.getrandbits(32)}".encode()
        draw = chance.random()
        if draw < 0.3:
            self._put_register(client, path, Kind.WRITE, fresh, None, {})
        elif draw < 0.8 and isinstance(value, bytes):
            etag = hashlib.md5(value, usedforsecurity=False).hexdigest()
            condition = {"if-match": f'"{etag}"'}
            self._put_register(client, path, Kind.COMPARE_AND_SET, fresh, value, condition)
        elif draw < 0.9 or value is None:
            condition = {"if-none-match": "*"}
            self._put_register(client, path, Kind.COMPARE_AND_SET, fresh, None, condition)
        else:
            self._put_register(client, path, Kind.WRITE, None, None, {})

    def _read_register(self, client: Client, path: str) -> bytes | bool | None:
        """The value, None for an absent one, False when nobody answered."""
        called = time.monotonic()
        answer = self._call(client, "GET", path)
        if answer is None:
            self._stop.wait(PAUSE_S)
            return False
        if answer.status not in (200, 404):
            self._violation(f"GET {path}: {answer.status} {answer.error_code}")
            return False
        seen = answer.body if answer.status == 200 else None
        self._record(
            path, Operation(Kind.READ, called, time.monotonic(), seen=seen, who=client.name)
        )
        return seen

    def _put_register(
        self,
        client: Client,
        path: str,
        kind: Kind,
        value: bytes | None,
        expected: bytes | None,
        headers: dict[str, str],
    ) -> None:
        """Overwrite, under a condition or not; a `value` of None deletes."""
        called = time.monotonic()
        method, body = ("DELETE", b"") if value is None else ("PUT", value)
        answer = self._call(client, method, path, body, headers)
        holds: bool | None = None
        returned = inf
        if answer is not None and answer.status in (200, 204):
            holds, returned = True, time.monotonic()
        elif answer is not None and headers and answer.status in (404, 409, 412):
            if answer.status == 409:
                return  # nothing was done, and nothing is said of the value
            holds, returned = False, time.monotonic()
        elif answer is not None:
            self._violation(f"{method} {path}: {answer.status} {answer.error_code}")
            return
        self._record(
            path, Operation(kind, called, returned, value, expected, holds=holds, who=client.name)
        )
        if returned == inf:
            self._stop.wait(UNKNOWN_PAUSE_S)
        else:
            self._succeeded(client)

    def _record(self, path: str, operation: Operation) -> None:
        with self._lock:
            self.history[path].append(operation)

    # -- judgement

    def check(self) -> str:
        """Reads every kept key through every zone in turn, and judges the registers.

        Raises AssertionError with what was lost or seen wrongly; returns a summary.
        """
        self._stop.set()
        for number, path in enumerate(sorted(self._kept)):
            self._find(number, path)
        operations = sum(map(len, self.history.values()))
        wrong = [path for path, found in self.history.items() if not is_linearizable(found)]
        self.violations += [f"not linearizable: {path}" for path in wrong]
        assert not self.violations, "\n".join([*self.violations[:20], str(dict(self.errors))])
        assert self._kept
        assert operations
        return f"{len(self._kept)} keys, {operations} register operations"

    def read_all_through(self, zone: str) -> None:
        """Reads every kept key through one zone; what is wrong is a violation."""
        (caller,) = (c for c in self._callers if c.zone == zone)
        for path in sorted(self._kept):
            self._find_through([caller], path)

    def _find(self, number: int, path: str) -> None:
        turn = number % len(self._callers)
        self._find_through(self._callers[turn:] + self._callers[:turn], path)

    def _find_through(self, callers: list[ZoneCaller], path: str) -> None:
        reader = Client(
            "verifier",
            Endpoints(callers, pinned=False),
            random.Random(0),
            Pulse(self._clock),
            writes=False,
        )
        end = time.monotonic() + END_DEADLINE_S
        while not self._read_one(reader, path):
            assert time.monotonic() < end, f"GET {path}: no answer; {dict(self.errors)}"
            time.sleep(PAUSE_S)
        reader.endpoints.close()
