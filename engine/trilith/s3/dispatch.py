"""Operation name -> the function that serves it."""

from __future__ import annotations

from trilith.s3 import (
    bucket_operations,
    copy_operations,
    fixed_configurations,
    listing_operations,
    multipart_operations,
    object_operations,
    post_operations,
    tag_operations,
    unset_configurations,
)
from trilith.s3.context import Handler

HANDLERS: dict[str, Handler] = {
    "AbortMultipartUpload": multipart_operations.abort_multipart_upload,
    "CompleteMultipartUpload": multipart_operations.complete_multipart_upload,
    "CopyObject": copy_operations.copy_object,
    "CreateBucket": bucket_operations.create_bucket,
    "CreateMultipartUpload": multipart_operations.create_multipart_upload,
    "DeleteBucket": bucket_operations.delete_bucket,
    "DeleteBucketTagging": tag_operations.delete_bucket_tagging,
    "DeleteObject": object_operations.delete_object,
    "DeleteObjectTagging": tag_operations.delete_object_tagging,
    "DeleteObjects": bucket_operations.delete_objects,
    "GetBucketAcl": bucket_operations.get_bucket_acl,
    "GetBucketLocation": bucket_operations.get_bucket_location,
    "GetBucketTagging": tag_operations.get_bucket_tagging,
    "GetBucketVersioning": bucket_operations.get_bucket_versioning,
    "GetObject": object_operations.get_object,
    "GetObjectAcl": object_operations.get_object_acl,
    "GetObjectAttributes": object_operations.get_object_attributes,
    "GetObjectTagging": tag_operations.get_object_tagging,
    "HeadBucket": bucket_operations.head_bucket,
    "HeadObject": object_operations.head_object,
    "ListBuckets": listing_operations.list_buckets,
    "ListMultipartUploads": multipart_operations.list_multipart_uploads,
    "ListObjectVersions": listing_operations.list_object_versions,
    "ListObjects": listing_operations.list_objects,
    "ListObjectsV2": listing_operations.list_objects_v2,
    "ListParts": multipart_operations.list_parts,
    "PostObject": post_operations.post_object,
    "PutBucketTagging": tag_operations.put_bucket_tagging,
    "PutObject": object_operations.put_object,
    "PutObjectTagging": tag_operations.put_object_tagging,
    "UploadPart": multipart_operations.upload_part,
    "UploadPartCopy": copy_operations.upload_part_copy,
    **fixed_configurations.HANDLERS,
    **unset_configurations.HANDLERS,
}
