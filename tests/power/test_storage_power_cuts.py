"""A node's storage loses its power hundreds of times; what was acknowledged is there each time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .power_cut import MIB, Image, needs_images
from .storage_cuts import StorageRun

pytestmark = needs_images

IMAGE_BYTES = 600 * MIB
CUTS_PER_IMAGE = 25
# `writeback`: the file system may show stale blocks behind what was synced.
MOUNT_OPTIONS = ("", "data=writeback", "", "noatime,data=writeback,commit=1")
SEED = int(os.environ.get("TRILITH_POWER_SEED", "1"))
CUTS = int(os.environ.get("TRILITH_POWER_CUTS", "200"))


def cut_many(folder: Path, *, cuts: int, seed: int) -> None:
    with StorageRun(folder, seed) as run:
        done = entries = chunks = 0
        for number in range(-(-cuts // CUTS_PER_IMAGE)):
            options = MOUNT_OPTIONS[number % len(MOUNT_OPTIONS)]
            run.new_image()
            with Image(folder, f"disk{number}", IMAGE_BYTES, options=options) as image:
                now = min(CUTS_PER_IMAGE, cuts - done)
                run.cycles(image, now + 1)  # the last one verifies what the others left
                done += now
            entries += run.known.entry
            chunks += len(run.known.chunks)
        print(
            f"{done} power cuts, {run.cuts_before_ready} of them during recovery: "
            f"{entries} entries and {chunks} chunks acknowledged, none lost"
        )
        assert entries > cuts
        assert chunks > cuts / 2


def test_a_few_power_cuts_lose_nothing_acknowledged(tmp_path: Path) -> None:
    cut_many(tmp_path, cuts=12, seed=SEED)


@pytest.mark.load
def test_hundreds_of_power_cuts_lose_nothing_acknowledged(tmp_path: Path) -> None:
    cut_many(tmp_path, cuts=CUTS, seed=SEED + 1)
