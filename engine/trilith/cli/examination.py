"""The checks of `trilith doctor`. Each looks at one thing and never raises for what it finds."""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from trilith import config, tls
from trilith.errors import DataDirectoryUnusable
from trilith.node_options import ZONES
from trilith.supervisor import data_directory, reserved_ports

OK, WARNING, FAILED = "ok", "warning", "failed"
_OPEN_FILES_MIN = 8_192
_FREE_BYTES_MIN = 2 * config.GIB
_MEMORY_BYTES_MIN = config.GIB
_SYNC_SAMPLES = 20
# Slower than this and every write waits for a disk that was not made for it.
_SYNC_MS_SLOW = 20.0
# Faster than this no medium is: something between us and it answers without having written.
_SYNC_MS_IMPLAUSIBLE = 0.01
_CERTIFICATE_DAYS_MIN = 14
_VOLATILE = {"tmpfs", "ramfs"}
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"}
_NATIVE = ("record", "crc", "codec", "ring", "chunker", "convergent", "synced_file")
_PACKAGES = ("rocksdict", "uvloop", "uvicorn", "httptools", "blake3", "cryptography", "msgspec")
# What the native core's fast paths use; without them it falls back or cannot run.
_CPU_FLAGS = {"sse4_2": "CRC32C", "aes": "AES-256-GCM", "pclmulqdq": "AES-256-GCM and CRC64"}


class Finding(msgspec.Struct, frozen=True):
    """One checked thing: its state, what was found, and what to do where it is not ok."""

    state: str
    subject: str
    fact: str
    advice: str = ""


def examine(data: Path, settings: config.Config) -> list[Finding]:
    """All checks, in the order in which problems are best solved."""
    return [
        _python(),
        *_native_core(),
        *_packages(),
        _processor(),
        _memory(),
        _open_files(),
        _migration(),
        *_data_directory(data),
        *_ports(data, settings),
        *_certificate(settings),
    ]


def _python() -> Finding:
    # Nothing to refuse: an older Python could not have read this file.
    return Finding(OK, "Python", ".".join(map(str, sys.version_info[:3])))


def _native_core() -> Iterator[Finding]:
    missing = []
    for name in _NATIVE:
        try:
            importlib.import_module(f"trilith_native.{name}")
        except ImportError as error:
            missing.append(f"{name} ({error})")
    if missing:
        yield Finding(
            FAILED,
            "native core",
            "not usable: " + "; ".join(missing),
            "Build it with `make setup` in a source checkout, or `pip install --force-reinstall "
            "trilith`; this needs a C compiler, Python.h and OpenSSL's headers.",
        )
    else:
        yield Finding(OK, "native core", f"{len(_NATIVE)} modules load")


def _packages() -> Iterator[Finding]:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding(
            FAILED,
            "packages",
            f"missing: {', '.join(missing)}",
            f"Install them: {sys.executable} -m pip install {' '.join(missing)}",
        )
    else:
        yield Finding(OK, "packages", ", ".join(found))


def _processor() -> Finding:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError as error:
        return Finding(WARNING, "processor", f"cannot be examined: {error.strerror}")
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), None)
    cores = f"{os.cpu_count()} cores"
    if flags is None:
        return Finding(OK, "processor", cores)
    missing = [f"{flag} ({use})" for flag, use in _CPU_FLAGS.items() if flag not in flags]
    if missing:
        return Finding(
            WARNING,
            "processor",
            f"{cores}, without {', '.join(missing)}",
            "It works, slowly. In a virtual machine, let the guest see the host's CPU model.",
        )
    return Finding(OK, "processor", f"{cores}, {', '.join(_CPU_FLAGS)}")


def _memory() -> Finding:
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    except OSError:
        pass  # the smaller figure without caches is still true
    fact = f"{available // config.MIB} MiB available"
    if available < _MEMORY_BYTES_MIN:
        return Finding(
            WARNING, "memory", fact, "A loaded three-zone cluster takes up to 1 GiB: free some."
        )
    return Finding(OK, "memory", fact)


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fact = f"limit {soft} (may be raised to {hard})"
    if soft < _OPEN_FILES_MIN:
        return Finding(
            WARNING,
            "open files",
            fact,
            f"Each connection and extent is an open file: `ulimit -n {_OPEN_FILES_MIN}` before "
            "`trilith serve`, or LimitNOFILE= in its systemd unit.",
        )
    return Finding(OK, "open files", fact)


def _migration() -> Finding:
    """What the kernel does with connections that a killed node has not accepted yet."""
    try:
        migrates = Path("/proc/sys/net/ipv4/tcp_migrate_req").read_text().strip() == "1"
    except OSError:
        migrates = False  # before Linux 5.14
    if migrates:
        fact = "those that wait for a dead node go to the others"
    else:
        fact = (
            "those that wait for a dead node are reset, and clients retry; "
            "`sysctl -w net.ipv4.tcp_migrate_req=1` hands them to the others"
        )
    return Finding(OK, "connections", fact)


def _data_directory(data: Path) -> Iterator[Finding]:
    try:
        data_directory.refuse_foreign(data)
        contents = data_directory.read_format(data)
    except DataDirectoryUnusable as error:
        yield Finding(FAILED, "data directory", str(error), "")
        return
    if contents is None:
        yield Finding(OK, "data directory", f"{data} is new: `trilith serve` makes it")
    else:
        holder = data_directory.lock_holder(data)
        use = f"in use by pid {holder}" if holder else "not in use"
        fact = f"{data}, format {contents.format}, {use}"
        yield Finding(OK, "data directory", fact)
        yield _private_files(data)
        yield _coordinator(data / "coordinator.sqlite3")
    existing = next(path for path in (data, *data.parents) if path.is_dir())
    yield _filesystem(existing)
    yield _free_space(existing)
    yield _sync_time(existing)


def _private_files(data: Path) -> Finding:
    names = ("root.key", "credentials.json", "control.token")
    loose = [
        name for name in names if (data / name).exists() and (data / name).stat().st_mode & 0o077
    ]
    if loose:
        paths = " ".join(str(data / name) for name in loose)
        return Finding(
            FAILED,
            "secrets",
            f"others can read {', '.join(loose)}",
            f"chmod 600 {paths}; then change what was readable.",
        )
    return Finding(OK, "secrets", "only this user reads them")


def _coordinator(file: Path) -> Finding:
    if not file.exists():
        return Finding(OK, "coordinator", "not made yet")
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=2.0)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        return Finding(
            FAILED,
            "coordinator",
            f"{file}: {found}",
            "Restore this file from a copy of the data directory; the zones' data is not in it.",
        )
    return Finding(OK, "coordinator", f"{file.name} passes its check")


def _filesystem(directory: Path) -> Finding:
    kind = _filesystem_type(directory)
    if kind in _VOLATILE:
        return Finding(
            WARNING,
            "file system",
            f"{kind}: in memory",
            "A restart of the machine loses everything, and syncs promise nothing here: "
            "good for tests only.",
        )
    if kind in _REMOTE:
        return Finding(
            WARNING,
            "file system",
            f"{kind}: on another machine",
            "Locks and syncs depend on that machine; use a local disk.",
        )
    return Finding(OK, "file system", kind)


def _filesystem_type(directory: Path) -> str:
    """From /proc/mounts: the longest mount point that the directory is under."""
    best, kind = -1, "unknown"
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    real = directory.resolve()
    for line in lines:
        _, point, found = line.split()[:3]
        if real.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), found
    return kind


def _free_space(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    fact = f"{free / config.GIB:.1f} GiB free"
    if free < _FREE_BYTES_MIN:
        return Finding(
            WARNING,
            "disk space",
            fact,
            "Three zones on one disk keep everything three times; a full disk refuses writes.",
        )
    return Finding(OK, "disk space", fact)


def _sync_time(directory: Path) -> Finding:
    """Median of small synced writes, as each acknowledged write needs one in every zone."""
    try:
        with tempfile.TemporaryFile(dir=directory) as scratch:
            elapsed_ms = [
                _timed_ms(lambda: _write_and_sync(scratch.fileno())) for _ in range(_SYNC_SAMPLES)
            ]
    except OSError as error:
        return Finding(
            FAILED,
            "disk sync",
            f"cannot write in {directory}: {error.strerror}",
            "Name another directory with --data, or give this user the right to write there.",
        )
    median_ms = statistics.median(elapsed_ms)
    fact = f"4 KiB written and synced in {median_ms:.2f} ms"
    if median_ms > _SYNC_MS_SLOW:
        return Finding(WARNING, "disk sync", fact, "Writes will be slow; use an SSD.")
    if median_ms < _SYNC_MS_IMPLAUSIBLE:
        return Finding(
            WARNING, "disk sync", fact, "No disk is this fast: the sync may not reach a medium."
        )
    return Finding(OK, "disk sync", fact)


def _write_and_sync(descriptor: int) -> None:
    os.write(descriptor, bytes(4096))
    os.fdatasync(descriptor)


def _timed_ms(function: Callable[[], None]) -> float:
    begun = time.perf_counter()
    function()
    return (time.perf_counter() - begun) * 1000


def _ports(data: Path, settings: config.Config) -> Iterator[Finding]:
    if data_directory.lock_holder(data):
        return  # our own cluster holds them
    server = settings.server
    shared = (("s3", server.s3_port), ("dynamodb", server.dynamodb_port))
    for name, port in (*shared, ("console", server.console_port)):
        try:
            reserved_ports.reserve(server.host, port, name).close()
        except config.ConfigError as error:
            yield Finding(FAILED, f"{name} port", f"{port} cannot be used", f"{error}.")
        else:
            yield Finding(OK, f"{name} port", f"{port} is free")
    first = server.grpc_port
    try:
        for reserved in reserved_ports.reserve_grpc(server.host, first, len(ZONES)):
            reserved.close()
    except config.ConfigError as error:
        yield Finding(FAILED, "grpc ports", f"{first} upward cannot be used", f"{error}.")
    else:
        yield Finding(OK, "grpc ports", f"{first} upward are free")


def _certificate(settings: config.Config) -> Iterator[Finding]:
    server = settings.server
    if not server.tls_certificate_file:
        return
    from cryptography import x509

    file = Path(server.tls_certificate_file)
    try:
        tls.server_context(str(file), server.tls_key_file)
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (config.ConfigError, OSError, ValueError) as error:
        advice = "Give a PEM certificate with its chain, and its key without a passphrase."
        yield Finding(FAILED, "certificate", str(error), advice)
        return
    fact = f"{file} is good until {ends:%Y-%m-%d}"
    days = (ends - datetime.now(UTC)).days
    if days >= _CERTIFICATE_DAYS_MIN:
        yield Finding(OK, "certificate", fact)
    else:
        state = WARNING if days >= 0 else FAILED
        yield Finding(state, "certificate", fact, "Renew it; running nodes take it up.")
