"""Bucket naming rules."""

from __future__ import annotations

import pytest

from trilith.s3.names import is_bucket_name


@pytest.mark.parametrize("name", ["abc", "a" * 63, "my.bucket-1", "1bucket", "192.168.1"])
def test_names_that_follow_the_rules_are_accepted(name: str) -> None:
    assert is_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 64,
        "Upper",
        "under_score",
        "-abc",
        "abc-",
        ".abc",
        "abc.",
        "a..b",
        "192.168.1.1",
        "xn--abc",
        "sthree-abc",
        "abc-s3alias",
        "abc--ol-s3",
        "bücket",
        "a b",
        "a\nb",
    ],
)
def test_names_that_break_a_rule_are_refused(name: str) -> None:
    assert not is_bucket_name(name)
