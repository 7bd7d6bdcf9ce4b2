"""The object service: `objects.types.Objects` over partitions and the chunk pipeline.

Operations by subject: buckets.py, reading.py, writing.py, multipart.py, copying.py, listings.py;
what they share is access.py. What commands do to records: rules/.
"""

from __future__ import annotations

from trilith.objects.buckets import BucketOperations
from trilith.objects.copying import CopyOperations
from trilith.objects.listings import ListOperations


class ObjectService(CopyOperations, ListOperations, BucketOperations):
    """Implements trilith.objects.types.Objects. Construct with the arguments of Access."""
