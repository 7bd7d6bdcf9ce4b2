"""Bearer tokens: good ones name their key, all others are refused with what to do."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from trilith.errors import Unauthenticated
from trilith.iam.bearer_tokens import AUDIENCE, LIFETIME_S, BearerTokens, issue
from trilith.iam.credentials import StaticCredentials, root_credential

ACCESS, SECRET = "AKIDEXAMPLE", "a-secret-of-more-than-32-characters"
NOW_S = 1_800_000_000


class _Clock:
    now_s = float(NOW_S)

    def wall_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic(self) -> float:
        return self.now_s


def _tokens(clock: _Clock | None = None) -> BearerTokens:
    return BearerTokens(StaticCredentials([root_credential(ACCESS, SECRET)]), clock or _Clock())


def _made(
    *, secret: str = SECRET, algorithm: str = "HS256", kid: Any = ACCESS, **claims: Any
) -> str:
    good = {"sub": ACCESS, "aud": AUDIENCE, "iat": NOW_S, "exp": NOW_S + 60}
    chosen = {name: value for name, value in (good | claims).items() if value is not None}
    return "Bearer " + jwt.encode(chosen, secret, algorithm, {"kid": kid})


def test_a_token_of_an_access_key_names_it_again_and_again() -> None:
    tokens = _tokens()
    header = f"Bearer {issue(ACCESS, SECRET, NOW_S)}"
    assert tokens.verify(header).access_key_id == ACCESS
    assert tokens.verify(header) is tokens.verify(header)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "no bearer token"),
        ("Basic abc", "Bearer <JWT>"),
        ("Bearer abc", "no JWT"),
        ("Bearer " + "a" * 5000, "Bearer <JWT>"),
        (_made(secret="another-secret-of-more-than-32-chars"), "not signed"),
        (_made(kid="somebody"), "no access key"),
        (_made(sub="somebody"), "`sub`"),
        (_made(aud="another service"), "`aud`"),
        (_made(exp=None), "`exp`"),
        (_made(iat=None), "`iat`"),
        (_made(exp=NOW_S - 60), "expired"),
        (_made(exp=NOW_S + 100_000), "longer than"),
        (_made(iat=NOW_S + 600, exp=NOW_S + 700), "future"),
        (_made(iat=NOW_S + 0.5), "whole number"),
        (_made(algorithm="HS512", secret=SECRET * 2), "not good"),
        ("Bearer " + jwt.encode({"sub": ACCESS}, None, "none", {"kid": ACCESS}), "not good"),
    ],
)
def test_any_other_token_is_refused_with_the_reason(header: str | None, said: str) -> None:
    with pytest.raises(Unauthenticated, match=said):
        _tokens().verify(header)


def test_a_token_that_was_verified_before_still_expires() -> None:
    clock = _Clock()
    tokens = _tokens(clock)
    header = f"Bearer {issue(ACCESS, SECRET, NOW_S)}"
    tokens.verify(header)
    clock.now_s += LIFETIME_S + 60
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(header)
