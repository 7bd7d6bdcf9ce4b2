"""The object service: `objects.types.Objects` over partitions and the chunk pipeline.

Operations by subject: buckets.py, reading.py, writing.py, multipart.py, copying.py, listings.py,
staging.py (for transactions.py); what they share is access.py. What commands do to records: rules/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trilith.objects.buckets import BucketOperations
from trilith.objects.listings import ListOperations
from trilith.objects.staging import StagingOperations

if TYPE_CHECKING:
    from trilith.objects.types import Objects


class ObjectService(StagingOperations, ListOperations, BucketOperations):
    """Implements trilith.objects.types.Objects. Construct with the arguments of Access."""


def _conforms(service: ObjectService) -> Objects:
    """For mypy: the service is what the protocols above expect."""
    return service
