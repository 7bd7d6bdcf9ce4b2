"""Configuration: one tree of frozen structs, one TOML file, and the environment above it.

Every key has its unit in its name and its default and meaning here. Each is also read from
`TRILITH_SECTION__KEY`, and from a file named by `TRILITH_SECTION__KEY_FILE`; the environment wins
over the file. An unknown key is an error that names the nearest known one, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
EXTENT_BYTES_MIN = 16 * MIB
SEGMENT_BYTES_MIN = 4 * MIB
INLINE_SIZE_BYTES_LIMIT = MIB

ENVIRONMENT_PREFIX = "TRILITH_"

Port = Annotated[int, Meta(ge=0, le=65535)]
LEVELS = "^(debug|info|warning|error)$"
Positive = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[int, Meta(ge=0)]


class ConfigError(Exception):
    """The configuration cannot be used; the message names the key, its origin, and what to do."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file."""


class Server(Section, frozen=True, kw_only=True):
    """Addresses of a node and of `trilith serve`. A port of 0 is picked and printed."""

    host: Annotated[str, Meta(description="address that the public ports listen on")] = "127.0.0.1"
    s3_port: Annotated[Port, Meta(description="port of S3")] = 9000
    dynamodb_port: Annotated[Port, Meta(description="port of DynamoDB")] = 8000
    console_port: Annotated[
        Port, Meta(description="port of console and admin: /livez, /readyz, /metrics")
    ] = 9001
    grpc_port: Annotated[
        Port, Meta(description="first gRPC port; a serve cluster uses this and the two above it")
    ] = 7000
    tls_certificate_file: Annotated[
        str,
        Meta(
            description="PEM, with its chain: all public ports speak TLS; read again when it"
            " changes; empty: plain text"
        ),
    ] = ""
    tls_key_file: Annotated[
        str, Meta(description="the certificate's key, PEM without a passphrase")
    ] = ""
    worker_threads: Annotated[
        Positive, Meta(description="threads of a node for hashing, encryption and cold reads")
    ] = 2
    shutdown_grace_ms: Annotated[
        NonNegative, Meta(description="how long a stopping node lets open requests finish")
    ] = 8_000
    silence_ms_max: Annotated[
        NonNegative,
        Meta(
            description="a node of `trilith serve` whose event loop stands still for this long is"
            " killed and started again; one that a signal stopped, once its lease is over; 0: never"
        ),
    ] = 4_000


class Storage(Section, frozen=True, kw_only=True):
    """The ordered store (RocksDB) of a node."""

    block_cache_bytes: Annotated[
        Positive, Meta(description="cache of data, indexes and filters")
    ] = 64 * MIB
    write_buffer_bytes: Annotated[Positive, Meta(description="one in-memory table")] = 32 * MIB
    scrub_bytes_per_second_max: Annotated[
        Positive, Meta(description="read on each node in search of bad bytes")
    ] = 8 * MIB
    scrub_interval_seconds: Annotated[
        Positive, Meta(description="between rounds that read everything")
    ] = 86_400


class Journal(Section, frozen=True, kw_only=True):
    """The one log of all replicas of a node."""

    segment_bytes: Annotated[Positive, Meta(description="a segment file, preallocated")] = 64 * MIB
    retain_bytes: Annotated[
        NonNegative,
        Meta(description="flushed segments kept for replicas that return"),
    ] = 256 * MIB
    pending_bytes_max: Annotated[
        Positive, Meta(description="records that wait for their sync; above it 503 SlowDown")
    ] = 64 * MIB


class Replication(Section, frozen=True, kw_only=True):
    """Leases and liveness between nodes. All durations are counted from the sender's send time."""

    lease_duration_ms: Annotated[
        Positive,
        Meta(
            description="a follower's promise not to take over, renewed by heartbeats; kept by the"
            " cluster, the same on all nodes"
        ),
    ] = 1_000
    heartbeat_interval_ms: Annotated[Positive, Meta(description="between a pair of nodes")] = 200
    clock_drift_margin_ms: Annotated[
        Positive,
        Meta(
            description="taken off every lease; a longer pause voids it; kept by the cluster, the"
            " same on all nodes"
        ),
    ] = 100
    follower_timeout_ms: Annotated[
        Positive,
        Meta(description="a follower silent for this long leaves the in-sync set"),
    ] = 1_000


class Chunks(Section, frozen=True, kw_only=True):
    """The pipeline of large object bodies and the extents that hold them."""

    min_bytes: Annotated[Positive, Meta(description="no content-defined cut before this")] = (
        256 * KIB
    )
    avg_bytes: Annotated[Positive, Meta(description="aimed-at chunk length; a power of two")] = MIB
    max_bytes: Annotated[Positive, Meta(description="a cut at the latest here")] = 4 * MIB
    extent_bytes: Annotated[Positive, Meta(description="an extent file")] = 256 * MIB
    inflight_bytes_max: Annotated[
        Positive, Meta(description="chunk bytes in memory in one node, over all requests")
    ] = 32 * MIB
    zone_timeout_ms: Annotated[
        Positive, Meta(description="a zone silent for this long has missed a chunk")
    ] = 3_000
    repair_bytes_per_second_max: Annotated[
        Positive, Meta(description="of missed or damaged chunks brought to a node")
    ] = 64 * MIB
    gc_grace_seconds: Annotated[
        Positive,
        Meta(
            description="bytes without a reference, and overwritten objects that are being read,"
            " stay this long; clocks of nodes must agree within a quarter of it; kept by the"
            " cluster, the same on all nodes"
        ),
    ] = 3_600
    gc_interval_seconds: Annotated[
        Positive, Meta(description="between looks for bytes that can be given back")
    ] = 300
    compaction_bytes_per_second_max: Annotated[
        Positive, Meta(description="of living chunks copied out of extents that are mostly dead")
    ] = 32 * MIB


class Objects(Section, frozen=True, kw_only=True):
    """The object model."""

    inline_size_bytes_max: Annotated[
        NonNegative, Meta(description="up to this size a body travels inside its metadata record")
    ] = 16 * KIB
    abandon_after_seconds: Annotated[
        Positive,
        Meta(description="an upload without a commit for this long is given up (its gateway died)"),
    ] = 86_400


class Tables(Section, frozen=True, kw_only=True):
    """The tables of DynamoDB."""

    enforce_provisioned_throughput: Annotated[
        bool,
        Meta(description="throttle provisioned tables at their units, as AWS does"),
    ] = True
    stream_retention_seconds: Annotated[
        Positive, Meta(description="what a stream holds can be read for this long")
    ] = 86_400
    upkeep_interval_seconds: Annotated[
        Positive, Meta(description="between looks for what streams and indexes no longer need")
    ] = 30
    index_lag_seconds_max: Annotated[
        Positive,
        Meta(description="writes to a table whose global indexes are further behind are throttled"),
    ] = 30
    ttl_interval_seconds: Annotated[
        Positive, Meta(description="between looks for items whose time to live is over")
    ] = 30
    ttl_deletes_per_second_max: Annotated[
        Positive, Meta(description="of expired items, by each leader")
    ] = 1_500


class Partitions(Section, frozen=True, kw_only=True):
    """When partitions are split in two, and merged again. It may take some seconds to notice."""

    busy_percent_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="of one processor: when a node is busier, sustained, the partition that "
            "most of its commands are for is split, if all zones are in sync and another has time "
            "for the half; 100: never",
        ),
    ] = 85
    commands_per_second_max: Annotated[
        Positive, Meta(description="writes to one partition; above it, sustained, it is split")
    ] = 20_000
    reads_per_second_max: Annotated[
        Positive,
        Meta(description="reads of one partition, on all nodes; shares of both limits add up"),
    ] = 100_000
    split_after_seconds: Annotated[
        Positive, Meta(description="a partition must be that hot for so long")
    ] = 30
    split_bytes: Annotated[Positive, Meta(description="a larger partition is split")] = 10 * GIB
    measure_interval_seconds: Annotated[
        Positive, Meta(description="between looks for partitions that grew too large")
    ] = 600
    partitions_max: Annotated[
        Positive, Meta(description="of the cluster; no more are made by splitting")
    ] = 256
    merge_after_seconds: Annotated[
        NonNegative,
        Meta(
            description="a partition of items that a split made is merged with its neighbour when "
            "both took under a tenth of those limits, and under a third of busy_percent_max, for "
            "so long, and hold under half of split_bytes together; 0: never"
        ),
    ] = 3600


class S3(Section, frozen=True, kw_only=True):
    """The S3 protocol."""

    region: Annotated[str, Meta(description="what GetBucketLocation and signatures name")] = (
        "us-east-1"
    )
    domains: Annotated[
        tuple[str, ...],
        Meta(description="base domains of virtual-host addressing: BUCKET.DOMAIN"),
    ] = ("localhost", "s3.localhost")


class Limits(Section, frozen=True, kw_only=True):
    """Bounds on what clients can make a node hold; over them it refuses, it never queues."""

    connections_max: Annotated[
        Positive, Meta(description="open client connections of each public port of a node")
    ] = 4_096
    requests_inflight_max: Annotated[Positive, Meta(description="requests in work in a node")] = (
        1_024
    )
    grpc_calls_inflight_max: Annotated[
        Positive, Meta(description="gRPC calls in work in a node, each with up to 6 MiB")
    ] = 256
    request_header_bytes_max: Annotated[
        Positive, Meta(description="request line and headers together")
    ] = 32 * KIB
    request_timeout_ms: Annotated[
        Positive, Meta(description="a request without a body's progress is given up after this")
    ] = 30_000
    keep_alive_timeout_ms: Annotated[
        Positive, Meta(description="an idle connection is closed after this")
    ] = 75_000


class Log(Section, frozen=True, kw_only=True):
    """Logs: one JSON object a line."""

    level: Annotated[
        str,
        Meta(description="debug, info, warning or error", pattern=LEVELS),
    ] = "info"
    access: Annotated[bool, Meta(description="one line per request, with its id")] = True
    rotate_bytes: Annotated[
        Positive, Meta(description="a node's log file is moved aside at this size")
    ] = 64 * MIB
    files_max: Annotated[Positive, Meta(description="moved-aside log files kept of each node")] = 3


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration; `Config()` is the default one."""

    server: Server = Server()
    storage: Storage = Storage()
    journal: Journal = Journal()
    replication: Replication = Replication()
    chunks: Chunks = Chunks()
    objects: Objects = Objects()
    tables: Tables = Tables()
    partitions: Partitions = Partitions()
    s3: S3 = S3()
    limits: Limits = Limits()
    log: Log = Log()


def section_types() -> dict[str, type[Section]]:
    """Section name -> its struct type, in the order of the file."""
    hints = get_type_hints(Config)
    return {field.name: hints[field.name] for field in msgspec.structs.fields(Config)}


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Defaults, then the TOML file, then the environment. Raises ConfigError."""
    values: dict[str, dict[str, Any]] = {name: {} for name in section_types()}
    if path is not None:
        _read_file(path, values)
    _read_environment(environment, values)
    sections = {name: section_types()[name](**keys) for name, keys in values.items()}
    config = Config(**sections)  # type: ignore[arg-type]
    check(config)
    return config


def check(config: Config) -> None:
    """Relations between keys that a single key's bounds cannot say. Raises ConfigError."""
    replication, chunks = config.replication, config.chunks
    if replication.clock_drift_margin_ms * 2 >= replication.lease_duration_ms:
        raise ConfigError(
            "replication.clock_drift_margin_ms must be under half of replication.lease_duration_ms "
            f"({replication.lease_duration_ms}): nothing of the lease would be left"
        )
    if replication.heartbeat_interval_ms * 3 > replication.lease_duration_ms:
        raise ConfigError(
            "replication.heartbeat_interval_ms must be at most a third of "
            f"replication.lease_duration_ms ({replication.lease_duration_ms}): "
            "one lost heartbeat would cost the lease"
        )
    if 0 < config.server.silence_ms_max < replication.lease_duration_ms:
        raise ConfigError(
            "server.silence_ms_max must be 0, or at least replication.lease_duration_ms "
            f"({replication.lease_duration_ms}): until then a pause may cost nobody anything"
        )
    if bool(config.server.tls_certificate_file) != bool(config.server.tls_key_file):
        raise ConfigError(
            "server.tls_certificate_file and server.tls_key_file belong together: set both or none"
        )
    if config.journal.segment_bytes < SEGMENT_BYTES_MIN:
        raise ConfigError("journal.segment_bytes must be at least 4 MiB: a batch is one record")
    if config.objects.inline_size_bytes_max > INLINE_SIZE_BYTES_LIMIT:
        raise ConfigError("objects.inline_size_bytes_max must be at most 1 MiB")
    if not chunks.min_bytes < chunks.avg_bytes < chunks.max_bytes:
        raise ConfigError("chunks.min_bytes < chunks.avg_bytes < chunks.max_bytes must hold")
    if chunks.avg_bytes & (chunks.avg_bytes - 1):
        raise ConfigError("chunks.avg_bytes must be a power of two")
    if chunks.extent_bytes < max(2 * chunks.max_bytes, EXTENT_BYTES_MIN):
        raise ConfigError(
            "chunks.extent_bytes must be at least 16 MiB, and hold two chunks of chunks.max_bytes"
        )
    if chunks.inflight_bytes_max < 2 * chunks.max_bytes:
        raise ConfigError("chunks.inflight_bytes_max must be at least twice chunks.max_bytes")


def _read_file(path: Path, values: dict[str, dict[str, Any]]) -> None:
    import tomllib

    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    for section, keys in tables.items():
        where = f"{path}: [{section}]"
        section_type = _section_type(section, where)
        if not isinstance(keys, dict):
            raise ConfigError(f"{where} must be a table, as in `[{section}]`")
        for key, value in keys.items():
            values[section][key] = _convert(section_type, section, key, value, f"{path}")


def _read_environment(environment: Mapping[str, str], values: dict[str, dict[str, Any]]) -> None:
    for variable in sorted(environment):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name == variable or "__" not in name:
            continue
        section, key = name.lower().split("__", 1)
        section_type = _section_type(section, variable)
        value = environment[variable]
        if key.endswith("_file") and key not in section_type.__struct_fields__:
            key = key.removesuffix("_file")
            value = read_secret_file(variable, value)
        values[section][key] = _convert(section_type, section, key, value, variable)


def read_secret_file(variable: str, path: str) -> str:
    """The content of a file that a `..._FILE` variable names, without its last newline."""
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable} names {path}, which cannot be read: {error}") from error


def _section_type(section: str, where: str) -> type[Section]:
    types = section_types()
    if section not in types:
        raise ConfigError(f"{where}: there is no section {section!r}{_nearest(section, types)}")
    return types[section]


def _convert(section_type: type[Section], section: str, key: str, value: Any, where: str) -> Any:
    """The typed value of one key; texts from the environment are parsed, lists split at commas."""
    fields = section_type.__struct_fields__
    if key not in fields:
        raise ConfigError(f"{where}: there is no key {section}.{key}{_nearest(key, fields)}")
    key_type = get_type_hints(section_type, include_extras=True)[key]
    from_environment = where.startswith(ENVIRONMENT_PREFIX)
    if from_environment and isinstance(getattr(section_type(), key), tuple):
        value = [item.strip() for item in value.split(",") if item.strip()]
    try:
        return msgspec.convert(value, key_type, strict=not from_environment)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {section}.{key} = {value!r}: {error}") from error


def _nearest(name: str, known: Any) -> str:
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if matches:
        return f"; did you mean {matches[0]!r}?"
    return f"; known: {', '.join(sorted(known))}"


def render(config: Config) -> str:
    """The configuration as a TOML file with each key's meaning; `load` reads it back unchanged."""
    lines = ["# Trilith configuration. Every key is also read from TRILITH_SECTION__KEY."]
    for section, section_type in section_types().items():
        lines += ["", f"# {(section_type.__doc__ or '').strip()}", f"[{section}]"]
        lines += _render_section(getattr(config, section), section_type)
    return "\n".join(lines) + "\n"


def _render_section(values: Section, section_type: type[Section]) -> list[str]:
    hints = get_type_hints(section_type, include_extras=True)
    defaults = section_type()
    lines = []
    for key in section_type.__struct_fields__:
        value = getattr(values, key)
        comment = _description(hints[key])
        if key.endswith(("_bytes", "_bytes_max")):
            comment = f"{_readable_bytes(value)}: {comment}"
        if value != getattr(defaults, key):
            comment += f" (default: {_toml_value(getattr(defaults, key))})"
        lines.append(f"{f'{key} = {_toml_value(value)}':<40} # {comment}")
    return lines


def _description(annotated: Any) -> str:
    notes = [meta.description for meta in annotated.__metadata__ if meta.description]
    return notes[-1] if notes else ""


def _toml_value(value: Any) -> str:
    # JSON's strings, numbers, booleans and flat arrays are TOML's as well.
    # All but DEL, which TOML wants escaped.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _readable_bytes(value: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if value >= unit and value % unit == 0:
            return f"{value // unit} {name}"
    return f"{value} bytes"
