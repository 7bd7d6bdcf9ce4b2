"""Requests that their caller sends again under one token: applied once, nothing left over."""

from __future__ import annotations

import asyncio

import pytest

from trilith.errors import OutcomeUnknown, PreconditionFailed
from trilith.objects.commands import DeleteObject, PutObject
from trilith.objects.types import ObjectInfo, WriteConditions

from .service_cluster import PLAIN, GivenBody, ServiceCluster
from .test_service_chunked import collect_everything, nothing_left

ABSENT = WriteConditions(if_none_match_any=True)
SEGMENTS_AHEAD = 1100  # chunks of more than one segment


async def _with_bucket(**options: int) -> ServiceCluster:
    cluster = ServiceCluster(**options)  # type: ignore[arg-type]
    await cluster.service.create_bucket("b", owner="alice", region="us-east-1")
    return cluster


async def _put(cluster: ServiceCluster, data: bytes, token: bytes) -> ObjectInfo:
    return await cluster.service.put_object(
        "b", "k", GivenBody(data), PLAIN, conditions=ABSENT, token=lambda: token
    )


@pytest.mark.parametrize("size", [10, 50, SEGMENTS_AHEAD])
def test_a_put_whose_answer_was_lost_is_answered_when_it_is_sent_again(size: int) -> None:
    async def scenario() -> None:
        cluster = await _with_bucket(inline=20, chunk_size=1)
        data, token = bytes(index % 251 for index in range(size)), cluster.partitions.new_token()
        cluster.partitions.lose_answers_to = PutObject
        with pytest.raises(OutcomeUnknown):
            await _put(cluster, data, token)
        again = await _put(cluster, data, token)
        assert again == await cluster.service.head_object("b", "k")
        assert await cluster.get("b", "k") == data
        puts = [one for one in cluster.partitions.executed if isinstance(one, PutObject)]
        assert len(puts) == 1
        with pytest.raises(PreconditionFailed):
            await _put(cluster, data, cluster.partitions.new_token())
        await cluster.service.delete_object("b", "k")
        await collect_everything(cluster)
        assert nothing_left(cluster)

    asyncio.run(scenario())


def test_what_a_second_attempt_stored_is_let_go_and_the_first_stays_readable() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket(inline=20, chunk_size=1)
        data, token = bytes(index % 251 for index in range(2300)), cluster.partitions.new_token()
        first = await _put(cluster, data, token)
        assert (await _put(cluster, data, token)).version_id == first.version_id
        lost = await collect_everything(cluster)
        assert lost  # of the second attempt's manifest alone
        assert await cluster.get("b", "k") == data

    asyncio.run(scenario())


def test_a_token_is_of_one_kind_of_request_on_one_key() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket()
        token = cluster.partitions.new_token()
        await _put(cluster, b"x", token)
        other = await cluster.service.put_object(
            "b", "other", GivenBody(b"y"), PLAIN, token=lambda: token
        )
        assert other.key == "other"
        assert await cluster.get("b", "other") == b"y"
        assert await cluster.service.delete_object("b", "k", token=token)
        assert await cluster.service.delete_object("b", "k", token=token)  # the first's answer
        deletions = [one for one in cluster.partitions.executed if isinstance(one, DeleteObject)]
        assert len(deletions) == 1

    asyncio.run(scenario())


def test_a_copy_sent_again_is_applied_once() -> None:
    async def scenario() -> None:
        cluster = await _with_bucket(inline=20, chunk_size=1)
        for size in (10, SEGMENTS_AHEAD):
            data, token = bytes(index % 7 for index in range(size)), cluster.partitions.new_token()
            await cluster.put("b", "source", data)
            source = await cluster.service.open_object("b", "source")
            key = f"copy-{size}"
            copies = [
                await cluster.service.copy_object(
                    source, "b", key, PLAIN, conditions=ABSENT, token=token
                )
                for _ in range(2)
            ]
            assert copies[0].version_id == copies[1].version_id
            assert await cluster.get("b", key) == data

    asyncio.run(scenario())
