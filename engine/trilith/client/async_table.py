"""A table of the asynchronous client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from trilith.client import definition_calls, table_calls, types
from trilith.client.async_change_reader import AsyncChangeReader, open_changes
from trilith.client.async_session import AsyncSession
from trilith.client.definition_calls import UNCHANGED, Unchanged, Units
from trilith.client.stream_calls import Start
from trilith.client.table_calls import Condition, Found, Names, Reading
from trilith.client.values import Item
from trilith.errors import DeadlineExceeded, Overloaded

ACTIVE_S_MAX = 600.0
POLL_S = 0.1
UNPROCESSED_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class AsyncTable:
    """Items by their keys. Expressions, limits and errors are DynamoDB's; `names` and `values` are
    what `#name` and `:value` in them stand for.
    """

    def __init__(self, session: AsyncSession, name: str) -> None:
        self._session = session
        self.name = name

    async def get(
        self,
        key: Item,
        *,
        consistent: bool = False,
        projection: str | None = None,
        names: Names = None,
    ) -> Found:
        """The item, or None. `consistent`: it has every write that was acknowledged before."""
        return await self._session.run(
            table_calls.get_item(
                self.name, key, consistent=consistent, projection=projection, names=names
            )
        )

    async def put(
        self,
        item: Item,
        *,
        condition: str | None = None,
        names: Names = None,
        values: Item | None = None,
        returning: str = "NONE",
        return_failed: bool = False,
    ) -> Found:
        """Replace an item. `returning` NONE or ALL_OLD. Raises PreconditionFailed, with the item
        that failed the condition under `details["item"]` where `return_failed` asks for it.
        """
        terms = Condition(condition, names, values).terms(returning, return_failed=return_failed)
        return await self._session.run(table_calls.put_item(self.name, item, terms))

    async def update(
        self,
        key: Item,
        update: str | None = None,
        *,
        condition: str | None = None,
        names: Names = None,
        values: Item | None = None,
        returning: str = "NONE",
        return_failed: bool = False,
    ) -> Found:
        """Change an item, or make it. `returning` NONE, ALL_OLD, ALL_NEW, UPDATED_OLD or
        UPDATED_NEW. A retry is applied once: an ADD counts once.
        """
        terms = Condition(condition, names, values).terms(returning, return_failed=return_failed)
        return await self._session.run(table_calls.update_item(self.name, key, update, terms))

    async def delete(
        self,
        key: Item,
        *,
        condition: str | None = None,
        names: Names = None,
        values: Item | None = None,
        returning: str = "NONE",
        return_failed: bool = False,
    ) -> Found:
        """Delete an item; none is no error."""
        terms = Condition(condition, names, values).terms(returning, return_failed=return_failed)
        return await self._session.run(table_calls.delete_item(self.name, key, terms))

    async def batch_write(self, puts: Iterable[Item] = (), deletes: Iterable[Item] = ()) -> None:
        """Many writes, each on its own, with no condition; as many calls as it takes.

        Raises Overloaded when some were not done after several attempts.
        """
        for batch in table_calls.writes_of(self.name, puts, deletes):
            left = await self._session.run(table_calls.batch_write(batch))
            for pause_s in UNPROCESSED_S:
                if not left:
                    break
                await asyncio.sleep(pause_s)
                left = await self._session.run(table_calls.batch_write(left))
            if left:
                raise Overloaded(f"{len(left)} writes of the batch were not done")

    async def batch_get(
        self,
        keys: Iterable[Item],
        *,
        consistent: bool = False,
        projection: str | None = None,
        names: Names = None,
    ) -> list[dict[str, Any]]:
        """The items that there are of these keys, in no order. Raises Overloaded."""
        found: list[dict[str, Any]] = []
        for batch in table_calls.keys_of(
            self.name, keys, consistent=consistent, projection=projection, names=names
        ):
            items, left = await self._session.run(table_calls.batch_get(batch))
            found += items
            pauses = iter(UNPROCESSED_S)
            while left is not None:
                if not items and (pause_s := next(pauses, None)) is None:
                    raise Overloaded(f"{len(left.keys)} keys of the batch were not read")
                if not items:
                    await asyncio.sleep(pause_s or 0)
                items, left = await self._session.run(table_calls.batch_get(left))
                found += items
        return found

    async def query(
        self,
        key_condition: str,
        *,
        values: Item | None = None,
        names: Names = None,
        index: str | None = None,
        filter: str | None = None,  # noqa: A002
        projection: str | None = None,
        limit: int = 0,
        start_key: Item | None = None,
        descending: bool = False,
        consistent: bool = False,
    ) -> AsyncIterator[dict[str, Any]]:
        """Items of one partition key in the order of their sort keys, page by page.

        `limit`: items read for one page, not in all.
        """
        reading = Reading(
            index, filter, projection, names, values, limit, start_key, consistent=consistent
        )
        while True:
            page = await self.query_page(key_condition, reading, descending=descending)
            for one in page.items:
                yield one
            if page.last_key is None:
                return
            reading = reading.after(page.last_key)

    async def query_page(
        self, key_condition: str, reading: Reading, *, descending: bool = False
    ) -> types.ItemPage:
        """One page."""
        return await self._session.run(
            table_calls.query(self.name, key_condition, reading, descending=descending)
        )

    async def scan(
        self,
        *,
        filter: str | None = None,  # noqa: A002
        values: Item | None = None,
        names: Names = None,
        index: str | None = None,
        projection: str | None = None,
        limit: int = 0,
        start_key: Item | None = None,
        consistent: bool = False,
        segment: tuple[int, int] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """All items, page by page. `segment`: (number, total) of a parallel scan."""
        reading = Reading(
            index, filter, projection, names, values, limit, start_key, consistent=consistent
        )
        while True:
            page = await self.scan_page(reading, segment)
            for one in page.items:
                yield one
            if page.last_key is None:
                return
            reading = reading.after(page.last_key)

    async def scan_page(
        self, reading: Reading, segment: tuple[int, int] | None = None
    ) -> types.ItemPage:
        """One page."""
        return await self._session.run(table_calls.scan(self.name, reading, segment))

    async def changes(
        self,
        *,
        start: Start = "latest",
        position: str | None = None,
        wait_s: float | None = None,
    ) -> AsyncChangeReader:
        """Follow what is changed, as the table's stream shows it: iterate over what this returns.

        From `start` ("oldest" that is kept, a day, "latest", or a time) of its latest stream, or
        from the `position` of an earlier reader. It ends with the stream, or when nothing has come
        for `wait_s`; None: it waits. Raises StreamNotFound where the table has none.
        """
        return await open_changes(self._session, self.name, start, position, wait_s)

    # --- the table itself ------------------------------------------------------------------------

    async def describe(self) -> types.TableInfo:
        """Raises TableNotFound."""
        return await self._session.run(definition_calls.describe_table(self.name))

    async def update_table(
        self,
        *,
        throughput: Units | None = None,
        add_index: types.Index | None = None,
        remove_index: str | None = None,
        index_throughput: Mapping[str, Units] | None = None,
        stream: str | Unchanged | None = UNCHANGED,
        deletion_protection: bool | None = None,
        timeout_s: float | None = None,
    ) -> types.TableInfo:
        """Change what is given, and nothing else.

        `throughput` (read, write) units, or ON_DEMAND; `index_throughput` the same of global
        indexes by name: those of a table that was on demand get its own where it says none. One
        index at a time is added or removed, while the table is used: `wait_active` waits for it.
        `stream` KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES begins one, None ends it.
        Raises InvalidRequest, TableNotFound (an index, too), TableInUse, LimitExceeded;
        OutcomeUnknown, then `describe` tells.
        """
        call = definition_calls.update_table(
            self.name,
            throughput=throughput,
            add_index=add_index,
            remove_index=remove_index,
            index_throughput=index_throughput,
            stream=stream,
            deletion_protection=deletion_protection,
        )
        return await self._session.run(call, timeout_s)

    async def time_to_live(self) -> types.TimeToLive:
        """By which attribute items expire, and whether that is in force."""
        return await self._session.run(definition_calls.describe_time_to_live(self.name))

    async def update_time_to_live(self, attribute: str | None) -> types.TimeToLive:
        """Let items expire at the time in `attribute` (epoch seconds, a number); None: no more.

        Raises InvalidRequest where that is so already, or another attribute is in force.
        """
        return await self._session.run(definition_calls.update_time_to_live(self.name, attribute))

    async def tags(self) -> dict[str, str]:
        """Raises TableNotFound."""
        return await self._session.run(definition_calls.list_tags(self.name))

    async def tag(self, tags: Mapping[str, str]) -> None:
        """Add tags, or replace their values; a table has at most 50."""
        await self._session.run(definition_calls.tag_table(self.name, tags))

    async def untag(self, keys: Iterable[str]) -> None:
        """Take tags away; those that are not there are no error."""
        await self._session.run(definition_calls.untag_table(self.name, keys))

    async def wait_active(self, timeout_s: float | None = None) -> types.TableInfo:
        """Until the table and its indexes are ACTIVE. Raises DeadlineExceeded."""
        until_s = time.monotonic() + (timeout_s or ACTIVE_S_MAX)
        while True:
            info = await self.describe()
            states = {info.status, *(index.status for index in info.global_indexes)}
            if states == {"ACTIVE"}:
                return info
            if time.monotonic() >= until_s:
                raise DeadlineExceeded(f"the table {self.name} is not ACTIVE yet: {states}")
            await asyncio.sleep(POLL_S)
