"""PostObject: what a browser's form uploads, signed by a policy in the form.

The form's fields take the place of a PUT's headers, for everything that an object may be stored
with; what is refused there by name is refused here. Source: S3 API Reference, "POST Object".
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from trilith.objects.types import ObjectInfo
from trilith.s3 import checksums, tags
from trilith.s3.answer import Answer, Headers, empty_answer, xml_answer
from trilith.s3.conditions import write_conditions
from trilith.s3.context import Context
from trilith.s3.errors import invalid_argument
from trilith.s3.headers import ENCRYPTED, checksum_headers, read_metadata, refuse_unsupported
from trilith.s3.names import check_key_length
from trilith.s3.object_operations import OBJECT_BYTES_MAX
from trilith.s3.post_form import PostForm, boundary_of, form_field, malformed
from trilith.s3.post_policy import check_policy
from trilith.s3.request import Request
from trilith.s3.request_head import RequestHead
from trilith.s3.xml import element

# Fields with the meaning of a header of another name, and those that are a header's namesakes.
_RENAMED = {"acl": b"x-amz-acl"}
_HEADERS = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-md5",
        "content-type",
        "expires",
        "if-none-match",
    }
)
_SIGNATURE_FIELDS = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-security-token", "x-amz-signature"}
)


async def post_object(context: Context, request: Request) -> Answer:
    assert request.receive is not None
    form = PostForm(request.receive, boundary_of(request.header(b"content-type") or ""))
    pairs, filename = await form.read_fields()
    fields = {name.lower(): value for name, value in pairs}
    if len(fields) != len(pairs):
        raise malformed()
    request.key = _key(fields, filename)
    request.authentication = context.authenticate_form(fields)
    fields["key"], fields["bucket"] = request.key, request.bucket
    lengths = check_policy(fields["policy"], fields, context.clock.wall_ms(), OBJECT_BYTES_MAX)
    request.head = head = _head_of(request.head, fields)
    refuse_unsupported(request)
    metadata = read_metadata(head)
    form.expect(*lengths, checksums.announced_checksum(head))
    info = await context.objects.put_object(
        request.bucket,
        request.key,
        form,
        metadata,
        conditions=write_conditions(head),
        expected_md5=checksums.parse_content_md5(head),
    )
    request.bytes_in = form.file_bytes
    return _answer(request, fields, info)


def _key(fields: dict[str, str], filename: str) -> str:
    # Browsers of old sent the whole path.
    filename = filename.replace("\\", "/").rpartition("/")[2]
    key = form_field(fields, "key").replace("${filename}", filename)
    if not key:
        raise invalid_argument("User key must have a length greater than 0.", "key", "")
    check_key_length(key)
    return key


def _head_of(sent: RequestHead, fields: dict[str, str]) -> RequestHead:
    """The request as a PUT would have said it."""
    headers: list[tuple[bytes, bytes]] = [(b"host", sent.header_map.get(b"host", b""))]
    for name, value in fields.items():
        header = _RENAMED.get(name)
        if name in _HEADERS or (name.startswith("x-amz-") and name not in _SIGNATURE_FIELDS):
            header = name.encode()
        if header is None or not value:
            continue
        if not header.isascii() or not value.isprintable():
            raise invalid_argument("The field's value cannot be a header's", name, value)
        headers.append((header, value.encode()))
    if "tagging" in fields:
        found = tags.document_tags(fields["tagging"].encode())
        listed = "&".join([f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in found.items()])
        headers.append((tags.HEADER, listed.encode()))
    return RequestHead(sent.method, sent.raw_path, sent.query_string, headers)


def _answer(request: Request, fields: dict[str, str], info: ObjectInfo) -> Answer:
    """204, or what `success_action_status` or `success_action_redirect` ask for."""
    host = request.header(b"host") or ""
    path = request.head.raw_path.decode("latin-1").rstrip("/")
    location = f"{request.scheme}://{host}{path}/{quote(request.key, safe='/~')}"
    headers: Headers = [(b"etag", b'"%b"' % info.etag.encode()), ENCRYPTED]
    headers += checksum_headers(info.checksum)
    redirect = fields.get("success_action_redirect") or fields.get("redirect") or ""
    parts = urlsplit(redirect) if redirect.isascii() and redirect.isprintable() else urlsplit("")
    if parts.scheme in ("http", "https") and parts.netloc:
        named = (("bucket", request.bucket), ("key", request.key), ("etag", f'"{info.etag}"'))
        query = "&".join([f"{name}={quote(value, safe='')}" for name, value in named])
        target = parts._replace(query=f"{parts.query}&{query}" if parts.query else query).geturl()
        return empty_answer(303, [*headers, (b"location", target.replace(" ", "%20").encode())])
    headers.append((b"location", location.encode()))
    status = fields.get("success_action_status")
    if status == "201":
        answer = xml_answer(
            f"<PostResponse>{element('Location', location)}{element('Bucket', request.bucket)}"
            f"{element('Key', request.key)}<ETag>&quot;{info.etag}&quot;</ETag></PostResponse>",
            201,
        )
        return answer._replace(headers=[*answer.headers, *headers])
    return empty_answer(200 if status == "200" else 204, headers)
