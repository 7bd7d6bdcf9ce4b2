"""Every known input of every fuzz target, without a fuzzer: bugs once found stay fixed."""

from __future__ import annotations

import pytest
from tests.fuzz.session import load_targets, replay

TARGETS = load_targets()
CORPUS_FILE_BYTES_MAX = 4096


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_finds_nothing_in_its_corpus_nor_in_nothing(name: str) -> None:
    TARGETS[name].check(b"")
    replay(TARGETS[name], TARGETS[name].seeds())


def test_the_corpora_are_small_and_belong_to_targets() -> None:
    for chosen in TARGETS.values():
        for seed in chosen.seeds():
            assert seed.stat().st_size <= CORPUS_FILE_BYTES_MAX, seed
    folders = {folder.name for folder in next(iter(TARGETS.values())).corpus.parent.iterdir()}
    assert folders <= set(TARGETS)
