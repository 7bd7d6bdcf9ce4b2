"""The command line: what each command says, refuses and returns. Real processes, no cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.certificates import Authority

from trilith import config
from trilith.cli.node import node_options
from trilith.cli.options import credentials_from_environment
from trilith.config import Config, ConfigError
from trilith.supervisor.data_directory import DataDirectory

CONTRACT = ("serve", "node", "status", "zone", "recover", "bench", "doctor")


def trilith(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trilith", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_shows_every_command_of_the_contract() -> None:
    shown = trilith("--help")
    assert shown.returncode == 0
    for command in CONTRACT:
        assert f"\n  {command} " in shown.stdout


@pytest.mark.parametrize("command", [*CONTRACT, "health", "credentials", "completion", "version"])
def test_every_command_explains_itself(command: str) -> None:
    shown = trilith(command, "--help")
    assert shown.returncode == 0
    assert "Usage: trilith" in shown.stdout


def test_help_imports_nothing_heavy() -> None:
    source = (
        "import sys\n"
        "from trilith.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "heavy = {'asyncio', 'rich', 'grpc', 'rocksdict', 'uvicorn', 'sqlite3', 'ssl', 'http'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""


def test_the_supervisor_imports_nothing_heavy() -> None:
    source = (
        "import sys, trilith.cli.serve, trilith.supervisor.serve\n"
        "heavy = {'rich', 'grpc', 'rocksdict', 'uvicorn', 'uvloop', 'cryptography', 'sqlite3'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""


def test_a_mistyped_command_gets_a_suggestion() -> None:
    refused = trilith("serv")
    assert refused.returncode == 2
    assert "Did you mean `trilith serve`?" in refused.stderr


@pytest.mark.parametrize("command", [("bench", "s3")])
def test_what_this_version_does_not_have_is_refused_by_name(command: tuple[str, ...]) -> None:
    refused = trilith(*command)
    assert refused.returncode == 2
    assert f"trilith {command[0]} is not available in this version" in refused.stderr


def test_print_config_is_the_whole_configuration_and_reads_back(tmp_path: Path) -> None:
    printed = trilith("serve", "--print-config", "--s3-port", "1234")
    file = tmp_path / "c.toml"
    file.write_text(printed.stdout)
    assert config.load(file, {}).server.s3_port == 1234
    assert trilith("serve", "--print-config", "--config", str(file)).stdout == printed.stdout


def test_a_wrong_variable_ends_in_one_clear_line() -> None:
    refused = trilith("serve", "--print-config", TRILITH_SERVER__S3_PROT="1")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: TRILITH_SERVER__S3_PROT")
    assert len(refused.stderr.splitlines()) == 1


def test_serve_refuses_a_foreign_directory_and_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("")
    refused = trilith("serve", "--data", str(tmp_path), "--s3-port", "0", "--console-port", "0")
    assert refused.returncode == 1
    assert "not a Trilith data directory" in refused.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["theirs"]


def test_status_and_zone_without_a_cluster_say_what_to_do(tmp_path: Path) -> None:
    for arguments in (("status", "--json"), ("zone", "kill", "az1")):
        refused = trilith(*arguments, "--data", str(tmp_path))
        assert refused.returncode == 1
        assert "no `trilith serve` is running" in refused.stderr


def test_an_unknown_zone_is_refused_with_the_known_ones() -> None:
    refused = trilith("zone", "stop", "az9")
    assert refused.returncode == 2
    assert "'az1', 'az2', 'az3'" in refused.stderr


def test_health_of_nothing_is_a_failure() -> None:
    assert trilith("health", "--quiet", "--admin", "http://127.0.0.1:1").returncode == 1


def test_credentials_are_shown_and_exported(tmp_path: Path) -> None:
    assert "no generated credentials" in trilith("credentials", "--data", str(tmp_path)).stderr
    data = DataDirectory.open(tmp_path)
    kept, _ = data.ensure_credentials()
    data.close()
    shown = json.loads(trilith("credentials", "--json", "--data", str(tmp_path)).stdout)
    assert shown == {"access_key": kept.access_key, "secret_key": kept.secret_key}
    exported = trilith("credentials", "--export", "--data", str(tmp_path)).stdout
    assert f"export AWS_ACCESS_KEY_ID={kept.access_key}\n" in exported


def test_doctor_finds_secrets_that_others_can_read(tmp_path: Path) -> None:
    ports = {"TRILITH_SERVER__S3_PORT": "0", "TRILITH_SERVER__CONSOLE_PORT": "0"}
    data = DataDirectory.open(tmp_path)
    data.ensure_root_key()
    data.close()
    found = json.loads(trilith("doctor", "--json", "--data", str(tmp_path), **ports).stdout)
    assert {entry["subject"]: entry["state"] for entry in found}["secrets"] == "ok"
    data.root_key_file.chmod(0o644)
    examined = trilith("doctor", "--data", str(tmp_path), **ports)
    assert examined.returncode == 1
    assert "chmod 600" in examined.stdout


def test_doctor_says_until_when_a_certificate_is_good(tmp_path: Path) -> None:
    files = tmp_path / "server.pem", tmp_path / "server.key"
    settings = {
        "TRILITH_SERVER__TLS_CERTIFICATE_FILE": str(files[0]),
        "TRILITH_SERVER__TLS_KEY_FILE": str(files[1]),
    }

    def state() -> str:
        data = str(tmp_path / "data")
        found = json.loads(trilith("doctor", "--json", "--data", data, **settings).stdout)
        states = {entry["subject"]: entry["state"] for entry in found}
        return str(states["certificate"])

    for days, expected in ((60, "ok"), (3, "warning"), (0, "failed")):
        Authority(tmp_path, days=days).issue(*files)
        if not days:
            files[0].write_text("no certificate")
        assert state() == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell: str) -> None:
    assert "_TRILITH_COMPLETE" in trilith("completion", shell).stdout


def test_root_credentials_come_from_the_environment_or_from_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("long enough\n")
    found = credentials_from_environment(
        {"TRILITH_ROOT_ACCESS_KEY": "root", "TRILITH_ROOT_SECRET_KEY_FILE": str(file)}
    )
    assert found == ("root", "long enough")
    assert credentials_from_environment({}) is None


@pytest.mark.parametrize(
    ("access_key", "secret_key", "message"),
    [
        ("root", "", "belong together"),
        ("", "long enough", "belong together"),
        ("ro", "long enough", "at least 3"),
        ("ro/ot", "long enough", "without '/'"),
        ("root", "short", "at least 8"),
    ],
)
def test_unusable_root_credentials_are_refused(
    access_key: str, secret_key: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        credentials_from_environment(
            {"TRILITH_ROOT_ACCESS_KEY": access_key, "TRILITH_ROOT_SECRET_KEY": secret_key}
        )


def node_arguments(tmp_path: Path) -> dict[str, object]:
    credentials = tmp_path / "credentials.json"
    credentials.write_text('{"access_key": "root", "secret_key": "long enough"}')
    return {
        "zone": "az1",
        "coordinator": "sqlite:///var/lib/c.sqlite3",
        "data": tmp_path / "az1",
        "node_id": None,
        "peer_address": "127.0.0.1:20001",
        "root_key_file": tmp_path / "root.key",
        "credentials_file": credentials,
        "control_token_file": None,
        "log_file": None,
        "reuse_port": True,
        "config_file": None,
        "s3_port": 1234,
    }


def test_a_nodes_options_have_everything_read_and_checked(tmp_path: Path) -> None:
    options = node_options(**node_arguments(tmp_path))  # type: ignore[arg-type]
    assert (options.zone, options.node_id, options.s3_port) == ("az1", None, 1234)
    assert (options.peer_host, options.peer_port) == ("127.0.0.1", 20001)
    assert options.root_credentials == ("root", "long enough")
    assert options.console_port == Config().server.console_port
    assert len(options.control_token) > 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zone": "mars"}, "zones are az1"),
        ({"coordinator": "etcd://h:2379"}, "etcd is not supported in this version"),
        ({"coordinator": "sqlite://relative"}, "sqlite:///absolute/path"),
        ({"peer_address": "20001"}, "HOST:PORT"),
        ({"peer_address": "h:99999"}, "HOST:PORT"),
        ({"credentials_file": None}, "no root credentials"),
        ({"control_token_file": Path("/absent")}, "cannot read /absent"),
    ],
)
def test_a_nodes_wrong_option_is_named(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        node_options(**{**node_arguments(tmp_path), **change})  # type: ignore[arg-type]


BEGINS_ANEW = """
import os
taken = os.environ.pop("TUNED", None)
print("begun with", taken, flush=True)
from trilith.cli.node import _begin_anew_with
_begin_anew_with({"TUNED": "so"})
print("goes on")
"""


def test_a_node_begins_anew_once_though_its_settings_are_taken_away(tmp_path: Path) -> None:
    """As glibc does where the interpreter has capabilities: it began anew for ever."""
    program = tmp_path / "program.py"
    program.write_text(BEGINS_ANEW)
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines() == ["begun with None", "begun with so", "goes on"]
