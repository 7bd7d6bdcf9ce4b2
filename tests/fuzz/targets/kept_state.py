"""What nodes and the coordinator keep beside the data: identities, settings, rows, small files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.fuzz.target import Choices, target
from tests.storage.recorded_disk import DiskEvent, RecordedDisk
from tests.storage.recorded_runtime import recorded_runtime

from trilith.cluster import membership, settings
from trilith.errors import DataDirectoryUnusable
from trilith.node import directory
from trilith.node.quarantine import FILE, Damage, Entry, Quarantine, _digest_of, _File
from trilith.replication import descriptor, ranges
from trilith.runtime.entropy import SystemEntropy
from trilith.supervisor import data_directory, earlier_run
from trilith.undecodable import UNDECODABLE

DEEP = b"[" * 1500
ENTRIES = [
    Entry(kind=Damage.CHUNK, id="ab" * 32, since_ms=1, why="no zone has a good copy"),
    Entry(kind=Damage.ITEM, id="00" * 20, since_ms=2, why="damaged", objects=("things {p: a}",)),
]
LISTED = msgspec.json.encode(_File(entries=ENTRIES, digest=_digest_of(ENTRIES)))
NODE = msgspec.json.encode(
    directory.NodeIdentity(format_version=1, node_id="a", zone="az1", disk_id="d")
)

# What reads a row of the coordinator or a record of the store, and writes it.
Row = tuple[Callable[[bytes], Any], Callable[[Any], bytes]]
ROWS: tuple[Row, ...] = (
    (membership._decoder.decode, msgspec.json.encode),
    (settings._decoder.decode, msgspec.json.encode),
    (descriptor.decode, descriptor.encode),
    (ranges.decode_range, ranges.encode_range),
)


@target(
    words=(
        DEEP,
        b'["a","az1","127.0.0.1:1","active",1,"",["merges"]]',
        b'{"gc_grace_seconds":1,"lease_duration_ms":1,"clock_drift_margin_ms":1,"run":""}',
        b"\x92\xc4\x01a\xc4\x01b",
        b"\\ud800",
        b"\xff",
    )
)
def kept_rows(data: bytes) -> None:
    """A row is what was written, or one of the errors that its reader documents."""
    choices = Choices(data)
    decode, encode = choices.pick(ROWS)
    try:
        found = decode(choices.rest())
    except UNDECODABLE:
        return
    assert decode(encode(found)) == found


def _damaged(choices: Choices, whole: bytes) -> bytes:
    """Other bytes, or the file's own with some of them changed."""
    if choices.flag():
        return choices.rest()
    image = bytearray(whole)
    for _ in range(choices.integer(1, 3)):
        place = choices.integer(0, len(image) - 1)
        image[place] ^= choices.integer(0, 255)
    return bytes(image)


def _disk_with(name: str, content: bytes) -> RecordedDisk:
    disk = RecordedDisk(record=False)
    disk.apply(DiskEvent("replace", name, data=content))
    return disk


@target(words=(NODE, LISTED, b'"format_version":1', DEEP, b"\xff"))
def node_files(data: bytes) -> None:
    """A node's identity is read or refused by name; a damaged list of damage names nothing."""
    choices = Choices(data)
    is_identity = choices.flag()
    content = _damaged(choices, NODE if is_identity else LISTED)
    if is_identity:
        disk = _disk_with(directory.IDENTITY_FILE, content)
        try:
            found = directory.open_identity(disk, SystemEntropy(), node_id=None, zone="az1")
        except DataDirectoryUnusable:
            return
        assert found.zone == "az1"
        return
    told: list[str] = []
    disk = _disk_with(FILE, content)
    kept = Quarantine(recorded_runtime(disk), lambda event, **_: told.append(event)).entries()
    if b'"digest"' in content and kept:
        assert kept == ENTRIES, kept


@target(
    words=(
        b'{"access_key":"a","secret_key":"b"}',
        b'{"format":1,"cluster_id":"c","nodes":{"az1":{"node_id":"a","peer_port":0}}}',
        b'{"az1":[1,"2"]}',
        b'"format":999',
        DEEP,
        b"\xff",
    )
)
def supervisor_files(data: bytes) -> None:
    """A supervisor starts with a file, says that it is damaged, or takes it for none."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        path = Path(name)
        for file in ("credentials.json", data_directory.FORMAT_FILE, earlier_run.RECORD_FILE):
            (path / file).write_bytes(data)
        for read in (data_directory.read_credentials, data_directory.read_format):
            try:
                read(path)
            except DataDirectoryUnusable:
                continue
        assert earlier_run.survivors(path) == {}
