"""Every known input of every fuzz target, without a fuzzer: bugs once found stay fixed."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from tests.fuzz.session import load_targets, replay
from tests.fuzz.targets.records import CODECS

import trilith
from trilith.record_codec import RecordCodec

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


def test_every_kind_of_record_is_fuzzed() -> None:
    found = set()
    for module in pkgutil.walk_packages(trilith.__path__, "trilith."):
        if not module.name.startswith(("trilith.wire", "trilith.__main__")):
            names = vars(importlib.import_module(module.name))
            found |= {one for one in names.values() if isinstance(one, RecordCodec)}
    assert found == set(CODECS)
