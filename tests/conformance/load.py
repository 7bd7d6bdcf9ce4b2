"""A continuous load of PUT and GET that remembers every acknowledgement and judges every answer.

Each writer owns the keys that it writes, so the order of writes to a key is known: what a read
may return is the last acknowledged write, or a later one whose outcome is unknown.
"""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .wire import Answer, Caller, ConnectionCutError, Wire

SIZES = (1 << 10, 4 << 10, 16 << 10, 20 << 10, 100 << 10, 1 << 20, 3 << 20)
SIZE_WEIGHTS = (6, 6, 4, 4, 3, 2, 1)
REQUEST_TIMEOUT_S = 15.0
PAUSE_AFTER_ERROR_S = 0.02
HOT_KEYS_PER_WRITER = 4
VERSION_BYTES = 8
TICK_S = 0.05
STOOD_STILL_S_MIN = 0.5


@dataclass
class KeyHistory:
    """The attempts at one key in order; `acknowledged` is the newest acknowledged version."""

    digests: dict[int, str] = field(default_factory=dict)
    acknowledged: int = -1

    def may_be(self, digest: str, since: int) -> bool:
        """Whether `digest` is version `since` or one attempted after it."""
        return any(seen == digest for version, seen in self.digests.items() if version >= since)


class AwakeClock:
    """Monotonic time without the moments in which this whole process stood still.

    A virtual machine that is paused for seconds takes the servers and their clients along; that
    is no outage of the servers.
    """

    def __init__(self) -> None:
        self._stood_still_s = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._end.wait(TICK_S):
            now = time.monotonic()
            late = now - before - TICK_S
            if late > STOOD_STILL_S_MIN:
                self._stood_still_s += late
            before = now

    def now(self) -> float:
        return time.monotonic() - self._stood_still_s

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


@dataclass
class Pace:
    """Times of successes; the longest time without one is what a client would call an outage."""

    clock: AwakeClock

    successes: int = 0
    longest_gap_s: float = 0.0
    _last: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def success(self) -> None:
        with self._lock:
            now = self.clock.now()
            self.longest_gap_s = max(self.longest_gap_s, now - self._last)
            self._last = now
            self.successes += 1

    def restart(self) -> None:
        """Forgets the gaps so far: the next one is measured from now."""
        with self._lock:
            self._last = self.clock.now()
            self.longest_gap_s = 0.0


class Client:
    """One kept-alive connection that is opened anew after an error."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._wire: Wire | None = None

    def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        headers = {"content-length": str(len(body))} if method == "PUT" else {}
        target, signed, _ = self._caller.sign(method, path, headers=headers)
        try:
            if self._wire is None:
                self._wire = self._caller.connect()
            self._wire.send_head(method, target, signed)
            self._wire.send(body)
            answer = self._wire.read_answer(method)
        except OSError:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


class Load:
    """Writers and readers in threads. Judgements are in `violations`; empty means all is well."""

    def __init__(self, caller: Caller, bucket: str, *, writers: int = 3, readers: int = 2) -> None:
        self._caller = Caller(caller.endpoint, caller.credentials, timeout_s=REQUEST_TIMEOUT_S)
        self._bucket = bucket
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._settled: list[str] = []  # keys with an acknowledged write, for readers to choose
        self._threads = [
            threading.Thread(target=self._guard, args=(self._write_on, number))
            for number in range(writers)
        ] + [
            threading.Thread(target=self._guard, args=(self._read_on, number))
            for number in range(readers)
        ]
        self.history: dict[str, KeyHistory] = {}
        self._clock = AwakeClock()
        self.writes = Pace(self._clock)
        self.reads = Pace(self._clock)
        self.retryable: Counter[str] = Counter()
        self.violations: list[str] = []

    def start(self) -> None:
        self.writes.restart()
        self.reads.restart()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the load; every request that was begun is over when this returns."""
        self._stop.set()
        for thread in self._threads:
            thread.join(REQUEST_TIMEOUT_S * 3)
            assert not thread.is_alive()
        self._clock.stop()

    def _guard(self, work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - a died thread must fail the test
            self._violation(f"the load's own thread failed: {error!r}")

    def _violation(self, text: str) -> None:
        with self._lock:
            if len(self.violations) < 50:
                self.violations.append(text)

    # -- one request -----------------------------------------------------------------------

    def _attempt(self, client: Client, method: str, path: str, body: bytes = b"") -> Answer | None:
        """The answer of a success or of a refusal that retrying cannot mend; None: try again."""
        try:
            answer = client.call(method, path, body)
        except (TimeoutError, ConnectionCutError, OSError) as error:
            name = "timeout" if isinstance(error, socket.timeout) else type(error).__name__
            self._retryable(name)
            return None
        if answer.status == 503 or (answer.status, answer.error_code) == (500, "InternalError"):
            self._retryable(f"{answer.status} {answer.error_code}")
            return None
        return answer

    def _retryable(self, name: str) -> None:
        with self._lock:
            self.retryable[name] += 1
        self._stop.wait(PAUSE_AFTER_ERROR_S)

    # -- writers ---------------------------------------------------------------------------

    def _write_on(self, number: int) -> None:
        chance, client = random.Random(number), Client(self._caller)
        version = 0
        while not self._stop.is_set():
            version += 1
            is_hot = chance.random() < 0.3
            name = f"hot-{chance.randrange(HOT_KEYS_PER_WRITER)}" if is_hot else f"{version:08d}"
            key = f"w{number}/{name}"
            size = chance.choices(SIZES, SIZE_WEIGHTS)[0]
            body = version.to_bytes(VERSION_BYTES, "big") + chance.randbytes(size - VERSION_BYTES)
            self._write(client, key, version, body)
        client.close()

    def _write(self, client: Client, key: str, version: int, body: bytes) -> None:
        with self._lock:
            history = self.history.setdefault(key, KeyHistory())
            history.digests[version] = hashlib.sha256(body).hexdigest()
        while not self._stop.is_set():
            answer = self._attempt(client, "PUT", f"/{self._bucket}/{key}", body)
            if answer is None:
                continue
            if answer.status != 200:
                self._violation(f"PUT {key}: {answer.status} {answer.error_code}")
                return
            with self._lock:
                if history.acknowledged < 0:
                    self._settled.append(key)
                history.acknowledged = version
            self.writes.success()
            return

    # -- readers ---------------------------------------------------------------------------

    def _read_on(self, number: int) -> None:
        chance, client = random.Random(1000 + number), Client(self._caller)
        while not self._stop.is_set():
            with self._lock:
                key = chance.choice(self._settled[-500:]) if self._settled else None
            if key is None:
                self._stop.wait(PAUSE_AFTER_ERROR_S)
                continue
            if self._read(client, key):
                self.reads.success()
        client.close()

    def _read(self, client: Client, key: str) -> bool:
        with self._lock:
            history = self.history[key]
            since = history.acknowledged
        answer = self._attempt(client, "GET", f"/{self._bucket}/{key}")
        if answer is None:
            return False
        if answer.status != 200:
            self._violation(f"GET {key}: {answer.status} {answer.error_code}, acknowledged before")
            return False
        digest = hashlib.sha256(answer.body).hexdigest()
        with self._lock:
            is_right = history.may_be(digest, since)
        if not is_right:
            seen = int.from_bytes(answer.body[:VERSION_BYTES], "big")
            self._violation(f"GET {key}: version {seen} or damaged; {since} was acknowledged")
        return is_right

    def verify_everything(self) -> int:
        """Reads every key with an acknowledged write; how many. Wrong ones are violations."""
        client = Client(self._caller)
        keys = list(self._settled)
        self._stop.clear()
        for key in keys:
            deadline = time.monotonic() + REQUEST_TIMEOUT_S
            while not self._read(client, key) and not self.violations:
                if time.monotonic() > deadline:
                    self._violation(f"GET {key}: no answer: {dict(self.retryable)}")
        client.close()
        return len(keys)
