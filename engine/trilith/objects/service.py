"""The object service: `objects.types.Objects` over partitions and the chunk pipeline.

Operations by subject: buckets.py, reading.py, writing.py, multipart.py, copying.py, listings.py;
what they share is access.py. What commands do to records: rules/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trilith.objects.buckets import BucketOperations
from trilith.objects.copying import CopyOperations
from trilith.objects.listings import ListOperations

if TYPE_CHECKING:
    from trilith.objects.types import Objects


class ObjectService(CopyOperations, ListOperations, BucketOperations):
    """Implements trilith.objects.types.Objects. Construct with the arguments of Access."""


def _conforms(service: ObjectService) -> Objects:
    """For mypy: the service is what the protocols above expect."""
    return service
