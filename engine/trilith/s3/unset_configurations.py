"""What is read of configurations that no bucket can have here: that there is none.

Clients (Terraform, backup programs, `aws s3api`) ask for them in passing. What AWS answers of a
bucket that was never configured is a fact here too; what would make it untrue (Put...) is refused.
To take away what is not there succeeds, as it does there.
"""

from __future__ import annotations

from trilith.s3.answer import Answer, empty_answer, xml_answer
from trilith.s3.context import Context, Handler
from trilith.s3.errors import S3Error
from trilith.s3.object_operations import check_version
from trilith.s3.request import Request
from trilith.s3.xml import NAMESPACE

_ABSENT = {
    "GetBucketLifecycleConfiguration": "NoSuchLifecycleConfiguration",
    "GetBucketPolicy": "NoSuchBucketPolicy",
    "GetBucketPolicyStatus": "NoSuchBucketPolicy",
    "GetBucketReplication": "ReplicationConfigurationNotFoundError",
    "GetBucketWebsite": "NoSuchWebsiteConfiguration",
    "GetObjectLockConfiguration": "ObjectLockConfigurationNotFoundError",
}
# Root element -> what is in it.
_DEFAULTS = {
    "GetBucketAccelerateConfiguration": ("AccelerateConfiguration", ""),
    "GetBucketEncryption": (
        "ServerSideEncryptionConfiguration",
        (
            "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
            "</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule>"
        ),
    ),
    "GetBucketLogging": ("BucketLoggingStatus", ""),
    "GetBucketNotificationConfiguration": ("NotificationConfiguration", ""),
    "GetBucketOwnershipControls": (
        "OwnershipControls",
        "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>",
    ),
    "GetBucketRequestPayment": ("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
}
_REMOVALS = (
    "DeleteBucketEncryption",
    "DeleteBucketLifecycle",
    "DeleteBucketPolicy",
    "DeleteBucketReplication",
    "DeleteBucketWebsite",
)
_LOCKS_OF_OBJECTS = ("GetObjectLegalHold", "GetObjectRetention")


def _absent(code: str) -> Handler:
    async def answer(context: Context, request: Request) -> Answer:
        await context.objects.get_bucket(request.bucket)
        raise S3Error(code, elements={"BucketName": request.bucket})

    return answer


def _default(root: str, content: str) -> Handler:
    async def answer(context: Context, request: Request) -> Answer:
        await context.objects.get_bucket(request.bucket)
        return xml_answer(f'<{root} xmlns="{NAMESPACE}">{content}</{root}>')

    return answer


async def _remove(context: Context, request: Request) -> Answer:
    await context.objects.get_bucket(request.bucket)
    return empty_answer(204)


async def _no_lock(context: Context, request: Request) -> Answer:
    check_version(request)
    await context.objects.head_object(request.bucket, request.key)
    raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")


HANDLERS: dict[str, Handler] = {
    **{name: _absent(code) for name, code in _ABSENT.items()},
    **{name: _default(root, content) for name, (root, content) in _DEFAULTS.items()},
    **dict.fromkeys(_REMOVALS, _remove),
    **dict.fromkeys(_LOCKS_OF_OBJECTS, _no_lock),
}
