"""Configurations that every bucket has, and that may be put as they are: nothing changes.

Terraform and others put them for each bucket that they make. What asks for anything else is refused
with 501 by name.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from trilith.s3 import acl
from trilith.s3.answer import Answer, empty_answer
from trilith.s3.context import Context, Handler
from trilith.s3.errors import S3Error, not_implemented
from trilith.s3.object_operations import check_version
from trilith.s3.request import CONFIGURATION_BYTES_MAX, Request
from trilith.s3.xml import parse

# Path of an element -> the texts that it may have; of one that only holds others: none.
_Allowed = dict[str, frozenset[str]]
_HOLDER: frozenset[str] = frozenset()
_ENCRYPTION: _Allowed = {
    "ServerSideEncryptionConfiguration": _HOLDER,
    "ServerSideEncryptionConfiguration/Rule": _HOLDER,
    "ServerSideEncryptionConfiguration/Rule/BucketKeyEnabled": frozenset({"false", "False"}),
    "ServerSideEncryptionConfiguration/Rule/ApplyServerSideEncryptionByDefault": _HOLDER,
    (
        "ServerSideEncryptionConfiguration/Rule/ApplyServerSideEncryptionByDefault/SSEAlgorithm"
    ): frozenset({"AES256"}),
}
_OWNERSHIP: _Allowed = {
    "OwnershipControls": _HOLDER,
    "OwnershipControls/Rule": _HOLDER,
    "OwnershipControls/Rule/ObjectOwnership": frozenset({"BucketOwnerEnforced"}),
}
_PAYMENT: _Allowed = {
    "RequestPaymentConfiguration": _HOLDER,
    "RequestPaymentConfiguration/Payer": frozenset({"BucketOwner"}),
}


# Empty: to switch off what is off.
_LOGGING: _Allowed = {"BucketLoggingStatus": _HOLDER}
_NOTIFICATION: _Allowed = {"NotificationConfiguration": _HOLDER}


def _unchanged(allowed: _Allowed) -> Handler:
    root_name = next(iter(allowed))

    async def put(context: Context, request: Request) -> Answer:
        root = parse(await request.read_document(CONFIGURATION_BYTES_MAX), root_name)
        seen = {text for text in _texts(root, root_name, allowed) if text}
        if not seen and len(allowed) > 1:
            raise S3Error("MalformedXML")
        await context.objects.get_bucket(request.bucket)
        return empty_answer(200)

    return put


def _texts(node: Element, path: str, allowed: _Allowed) -> list[str]:
    """All texts of a document. Raises NotImplemented, naming what is not as it is anyway."""
    text = (node.text or "").strip()
    texts = allowed.get(path)
    if texts is None or (texts and text not in texts):
        raise not_implemented(path.replace("/", "."))
    found = [text] if texts else []
    for child in node:
        found += _texts(child, f"{path}/{child.tag}", allowed)
    return found


async def put_bucket_acl(context: Context, request: Request) -> Answer:
    await _require_own_list(request)
    await context.objects.get_bucket(request.bucket)
    return empty_answer(200)


async def put_object_acl(context: Context, request: Request) -> Answer:
    check_version(request)
    await _require_own_list(request)
    await context.objects.head_object(request.bucket, request.key)
    return empty_answer(200)


async def _require_own_list(request: Request) -> None:
    """Its headers were checked before, as those of any request are (headers.py)."""
    body = await request.read_document(CONFIGURATION_BYTES_MAX)
    if body.strip():
        acl.check_document(body, request.identity)
    elif acl.CANNED not in request.head.header_map:
        raise S3Error("MissingSecurityHeader", "Your request was missing a required header")


HANDLERS: dict[str, Handler] = {
    "PutBucketAcl": put_bucket_acl,
    "PutBucketEncryption": _unchanged(_ENCRYPTION),
    "PutBucketLogging": _unchanged(_LOGGING),
    "PutBucketNotificationConfiguration": _unchanged(_NOTIFICATION),
    "PutBucketOwnershipControls": _unchanged(_OWNERSHIP),
    "PutBucketRequestPayment": _unchanged(_PAYMENT),
    "PutObjectAcl": put_object_acl,
}
