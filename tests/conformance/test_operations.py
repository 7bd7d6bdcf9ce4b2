"""Health, metrics, logs, start-up and shutdown as an operator meets them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .cluster import (
    PORT_NAMES,
    ZONES,
    Cluster,
    bytes_on_disk,
    chunk_bytes_on_disk,
    run_trilith,
    trilith_program,
)
from .conftest import Server
from .metrics import named, read_metrics, total
from .processes import is_alive, wait_until
from .trees import MIB, random_bytes
from .wire import Caller

REFUSAL_DEADLINE_S = 30


def test_health_paths_answer(cluster: Cluster) -> None:
    assert cluster.http_get("/livez")[0] == 200
    assert cluster.http_get("/readyz")[0] == 200
    assert cluster.http_get("/absent")[0] == 404


def test_status_shows_three_zones_and_their_nodes(cluster: Cluster) -> None:
    status = cluster.status()
    assert [zone["name"] for zone in status["zones"]] == list(ZONES)
    for zone in status["zones"]:
        (node,) = zone["nodes"]
        assert is_alive(node["pid"])
        assert node["ports"]["s3"] == cluster.ports["s3"]
        assert Path(node["data_dir"]).is_dir()
        assert node["id"]
        assert node["state"]
    text = run_trilith("status", "--data", str(cluster.data_dir))
    assert all(zone in text for zone in ZONES)


def test_start_up_prints_endpoint_and_a_first_command(cluster: Cluster) -> None:
    printed = cluster.log_tail(100_000)
    assert f":{cluster.ports['s3']}" in printed
    assert "aws" in printed
    assert cluster.credentials.secret_key not in printed  # it was given, not generated


def test_requests_are_counted_by_operation_and_code(
    cluster: Cluster, caller: Caller, bucket: str
) -> None:
    def count(operation: str, code: str) -> float:
        return sum(
            sample.value
            for sample in named(read_metrics(cluster), "requests")
            if sample.labels.get("operation") == operation and sample.labels.get("code") == code
        )

    puts, misses = count("PutObject", "200"), count("GetObject", "NoSuchKey")
    for number in range(12):
        caller.call("PUT", f"/{bucket}/{number}", body=b"body")
        caller.call("GET", f"/{bucket}/absent")
    assert count("PutObject", "200") == puts + 12
    assert count("GetObject", "NoSuchKey") == misses + 12


@pytest.mark.parametrize(
    "words",
    [
        ("request", "seconds", "_bucket"),
        ("replication", "lag"),
        ("in_sync",),
        ("journal", "sync", "seconds"),
        ("bytes_stored",),
        ("bytes_deduplicated",),
    ],
)
def test_what_an_operator_watches_is_measured(
    cluster: Cluster, s3: Any, bucket: str, words: tuple[str, ...]
) -> None:
    body = random_bytes(MIB)
    for key in ("one", "two"):
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert named(read_metrics(cluster), *words)


def test_stored_bytes_grow_with_what_is_stored(cluster: Cluster, s3: Any, bucket: str) -> None:
    before = total(read_metrics(cluster), "bytes_stored")
    s3.put_object(Bucket=bucket, Key="o", Body=os.urandom(4 * MIB))
    assert total(read_metrics(cluster), "bytes_stored") - before >= 4 * MIB


def log_lines(data_dir: Path, request_id: str) -> list[dict[str, Any]]:
    """The JSON log lines of one request."""
    return [
        json.loads(line)
        for path in data_dir.rglob("*.log*")
        for line in path.read_text(errors="replace").splitlines()
        if request_id in line
    ]


def test_each_request_has_one_log_line_with_its_id(
    cluster: Cluster, caller: Caller, bucket: str
) -> None:
    good = caller.call("PUT", f"/{bucket}/logged", body=b"body")
    bad = caller.call("GET", f"/{bucket}/absent")
    for answer, operation, code in ((good, "PutObject", None), (bad, "GetObject", "NoSuchKey")):
        request_id = answer.headers["x-amz-request-id"]
        wait_until(
            lambda: bool(log_lines(cluster.data_dir, request_id)),  # noqa: B023 - used at once
            deadline_s=60,
            what=f"request {request_id} is logged",
        )
        (line,) = log_lines(cluster.data_dir, request_id)
        assert line["status"] == answer.status
        assert line["operation"] == operation
        assert line.get("error_code") == code
        assert line["bucket"] == bucket


def test_secrets_are_readable_by_their_owner_only_and_never_logged(cluster: Cluster) -> None:
    for name in ("control.token", "root.key"):
        assert (cluster.data_dir / name).stat().st_mode & 0o077 == 0
    for path in cluster.data_dir.rglob("*.log*"):
        assert cluster.credentials.secret_key not in path.read_text(errors="replace")


def test_generated_credentials_are_printed_once_and_kept_for_their_owner(tmp_path: Path) -> None:
    generating = Cluster(tmp_path / "data", credentials=None)
    try:
        generating.start()
        kept = generating.data_dir / "credentials.json"
        assert kept.stat().st_mode & 0o077 == 0
        secret = json.loads(kept.read_text())["secret_key"]
        wait_until(
            lambda: secret in generating.log_tail(100_000),
            deadline_s=60,
            what="the generated secret is printed",
        )
        assert generating.stop() == 0
        shown = generating.log_tail(100_000).count(secret)
        generating.start()
        wait_until(
            lambda: generating.log_tail(100_000).count("is ready") == 2,
            deadline_s=60,
            what="the second start is announced",
        )
        assert generating.stop() == 0
        assert generating.log_tail(100_000).count(secret) == shown
    finally:
        generating.remove()


# -- data directories ----------------------------------------------------------------------


def test_a_data_directory_in_use_is_refused(cluster: Cluster) -> None:
    ports = [part for name in PORT_NAMES for part in (f"--{name}-port", "0")]
    second = subprocess.run(
        [trilith_program(), "serve", "--data", str(cluster.data_dir), *ports],
        capture_output=True,
        text=True,
        timeout=REFUSAL_DEADLINE_S,
        check=False,
    )
    assert second.returncode != 0
    assert "in use" in (second.stdout + second.stderr).lower()
    assert "Traceback" not in second.stdout + second.stderr
    assert cluster.is_ready()


def test_a_data_directory_of_a_newer_format_is_refused(own_cluster: Cluster) -> None:
    assert own_cluster.stop() == 0
    facts = own_cluster.data_dir / "trilith.json"
    document = json.loads(facts.read_text())
    document["format"] = 999
    facts.write_text(json.dumps(document))
    process = own_cluster.spawn()
    assert process.wait(REFUSAL_DEADLINE_S) != 0
    printed = own_cluster.log_tail()
    assert "999" in printed
    assert "Traceback" not in printed


# Garbage is kept for an hour otherwise; an extent is given back when it is no longer written to.
SOON_COLLECTED = {
    "TRILITH_CHUNKS__GC_GRACE_SECONDS": "4",
    "TRILITH_CHUNKS__GC_INTERVAL_SECONDS": "1",
    "TRILITH_CHUNKS__EXTENT_BYTES": str(16 * MIB),
}


def cut_an_upload(caller: Caller, path: str) -> None:
    """16 of 64 MiB, and the connection is gone."""
    target, headers, _ = caller.sign("PUT", path, headers={"content-length": str(64 * MIB)})
    wire = caller.connect()
    wire.send_head("PUT", target, headers)
    for _ in range(16):
        wire.send(os.urandom(MIB))
    wire.reset()


def test_cut_uploads_and_kills_leave_nothing_on_disk(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster(environment=SOON_COLLECTED)
    try:
        server = Server(cluster.endpoint, cluster.credentials)
        s3, caller = server.client(), server.caller()
        s3.create_bucket(Bucket="leaks")
        kept = os.urandom(2 * MIB)
        s3.put_object(Bucket="leaks", Key="kept", Body=kept)
        before = chunk_bytes_on_disk(cluster.data_dir)
        for _ in range(4):
            cut_an_upload(caller, "/leaks/cut")
        cluster.kill_all()
        cluster.start()
        wait_until(
            lambda: chunk_bytes_on_disk(cluster.data_dir) <= before + len(ZONES) * 24 * MIB,
            deadline_s=60,
            what=f"the chunks of cut uploads are given back: {before} bytes before, "
            f"{chunk_bytes_on_disk(cluster.data_dir)} after the restart",
        )
        assert s3.get_object(Bucket="leaks", Key="kept")["Body"].read() == kept
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="leaks")["Contents"]]
        assert keys == ["kept"]
        assert not [path for path in cluster.data_dir.rglob("*") if path.suffix == ".tmp"]
    finally:
        cluster.remove()


def test_a_stopped_cluster_s_directory_can_be_moved(own_cluster: Cluster) -> None:
    server = Server(own_cluster.endpoint, own_cluster.credentials)
    server.client().create_bucket(Bucket="moved")
    server.client().put_object(Bucket="moved", Key="o", Body=b"moved")
    assert own_cluster.stop() == 0
    new_place = own_cluster.data_dir.with_name("elsewhere")
    shutil.move(own_cluster.data_dir, new_place)
    own_cluster.data_dir = new_place
    own_cluster.start()
    assert server.client().get_object(Bucket="moved", Key="o")["Body"].read() == b"moved"
    assert bytes_on_disk(new_place) > 0
