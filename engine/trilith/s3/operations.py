"""Every operation of S3, served or refused by name.

The table is compared with botocore's service model by a test, so that an operation that AWS adds
is noticed, and one that we do not serve answers 501 with its name, never a wrong success.
"""

from __future__ import annotations

# What browsers send, which is in no service model: a form, and a question before a request (CORS).
OF_BROWSERS = frozenset({"PostObject", "Preflight"})
SERVED = frozenset(
    {
        "AbortMultipartUpload",
        "CompleteMultipartUpload",
        "CopyObject",
        "CreateBucket",
        "CreateMultipartUpload",
        "DeleteBucket",
        "DeleteBucketCors",
        "DeleteBucketEncryption",
        "DeleteBucketLifecycle",
        "DeleteBucketPolicy",
        "DeleteBucketReplication",
        "DeleteBucketTagging",
        "DeleteBucketWebsite",
        "DeleteObject",
        "DeleteObjectTagging",
        "DeleteObjects",
        "DeletePublicAccessBlock",
        "GetBucketAccelerateConfiguration",
        "GetBucketAcl",
        "GetBucketCors",
        "GetBucketEncryption",
        "GetBucketLifecycleConfiguration",
        "GetBucketLocation",
        "GetBucketLogging",
        "GetBucketNotificationConfiguration",
        "GetBucketOwnershipControls",
        "GetBucketPolicy",
        "GetBucketPolicyStatus",
        "GetBucketReplication",
        "GetBucketRequestPayment",
        "GetBucketTagging",
        "GetBucketVersioning",
        "GetBucketWebsite",
        "GetObject",
        "GetObjectAcl",
        "GetObjectAttributes",
        "GetObjectLegalHold",
        "GetObjectLockConfiguration",
        "GetObjectRetention",
        "GetObjectTagging",
        "GetPublicAccessBlock",
        "HeadBucket",
        "HeadObject",
        "ListBuckets",
        "ListMultipartUploads",
        "ListObjectVersions",
        "ListObjects",
        "ListObjectsV2",
        "ListParts",
        "PostObject",
        "Preflight",
        "PutBucketAcl",
        "PutBucketCors",
        "PutBucketEncryption",
        "PutBucketLogging",
        "PutBucketNotificationConfiguration",
        "PutBucketOwnershipControls",
        "PutBucketRequestPayment",
        "PutBucketTagging",
        "PutObject",
        "PutObjectAcl",
        "PutObjectTagging",
        "PutPublicAccessBlock",
        "UploadPart",
        "UploadPartCopy",
    }
)

# Older names in the model of operations that have the same request.
ALIASES = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}

# Subresource -> method -> operation.
Subresources = dict[str, dict[str, str]]

BUCKET: Subresources = {
    "abac": {"GET": "GetBucketAbac", "PUT": "PutBucketAbac"},
    "accelerate": {
        "GET": "GetBucketAccelerateConfiguration",
        "PUT": "PutBucketAccelerateConfiguration",
    },
    "acl": {"GET": "GetBucketAcl", "PUT": "PutBucketAcl"},
    "analytics": {
        "GET": "ListBucketAnalyticsConfigurations",
        "PUT": "PutBucketAnalyticsConfiguration",
        "DELETE": "DeleteBucketAnalyticsConfiguration",
    },
    "cors": {"GET": "GetBucketCors", "PUT": "PutBucketCors", "DELETE": "DeleteBucketCors"},
    "delete": {"POST": "DeleteObjects"},
    "encryption": {
        "GET": "GetBucketEncryption",
        "PUT": "PutBucketEncryption",
        "DELETE": "DeleteBucketEncryption",
    },
    "intelligent-tiering": {
        "GET": "ListBucketIntelligentTieringConfigurations",
        "PUT": "PutBucketIntelligentTieringConfiguration",
        "DELETE": "DeleteBucketIntelligentTieringConfiguration",
    },
    "inventory": {
        "GET": "ListBucketInventoryConfigurations",
        "PUT": "PutBucketInventoryConfiguration",
        "DELETE": "DeleteBucketInventoryConfiguration",
    },
    "lifecycle": {
        "GET": "GetBucketLifecycleConfiguration",
        "PUT": "PutBucketLifecycleConfiguration",
        "DELETE": "DeleteBucketLifecycle",
    },
    "list-type": {"GET": "ListObjectsV2"},
    "location": {"GET": "GetBucketLocation"},
    "logging": {"GET": "GetBucketLogging", "PUT": "PutBucketLogging"},
    "max-directory-buckets": {"GET": "ListDirectoryBuckets"},
    "metadataAnnotationTable": {"PUT": "UpdateBucketMetadataAnnotationTableConfiguration"},
    "metadataConfiguration": {
        "GET": "GetBucketMetadataConfiguration",
        "POST": "CreateBucketMetadataConfiguration",
        "DELETE": "DeleteBucketMetadataConfiguration",
    },
    "metadataInventoryTable": {"PUT": "UpdateBucketMetadataInventoryTableConfiguration"},
    "metadataJournalTable": {"PUT": "UpdateBucketMetadataJournalTableConfiguration"},
    "metadataTable": {
        "GET": "GetBucketMetadataTableConfiguration",
        "POST": "CreateBucketMetadataTableConfiguration",
        "DELETE": "DeleteBucketMetadataTableConfiguration",
    },
    "metrics": {
        "GET": "ListBucketMetricsConfigurations",
        "PUT": "PutBucketMetricsConfiguration",
        "DELETE": "DeleteBucketMetricsConfiguration",
    },
    "notification": {
        "GET": "GetBucketNotificationConfiguration",
        "PUT": "PutBucketNotificationConfiguration",
    },
    "object-lock": {"GET": "GetObjectLockConfiguration", "PUT": "PutObjectLockConfiguration"},
    "ownershipControls": {
        "GET": "GetBucketOwnershipControls",
        "PUT": "PutBucketOwnershipControls",
        "DELETE": "DeleteBucketOwnershipControls",
    },
    "policy": {"GET": "GetBucketPolicy", "PUT": "PutBucketPolicy", "DELETE": "DeleteBucketPolicy"},
    "policyStatus": {"GET": "GetBucketPolicyStatus"},
    "publicAccessBlock": {
        "GET": "GetPublicAccessBlock",
        "PUT": "PutPublicAccessBlock",
        "DELETE": "DeletePublicAccessBlock",
    },
    "replication": {
        "GET": "GetBucketReplication",
        "PUT": "PutBucketReplication",
        "DELETE": "DeleteBucketReplication",
    },
    "requestPayment": {"GET": "GetBucketRequestPayment", "PUT": "PutBucketRequestPayment"},
    "session": {"GET": "CreateSession"},
    "tagging": {
        "GET": "GetBucketTagging",
        "PUT": "PutBucketTagging",
        "DELETE": "DeleteBucketTagging",
    },
    "uploads": {"GET": "ListMultipartUploads"},
    "versioning": {"GET": "GetBucketVersioning", "PUT": "PutBucketVersioning"},
    "versions": {"GET": "ListObjectVersions"},
    "website": {
        "GET": "GetBucketWebsite",
        "PUT": "PutBucketWebsite",
        "DELETE": "DeleteBucketWebsite",
    },
}

OBJECT: Subresources = {
    "acl": {"GET": "GetObjectAcl", "PUT": "PutObjectAcl"},
    "annotation": {
        "GET": "ListObjectAnnotations",
        "PUT": "PutObjectAnnotation",
        "DELETE": "DeleteObjectAnnotation",
    },
    "attributes": {"GET": "GetObjectAttributes"},
    "encryption": {"PUT": "UpdateObjectEncryption"},
    "legal-hold": {"GET": "GetObjectLegalHold", "PUT": "PutObjectLegalHold"},
    "renameObject": {"PUT": "RenameObject"},
    "restore": {"POST": "RestoreObject"},
    "retention": {"GET": "GetObjectRetention", "PUT": "PutObjectRetention"},
    "select": {"POST": "SelectObjectContent"},
    "tagging": {
        "GET": "GetObjectTagging",
        "PUT": "PutObjectTagging",
        "DELETE": "DeleteObjectTagging",
    },
    "torrent": {"GET": "GetObjectTorrent"},
    "uploadId": {
        "GET": "ListParts",
        "PUT": "UploadPart",
        "POST": "CompleteMultipartUpload",
        "DELETE": "AbortMultipartUpload",
    },
    "uploads": {"POST": "CreateMultipartUpload"},
}

# A listing, unless this parameter names one thing.
ONE_BY_PARAMETER = {
    "ListBucketAnalyticsConfigurations": ("id", "GetBucketAnalyticsConfiguration"),
    "ListBucketIntelligentTieringConfigurations": (
        "id",
        "GetBucketIntelligentTieringConfiguration",
    ),
    "ListBucketInventoryConfigurations": ("id", "GetBucketInventoryConfiguration"),
    "ListBucketMetricsConfigurations": ("id", "GetBucketMetricsConfiguration"),
    "ListObjectAnnotations": ("annotationName", "GetObjectAnnotation"),
}

# Without a subresource.
PLAIN_SERVICE = {"GET": "ListBuckets"}
PLAIN_BUCKET = {
    "GET": "ListObjects",
    "HEAD": "HeadBucket",
    "PUT": "CreateBucket",
    "DELETE": "DeleteBucket",
    "POST": "PostObject",
}
PLAIN_OBJECT = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
}

# With x-amz-copy-source.
COPYING = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}

# Query parameters that select nothing: read by an operation, or of no meaning to the answer.
PARAMETERS = frozenset(
    {
        "AWSAccessKeyId",
        "Expires",
        "Signature",
        "annotationName",
        "bucket-region",
        "content-md5",
        "content-type",
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "id",
        "key-marker",
        "marker",
        "max-buckets",
        "max-keys",
        "max-parts",
        "max-uploads",
        "partNumber",
        "part-number-marker",
        "prefix",
        "select-type",
        "start-after",
        "upload-id-marker",
        "version-id-marker",
        "versionId",
        "x-id",
    }
)
