"""Bearer tokens of the gRPC services: short-lived JWTs, signed with an access key's secret.

    {"alg": "HS256", "kid": <access key>}  {"sub": <access key>, "aud": "trilith.wire.v1",
                                            "iat": seconds, "exp": seconds}

Whoever knows an access key makes them; nothing is stored. A token is good for MAX_LIFETIME_S at
most, so that one that leaks is soon worthless. Sources: RFC 7519, RFC 8725 (one algorithm, the
audience checked, the key found by what is signed).
"""

from __future__ import annotations

import warnings
from collections import OrderedDict

import jwt

from trilith.errors import Unauthenticated
from trilith.iam.credentials import Credential, CredentialSource, Identity
from trilith.runtime.clock import Clock

AUDIENCE = "trilith.wire.v1"
ALGORITHM = "HS256"
LIFETIME_S = 300
MAX_LIFETIME_S = 900
LEEWAY_S = 30  # clocks differ
TOKEN_BYTES_MAX = 4096
_CACHED_MAX = 1024
# How long a secret is was decided when it was made.
warnings.filterwarnings("ignore", message="The HMAC key is", module="jwt")
_REQUIRED = ("sub", "aud", "iat", "exp")


def issue(access_key: str, secret_key: str, now_s: int) -> str:
    """A token of an access key, good from now on for LIFETIME_S."""
    claims = {"sub": access_key, "aud": AUDIENCE, "iat": now_s, "exp": now_s + LIFETIME_S}
    return jwt.encode(claims, secret_key, ALGORITHM, {"kid": access_key})


class BearerTokens:
    """Verifies tokens. A good one is remembered until it expires: clients use it for many calls."""

    def __init__(self, credentials: CredentialSource, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._verified: OrderedDict[str, tuple[Credential, int]] = OrderedDict()

    def verify(self, header: str | bytes | None) -> Identity:
        """Who is behind an `authorization` value. Raises Unauthenticated, with what to do."""
        if header is None:
            raise Unauthenticated(
                "no bearer token: send `authorization: Bearer <JWT>`, signed with the secret key "
                "of an access key; trilith.connect(access_key=..., secret_key=...) does"
            )
        scheme, _, token = str(header).partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_BYTES_MAX:
            raise Unauthenticated("`authorization` is not of the form `Bearer <JWT>`")
        now_s = self._clock.wall_ms() / 1000
        held = self._verified.get(token)
        if held is not None:
            credential, expires_s = held
            identity = credential.identity
            if (
                now_s <= expires_s + LEEWAY_S
                and self._credentials.find(identity.access_key_id) is credential
            ):
                return identity
            del self._verified[token]
        credential, expires_s = self._decode(token, now_s)
        self._verified[token] = credential, expires_s
        if len(self._verified) > _CACHED_MAX:
            self._verified.popitem(last=False)
        return credential.identity

    def _decode(self, token: str, now_s: float) -> tuple[Credential, int]:
        try:
            named = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            raise Unauthenticated("the bearer token is no JWT") from None
        credential = self._credentials.find(named) if isinstance(named, str) else None
        if credential is None or credential.session_token is not None:
            raise Unauthenticated("the bearer token names no access key of this cluster (`kid`)")
        claims = _checked(token, credential.secret_key)
        issued_s, expires_s = claims["iat"], claims["exp"]
        if claims["sub"] != named:
            raise Unauthenticated("the bearer token's `sub` is not its `kid`")
        if expires_s - issued_s > MAX_LIFETIME_S:
            raise Unauthenticated(
                f"the bearer token is good for longer than {MAX_LIFETIME_S} s: make a new one for "
                "each few minutes"
            )
        if issued_s > now_s + LEEWAY_S:
            raise Unauthenticated("the bearer token is from the future: compare the clocks")
        if expires_s + LEEWAY_S < now_s:
            raise Unauthenticated(
                "the bearer token has expired: make a new one, and compare the clocks"
            )
        return credential, expires_s


def _checked(token: str, secret_key: str) -> dict[str, int]:
    """The claims of a token with a good signature. Times are the caller's to check."""
    options = {
        "require": list(_REQUIRED),
        "verify_exp": False,  # by our clock, not by the library's
        "verify_iat": False,
        "verify_nbf": False,
    }
    try:
        claims = jwt.decode(
            token,
            secret_key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options=options,  # type: ignore[arg-type]
        )
    except jwt.InvalidSignatureError:
        raise Unauthenticated("the bearer token is not signed with the secret key") from None
    except jwt.InvalidAudienceError:
        raise Unauthenticated(f"the bearer token's `aud` is not {AUDIENCE!r}") from None
    except jwt.MissingRequiredClaimError as error:
        raise Unauthenticated(f"the bearer token has no `{error.claim}`") from None
    except jwt.InvalidTokenError as error:
        raise Unauthenticated(f"the bearer token is not good: {error}") from None
    for name in ("iat", "exp"):
        if type(claims[name]) is not int:
            raise Unauthenticated(f"the bearer token's `{name}` is no whole number of seconds")
    return claims
