"""What `trilith recover` says that the last zone has: never more than somebody has looked at."""

from __future__ import annotations

from typing import Any

import pytest

from trilith.cli.recover import _as_json, _explain, _owed_in, _unseen
from trilith.cluster.recovery import Verdict

WHOLE = [Verdict(1, "n3", complete=True), Verdict(2, "n3", complete=True)]
OWED = {
    2: {
        "partition": 2,
        "chunks": 3,
        "objects": ["photos/cat.png"],
        "more": False,
        "rebuilding": False,
    }
}


def status(**facts: Any) -> dict[str, Any]:
    return {"zones": [{"name": "az3", "nodes": [{"id": "n3"}]}], "node_facts": {"n3": facts}}


def test_all_is_only_claimed_of_a_zone_that_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    _explain("az3", WHOLE, {})
    assert capsys.readouterr().out.endswith("it has everything that was ever acknowledged.\n")
    _explain("az3", WHOLE, None)
    assert "it has the log of everything" in capsys.readouterr().out


def test_chunks_that_the_zone_was_never_given_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    _explain("az3", WHOLE, OWED)
    told = capsys.readouterr().out
    assert "the log of everything that was ever acknowledged, but not all bytes of objects" in told
    assert "3 chunks of objects that az3 had not been given yet are lost" in told
    assert "partition 2: 3 of photos/cat.png\n" in told


def test_a_partition_without_all_its_chunks_is_not_complete() -> None:
    assert [_as_json(verdict, OWED)["complete"] for verdict in WHOLE] == [True, False]
    told = _as_json(WHOLE[1], OWED)
    assert (told["chunks_lacking"], told["objects"]) == (3, ["photos/cat.png"])
    assert _as_json(WHOLE[0], OWED)["chunks_lacking"] == 0
    assert _as_json(WHOLE[0], None)["chunks_lacking"] is None


def test_a_zone_whose_disk_is_filled_anew_is_not_complete(
    capsys: pytest.CaptureFixture[str],
) -> None:
    anew = {1: {"partition": 1, "chunks": 0, "objects": [], "more": False, "rebuilding": True}}
    told = _as_json(WHOLE[0], anew)
    assert (told["complete"], told["chunks_lacking"]) == (False, None)
    _explain("az3", WHOLE, anew)
    said = capsys.readouterr().out
    assert "is being filled anew: it may lack any chunk" in said
    assert "had not been given yet" not in said


def test_a_node_that_says_nothing_has_not_looked() -> None:
    assert _owed_in(None, "az3") is None
    assert _owed_in(status(), "az3") is None
    assert _owed_in(status(owed_chunks=None), "az3") is None
    assert _owed_in(status(owed_chunks=[]), "az3") == {}
    assert _owed_in(status(owed_chunks=[OWED[2]]), "az3") == OWED


def test_a_zone_that_runs_is_not_said_to_be_down_when_it_cannot_say_all() -> None:
    assert "does not run, or does not answer" in _unseen("az3", is_known=False, owed=None)
    assert _unseen("az3", is_known=True, owed=None).startswith("az3 runs, and cannot say now")
    assert _unseen("az3", is_known=True, owed=OWED) == ""
