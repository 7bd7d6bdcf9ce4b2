"""File trees and bodies: made, and compared by content."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20


def copy_python_library(target: Path) -> Path:
    """The standard library of this Python without installed packages and caches."""
    source = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        source,
        target,
        ignore=shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__"),
        symlinks=False,
        ignore_dangling_symlinks=True,
    )
    return target


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(root: Path) -> dict[str, str]:
    """Relative path to SHA-256 of every file; empty directories do not count."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            found[path.relative_to(root).as_posix()] = digest_of_file(path)
    return found


def pattern_blocks(size: int, seed: int = 0) -> Iterator[bytes]:
    """`size` bytes in blocks of up to 1 MiB: incompressible, and no two 64 KiB runs alike.

    Cheap to make: one random block whose every 64 KiB is stamped with its position.
    """
    block = bytearray(random.Random(seed).randbytes(MIB))
    for start in range(0, size, MIB):
        for offset in range(0, MIB, 1 << 16):
            block[offset : offset + 8] = (start + offset).to_bytes(8, "big")
        yield bytes(block[: min(MIB, size - start)])


def write_pattern(path: Path, size: int, seed: int = 0) -> str:
    """Fills a file with `pattern_blocks`; its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in pattern_blocks(size, seed):
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


def random_bytes(size: int, seed: int = 0) -> bytes:
    """The same `size` bytes for the same seed."""
    return random.Random(seed).randbytes(size)
