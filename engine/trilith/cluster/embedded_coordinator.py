"""The coordinator of a one-machine cluster: a SQLite file that every node process opens.

Linearizable because SQLite serialises writers over the file's locks; durable because each commit
syncs the write-ahead log (`synchronous=FULL`). A change of any process is noticed within
`POLL_INTERVAL_S` by SQLite's data version, which is a look at shared memory: an idle cluster
writes nothing and reads no disk. Changes are kept for `HISTORY_CHANGES_MAX` revisions; a watch from
before that breaks, as etcd's does after a compaction, and its owner lists again.

Every call on the database runs on one thread of its own, so that a held lock or a slow disk stalls
neither the event loop nor the workers of the data path.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

from trilith.errors import (
    CoordinatorUnavailable,
    DataDirectoryUnusable,
    RevisionConflict,
    TrilithError,
)
from trilith.replication.coordinator import Change, Changes, Versioned
from trilith.runtime.workers import Workers

P = ParamSpec("P")
T = TypeVar("T")

URL_SCHEME = "sqlite://"
APPLICATION_ID = 0x5452494C  # "TRIL", in SQLite's header, so that a foreign file is refused
FORMAT_VERSION = 1
HISTORY_CHANGES_MAX = 10_000
POLL_INTERVAL_S = 0.2
BUSY_TIMEOUT_MS = 2_000
# On a slow disk the commits of others keep the file locked: a node that starts waits for its turn,
# where one that serves is told soon, and looks again.
START_PATIENCE_S = 30.0

_SCHEMA = """
CREATE TABLE keys (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE changes (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB);
CREATE TABLE meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('revision', 0);
"""


def path_of_url(url: str) -> str:
    """The file of `sqlite:///absolute/path`. Raises ValueError."""
    path = url.removeprefix(URL_SCHEME)
    if path == url or not path.startswith("/"):
        raise ValueError(f"{url!r} is not of the form sqlite:///absolute/path")
    return path


class _Database:
    """The blocking half, used by one thread at a time. Raises sqlite3.Error."""

    def __init__(self, path: str, busy_timeout_ms: int) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Connect; make the schema in a new file; refuse a damaged or a newer one."""
        self.close()
        connection = sqlite3.connect(
            self._path,
            timeout=self._busy_timeout_ms / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Identity before anything is written: a foreign file stays as it is."""
        # In one read transaction: another process may be making the file right now.
        connection.execute("BEGIN")
        application_id = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        connection.execute("COMMIT")
        if tables and application_id != APPLICATION_ID:
            raise DataDirectoryUnusable(f"{self._path} is a SQLite file of another program")
        if version > FORMAT_VERSION:
            raise DataDirectoryUnusable(
                f"{self._path} has format {version}; this version of Trilith reads up to "
                f"{FORMAT_VERSION}: use the newer Trilith that wrote it"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Looked at again under the write lock: another process may have just made it.
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            raise sqlite3.DatabaseError(f"quick_check: {finding}")

    def connection(self) -> sqlite3.Connection:
        """The open connection, or a new one after a failure closed the last."""
        if self._connection is None:
            self.open()
        assert self._connection is not None
        return self._connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def data_version(self) -> int:
        """Changes whenever another connection has committed."""
        number: int = self.connection().execute("PRAGMA data_version").fetchone()[0]
        return number

    def get(self, key: str) -> Versioned | None:
        row = (
            self.connection()
            .execute("SELECT value, revision FROM keys WHERE key = ?", (key,))
            .fetchone()
        )
        return None if row is None else Versioned(row[0], row[1])

    def list(self, prefix: str) -> tuple[dict[str, Versioned], int]:
        connection = self.connection()
        connection.execute("BEGIN")
        try:
            rows = connection.execute(
                "SELECT key, value, revision FROM keys WHERE key >= ? AND key < ? ORDER BY key",
                (prefix, _after_prefix(prefix)),
            ).fetchall()
            return {key: Versioned(value, at) for key, value, at in rows}, _revision(connection)
        finally:
            connection.execute("ROLLBACK")

    def compare_and_swap(self, key: str, expected_revision: int, value: bytes | None) -> int:
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            revision = _swap(connection, key, expected_revision, value)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return revision

    def changes_after(self, prefix: str, revision: int) -> tuple[Changes, int]:
        """Changes under a prefix, and up to which revision that is all of them."""
        connection = self.connection()
        connection.execute("BEGIN")
        try:
            current = _revision(connection)
            if revision < current - HISTORY_CHANGES_MAX:
                raise CoordinatorUnavailable(
                    f"changes after revision {revision} are no longer kept: list and watch again"
                )
            rows = connection.execute(
                "SELECT key, value, revision FROM changes"
                " WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision",
                (revision, prefix, _after_prefix(prefix)),
            ).fetchall()
            return [Change(*row) for row in rows], current
        finally:
            connection.execute("ROLLBACK")


def _after_prefix(prefix: str) -> str:
    return prefix + "\U0010ffff"


def _revision(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT number FROM meta WHERE name = 'revision'").fetchone()[
        0
    ]
    return number


def _swap(
    connection: sqlite3.Connection, key: str, expected_revision: int, value: bytes | None
) -> int:
    row = connection.execute("SELECT revision FROM keys WHERE key = ?", (key,)).fetchone()
    found_revision = 0 if row is None else row[0]
    if found_revision != expected_revision:
        raise RevisionConflict(
            f"{key} is at revision {found_revision}, not {expected_revision}",
            key=key,
            revision=found_revision,
        )
    if value is None and row is None:
        return _revision(connection)
    revision = _revision(connection) + 1
    connection.execute("UPDATE meta SET number = ? WHERE name = 'revision'", (revision,))
    if value is None:
        connection.execute("DELETE FROM keys WHERE key = ?", (key,))
    else:
        connection.execute("REPLACE INTO keys VALUES (?, ?, ?)", (key, value, revision))
    connection.execute("INSERT INTO changes VALUES (?, ?, ?)", (revision, key, value))
    connection.execute("DELETE FROM changes WHERE revision <= ?", (revision - HISTORY_CHANGES_MAX,))
    return revision


class EmbeddedCoordinator:
    """Implements `trilith.replication.coordinator.Coordinator` over a file that processes share."""

    def __init__(
        self, database: _Database, path: str, workers: Workers, patient_until: float
    ) -> None:
        self._database = database
        self._patient_until = patient_until  # of the loop's time
        self._path = path
        self._workers = workers
        # One statement sequence at a time, whatever the number of worker threads.
        self._turn = asyncio.Lock()
        self._watchers: set[asyncio.Event] = set()
        self._poller: asyncio.Task[None] | None = None
        self._poll_failure: TrilithError | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: str,
        workers: Workers,
        *,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
        start_patience_s: float = START_PATIENCE_S,
    ) -> EmbeddedCoordinator:
        """Open or make the file; its directory exists already.

        `workers` belongs to the coordinator alone from here on (one thread is enough) and is
        closed with it. Raises CoordinatorUnavailable, or DataDirectoryUnusable for a file of
        a newer format or of another program.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + start_patience_s
        coordinator = cls(_Database(path, busy_timeout_ms), path, workers, deadline)
        while True:
            try:
                await coordinator._once(coordinator._database.open)
            except (CoordinatorUnavailable, DataDirectoryUnusable) as error:
                # Processes that make the file together can meet inside the switch to WAL, where
                # SQLite does not wait for locks.
                if not error.details.get("busy") or loop.time() > deadline:
                    workers.close()
                    raise
                await asyncio.sleep(POLL_INTERVAL_S)
            else:
                return coordinator

    async def get(self, key: str) -> Versioned | None:
        return await self._call(self._database.get, key)

    async def list(self, prefix: str) -> tuple[dict[str, Versioned], int]:
        return await self._call(self._database.list, prefix)

    async def compare_and_swap(self, key: str, expected_revision: int, value: bytes | None) -> int:
        revision = await self._call(self._database.compare_and_swap, key, expected_revision, value)
        # SQLite's data version does not move for a connection's own commits.
        self._wake_watchers()
        return revision

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changes]:
        wake = asyncio.Event()
        self._watchers.add(wake)
        self._start_poller()
        position = after_revision
        try:
            while True:
                wake.clear()
                changes, position = await self._call(self._database.changes_after, prefix, position)
                if changes:
                    yield changes
                if self._poll_failure is not None:
                    raise self._poll_failure
                await wake.wait()
        finally:
            self._watchers.discard(wake)

    async def close(self) -> None:
        """Watches end with CoordinatorUnavailable; so does every later call."""
        if self._closed:
            return
        self._closed = True
        if self._poller is not None:
            self._poller.cancel()
        self._wake_watchers()
        async with self._turn:
            await self._workers.run(self._database.close)
        self._workers.close()

    def _start_poller(self) -> None:
        if self._poller is None or self._poller.done():
            self._poll_failure = None
            self._poller = asyncio.get_running_loop().create_task(self._poll())

    async def _poll(self) -> None:
        """Wakes the watchers when another process has committed; ends when nobody watches."""
        seen: int | None = None
        while self._watchers:
            try:
                version = await self._call(self._database.data_version)
            except TrilithError as error:  # a file of a newer format, too: nobody is to wait on
                self._poll_failure = error
                self._wake_watchers()
                return
            if version != seen:
                seen = version
                self._wake_watchers()
            await asyncio.sleep(POLL_INTERVAL_S)

    def _wake_watchers(self) -> None:
        for wake in self._watchers:
            wake.set()

    async def _call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                return await self._once(function, *args, **kwargs)
            except CoordinatorUnavailable as error:
                late = asyncio.get_running_loop().time() > self._patient_until
                if late or not error.details.get("busy"):
                    raise
            await asyncio.sleep(POLL_INTERVAL_S)  # a look at the map may have its turn

    async def _once(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            if self._closed:
                raise CoordinatorUnavailable("the coordinator is closed")
            return await self._workers.run(self._translated, function, *args, **kwargs)

    def _translated(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs on the worker thread: SQLite's errors become the port's one error."""
        try:
            return function(*args, **kwargs)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error) -> CoordinatorUnavailable:
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return CoordinatorUnavailable(
                f"{self._path} is locked by another process: is a program other than Trilith "
                "(a backup, sqlite3) holding it?",
                busy=True,
            )
        # Whatever else went wrong, this connection's view of the file is no longer trusted.
        self._database.close()
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or (
            primary == sqlite3.SQLITE_ERROR
        ):
            return CoordinatorUnavailable(
                f"{self._path} is damaged ({error}): restore it from a copy of the data directory"
            )
        if primary == sqlite3.SQLITE_FULL:
            return CoordinatorUnavailable(f"the disk that holds {self._path} is full")
        return CoordinatorUnavailable(f"{self._path} cannot be used: {error}")
