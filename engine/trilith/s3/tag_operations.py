"""Get, Put and DeleteObjectTagging, and the same of buckets.

Tags change in place: no new version, no new time.
"""

from __future__ import annotations

from trilith.s3 import tags
from trilith.s3.answer import Answer, empty_answer, xml_answer
from trilith.s3.context import Context
from trilith.s3.errors import S3Error
from trilith.s3.object_operations import check_version
from trilith.s3.request import Request


async def get_object_tagging(context: Context, request: Request) -> Answer:
    check_version(request)
    info = await context.objects.head_object(request.bucket, request.key)
    return xml_answer(tags.document(info.metadata.tags))


async def put_object_tagging(context: Context, request: Request) -> Answer:
    check_version(request)
    body = await request.read_document(tags.DOCUMENT_BYTES_MAX)
    await context.objects.put_tags(request.bucket, request.key, tags.document_tags(body))
    return empty_answer(200)


async def delete_object_tagging(context: Context, request: Request) -> Answer:
    check_version(request)
    await context.objects.put_tags(request.bucket, request.key, {})
    return empty_answer(204)


async def get_bucket_tagging(context: Context, request: Request) -> Answer:
    info = await context.objects.get_bucket(request.bucket)
    if not info.tags:
        raise S3Error("NoSuchTagSet", elements={"BucketName": request.bucket})
    return xml_answer(tags.document(info.tags))


async def put_bucket_tagging(context: Context, request: Request) -> Answer:
    body = await request.read_document(tags.DOCUMENT_BYTES_MAX)
    found = tags.document_tags(body, tags.BUCKET_TAGS_MAX)
    await context.objects.put_bucket_tags(request.bucket, found)
    return empty_answer(204)


async def delete_bucket_tagging(context: Context, request: Request) -> Answer:
    await context.objects.put_bucket_tags(request.bucket, {})
    return empty_answer(204)
