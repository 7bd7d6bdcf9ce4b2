"""Create, Head and DeleteBucket, what is read about a bucket, and DeleteObjects."""

from __future__ import annotations

import asyncio
from xml.etree.ElementTree import Element

from trilith.errors import BucketAlreadyOwned, TrilithError
from trilith.objects.types import WriteConditions
from trilith.s3.acl import acl_answer
from trilith.s3.answer import Answer, empty_answer, xml_answer
from trilith.s3.conditions import NO_CONDITIONS
from trilith.s3.context import Context
from trilith.s3.errors import S3Error, from_exception, not_implemented
from trilith.s3.names import check_key_length
from trilith.s3.request import CONFIGURATION_BYTES_MAX, Request
from trilith.s3.tags import BUCKET_TAGS_MAX, element_tags
from trilith.s3.xml import NAMESPACE, child_text, element, parse

# 1,000 keys of 1,024 bytes, each perhaps as six-byte character references.
DELETE_BYTES_MAX = 8 << 20
DELETE_KEYS_MAX = 1000
DELETES_AT_ONCE = 32

DEFAULT_REGION = "us-east-1"


async def create_bucket(context: Context, request: Request) -> Answer:
    """200 also when the bucket is the caller's already, in us-east-1 only (as AWS)."""
    body = await request.read_document(CONFIGURATION_BYTES_MAX)
    found: dict[str, str] = {}
    if body.strip():
        root = parse(body, "CreateBucketConfiguration")
        _check_location(context, root)
        holder = root.find("Tags")
        if holder is not None:
            found = element_tags(holder, BUCKET_TAGS_MAX)
    try:
        await context.objects.create_bucket(
            request.bucket,
            owner=request.identity.canonical_user_id,
            region=context.region,
            tags=found,
        )
    except BucketAlreadyOwned:
        if context.region != DEFAULT_REGION:
            raise
    return empty_answer(200, [(b"location", b"/" + request.bucket.encode())])


def _check_location(context: Context, root: Element) -> None:
    for child in root:
        if child.tag not in ("LocationConstraint", "Tags") and (
            len(child) or (child.text or "").strip()
        ):
            raise not_implemented(f"CreateBucketConfiguration.{child.tag}")
    location = child_text(root, "LocationConstraint")
    if not location:
        return
    if {"EU": "eu-west-1"}.get(location, location) != context.region:
        raise S3Error(
            "IllegalLocationConstraintException",
            f"The {location} location constraint is incompatible for the region specific endpoint "
            "this request was sent to.",
        )


async def head_bucket(context: Context, request: Request) -> Answer:
    info = await context.objects.get_bucket(request.bucket)
    return empty_answer(
        200,
        [
            (b"x-amz-bucket-region", info.region.encode()),
            (b"x-amz-access-point-alias", b"false"),
            (b"content-type", b"application/xml"),
        ],
    )


async def delete_bucket(context: Context, request: Request) -> Answer:
    await context.objects.delete_bucket(request.bucket)
    return empty_answer(204)


async def get_bucket_location(context: Context, request: Request) -> Answer:
    info = await context.objects.get_bucket(request.bucket)
    if info.region == DEFAULT_REGION:
        return xml_answer(f'<LocationConstraint xmlns="{NAMESPACE}"/>')
    return xml_answer(f'<LocationConstraint xmlns="{NAMESPACE}">{info.region}</LocationConstraint>')


async def get_bucket_versioning(context: Context, request: Request) -> Answer:
    """Empty: versioning was never enabled."""
    await context.objects.get_bucket(request.bucket)
    return xml_answer(f'<VersioningConfiguration xmlns="{NAMESPACE}"/>')


async def get_bucket_acl(context: Context, request: Request) -> Answer:
    await context.objects.get_bucket(request.bucket)
    return acl_answer(request)


async def delete_objects(context: Context, request: Request) -> Answer:
    """Deletes up to 1,000 keys; each one's outcome is in the answer, deleted or failed."""
    _require_checksum(request)
    body = await request.read_document(DELETE_BYTES_MAX)
    root = parse(body, "Delete")
    targets = [_Target(node) for node in root.findall("Object")]
    if not 1 <= len(targets) <= DELETE_KEYS_MAX:
        raise S3Error("MalformedXML")
    quiet = (child_text(root, "Quiet") or "").lower() == "true"
    await context.objects.get_bucket(request.bucket)
    slots = asyncio.Semaphore(DELETES_AT_ONCE)

    async def delete(target: _Target) -> str:
        async with slots:
            return await _delete_one(context, request, target, quiet=quiet)

    results = await asyncio.gather(*(delete(target) for target in targets))
    return xml_answer(f'<DeleteResult xmlns="{NAMESPACE}">{"".join(results)}</DeleteResult>')


def _require_checksum(request: Request) -> None:
    header_map = request.head.header_map
    if b"content-md5" in header_map or b"x-amz-sdk-checksum-algorithm" in header_map:
        return
    if any(name.startswith(b"x-amz-checksum-") for name in header_map):
        return
    if b"x-amz-trailer" not in header_map:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5")


class _Target:
    """One <Object> of a <Delete>."""

    def __init__(self, node: Element) -> None:
        key = child_text(node, "Key")
        if not key:
            raise S3Error("MalformedXML")
        self.key = key
        self.version_id = child_text(node, "VersionId") or ""
        for name in ("LastModifiedTime", "Size"):
            if child_text(node, name):
                raise not_implemented(f"Delete.Object.{name}")
        etag = child_text(node, "ETag")
        self.conditions = WriteConditions(if_match=etag.strip('"')) if etag else NO_CONDITIONS

    def check(self) -> None:
        """Raises what is answered for this key alone: KeyTooLongError, NoSuchVersion."""
        check_key_length(self.key)
        if self.version_id not in ("", "null"):
            raise S3Error("NoSuchVersion")


async def _delete_one(context: Context, request: Request, target: _Target, *, quiet: bool) -> str:
    key = element("Key", target.key)
    version = element("VersionId", target.version_id) if target.version_id else ""
    try:
        target.check()
        await context.objects.delete_object(
            request.bucket, target.key, conditions=target.conditions
        )
    except (S3Error, TrilithError) as error:
        s3_error = from_exception(error)
        return (
            f"<Error>{key}{version}{element('Code', s3_error.code)}"
            f"{element('Message', s3_error.message)}</Error>"
        )
    return "" if quiet else f"<Deleted>{key}{version}</Deleted>"
