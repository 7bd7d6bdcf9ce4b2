"""The tools themselves: a cut drops what was not synced, and a disk that lies is found out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .power_cut import MIB, Image, needs_images
from .storage_cuts import StorageRun

pytestmark = needs_images

LYING_CUTS_MAX = 12


def test_a_cut_drops_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    with Image(tmp_path, "disk", 64 * MIB) as image:
        synced, lazy = image.path / "synced", image.path / "lazy"
        with synced.open("wb") as file:
            file.write(b"synced" * 1000)
            file.flush()
            os.fsync(file.fileno())
        lazy.write_bytes(b"lazy" * 1000)
        image.cut()
        image.remount()
        assert synced.read_bytes() == b"synced" * 1000
        assert not lazy.exists()
    assert not image.path.is_mount()
    assert not image.file.exists()


def test_only_images_of_our_own_can_be_cut(tmp_path: Path) -> None:
    image = Image(tmp_path, "disk", 64 * MIB)
    with pytest.raises(RuntimeError, match="not an image of ours"):
        image.cut()
    image.remove()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_storage_on_a_disk_that_only_claims_to_sync_is_found_to_lose_data(tmp_path: Path) -> None:
    """Proof of the prover: without fdatasync the suite must fail."""
    lying = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync")
    lying += ("-e", "inject=fdatasync:retval=0")
    with (
        StorageRun(tmp_path, 3, prefix=lying) as run,
        Image(tmp_path, "disk", 600 * MIB) as image,
        pytest.raises(AssertionError, match=r"Corruption|Traceback"),
    ):
        run.cycles(image, LYING_CUTS_MAX)
