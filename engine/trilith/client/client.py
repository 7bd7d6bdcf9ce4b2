# Made from async_client.py by `make blocking`: change that one.
"""The blocking client: `trilith.connect`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

from trilith.client import definition_calls, object_calls, transact_calls, types
from trilith.client.access import Access, channel_credentials, find_keys
from trilith.client.bucket import Bucket
from trilith.client.endpoints import Endpoints, parse_endpoints
from trilith.client.session import Session
from trilith.client.table import Table
from trilith.client.table_calls import Found
from trilith.client.transact_calls import Get, TransactionParts

DEFAULT_ENDPOINT = "127.0.0.1:7000"
TIMEOUT_S = 30.0


class Transaction(TransactionParts):
    """Collects parts; leaving its `with` block without an exception commits them."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def commit(self, timeout_s: float | None = None) -> None:
        """All parts, or none. Raises TransactionCancelled, with a reason for each part under
        `details["reasons"]`; OutcomeUnknown; other errors, and nothing was done.
        """
        if len(self):
            self._session.run(self.call(), timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()


class Client:
    """A connection to a cluster. Threads may share it; processes made by fork may not.

    Every write that returns is synced in every in-sync zone. Errors are those of trilith.errors:
    an `Unavailable` was not applied, an `OutcomeUnknown` may have been, and both are raised only
    after the call's time is up.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls in work fail."""
        self._session.close()

    def with_timeout(self, timeout_s: float) -> Self:
        """This client for calls that have so long, with their retries. Both have the same
        connections, and are closed together.
        """
        return type(self)(self._session.with_timeout(timeout_s))

    def bucket(self, name: str) -> Bucket:
        """A bucket by its name; asks nobody whether there is one."""
        return Bucket(self._session, name)

    def create_bucket(self, name: str) -> Bucket:
        """Raises BucketAlreadyOwned, BucketAlreadyExists."""
        self._session.run(object_calls.create_bucket(name))
        return Bucket(self._session, name)

    def delete_bucket(self, name: str) -> None:
        """Raises BucketNotFound, BucketNotEmpty."""
        self._session.run(object_calls.delete_bucket(name))

    def buckets(self, prefix: str = "") -> Iterator[types.BucketInfo]:
        """In the order of their names."""
        after: str | None = ""
        while after is not None:
            found, after = self._session.run(object_calls.list_buckets(prefix, after))
            yield from found

    def table(self, name: str) -> Table:
        """A table by its name; asks nobody whether there is one."""
        return Table(self._session, name)

    def create_table(
        self,
        name: str,
        partition_key: tuple[str, str],
        sort_key: tuple[str, str] | None = None,
        *,
        local_indexes: Iterable[types.Index] = (),
        global_indexes: Iterable[types.Index] = (),
        throughput: tuple[int, int] | None = None,
        tags: Mapping[str, str] | None = None,
        deletion_protection: bool = False,
        stream: str | None = None,
        timeout_s: float | None = None,
    ) -> Table:
        """Keys are (name, "S" | "N" | "B"); `throughput` (read, write) units, else on demand;
        `stream` KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES.

        Returns when the table is ACTIVE. Raises TableAlreadyExists, InvalidRequest.
        """
        call = definition_calls.create_table(
            name,
            partition_key,
            sort_key,
            local_indexes=local_indexes,
            global_indexes=global_indexes,
            throughput=throughput,
            tags=tags,
            deletion_protection=deletion_protection,
            stream=stream,
        )
        self._session.run(call, timeout_s)
        table = Table(self._session, name)
        table.wait_active(timeout_s)
        return table

    def delete_table(self, name: str) -> types.TableInfo:
        """The table answers no more from now on. Raises TableNotFound; InvalidRequest while it is
        protected against deletion.
        """
        return self._session.run(definition_calls.delete_table(name))

    def tables(self) -> Iterator[str]:
        """Names, in order."""
        after: str | None = ""
        while after is not None:
            found, after = self._session.run(definition_calls.list_tables(after))
            yield from found

    def transact(self) -> Transaction:
        """Items and objects written together or not at all.

        with db.transact() as transaction:
            transaction.put_object("photos", "cat.jpg", data)
            transaction.put_item("pictures", {"id": "cat", "key": "cat.jpg"})
        """
        return Transaction(self._session)

    def transact_get(self, gets: Iterable[Get], *, timeout_s: float | None = None) -> list[Found]:
        """Items of any tables as they were together at one moment, in order; None for an absent
        one. Up to 100, with every write that was acknowledged before.

        A transaction that is writing one of them is waited for, as long as the call's time allows:
        then TransactionConflict. Raises TransactionCancelled where a key does not fit its table,
        with a reason for each get under `details["reasons"]`.
        """
        return self._session.run(transact_calls.transact_get(gets), timeout_s)

    def status(self) -> types.ClusterStatus:
        """What the cluster says of itself."""
        return self._session.run(object_calls.status())


def connect(
    endpoints: str = DEFAULT_ENDPOINT,
    *,
    access_key: str | None = None,
    secret_key: str | None = None,
    tls: bool = False,
    ca_file: str | os.PathLike[str] | None = None,
    timeout_s: float = TIMEOUT_S,
    discover: bool = True,
) -> Client:
    """A client of the cluster at `host:port[,host:port...]`; connects with its first call.

    The access key: as given, else from TRILITH_ROOT_ACCESS_KEY and TRILITH_ROOT_SECRET_KEY, else
    from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else from the data directory here.
    `tls`: the cluster speaks TLS; `ca_file`: it does, and this file (PEM) has whom to trust instead
    of gRPC's well-known authorities. `timeout_s` is for each call with its retries. `discover`:
    learn the cluster's other nodes, for when this one fails. Raises Unauthenticated where no key is
    found, ValueError, OSError.
    """
    keys = find_keys(access_key, secret_key, os.environ)
    found = Endpoints(parse_endpoints(endpoints))
    trust = channel_credentials(ca_file) if tls or ca_file is not None else None
    return Client(
        Session(found, Access(*keys), trust=trust, timeout_s=timeout_s, discover=discover)
    )
