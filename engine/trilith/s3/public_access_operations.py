"""Put, Get and DeletePublicAccessBlock.

Nothing is public here, so that each of its four settings may be on or off and nothing changes: it
is remembered for those who put it and read it again (Terraform, audits).
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from trilith.objects.types import PublicAccessBlock
from trilith.s3.answer import Answer, empty_answer, xml_answer
from trilith.s3.context import Context
from trilith.s3.errors import S3Error
from trilith.s3.listing_operations import truth
from trilith.s3.request import CONFIGURATION_BYTES_MAX, Request
from trilith.s3.xml import NAMESPACE, child_text, parse

_ROOT = "PublicAccessBlockConfiguration"
# In the order of PublicAccessBlock's fields.
_NAMES = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


async def put_public_access_block(context: Context, request: Request) -> Answer:
    root = parse(await request.read_document(CONFIGURATION_BYTES_MAX), _ROOT)
    if any(child.tag not in _NAMES for child in root):
        raise S3Error("MalformedXML")
    block = PublicAccessBlock(*(_is_on(root, name) for name in _NAMES))
    await context.objects.put_public_access_block(request.bucket, block)
    return empty_answer(200)


def _is_on(root: Element, name: str) -> bool:
    text = (child_text(root, name) or "false").lower()
    if text not in ("true", "false"):
        raise S3Error("MalformedXML")
    return text == "true"


async def get_public_access_block(context: Context, request: Request) -> Answer:
    block = (await context.objects.get_bucket_settings(request.bucket)).public_access_block
    if block is None:
        code = "NoSuchPublicAccessBlockConfiguration"
        raise S3Error(code, elements={"BucketName": request.bucket})
    states = (block.block_acls, block.ignore_acls, block.block_policy, block.restrict_buckets)
    shown = "".join(
        f"<{name}>{truth(state)}</{name}>" for name, state in zip(_NAMES, states, strict=True)
    )
    return xml_answer(f'<{_ROOT} xmlns="{NAMESPACE}">{shown}</{_ROOT}>')


async def delete_public_access_block(context: Context, request: Request) -> Answer:
    await context.objects.put_public_access_block(request.bucket, None)
    return empty_answer(204)
