"""The coordinator dies before or after each of its commands: all or nothing, finished by others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.transactions.bank import (
    ACCOUNTS,
    START,
    Bank,
    Died,
    Mortal,
    adding,
    key,
    names_in_distinct_partitions,
    transfer,
)

from trilith.dynamodb.expressions.request import RequestExpressions
from trilith.errors import DeadlineExceeded
from trilith.tables.expressions.conditions import Condition
from trilith.tables.service import Wanted
from trilith.transactions import commands as c
from trilith.transactions.coordinator import Action, ClientToken
from trilith.transactions.records import LEDGER_RECORD, Decision

THREE = names_in_distinct_partitions(3)
TOKEN = ClientToken(b"token", b"payload of it....")
STEPS = range(1, 10)

Finish = Callable[[Bank], Any]


async def by_the_sweeper(bank: Bank) -> None:
    bank.pass_time()
    await bank.sweep()
    await bank.sweep()


async def by_readers(bank: Bank) -> None:
    bank.pass_time()
    await bank.balances()


async def by_a_snapshot(bank: Bank) -> None:
    bank.pass_time()
    assert await bank.snapshot() is not None


async def by_writers(bank: Bank) -> None:
    bank.pass_time()
    _, service, _ = bank.gateway()
    for name in bank.names:
        await service.update_item(ACCOUNTS, key(name), adding(0), Wanted())


async def by_another_transaction(bank: Bank) -> None:
    bank.pass_time()
    transactions, _, _ = bank.gateway()
    ended = await transactions.execute(actions_of(bank, 0))
    assert ended.is_committed
    await transactions.settlements.drain()


def actions_of(bank: Bank, amount: int) -> list[Action]:
    first, second, third = bank.names
    return [*transfer(first, second, 2 * amount), transfer(first, third, -amount)[1]]


async def run_until_death(bank: Bank, step: int, client: ClientToken | None, after: bool) -> bool:
    """Whether the coordinator died; else everything is done."""
    await bank.open()
    mortal = Mortal(bank.partitions, step, after=after)
    transactions, _, _ = bank.gateway(mortal)
    try:
        await transactions.execute(actions_of(bank, 10), client)
        await transactions.settlements.drain()
    except Died:
        return True
    finally:
        await transactions.settlements.stop()
    return mortal.is_dead


@pytest.mark.parametrize(
    "finish",
    [by_the_sweeper, by_readers, by_a_snapshot, by_writers, by_another_transaction],
)
@pytest.mark.parametrize("client", [None, TOKEN], ids=["", "token"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_transaction_whose_coordinator_dies_is_all_or_nothing(
    finish: Finish, client: ClientToken | None, after: bool
) -> None:
    async def at(step: int) -> bool:
        bank = Bank(THREE)
        died = await run_until_death(bank, step, client, after)
        await finish(bank)
        balances = await bank.balances()
        nothing, everything = [START] * 3, [START - 20, START + 20, START - 10]
        assert balances in (nothing, everything)
        assert not bank.locks()
        bank.pass_time()
        await bank.sweep()
        assert await bank.balances() == balances
        for raw in bank.ledger().values():
            assert LEDGER_RECORD.decode(raw).decision != Decision.COMMITTED
        return died

    deaths = [asyncio.run(at(step)) for step in STEPS]
    assert any(deaths)
    assert not deaths[-1], "some step was not reached"


def test_readers_see_a_commit_before_its_locks_are_resolved() -> None:
    async def run() -> None:
        bank = Bank(THREE)
        await bank.open()
        transactions, _, _ = bank.gateway()
        assert (await transactions.execute(actions_of(bank, 10))).is_committed
        assert bank.locks(), "nothing is resolved yet"
        assert await bank.balances() == [START - 20, START + 20, START - 10]
        await transactions.settlements.drain()
        assert not bank.locks()
        assert not bank.ledger()
        assert await bank.balances() == [START - 20, START + 20, START - 10]

    asyncio.run(run())


def test_a_slow_coordinator_cannot_commit_what_others_gave_up() -> None:
    async def run() -> None:
        bank = Bank(THREE)
        await bank.open()

        async def gate(command: Any) -> None:
            if type(command) is c.Commit:
                bank.partitions.gate = None
                bank.pass_time()
                assert await bank.balances() == [START] * 3
                assert not bank.locks()

        transactions, _, _ = bank.gateway()
        bank.partitions.gate = gate
        with pytest.raises(DeadlineExceeded, match="gave it up"):
            await transactions.execute(actions_of(bank, 10))
        await transactions.settlements.drain()
        assert await bank.balances() == [START] * 3

    asyncio.run(run())


@pytest.mark.parametrize("lost", [c.Prepare, c.Commit, c.Resolve])
def test_a_lost_answer_leaves_no_doubt(lost: type) -> None:
    async def run() -> None:
        bank = Bank(THREE)
        await bank.open()
        bank.partitions.lose_answers_to = lost
        transactions, _, _ = bank.gateway()
        if lost is c.Prepare:
            expected = [START] * 3
            with pytest.raises(DeadlineExceeded, match="could not be locked"):
                await transactions.execute(actions_of(bank, 10))
        else:
            expected = [START - 20, START + 20, START - 10]
            assert (await transactions.execute(actions_of(bank, 10))).is_committed
        await transactions.settlements.drain()
        bank.pass_time()
        await bank.sweep()
        assert await bank.balances() == expected
        assert not bank.locks()

    asyncio.run(run())


def test_two_that_recover_one_transaction_do_no_harm() -> None:
    async def run() -> None:
        for step in STEPS:
            bank = Bank(THREE)
            await run_until_death(bank, step, None, after=True)
            bank.pass_time()
            await asyncio.gather(
                bank.sweep(), bank.sweep(), bank.balances(), by_writers(bank), bank.balances()
            )
            assert sum(await bank.balances()) in (3 * START, 3 * START - 10)
            assert not bank.locks()

    asyncio.run(run())


def test_a_condition_that_fails_in_the_last_partition_releases_the_others() -> None:
    async def run() -> None:
        bank = Bank(THREE)
        await bank.open()
        transactions, _, _ = bank.gateway()
        for refused in range(3):
            actions = actions_of(bank, 10)
            name = bank.names[refused]
            never = transfer(name, name, 1, _never())[0]
            actions[refused] = never
            ended = await transactions.execute(actions)
            assert not ended.is_committed
            codes = [verdict.code for verdict in ended.verdicts]
            assert codes == ["ConditionalCheckFailed" if at == refused else "" for at in range(3)]
            await transactions.settlements.drain()  # or the next one may meet a lock
        assert not bank.locks()
        assert await bank.balances() == [START] * 3

    asyncio.run(run())


def _never() -> Condition:
    request = {"ConditionExpression": "attribute_not_exists(pk)"}
    condition = RequestExpressions(request).condition()
    assert condition is not None
    return condition


def test_a_client_token_is_applied_once_however_often_it_is_sent() -> None:
    async def run() -> None:
        bank = Bank(THREE)
        await bank.open()
        one, _, _ = bank.gateway()
        two, _, _ = bank.gateway()
        ends = await asyncio.gather(
            *(gateway.execute(actions_of(bank, 10), TOKEN) for gateway in (one, two, one, two))
        )
        assert all(ended.is_committed for ended in ends)
        assert [ended.is_replay for ended in ends].count(False) == 1
        await one.settlements.drain()
        await two.settlements.drain()
        assert await bank.balances() == [START - 20, START + 20, START - 10]
        assert not bank.locks()

    asyncio.run(run())
