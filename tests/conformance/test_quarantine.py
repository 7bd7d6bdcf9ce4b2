"""What cannot be healed is listed, with what needs it, and leaves the list when it is healed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .cluster import ZONES, Cluster, run_trilith
from .conftest import Server
from .processes import wait_until

KIB = 1 << 10
DEADLINE_S = 60.0
SMALL_SETTINGS = {
    "TRILITH_CHUNKS__GC_GRACE_SECONDS": "4",
    "TRILITH_CHUNKS__GC_INTERVAL_SECONDS": "1",
}


@pytest.fixture(scope="module")
def own_cluster(start_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    cluster = start_cluster(environment=SMALL_SETTINGS)
    yield cluster
    cluster.remove()


def extents(cluster: Cluster, zone: str) -> list[Path]:
    return sorted((cluster.data_dir / zone / "chunks" / "extents").iterdir())


def flip_everywhere(cluster: Cluster, sealed: bytes) -> None:
    """One bit in every zone's copy of some sealed bytes: they are the same everywhere."""
    for zone in ZONES:
        flipped = 0
        for extent in extents(cluster, zone):
            place = extent.read_bytes().find(sealed)
            if place >= 0:
                with extent.open("r+b") as file:
                    file.seek(place)
                    file.write(bytes([sealed[0] ^ 4]))
                flipped += 1
        assert flipped == 1


def quarantine(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.status()["quarantine"]
    return found


def lose_an_object(cluster: Cluster, s3: Any, key: str) -> bytes:
    """Store one chunk, damage all its copies, and have the damage noticed."""
    body = os.urandom(200 * KIB)
    before = len(extents(cluster, "az1")[-1].read_bytes().rstrip(b"\0"))
    s3.put_object(Bucket="lost", Key=key, Body=body)
    newest = extents(cluster, "az1")[-1].read_bytes()
    # A newer extent may have been begun meanwhile.
    place = (before if before + 200 * KIB < len(newest.rstrip(b"\0")) else 0) + 100 * KIB
    flip_everywhere(cluster, newest[place : place + 64])

    def noticed() -> bool:
        with pytest.raises(ClientError, match="InternalError"):
            s3.get_object(Bucket="lost", Key=key)["Body"].read()
        listed = quarantine(cluster)
        return len(listed) == len(ZONES) and all(f"lost/{key}" in e["objects"] for e in listed)

    wait_until(noticed, deadline_s=DEADLINE_S, what="every zone lists the chunk")
    return body


def test_a_chunk_lost_in_all_zones_is_listed_until_its_bytes_are_uploaded_again(
    own_cluster: Cluster,
) -> None:
    s3 = Server(own_cluster.endpoint, own_cluster.credentials).client()
    s3.create_bucket(Bucket="lost")
    s3.put_object(Bucket="lost", Key="good", Body=os.urandom(200 * KIB))
    body = lose_an_object(own_cluster, s3, "healed")
    shown = run_trilith("status", "--data", str(own_cluster.data_dir))
    assert "no zone has a good copy; needed by lost/healed" in shown
    _, verbose = own_cluster.http_get("/readyz?verbose")
    assert "[-]quarantine 1 chunks damaged" in verbose
    assert verbose.endswith("\nready\n")  # everything else is served
    own_cluster.stop()
    own_cluster.start()
    assert {e["node"][:3] for e in quarantine(own_cluster)} == set(ZONES), "it outlives restarts"

    # The same content, under another name: it must not be taken for stored because the damaged
    # copies are.
    def uploaded() -> bool:
        s3.put_object(Bucket="lost", Key="again", Body=body)
        return not quarantine(own_cluster)

    wait_until(uploaded, deadline_s=DEADLINE_S, what="the list is empty")
    assert s3.get_object(Bucket="lost", Key="healed")["Body"].read() == body
    assert s3.get_object(Bucket="lost", Key="again")["Body"].read() == body


def test_a_lost_chunk_leaves_the_list_when_its_object_is_deleted(own_cluster: Cluster) -> None:
    s3 = Server(own_cluster.endpoint, own_cluster.credentials).client()
    lose_an_object(own_cluster, s3, "deleted")
    s3.delete_object(Bucket="lost", Key="deleted")
    wait_until(
        lambda: not quarantine(own_cluster),
        deadline_s=DEADLINE_S,
        what="garbage collection has removed the chunk",
    )
