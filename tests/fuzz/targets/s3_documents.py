"""XML that clients send to S3, and the places where its listings go on."""

from __future__ import annotations

import hashlib
import string
from base64 import b64encode
from xml.etree.ElementTree import Element, fromstring

from tests.fuzz.target import Choices, target
from tests.fuzz.targets.s3_requests import CREDENTIAL, LOOP, Exchange, ask, begin, signed

from trilith.s3.app import S3App

UPLOAD_ID = b"{uploadId}"
# The requests that have a document, and what is asked afterwards.
DOCUMENTS = (
    (b"PUT /other", b"GET /other?location"),
    (b"POST /bucket?delete", b"GET /bucket?list-type=2"),
    (b"POST /bucket/big?uploadId=" + UPLOAD_ID, b"GET /bucket/big"),
    (b"PUT /bucket/old?tagging", b"GET /bucket/old?tagging"),
    (b"PUT /bucket?tagging", b"GET /bucket?tagging"),
    (b"PUT /bucket?versioning", b"GET /bucket?versioning"),
    (b"PUT /bucket?encryption", b"GET /bucket?encryption"),
    (b"PUT /bucket?publicAccessBlock", b"GET /bucket?publicAccessBlock"),
    (b"PUT /bucket?ownershipControls", b"GET /bucket?ownershipControls"),
    (b"PUT /bucket?requestPayment", b"GET /bucket?requestPayment"),
    (b"PUT /bucket?accelerate", b"GET /bucket?accelerate"),
    (b"PUT /bucket?acl", b"GET /bucket?acl"),
    (b"PUT /bucket?cors", b"GET /bucket?cors"),
    (b"PUT /bucket?lifecycle", b"GET /bucket?lifecycle"),
    (b"PUT /bucket?policy", b"GET /bucket?policy"),
    (b"PUT /bucket?notification", b"GET /bucket?notification"),
    (b"PUT /bucket/old?retention", b"GET /bucket/old?retention"),
)
WORDS = (
    b"<Delete><Object><Key>old</Key></Object><Quiet>true</Quiet></Delete>",
    b"<Object><Key>",
    b"<VersionId>null</VersionId>",
    b"<ETag>",
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>",
    b"</ETag></Part></CompleteMultipartUpload>",
    b"<ChecksumCRC32>",
    b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    b"<Tag><Key>",
    b"<CreateBucketConfiguration><LocationConstraint>",
    b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    b"<ServerSideEncryptionConfiguration><Rule>",
    b"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>",
    b"</AllowedOrigin></CORSRule></CORSConfiguration>",
    b"<MaxAgeSeconds>",
    b"<AllowedHeader>",
    b"<AccessControlPolicy><AccessControlList><Grant><Grantee><ID>",
    b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"',
    b'<?xml version="1.0" encoding="utf-16"?>',
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"<![CDATA[",
    b"]]>",
    b"&#x0;",
    b"&#xd;",
    b"<a:b xmlns:a='c'/>",
    b"<!-- -->",
    b"<?a b?>",
    b"<a>" * 200,
)
KEYS = ("a", "a/b", "a/c", "b", "é/x", "é/y")
PAGES_MAX = 20


async def _send(app: S3App, line: bytes, body: bytes = b"") -> Exchange:
    method, _, aim = line.partition(b" ")
    path, _, query = aim.partition(b"?")
    # DeleteObjects asks for a checksum, if it is but this one.
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    headers = [(b"content-md5", b64encode(digest))] if body else []
    return await ask(app, signed(method.decode(), path, query, headers), body)


async def _with_objects() -> tuple[S3App, bytes, str]:
    """A bucket with `old` in it, and `big` begun; its upload's id, and its part's ETag."""
    cluster, app = begin()
    owner = CREDENTIAL.identity.account_id
    await cluster.service.create_bucket("bucket", owner=owner, region="us-east-1")
    await cluster.put("bucket", "old", b"0123456789")
    begun = await _send(app, b"POST /bucket/big?uploads")
    upload_id = (fromstring(begun.body).findtext("{*}UploadId") or "").encode()
    part = await _send(app, b"PUT /bucket/big?partNumber=1&uploadId=" + upload_id, b"part")
    assert part.status == 200, part.body
    return app, upload_id, dict(part.headers)[b"etag"].decode()


async def _document(line: bytes, afterwards: bytes, body: bytes) -> None:
    app, upload_id, etag = await _with_objects()
    sent = body.replace(b"{etag}", etag.encode())
    await _send(app, line.replace(UPLOAD_ID, upload_id), sent)
    await _send(app, afterwards)
    found = await _send(app, b"GET /bucket/old")
    assert (found.status, found.body) == (200, b"0123456789") or b"delete" in line


@target(words=WORDS, input_bytes_max=3000)
def s3_documents(data: bytes) -> None:
    """Any document is carried out or refused by name, and what can be read of it is well-formed."""
    choices = Choices(data)
    line, afterwards = choices.pick(DOCUMENTS)
    LOOP.run_until_complete(_document(line, afterwards, choices.rest()))


def _texts(root: Element, path: str) -> list[str]:
    return [one.text or "" for one in root.findall(path)]


def _names(body: bytes) -> tuple[list[str], dict[str, str]]:
    """What a page of a listing names, and the parameters that go on behind it, if it does."""
    root = fromstring(body.replace(b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', b""))
    names = [
        name
        for path in ("Contents/Key", "Version/Key", "Upload/UploadId", "Part/PartNumber")
        for name in _texts(root, path)
    ] + _texts(root, "CommonPrefixes/Prefix")
    if root.findtext("IsTruncated") != "true":
        return names, {}
    pairs = {
        "continuation-token": "NextContinuationToken",
        "marker": "NextMarker",
        "key-marker": "NextKeyMarker",
        "upload-id-marker": "NextUploadIdMarker",
        "part-number-marker": "NextPartNumberMarker",
    }
    found = {name: root.findtext(element) for name, element in pairs.items()}
    following = {name: text for name, text in found.items() if text}
    return names, following or {"marker": names[-1]}  # as the API Reference says of version 1


LISTINGS = (
    b"/bucket?list-type=2&max-keys=%d",
    b"/bucket?max-keys=%d",
    b"/bucket?versions&max-keys=%d",
    b"/bucket?uploads&max-uploads=%d",
    b"/bucket/big?uploadId={uploadId}&max-parts=%d",
)
MARKERS = (
    "continuation-token",
    "marker",
    "key-marker",
    "upload-id-marker",
    "version-id-marker",
    "part-number-marker",
    "start-after",
    "prefix",
    "delimiter",
    "encoding-type",
    "max-keys",
)


def _quoted(text: str) -> bytes:
    return b"".join(b"%%%02x" % byte for byte in text.encode("utf-8", "surrogateescape"))


def _query(parameters: dict[str, str]) -> bytes:
    return b"".join(b"&" + name.encode() + b"=" + _quoted(v) for name, v in parameters.items())


def _marker(text: str, choices: Choices) -> str:
    """One that was given or another, with a character changed."""
    text = choices.pick((text, "", "a", "a/", "MWE=", "1", "url", "9" * 19, "0" * 32, "/"))
    at = choices.integer(0, len(text))
    other = choices.pick(("", choices.text(2), choices.pick(string.printable), "\udcff"))
    return text[:at] + other + text[at + 1 :] if choices.flag() else text


async def _pages(choices: Choices) -> None:
    app, upload_id, _ = await _with_objects()
    for number, key in enumerate(KEYS[: choices.integer(0, len(KEYS))]):
        await _send(app, b"PUT /bucket/" + _quoted(key), b"x")
        await _send(app, b"POST /bucket/" + _quoted(key) + b"?uploads")
        if number:
            part = b"PUT /bucket/big?partNumber=%d&uploadId=%b" % (number + 1, upload_id)
            await _send(app, part, b"x")
    line = b"GET " + choices.pick(LISTINGS).replace(UPLOAD_ID, upload_id)
    fixed = {"delimiter": "/"} if choices.flag() and b"uploadId" not in line else {}
    whole, _ = _names((await _send(app, line % 1000 + _query(fixed))).body)
    step, read, after = choices.integer(1, 3), list[str](), dict[str, str]()
    for _ in range(PAGES_MAX):  # by their own markers, the pages are all there is, once
        page = await _send(app, line % step + _query(fixed | after))
        names, after = _names(page.body)
        read += names
        if not after:
            break
    assert sorted(read) == sorted(whole), (line, fixed, read, whole)
    while choices:
        asked = fixed | after
        for _ in range(choices.integer(1, 3)):
            name = choices.pick(MARKERS)
            asked[name] = _marker(asked.get(name, ""), choices)
        page = await _send(app, line % choices.integer(0, 3) + _query(asked))
        assert page.status in (200, 400, 404, 501), page.body


@target(words=(b"MWE=", b"%00", b"/", b"\xed\xb3\xbf"))
def s3_listing_places(data: bytes) -> None:
    """Whatever marker a listing is to go on behind is taken or refused; its own lead to all."""
    LOOP.run_until_complete(_pages(Choices(data)))
