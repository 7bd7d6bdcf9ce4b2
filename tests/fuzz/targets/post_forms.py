"""Forms that browsers upload with, and their policies: split invariance, and only S3's errors."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import MutableMapping
from typing import Any

import msgspec
from tests.fuzz.target import Choices, pieces_of, target
from tests.fuzz.targets.s3_requests import AUTHENTICATOR, CREDENTIAL, KEY, SCOPE

from trilith.s3 import sigv2
from trilith.s3.errors import S3Error
from trilith.s3.post_form import PostForm, boundary_of
from trilith.s3.post_policy import check_policy

NOW_MS = 1_800_000_000_000
BYTES_MAX = 1 << 20
# Fields, the file's name, the file; and how it ended: "" or the code of an error.
Result = tuple[list[tuple[str, str]], str, bytes, str]


def read_form(boundary: bytes, pieces: list[bytes]) -> Result:
    """As an upload would read it."""
    left = list(pieces)

    async def receive() -> MutableMapping[str, Any]:
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def read() -> Result:
        fields: list[tuple[str, str]] = []
        filename, file = "", b""
        form = PostForm(receive, boundary)
        try:
            fields, filename = await form.read_fields()
            form.expect(0, BYTES_MAX, None)
            while run := await form.read():
                file += run
        except S3Error as error:
            return fields, filename, file, error.code
        assert form.file_bytes == len(file)
        return fields, filename, file, ""

    return asyncio.run(read())


@target(
    words=(
        b"\r\n--x\r\n",
        b"\r\n--x--\r\n",
        b'Content-Disposition: form-data; name="',
        b'name="file"; filename="',
        b"filename*=utf-8''",
        b"\r\n\r\n",
    )
)
def post_form_bodies(data: bytes) -> None:
    """Any bytes, in any pieces, are the same form or the same refusal."""
    wire = b"--x\r\n" + data if data[:1] != b"-" else data
    whole = read_form(b"x", [wire])
    for pieces in (list(pieces_of(wire)), [wire[i : i + 1] for i in range(len(wire))]):
        fields, filename, file, end = read_form(b"x", pieces)
        assert (fields, filename, end) == (whole[0], whole[1], whole[3])
        assert end or file == whole[2]


@target()
def post_forms_as_sent(data: bytes) -> None:
    """What a browser sends is read: the fields in order, and every byte of the file."""
    choices = Choices(data)
    fields = []
    for number in range(choices.integer(0, 5)):
        value = choices.text(40)
        if "\r\n--x" not in f"\r\n{value}":
            fields.append((f"field{number}", value))
    file = choices.rest()
    if b"\r\n--x" in b"\r\n" + file:
        return
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
    wire = b"".join(parts) + head + b"Content-Type: text/plain\r\n\r\n" + file + b"\r\n--x--\r\n"
    for pieces in ([wire], list(pieces_of(wire))):
        assert read_form(b"x", pieces) == (fields, "f", file, "")


@target(
    words=(
        b'{"expiration":"2027-06-01T00:00:00Z","conditions":[',
        b'["starts-with","$key",""]',
        b'["eq","$bucket","b"]',
        b'["content-length-range",0,10]',
        b'{"key":"k"}',
        b"]}",
    )
)
def post_policies(data: bytes) -> None:
    """Any document allows a form or refuses it by name; one that allows names every field."""
    fields = {"bucket": "b", "key": "k", "policy": "p", "x-amz-meta-z": "1"}
    for encoded in (b64encode(data).decode(), data.decode("utf-8", "replace")):
        code = ""
        try:
            lengths = check_policy(encoded, fields, NOW_MS, BYTES_MAX)
        except S3Error as error:
            code = error.code
        assert code in ("", "AccessDenied", "InvalidPolicyDocument")
        if not code:
            assert lengths.bytes_max <= BYTES_MAX
            conditions = msgspec.json.decode(b64decode(encoded))["conditions"]
            named = str(conditions).lower()
            assert all(name in named for name in ("bucket", "key", "x-amz-meta-z"))


@target(words=(b"multipart/form-data; boundary=", b'"', b"boundary*0=", b"utf-8''"))
def post_form_boundaries(data: bytes) -> None:
    """Any Content-Type names a boundary that a form can have, or is refused."""
    code = ""
    try:
        boundary = boundary_of(data.decode("latin-1"))
    except S3Error as error:
        code, boundary = error.code, b"x"
    assert code in ("", "PreconditionFailed", "MalformedPOSTRequest")
    assert 1 <= len(boundary) <= 70


FIELDS_OF_SIGNATURES = (
    "policy",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-signature",
    "x-amz-security-token",
    "awsaccesskeyid",
    "signature",
)


@target(words=(b"AWS4-HMAC-SHA256", f"AKIA/{SCOPE}".encode(), b"20260101T000000Z", b"AKIA"))
def post_form_signatures(data: bytes) -> None:
    """A form whose policy is signed is let in, by either version; one that is not never is."""
    choices = Choices(data)
    policy = b64encode(choices.blob(60)).decode()
    signed = [
        {
            "policy": policy,
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": f"AKIA/{SCOPE}",
            "x-amz-date": "20260101T000000Z",
            "x-amz-signature": KEY.sign(policy.encode()),
        },
        {
            "policy": policy,
            "awsaccesskeyid": "AKIA",
            "signature": sigv2.signature(CREDENTIAL.secret_key, policy.encode()),
        },
    ][choices.integer(0, 1)]
    assert AUTHENTICATOR.authenticate_form(signed).identity == CREDENTIAL.identity
    name, other = choices.pick(FIELDS_OF_SIGNATURES), choices.text(80)
    if choices.flag():
        changed = {key: value for key, value in signed.items() if key != name}
    else:
        changed = {**signed, name: other}
    kept = changed == signed or name not in signed
    try:
        AUTHENTICATOR.authenticate_form(changed)
    except S3Error as error:
        error.to_xml("1", "2", "/bucket")
        return
    # Nothing but the policy is signed; its names are of who signed it, and when, to the day.
    assert kept or name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date"), changed
