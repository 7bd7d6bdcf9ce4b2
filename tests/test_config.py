"""Configuration: sources in order, unknown keys refused, a rendered file that reads back."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith import config
from trilith.config import Config, ConfigError, load, render

BYTE_KEYS = st.integers(min_value=1, max_value=1 << 40)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "trilith.toml"
    file.write_text(text)
    return file


def test_without_a_file_and_environment_the_defaults_hold() -> None:
    assert load(None, {}) == Config()


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = written(tmp_path, "[server]\ns3_port = 1\nconsole_port = 2\n")
    settings = load(file, {"TRILITH_SERVER__S3_PORT": "3", "PATH": "/bin"})
    assert (settings.server.s3_port, settings.server.console_port) == (3, 2)
    assert settings.server.dynamodb_port == Config().server.dynamodb_port


def test_the_environment_gives_booleans_and_lists(tmp_path: Path) -> None:
    secret = tmp_path / "region"
    secret.write_text("eu-1\n")
    settings = load(
        None,
        {
            "TRILITH_LOG__ACCESS": "false",
            "TRILITH_S3__DOMAINS": "s3.example.org, example.org",
            "TRILITH_S3__REGION_FILE": str(secret),
        },
    )
    assert settings.log.access is False
    assert settings.s3.domains == ("s3.example.org", "example.org")
    assert settings.s3.region == "eu-1"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TRILITH_SERVR__HOST": "x"}, "TRILITH_SERVR__HOST.*did you mean 'server'"),
        ({"TRILITH_SERVER__S3_PROT": "1"}, "server.s3_prot; did you mean 's3_port'"),
        ({"TRILITH_SERVER__S3_PORT": "70000"}, "server.s3_port = '70000'.*65535"),
        ({"TRILITH_SERVER__S3_PORT": "many"}, "Expected `int`"),
        ({"TRILITH_LOG__LEVEL": "loud"}, "log.level"),
        ({"TRILITH_S3__REGION_FILE": "/does/not/exist"}, "cannot be read"),
        ({"TRILITH_REPLICATION__CLOCK_DRIFT_MARGIN_MS": "800"}, "nothing of the lease"),
        ({"TRILITH_REPLICATION__HEARTBEAT_INTERVAL_MS": "600"}, "a third"),
        ({"TRILITH_CHUNKS__MIN_BYTES": "5000000"}, "chunks.min_bytes <"),
        ({"TRILITH_CHUNKS__AVG_BYTES": "1000000"}, "power of two"),
        ({"TRILITH_CHUNKS__EXTENT_BYTES": "4194304"}, "two chunks"),
        ({"TRILITH_CHUNKS__INFLIGHT_BYTES_MAX": "4194304"}, "twice"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_wrong(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(None, environment)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[journl]\nsegment_bytes = 1\n", "did you mean 'journal'"),
        ("[journal]\nsegment_byte = 1\n", "did you mean 'segment_bytes'"),
        ("[journal]\nsegment_bytes = '64MiB'\n", "Expected `int`"),
        ("journal = 3\n", "must be a table"),
        ("[journal\n", "not valid TOML"),
        ("[s3]\ndomains = 'localhost'\n", "Expected `array`"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(file, {})
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[journal]\nsegment_bytes = 65536\n", "at least 4 MiB"),
        ("[objects]\ninline_size_bytes_max = 2097152\n", "at most 1 MiB"),
        ("[chunks]\nextent_bytes = 8388608\n", "at least 16 MiB"),
    ],
)
def test_sizes_that_a_node_cannot_work_with_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(written(tmp_path, text), {})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(tmp_path / "absent.toml", {})


@given(block_cache_bytes=BYTE_KEYS, domains=st.lists(st.text(max_size=20), max_size=3))
def test_a_rendered_configuration_reads_back_as_itself(
    tmp_path_factory: pytest.TempPathFactory, block_cache_bytes: int, domains: list[str]
) -> None:
    settings = Config(
        storage=config.Storage(block_cache_bytes=block_cache_bytes),
        s3=config.S3(domains=tuple(domains)),
    )
    file = tmp_path_factory.mktemp("config") / "c.toml"
    file.write_text(render(settings), encoding="utf-8")
    assert load(file, {}) == settings


def test_the_rendered_file_has_every_key_with_a_meaning_and_a_unit_in_its_name() -> None:
    tables = tomllib.loads(render(Config()))
    lines = render(Config()).splitlines()
    for section, section_type in config.section_types().items():
        assert section_type.__doc__, section
        assert set(tables[section]) == set(section_type.__struct_fields__)
        for key, key_type in get_type_hints(section_type, include_extras=True).items():
            line = next(line for line in lines if line.startswith(f"{key} = "))
            assert len(line.partition("# ")[2]) > len(key) // 2, f"{section}.{key} says nothing"
            if get_args(key_type)[0] is int:
                units = ("_bytes", "_ms", "_seconds", "_port", "_threads", "_max")
                assert key.endswith(units), f"{section}.{key} has no unit"


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Config().server.s3_port = 1  # type: ignore[misc]
    changed = msgspec.structs.replace(Config().server, s3_port=1)
    assert changed.s3_port == 1
