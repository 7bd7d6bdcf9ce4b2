"""The data directory of `trilith serve`: kept identities, private secrets, clear refusals."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from trilith.errors import DataDirectoryUnusable
from trilith.node_options import ZONES
from trilith.supervisor.data_directory import (
    DataDirectory,
    lock_holder,
    read_credentials,
    read_format,
)


def test_a_new_directory_gets_a_format_and_an_identity_for_each_zone(tmp_path: Path) -> None:
    data = DataDirectory.open(tmp_path / "new" / "data")
    contents = read_format(data.path)
    assert contents is not None
    assert contents.format == 1
    assert [data.node(zone).id[:4] for zone in ZONES] == ["az1-", "az2-", "az3-"]
    assert all(data.zone_directory(zone).is_dir() for zone in ZONES)
    data.close()


def test_identities_ports_and_secrets_outlive_a_restart(tmp_path: Path) -> None:
    first = DataDirectory.open(tmp_path / "data")
    first.ensure_root_key()
    first.remember_peer_port("az2", 20_123)
    credentials, is_new = first.ensure_credentials()
    kept = (first.cluster_id, first.node("az2"), first.root_key_file.read_text(), credentials)
    token = first.ensure_control_token()
    assert is_new
    first.close()

    second = DataDirectory.open(tmp_path / "data")
    second.ensure_root_key()
    again, is_new = second.ensure_credentials()
    assert (second.cluster_id, second.node("az2"), second.root_key_file.read_text(), again) == kept
    assert second.node("az2").peer_port == 20_123
    assert second.ensure_control_token() == token
    assert not is_new
    second.close()


def test_secrets_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        data = DataDirectory.open(tmp_path / "data")
        data.ensure_root_key()
        data.ensure_credentials()
        data.ensure_control_token()
        data.close()
    finally:
        os.umask(before)
    for file in (data.root_key_file, data.credentials_file, data.control_token_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(data.path.stat().st_mode) == 0o700
    assert len(bytes.fromhex(data.root_key_file.read_text())) == 32


def test_generated_secrets_differ_and_are_not_shown_by_repr(tmp_path: Path) -> None:
    secrets = set()
    for name in ("a", "b"):
        data = DataDirectory.open(tmp_path / name)
        credentials, _ = data.ensure_credentials()
        secrets.add(credentials.secret_key)
        assert credentials.secret_key not in repr(credentials)
        data.close()
    assert len(secrets) == 2


def test_a_directory_in_use_is_refused_with_the_pid_of_its_user(tmp_path: Path) -> None:
    source = (
        "import sys, pathlib\n"
        "from trilith.supervisor.data_directory import DataDirectory\n"
        "data = DataDirectory.open(pathlib.Path(sys.argv[1]))\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert lock_holder(tmp_path / "data") == holder.pid
    with pytest.raises(DataDirectoryUnusable, match=f"in use by .*pid {holder.pid}"):
        DataDirectory.open(tmp_path / "data")
    holder.kill()
    holder.communicate()
    DataDirectory.open(tmp_path / "data").close()
    assert lock_holder(tmp_path / "data") is None


def test_a_foreign_directory_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataDirectoryUnusable, match=r"not a Trilith data directory.*thesis\.tex"):
        DataDirectory.open(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryUnusable, match="is a file"):
        DataDirectory.open(tmp_path / "file")


def test_a_start_that_was_cut_short_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "supervisor.lock").write_text("99999\n")
    DataDirectory.open(tmp_path).close()


def test_a_newer_format_is_refused_even_with_other_fields(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path / "data").close()
    (tmp_path / "data" / "trilith.json").write_text(json.dumps({"format": 2, "shape": []}))
    with pytest.raises(DataDirectoryUnusable, match=r"has format 2.*reads up to format 1"):
        DataDirectory.open(tmp_path / "data")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": "x"}'])
def test_a_damaged_format_file_is_refused(tmp_path: Path, content: str) -> None:
    DataDirectory.open(tmp_path / "data").close()
    (tmp_path / "data" / "trilith.json").write_text(content)
    with pytest.raises(DataDirectoryUnusable, match=r"trilith\.json"):
        DataDirectory.open(tmp_path / "data")


def test_a_lost_root_key_is_never_replaced_while_there_is_data(tmp_path: Path) -> None:
    data = DataDirectory.open(tmp_path / "data")
    (data.zone_directory("az1") / "node.json").write_text("{}")
    with pytest.raises(DataDirectoryUnusable, match="restore the file from a backup"):
        data.ensure_root_key()
    assert not data.root_key_file.exists()
    data.close()


def test_damaged_credentials_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"access_key": "a"}')
    with pytest.raises(DataDirectoryUnusable, match=r"credentials\.json is damaged"):
        read_credentials(tmp_path)
    assert read_credentials(tmp_path / "absent") is None
