"""Items that cannot be read are listed by table and key, until they can be, or are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tables.local_tables import LocalTables, item, record

from trilith.cli.progress_report import health_lines
from trilith.errors import Corruption
from trilith.node.damaged_items import ITEM_PREFIX, DamagedItems
from trilith.node.quarantine import Damage, Quarantine
from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.system_disk import SystemDisk
from trilith.runtime.tcp_network import TcpNetwork
from trilith.runtime.workers import ThreadWorkers
from trilith.tables import layout
from trilith.tables.catalog import Table
from trilith.tables.service import Wanted, item_key
from trilith.tables.sizes import item_size

ANN = item("ann", 7, note={"S": "n"})
KEY = {"pk": ANN["pk"], "sk": ANN["sk"]}


class Scene:
    """A table of one item, and what a node keeps of damage."""

    def __init__(self, path: Path) -> None:
        runtime = Runtime(
            SystemClock(), SystemDisk(str(path)), TcpNetwork(), ThreadWorkers(1), SystemEntropy()
        )
        self.tables = LocalTables()
        self.quarantine = Quarantine(runtime, _quiet)
        self.damaged = DamagedItems(self.quarantine, self.tables.service, 30.0, _quiet)
        self.tables.keys.on_damaged = self.damaged.found
        self.table = Table(record())
        self.key = item_key(self.table, KEY)

    async def begin(self) -> None:
        await self.tables.catalog.create(self.table.record)
        await self.put()

    async def put(self) -> None:
        await self.tables.service.put_item(self.table, ANN, item_size(ANN), Wanted())

    def flip(self) -> None:
        """One bit of the stored record."""
        space = self.tables._keyspaces[3]
        for state in (space.committed, space.ahead):
            stored = state.values[layout.ITEM, self.key]
            state.put(layout.ITEM, self.key, stored[:-1] + bytes([stored[-1] ^ 1]))

    async def read(self) -> Any:
        return (await self.tables.service.get_item(self.table, KEY, consistent=True)).item

    def listed(self) -> list[tuple[str, ...]]:
        return [entry.objects for entry in self.quarantine.entries(Damage.ITEM)]


def _quiet(event: str, **facts: Any) -> None:
    """No log."""


def play(path: Path, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene(path)
        await scene.begin()
        await story(scene)

    asyncio.run(run())


def test_an_item_that_does_not_authenticate_is_listed_until_it_is_written_again(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        scene.flip()
        with pytest.raises(Corruption):
            await scene.read()
        for _ in range(2):  # a look that finds it still damaged leaves it there
            await scene.damaged.look()
            assert scene.listed() == [("people {pk: ann, sk: 7}",)]
        (entry,) = scene.quarantine.facts()["entries"]
        said = health_lines({"quarantine": [{"node": "n1", **entry}]})
        assert any("Quarantine: item people {pk: ann, sk: 7} on n1" in line for line in said)
        await scene.put()
        await scene.damaged.look()
        assert scene.listed() == []
        assert await scene.read() == ANN

    play(tmp_path, story)


def test_an_item_that_is_listed_goes_with_its_table(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.flip()
        with pytest.raises(Corruption):
            await scene.read()
        await scene.damaged.look()
        await scene.tables.catalog.remove(scene.table.record)
        await scene.damaged.look()
        assert scene.listed() == []

    play(tmp_path, story)


def test_a_record_of_the_store_that_cannot_be_read_is_named_if_it_is_an_items(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        scene.flip()
        scene.damaged.found_in_store(ITEM_PREFIX + scene.key, "a bad block")
        scene.damaged.found_in_store(b"\x02\x01" + scene.key, "a bad block")
        await scene.damaged.look()
        assert scene.listed() == [("people {pk: ann, sk: 7}",)]

    play(tmp_path, story)
