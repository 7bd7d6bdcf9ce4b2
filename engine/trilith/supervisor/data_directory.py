"""The data directory of `trilith serve`: what is in it, whose it is, and who uses it now.

    DATA/trilith.json        format version, cluster id, each zone's node id and peer port
    DATA/credentials.json    the generated root access key (0600)
    DATA/root.key            32 random bytes in hex: wraps every other key (0600)
    DATA/control.token       bearer token of the nodes' /v1 API (0600)
    DATA/control.sock        where `trilith status` and `trilith zone` reach the supervisor (0600)
    DATA/effective.toml      the configuration that the nodes run with
    DATA/supervisor.lock     held while a supervisor runs; contains its pid
    DATA/coordinator.sqlite3 cluster map and partition descriptors
    DATA/logs/               the nodes' logs
    DATA/az1/ az2/ az3/      the zones' data, one node each

Losing `root.key` makes every stored body unreadable: a backup of the directory needs it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Self

import msgspec

from trilith.errors import DataDirectoryUnusable
from trilith.node_options import ZONES, Credentials
from trilith.supervisor.small_files import sync_directory, write_private
from trilith.undecodable import UNDECODABLE

FORMAT_VERSION = 1
FORMAT_FILE = "trilith.json"
LOCK_FILE = "supervisor.lock"
# What may lie in a directory that is still new to us: a start that was cut short, a mount point, or
# the zones' own disks, mounted below it before the first start.
_UNSUSPICIOUS = {LOCK_FILE, "lost+found", *ZONES}
# RFC 4648 base32 without padding, as AWS access keys look; the secret has 240 random bits.
_ACCESS_KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class NodeIdentity(msgspec.Struct):
    """A zone's node: the same for as long as its directory lives."""

    id: str
    peer_port: int


class Format(msgspec.Struct, kw_only=True):
    """`trilith.json`."""

    format: int
    cluster_id: str
    nodes: dict[str, NodeIdentity]


class DataDirectory:
    """An open and locked data directory. Raises DataDirectoryUnusable where it cannot be used."""

    def __init__(self, path: Path, lock: int, contents: Format) -> None:
        self.path = path
        self._lock = lock
        self._contents = contents

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make or open the directory and lock it against a second supervisor."""
        path = path.absolute()
        refuse_foreign(path)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _lock(path)
        except OSError as error:
            raise DataDirectoryUnusable(
                f"cannot use {path} as data directory: {error.strerror}"
            ) from error
        try:
            contents = read_format(path)
            if contents is None:
                contents = _new_format()
                write_private(path / FORMAT_FILE, _pretty(contents))
            sync_directory(path.parent)
            for name in ("logs", *ZONES):
                (path / name).mkdir(mode=0o700, exist_ok=True)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock, contents)

    def close(self) -> None:
        """Let the next supervisor in."""
        os.close(self._lock)

    @property
    def cluster_id(self) -> str:
        return self._contents.cluster_id

    def node(self, zone: str) -> NodeIdentity:
        return self._contents.nodes[zone]

    def remember_peer_port(self, zone: str, port: int) -> None:
        """Keep the zone's peer port for later starts."""
        if self._contents.nodes[zone].peer_port != port:
            self._contents.nodes[zone].peer_port = port
            write_private(self.path / FORMAT_FILE, _pretty(self._contents))

    @property
    def credentials_file(self) -> Path:
        return self.path / "credentials.json"

    @property
    def root_key_file(self) -> Path:
        return self.path / "root.key"

    @property
    def control_token_file(self) -> Path:
        return self.path / "control.token"

    @property
    def control_socket(self) -> Path:
        return control_socket(self.path)

    @property
    def effective_config_file(self) -> Path:
        return self.path / "effective.toml"

    @property
    def coordinator_file(self) -> str:
        return f"{self.path}/coordinator.sqlite3"

    @property
    def coordinator_url(self) -> str:
        return f"sqlite://{self.coordinator_file}"

    def zone_directory(self, zone: str) -> Path:
        return self.path / zone

    def log_file(self, zone: str) -> Path:
        """Events and requests, as the node writes them."""
        return self.path / "logs" / f"{zone}.log"

    def output_file(self, zone: str) -> Path:
        """What the node's process prints: tracebacks of a crash."""
        return self.path / "logs" / f"{zone}.out"

    def ensure_root_key(self) -> None:
        """Make the root key on the first start; later, refuse a directory that lost it."""
        file = self.root_key_file
        if file.exists():
            return
        if any((self.zone_directory(zone) / "node.json").exists() for zone in ZONES):
            raise DataDirectoryUnusable(
                f"{file} is missing but {self.path} holds data, which cannot be read without it: "
                "restore the file from a backup"
            )
        write_private(file, secrets.token_hex(32) + "\n")

    def ensure_control_token(self) -> str:
        if not self.control_token_file.exists():
            write_private(self.control_token_file, secrets.token_urlsafe(32) + "\n")
        return self.control_token_file.read_text("ascii").strip()

    def ensure_credentials(self) -> tuple[Credentials, bool]:
        """The kept root credentials, and whether they were generated just now."""
        kept = read_credentials(self.path)
        if kept is not None:
            return kept, False
        access_key = "TRL" + "".join(secrets.choice(_ACCESS_KEY_ALPHABET) for _ in range(17))
        generated = Credentials(access_key, secrets.token_hex(30))
        write_private(
            self.credentials_file,
            _pretty({"access_key": generated.access_key, "secret_key": generated.secret_key}),
        )
        return generated, True


def control_socket(data: Path) -> Path:
    return data / "control.sock"


def refuse_foreign(path: Path) -> None:
    """A directory that holds someone else's files is left exactly as it is."""
    if not path.exists():
        return
    if not path.is_dir():
        raise DataDirectoryUnusable(f"{path} is a file; --data must name a directory")
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise DataDirectoryUnusable(f"cannot read {path}: {error.strerror}") from error
    if FORMAT_FILE not in names and names - _UNSUSPICIOUS:
        example = sorted(names - _UNSUSPICIOUS)[0]
        raise DataDirectoryUnusable(
            f"{path} is not a Trilith data directory and is not empty (it holds {example!r}): "
            "name an empty or a new directory with --data"
        )


def read_format(path: Path) -> Format | None:
    """`trilith.json`, or None where there is none. Refuses a newer format and a damaged file."""
    file = path / FORMAT_FILE
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataDirectoryUnusable(f"cannot read {file}: {error.strerror}") from error
    try:
        # The version alone first: a newer format may have other fields.
        found = msgspec.json.decode(content, type=dict[str, object]).get("format")
        if isinstance(found, int) and found > FORMAT_VERSION:
            raise DataDirectoryUnusable(
                f"{path} has format {found}; this version of Trilith reads up to format "
                f"{FORMAT_VERSION}: use the newer Trilith that wrote it"
            )
        contents = msgspec.json.decode(content, type=Format)
    except UNDECODABLE as error:
        raise DataDirectoryUnusable(
            f"{file} is damaged ({error}): restore it from a backup; the data itself may be intact"
        ) from error
    if contents.format < 1 or set(contents.nodes) != set(ZONES):
        raise DataDirectoryUnusable(f"{file} does not describe a cluster of {', '.join(ZONES)}")
    return contents


def read_credentials(path: Path) -> Credentials | None:
    """The generated root credentials of a data directory, or None where there are none."""
    file = path / "credentials.json"
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
        return Credentials(kept["access_key"], kept["secret_key"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataDirectoryUnusable(f"cannot read {file}: {error.strerror}") from error
    except (*UNDECODABLE, KeyError) as error:
        raise DataDirectoryUnusable(
            f"{file} is damaged: restore it, or remove it to get new root credentials"
        ) from error


def lock_holder(path: Path) -> int | None:
    """The pid of the supervisor that uses the directory now, or None."""
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in(descriptor)
    finally:
        os.close(descriptor)
    return None


def _lock(path: Path) -> int:
    descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _pid_in(descriptor)
        os.close(descriptor)
        raise DataDirectoryUnusable(
            f"{path} is in use by another `trilith serve` (pid {holder}): stop that one first, "
            "or name another directory with --data"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def _pid_in(descriptor: int) -> int:
    digits = os.pread(descriptor, 32, 0).strip()
    return int(digits) if digits.isdigit() else 0


def _new_format() -> Format:
    nodes = {zone: NodeIdentity(f"{zone}-{secrets.token_hex(4)}", 0) for zone in ZONES}
    return Format(format=FORMAT_VERSION, cluster_id=secrets.token_hex(16), nodes=nodes)


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
