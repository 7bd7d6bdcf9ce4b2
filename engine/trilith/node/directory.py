"""A node's own directory: who it is, that nobody else uses it, and which format it has.

`node.json` names the node, its zone and its disk. The disk's id is random and made with the
directory: a node that comes back with another one has lost its data, and must not speak for the
replicas that it was (Protocol-Aware Recovery, FAST '18).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import msgspec

from trilith.errors import DataDirectoryUnusable
from trilith.runtime.disk import Disk
from trilith.runtime.entropy import Entropy
from trilith.undecodable import UNDECODABLE

FORMAT_VERSION = 1
IDENTITY_FILE = "node.json"
LOCK_FILE = "LOCK"
DAMAGED_FILE = "store.damaged"  # the ordered store is to be set aside at the next start
ASIDE = "aside"


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of node.json."""

    format_version: int
    node_id: str
    zone: str
    disk_id: str


class DirectoryLock:
    """An exclusive lock that ends with the process.

    Raises DataDirectoryUnusable when it is held.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / LOCK_FILE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise DataDirectoryUnusable(
                f"{directory} is in use by another process (pid {holder or 'unknown'})"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def mark_store_damaged(disk: Disk, why: str) -> None:
    """The next start sets the store aside, and the node is rebuilt from its peers."""
    disk.write_small(DAMAGED_FILE, why.encode())


def set_damaged_store_aside(directory: Path, *, at_once: bool = False) -> bool:
    """Move the ordered store and the journal out of the way if the store was marked as damaged.

    Chunks stay: each is verified when it is read. Without its journal the node counts as one that
    lost its disk (`open_identity`). What is set aside is kept, once, for an operator. `at_once`:
    without a mark. Whether something was moved.
    """
    mark = directory / DAMAGED_FILE
    if not (at_once or mark.exists()):
        return False
    aside = directory / ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for name in ("journal", "store"):  # the journal first: it is what makes us the old replica
        if (directory / name).exists():
            (directory / name).rename(aside / name)
    mark.unlink(missing_ok=True)
    return True


def open_identity(disk: Disk, entropy: Entropy, *, node_id: str | None, zone: str) -> NodeIdentity:
    """Read the directory's identity, or make one. Raises DataDirectoryUnusable."""
    if disk.exists(IDENTITY_FILE):
        identity = _read(disk, node_id=node_id, zone=zone)
        if disk.list("journal"):
            return identity
        # The journal is gone though the node was here before: as good as another disk.
        return _write(disk, entropy, node_id=identity.node_id, zone=zone)
    names = set(disk.list("")) - {LOCK_FILE}
    if names & {"journal", "store", "chunks"}:
        raise DataDirectoryUnusable(
            f"the directory holds data but no {IDENTITY_FILE}: it was not written by this version"
        )
    made_id = node_id or f"{zone}-{entropy.token_bytes(4).hex()}"
    return _write(disk, entropy, node_id=made_id, zone=zone)


def _write(disk: Disk, entropy: Entropy, *, node_id: str, zone: str) -> NodeIdentity:
    identity = NodeIdentity(
        format_version=FORMAT_VERSION,
        node_id=node_id,
        zone=zone,
        disk_id=entropy.token_bytes(8).hex(),
    )
    disk.write_small(IDENTITY_FILE, msgspec.json.encode(identity))
    return identity


def _read(disk: Disk, *, node_id: str | None, zone: str) -> NodeIdentity:
    try:
        raw = disk.read_small(IDENTITY_FILE)
        version = msgspec.json.decode(raw).get("format_version")
    except (*UNDECODABLE, AttributeError) as error:
        raise DataDirectoryUnusable(f"{IDENTITY_FILE} is damaged: {error}") from error
    if version != FORMAT_VERSION:
        raise DataDirectoryUnusable(
            f"the directory has format {version}, this version reads {FORMAT_VERSION}: "
            "start it with the version that wrote it, or a newer one"
        )
    try:
        identity = msgspec.json.decode(raw, type=NodeIdentity)
    except UNDECODABLE as error:
        raise DataDirectoryUnusable(f"{IDENTITY_FILE} is damaged: {error}") from error
    if identity.zone != zone or node_id not in (None, identity.node_id):
        raise DataDirectoryUnusable(
            f"the directory belongs to node {identity.node_id} of zone {identity.zone}, "
            f"not to {node_id or 'a new node'} of zone {zone}"
        )
    return identity
