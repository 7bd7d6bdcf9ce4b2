"""Listings against a brute-force oracle, over several partitions and page sizes."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trilith.objects.commands import CreateUpload, ListObjects, PutObject
from trilith.objects.keys import stem_of
from trilith.objects.types import ListPage

from .local_partitions import LocalPartitions
from .service_cluster import PLAIN, ServiceCluster

BUCKET_ID = b"\x00\xff" * 8
CHARACTERS = "/ab\x00\x01ÿ￿𝄞é\xff~"
names = st.text(CHARACTERS, min_size=1, max_size=6)
prefixes = st.text(CHARACTERS, max_size=3)
delimiters = st.sampled_from(["", "/", "a", "//", "ab", "\x00", "é"])


def expected_listing(
    keys: set[str], prefix: str, delimiter: str, after: str
) -> list[tuple[str, bool]]:
    """(name, is a common prefix) in order: what S3 documents, without regard to cost."""
    after_bytes = after.encode()
    found: dict[str, bool] = {}
    after_is_prefix = (
        bool(delimiter)
        and after.startswith(prefix)
        and after.endswith(delimiter)
        and after.find(delimiter, len(prefix)) == len(after) - len(delimiter)
    )
    for key in keys:
        if not key.startswith(prefix) or (after and key.encode() <= after_bytes):
            continue
        if after_is_prefix and key.startswith(after):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            found[key] = False
        else:
            found[key[: cut + len(delimiter)]] = True
    return sorted(found.items(), key=lambda item: item[0].encode())


def put_key(partitions: LocalPartitions, bucket_id: bytes, key: str) -> None:
    stem = stem_of(bucket_id, key)
    partitions.run(2, stem, PutObject(stem, len(key), "e" * 32, PLAIN, b"sealed"))


def merged(page: ListPage) -> list[tuple[str, bool]]:
    items = [(entry.key, False) for entry in page.entries]
    items += [(prefix, True) for prefix in page.common_prefixes]
    assert [e.key for e in page.entries] == sorted(
        (e.key for e in page.entries), key=lambda key: key.encode()
    )
    return sorted(items, key=lambda item: item[0].encode())


async def list_all(
    cluster: ServiceCluster, prefix: str, delimiter: str, after: str, limit: int
) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    while True:
        page = await cluster.service.list_objects(
            "b", prefix=prefix, delimiter=delimiter, after=after, limit=limit
        )
        items = merged(page)
        assert len(items) <= limit
        found += items
        if page.next_after is None:
            return found
        assert items
        assert page.next_after == items[-1][0]
        after = page.next_after


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=st.sets(names, max_size=25),
    cut_keys=st.sets(names, max_size=3),
    prefix=prefixes,
    delimiter=delimiters,
    after=st.one_of(st.just(""), names),
    limit=st.integers(1, 7),
)
@example({"a", "a\x00", "a\x01", "ab"}, {"a\x00"}, "a", "", "a", 1)
@example({"a/1", "a/2", "b"}, {"a/2"}, "", "/", "", 1)
@example({"a/1", "a/2", "b"}, {"a/2"}, "", "/", "a/", 1)
@example({"a/1", "a/2", "b"}, set(), "", "/", "a/1", 5)
def test_listings_agree_with_the_oracle(
    keys: set[str], cut_keys: set[str], prefix: str, delimiter: str, after: str, limit: int
) -> None:
    async def scenario() -> None:
        cluster = ServiceCluster()
        bucket = await cluster.service.create_bucket("b", owner="o", region="r")
        for cut in cut_keys:
            cluster.partitions.split(stem_of(bucket.bucket_id, cut), [])
        for key in keys:
            put_key(cluster.partitions, bucket.bucket_id, key)
        # Neighbours that must never show: other buckets just below and above.
        number = int.from_bytes(bucket.bucket_id, "big")
        for other in (number - 1, number + 1):
            put_key(cluster.partitions, other.to_bytes(16, "big"), "a")
        expected = expected_listing(keys, prefix, delimiter, after)
        assert await list_all(cluster, prefix, delimiter, after, limit) == expected

    asyncio.run(scenario())


def test_a_listing_never_reads_under_a_common_prefix() -> None:
    partitions = LocalPartitions()
    for directory in range(5):
        for file in range(300):
            put_key(partitions, BUCKET_ID, f"d{directory}/{file:03}")
    query = ListObjects(BUCKET_ID, BUCKET_ID, "", "/", "", 1000)
    found, view = partitions.ask_with_view(2, BUCKET_ID, query)
    assert found.page.common_prefixes == [f"d{directory}/" for directory in range(5)]
    assert view.scanned < 100


def test_a_page_reads_little_more_than_it_answers() -> None:
    partitions = LocalPartitions()
    for number in range(500):
        put_key(partitions, BUCKET_ID, f"{number:03}")
    query = ListObjects(BUCKET_ID, BUCKET_ID, "", "", "099", 50)
    found, view = partitions.ask_with_view(2, BUCKET_ID, query)
    assert [entry.key for entry in found.page.entries] == [f"{n:03}" for n in range(100, 150)]
    assert found.page.next_after == "149"
    assert view.scanned <= 52


def test_a_limit_of_nothing_is_an_empty_last_page() -> None:
    async def scenario() -> None:
        cluster = ServiceCluster()
        await cluster.service.create_bucket("b", owner="o", region="r")
        await cluster.put("b", "k", b"x")
        assert await cluster.service.list_objects("b", limit=0) == ListPage([], [], None)

    asyncio.run(scenario())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=st.lists(names, max_size=15),
    cut_keys=st.sets(names, max_size=2),
    prefix=prefixes,
    delimiter=delimiters,
    limit=st.integers(1, 5),
)
def test_upload_listings_page_by_key_then_by_initiation(
    keys: list[str], cut_keys: set[str], prefix: str, delimiter: str, limit: int
) -> None:
    async def scenario() -> None:
        cluster = ServiceCluster()
        bucket = await cluster.service.create_bucket("b", owner="o", region="r")
        for cut in cut_keys:
            cluster.partitions.split(stem_of(bucket.bucket_id, cut), [])
        uploads = []
        for key in keys:
            stem = stem_of(bucket.bucket_id, key)
            stored = cluster.partitions.run(2, stem, CreateUpload(stem, PLAIN, b""))
            uploads.append((key, stored.version_id.hex()))
        listed = dict(expected_listing(set(keys), prefix, delimiter, ""))
        expected = [
            upload
            for upload in sorted(uploads, key=lambda item: (item[0].encode(), item[1]))
            if upload[0] in listed and not listed[upload[0]]
        ]
        expected_prefixes = [name for name, is_prefix in listed.items() if is_prefix]
        found: list[tuple[str, str]] = []
        found_prefixes: list[str] = []
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            page = await cluster.service.list_uploads(
                "b",
                prefix=prefix,
                delimiter=delimiter,
                after_key=after[0],
                after_upload_id=after[1],
                limit=limit,
            )
            assert len(page.uploads) + len(page.common_prefixes) <= limit
            found += [(upload.key, upload.upload_id) for upload in page.uploads]
            found_prefixes += page.common_prefixes
            after = page.next_after
        assert found == expected
        assert found_prefixes == expected_prefixes

    asyncio.run(scenario())
