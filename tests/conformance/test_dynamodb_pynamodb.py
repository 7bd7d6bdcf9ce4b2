"""PynamoDB, unmodified: the everyday life of a model with indexes, versions and transactions."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .cluster import Cluster

pynamodb = pytest.importorskip("pynamodb", reason="pip install pynamodb")

from pynamodb.attributes import (  # noqa: E402
    BooleanAttribute,
    JSONAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    NumberSetAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    UTCDateTimeAttribute,
    VersionAttribute,
)
from pynamodb.connection import Connection  # noqa: E402
from pynamodb.exceptions import (  # noqa: E402
    DoesNotExist,
    PutError,
    TableError,
    TransactWriteError,
    UpdateError,
)
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex, LocalSecondaryIndex  # noqa: E402
from pynamodb.models import Model  # noqa: E402
from pynamodb.transactions import TransactGet, TransactWrite  # noqa: E402


@pytest.fixture(scope="module")
def models(cluster: Cluster) -> Iterator[Any]:
    """The models, on tables of their own that are deleted at the end."""
    made = make_models(
        f"http://127.0.0.1:{cluster.ports['dynamodb']}",
        cluster.credentials.access_key,
        cluster.credentials.secret_key,
        cluster.credentials.region,
    )
    for model in made.values():
        model.create_table(billing_mode="PAY_PER_REQUEST", wait=True)
    yield made
    for model in made.values():
        model.delete_table()


def make_models(endpoint: str, access_key: str, secret_key: str, region_name: str) -> Any:
    suffix = secrets.token_hex(4)

    class Connected:
        host = endpoint
        region = region_name
        aws_access_key_id = access_key
        aws_secret_access_key = secret_key

    class ByScore(LocalSecondaryIndex[Any]):
        class Meta:
            index_name = "by_score"
            projection = AllProjection()

        forum = UnicodeAttribute(hash_key=True)
        score = NumberAttribute(range_key=True)

    class ByAuthor(GlobalSecondaryIndex[Any]):
        class Meta:
            index_name = "by_author"
            projection = AllProjection()

        author = UnicodeAttribute(hash_key=True)
        posted = UTCDateTimeAttribute(range_key=True)

    class Place(MapAttribute[Any, Any]):
        city = UnicodeAttribute()
        floor = NumberAttribute(null=True)

    class Thread(Model):
        class Meta(Connected):
            table_name = f"threads-{suffix}"

        forum = UnicodeAttribute(hash_key=True)
        subject = UnicodeAttribute(range_key=True)
        author = UnicodeAttribute(null=True)
        posted = UTCDateTimeAttribute(null=True)
        score = NumberAttribute(default=0)
        views = NumberAttribute(default=0)
        open = BooleanAttribute(default=True)
        tags = UnicodeSetAttribute(null=True)
        ratings = NumberSetAttribute(null=True)
        place = Place(null=True)
        replies = ListAttribute(null=True)
        extra = JSONAttribute(null=True)
        by_score = ByScore()
        by_author = ByAuthor()

    class Account(Model):
        class Meta(Connected):
            table_name = f"accounts-{suffix}"

        name = UnicodeAttribute(hash_key=True)
        balance = NumberAttribute(default=0)
        version = VersionAttribute()

    class Session(Model):
        class Meta(Connected):
            table_name = f"sessions-{suffix}"

        token = UnicodeAttribute(hash_key=True)
        ends = TTLAttribute(default=timedelta(hours=1))

    return {"Thread": Thread, "Account": Account, "Session": Session}


def test_a_model_comes_back_with_every_attribute(models: Any) -> None:
    thread = models["Thread"](
        "python",
        "hello",
        author="ada",
        posted=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        tags={"a", "b"},
        ratings={1, 2.5},
        place={"city": "Oslo", "floor": 3},
        replies=["one", 2, None, True, ["nested"]],
        extra={"deep": {"er": [1, 2]}},
    )
    thread.save()
    found = models["Thread"].get("python", "hello", consistent_read=True)
    assert found.attribute_values.keys() == thread.attribute_values.keys()
    assert (found.tags, found.ratings, found.posted) == (thread.tags, thread.ratings, thread.posted)
    assert (found.place.city, found.place.floor) == ("Oslo", 3)
    assert found.replies == ["one", 2, None, True, ["nested"]]
    assert found.extra == {"deep": {"er": [1, 2]}}
    found.refresh()
    found.delete()
    with pytest.raises(DoesNotExist):
        models["Thread"].get("python", "hello", consistent_read=True)


def test_updates_and_conditions(models: Any) -> None:
    thread_model = models["Thread"]
    thread = thread_model("python", "updates")
    thread.save(condition=thread_model.forum.does_not_exist())
    with pytest.raises(PutError) as refused:
        thread_model("python", "updates").save(condition=thread_model.forum.does_not_exist())
    assert refused.value.cause_response_code == "ConditionalCheckFailedException"
    thread.update(
        actions=[
            thread_model.views.add(2),
            thread_model.tags.set({"x"}),
            thread_model.replies.set(["first"]),
            thread_model.place.set({"city": "Rome"}),
        ],
        condition=thread_model.open == True,  # noqa: E712 - an expression
    )
    thread.update(
        actions=[
            thread_model.views.set(thread_model.views + 1),
            thread_model.replies.set(thread_model.replies.append(["second"])),
            thread_model.place.city.set("Bern"),
            thread_model.author.remove(),
        ]
    )
    assert (thread.views, thread.replies, thread.place.city) == (3, ["first", "second"], "Bern")
    with pytest.raises(UpdateError):
        thread.update(actions=[thread_model.views.set(0)], condition=thread_model.views > 5)


def test_queries_scans_and_batches(models: Any) -> None:
    thread_model = models["Thread"]
    with thread_model.batch_write() as batch:
        for number in range(60):
            batch.save(
                thread_model(
                    "batch",
                    f"s{number:03}",
                    score=number % 10,
                    author=f"a{number % 3}",
                    posted=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
                )
            )
    subjects = [t.subject for t in thread_model.query("batch", consistent_read=True)]
    assert subjects == [f"s{number:03}" for number in range(60)]
    some = thread_model.query(
        "batch", thread_model.subject.between("s010", "s019"), scan_index_forward=False, limit=3
    )
    assert [t.subject for t in some] == ["s019", "s018", "s017"]
    first = thread_model.subject.startswith("s00")
    assert thread_model.count("batch", first) == 10
    assert thread_model.count("batch", filter_condition=thread_model.score >= 8) == 12
    ranked = list(thread_model.by_score.query("batch", thread_model.score == 9))
    assert {t.subject for t in ranked} == {f"s{number:03}" for number in range(9, 60, 10)}
    keys = [("batch", f"s{number:03}") for number in range(0, 60, 2)]
    found = {t.subject for t in thread_model.batch_get(keys, consistent_read=True)}
    assert found == {subject for _, subject in keys}
    pages = list(thread_model.scan(thread_model.forum == "batch", page_size=7))
    assert len(pages) == 60
    with thread_model.batch_write() as batch:
        for thread in pages:
            batch.delete(thread)
    assert thread_model.count("batch") == 0


def test_a_global_index_follows_its_table(models: Any) -> None:
    thread_model = models["Thread"]
    start = datetime(2026, 2, 1, tzinfo=UTC)
    for number in range(8):
        thread_model(
            "global", f"s{number}", author="grace", posted=start + timedelta(days=number)
        ).save()

    def subjects() -> list[str]:
        return [
            t.subject for t in thread_model.by_author.query("grace", thread_model.posted > start)
        ]

    eventually(lambda: subjects() == [f"s{number}" for number in range(1, 8)])
    thread_model.get("global", "s3").delete()
    eventually(lambda: "s3" not in subjects())
    moved = thread_model.get("global", "s4")
    moved.update(actions=[thread_model.author.set("edsger")])
    eventually(lambda: "s4" not in subjects())
    assert [t.subject for t in thread_model.by_author.query("edsger")] == ["s4"]


def test_versions_and_transactions(models: Any, cluster: Cluster) -> None:
    account_model = models["Account"]
    for name in ("ann", "bob"):
        account_model(name, balance=100).save()
    ann, bob = account_model.get("ann"), account_model.get("bob")
    stale = account_model.get("ann")
    connection = Connection(region=cluster.credentials.region, host=account_model.Meta.host)
    connection.session.set_credentials(
        cluster.credentials.access_key, cluster.credentials.secret_key
    )
    with TransactWrite(connection=connection) as transaction:
        transaction.update(
            ann,
            actions=[account_model.balance.add(-30)],
            condition=account_model.balance >= 30,
        )
        transaction.update(bob, actions=[account_model.balance.add(30)])
    with TransactGet(connection=connection) as transaction:
        one = transaction.get(account_model, "ann")
        other = transaction.get(account_model, "bob")
    assert (one.get().balance, other.get().balance) == (70, 130)
    stale.balance = 1_000_000
    with pytest.raises(PutError):
        stale.save()
    with pytest.raises(TransactWriteError) as cancelled:
        transfer_too_much(account_model, connection)
    reasons = cancelled.value.cancellation_reasons
    assert [reason and reason.code for reason in reasons] == ["ConditionalCheckFailed", None]
    assert account_model.get("bob").balance == 130


def transfer_too_much(account_model: Any, connection: Connection) -> None:
    with TransactWrite(connection=connection) as transaction:
        transaction.update(
            account_model.get("ann"),
            actions=[account_model.balance.add(-500)],
            condition=account_model.balance >= 500,
        )
        transaction.update(account_model.get("bob"), actions=[account_model.balance.add(500)])


def test_a_model_with_a_ttl_turns_it_on_once(models: Any) -> None:
    """Creating its table did; AWS refuses to do it twice."""
    session_model = models["Session"]
    with pytest.raises(TableError, match="TimeToLive is already enabled"):
        session_model.update_ttl(ignore_update_ttl_errors=False)
    session_model("t1").save()
    assert session_model.get("t1").ends > datetime.now(tz=UTC)


def eventually(holds: Any, deadline_s: float = 15.0) -> None:
    """A global index is read a moment behind its table."""
    import time

    deadline = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
