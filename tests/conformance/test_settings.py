"""Values that all nodes must have the same, on real processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cluster import Cluster, run_trilith, trilith_program
from .processes import wait_until

GRACE = "chunks.gc_grace_seconds"
GRACE_VARIABLE = "TRILITH_CHUNKS__GC_GRACE_SECONDS"


def _settings(cluster: Cluster) -> list[dict[str, Any]]:
    return [facts["settings"] for facts in cluster.status()["node_facts"].values()]


def _by_hand(cluster: Cluster, zone: str, grace: str) -> subprocess.Popen[bytes]:
    """A zone's node as `trilith serve` would start it, but with its own configuration."""
    data = cluster.data_dir
    node = next(z["nodes"][0]["id"] for z in cluster.status()["zones"] if z["name"] == zone)
    arguments = {
        "--zone": zone,
        "--node-id": node,
        "--data": str(data / zone),
        "--coordinator": f"sqlite://{data}/coordinator.sqlite3",
        "--root-key-file": str(data / "root.key"),
        "--control-token-file": str(data / "control.token"),
        "--log-file": str(data / "logs" / "by_hand.log"),
    }
    command = [trilith_program(), "node"]
    for option in ("--s3-port", "--dynamodb-port", "--console-port", "--grpc-port"):
        command += [option, "0"]
    for option, value in arguments.items():
        command += [option, value]
    environment = {
        **os.environ,
        GRACE_VARIABLE: grace,
        "TRILITH_ROOT_ACCESS_KEY": cluster.credentials.access_key,
        "TRILITH_ROOT_SECRET_KEY": cluster.credentials.secret_key,
    }
    return subprocess.Popen(command, env=environment)


def test_settings_change_with_a_restart_of_all_nodes_and_a_node_of_another_mind_adopts_them(
    start_cluster: Callable[..., Cluster],
) -> None:
    cluster = start_cluster(environment={GRACE_VARIABLE: "600"})
    try:
        assert [s["in_force"][GRACE] for s in _settings(cluster)] == [600] * 3
        cluster.stop()
        cluster._environment[GRACE_VARIABLE] = "900"
        cluster.start()
        assert [(s["in_force"][GRACE], s["configured"]) for s in _settings(cluster)] == [
            (900, {})
        ] * 3
        cluster.zone("kill", "az3")
        wait_until(
            lambda: [n[:3] for n in cluster.status()["not_answering"]] == ["az3"],
            deadline_s=60,
            what="the node that was killed is said not to answer",
        )
        node = _by_hand(cluster, "az3", "30")
        try:
            wait_until(
                lambda: {GRACE: 30} in [s["configured"] for s in _settings(cluster)],
                deadline_s=60,
                what="the node says how it differs",
            )
            assert {s["in_force"][GRACE] for s in _settings(cluster)} == {900}
            given = Path(f"/proc/{node.pid}/environ").read_bytes()
            assert b"GLIBC_TUNABLES=glibc.malloc" in given, "as `trilith serve` starts its nodes"
            # Waited for as well: a node that starts may leave one question of many unanswered.
            wait_until(
                lambda: (
                    f"is configured with {GRACE} = 30; the cluster's 900 is in force"
                    in run_trilith("status", "--data", str(cluster.data_dir))
                ),
                deadline_s=60,
                what="the node says in words how it differs",
            )
        finally:
            node.kill()
            node.wait()
    finally:
        cluster.remove()
