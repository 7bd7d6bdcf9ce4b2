"""The same bytes stored twice take the space of one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .cluster import Cluster, chunk_bytes_on_disk
from .conftest import Server
from .metrics import read_metrics, total
from .trees import MIB, random_bytes

INLINE_BYTES = 16 * 1024  # bodies up to this travel in the metadata; only larger ones are chunks
SLACK_BYTES = 2 * MIB  # headers and block rounding of the extents


def large_files(root: Path) -> list[Path]:
    """The files that become chunks."""
    return sorted(
        path for path in root.rglob("*") if path.is_file() and path.stat().st_size > INLINE_BYTES
    )


def upload(server: Server, bucket: str, root: Path, prefix: str) -> int:
    """Puts every large file under `prefix`; the bytes put."""
    s3 = server.client()

    def put(path: Path) -> int:
        body = path.read_bytes()
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{path.relative_to(root)}", Body=body)
        return len(body)

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(put, large_files(root)))


def test_a_tree_written_twice_takes_the_space_of_one(
    cluster: Cluster, server: Server, bucket: str, python_tree: Path
) -> None:
    disk, stored, seen = [], [], []

    def measure() -> None:
        disk.append(chunk_bytes_on_disk(cluster.data_dir))
        metrics = read_metrics(cluster)
        stored.append(total(metrics, "bytes_stored"))
        seen.append(total(metrics, "bytes_deduplicated"))

    measure()
    size = upload(server, bucket, python_tree, "first")
    measure()
    assert upload(server, bucket, python_tree, "second") == size
    measure()
    assert stored[2] - stored[1] <= SLACK_BYTES, (size, stored)
    assert disk[2] - disk[1] <= SLACK_BYTES, (size, disk)
    assert seen[2] - seen[1] >= size * 0.9, (size, seen)
    s3 = server.client()
    sample = large_files(python_tree)[::25]
    for path in sample:
        key = f"second/{path.relative_to(python_tree)}"
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == path.read_bytes()


def test_shifted_bytes_still_share_most_of_their_space(
    cluster: Cluster, s3: Any, bucket: str
) -> None:
    """Chunks are cut by content: a byte put in front moves no other cut."""
    body = random_bytes(64 * MIB, seed=64)
    s3.put_object(Bucket=bucket, Key="first", Body=body)
    before = total(read_metrics(cluster), "bytes_stored")
    s3.put_object(Bucket=bucket, Key="shifted", Body=b"x" + body)
    grown = total(read_metrics(cluster), "bytes_stored") - before
    assert grown <= 3 * 16 * MIB  # in three zones, a quarter of the whole at the most
    assert s3.get_object(Bucket=bucket, Key="shifted")["Body"].read() == b"x" + body


def test_deleting_one_of_two_equal_objects_keeps_the_other(
    s3: Any, make_bucket: Callable[[], str]
) -> None:
    one, two = make_bucket(), make_bucket()
    body = random_bytes(5 * MIB, seed=5)
    s3.put_object(Bucket=one, Key="o", Body=body)
    s3.put_object(Bucket=two, Key="o", Body=body)
    s3.delete_object(Bucket=one, Key="o")
    assert s3.get_object(Bucket=two, Key="o")["Body"].read() == body
