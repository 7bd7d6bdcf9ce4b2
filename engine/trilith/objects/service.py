"""The object service: `objects.types.Objects` over partitions and the chunk pipeline.

Operations by subject: buckets.py, reading.py, writing.py, multipart.py, copying.py, listings.py,
staging.py (for transactions.py); what they share is access.py. What commands do to records: rules/.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from trilith.errors import BucketNotEmpty, UploadNotFound
from trilith.objects.buckets import BucketOperations
from trilith.objects.listings import ListOperations
from trilith.objects.staging import StagingOperations
from trilith.objects.types import UploadPage

if TYPE_CHECKING:
    from trilith.objects.types import Objects


_DELETE_ATTEMPTS = 3


class ObjectService(StagingOperations, ListOperations, BucketOperations):
    """Implements trilith.objects.types.Objects. Construct with the arguments of Access."""

    async def delete_bucket(self, name: str) -> None:
        """Uploads in progress do not keep a bucket: they are aborted, once it has no object.

        Raises as BucketOperations does; BucketNotEmpty also when uploads kept being started.
        """
        for _ in range(_DELETE_ATTEMPTS):
            try:
                return await super().delete_bucket(name)
            except BucketNotEmpty:
                if (await self.list_objects(name, limit=1)).entries:
                    raise
            await self._abort_uploads(name)
        return await super().delete_bucket(name)

    async def _abort_uploads(self, bucket: str) -> None:
        page: UploadPage | None = None
        while page is None or page.next_after is not None:
            # Always the first page: those before it are gone.
            page = await self.list_uploads(bucket)
            for upload in page.uploads:
                with suppress(UploadNotFound):  # completed or aborted meanwhile
                    await self.abort_upload(bucket, upload.key, upload.upload_id)


def _conforms(service: ObjectService) -> Objects:
    """For mypy: the service is what the protocols above expect."""
    return service
