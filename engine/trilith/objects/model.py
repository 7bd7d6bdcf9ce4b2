"""The two state machines of the object model: objects (keyspace 2), buckets (keyspace 1).

Dispatch only; what a command does is in rules/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

import msgspec

from trilith.errors import InternalError
from trilith.objects import commands as c
from trilith.objects.rules import (
    buckets,
    fence,
    listing,
    manifests,
    objects,
    references,
    repairs,
    transactions,
    uploads,
)
from trilith.replication.state_machine import Context, Effects, View
from trilith.transactions import commands as t
from trilith.transactions.stage import LockRules

_Evaluate = dict[type, Callable[[Any, View, Effects, Context], c.Result | t.Result]]
_Answer = dict[type, Callable[[Any, View], c.Result | t.Result]]

_RESULTS: tuple[type, ...] = (
    c.Done,
    c.Stored,
    c.Deleted,
    c.FoundObject,
    c.ObjectsPage,
    c.UploadsPage,
    c.FoundUpload,
    c.PartsPage,
    c.Records,
    c.Keys,
    c.Collected,
    c.FoundBucket,
    c.BucketsPage,
    c.FoundSettings,
    c.References,
    c.Users,
    *t.LOCK_RESULTS,
)


class _TableModel:
    """A replication.state_machine.Model made of a function per command and query."""

    result_type: Any = Union[_RESULTS]  # noqa: UP007 (a Union made of a tuple)

    def __init__(self, evaluators: _Evaluate, answerers: _Answer) -> None:
        self._evaluators = evaluators
        self._answerers = answerers
        self.command_type: Any = Union[tuple(evaluators)]  # noqa: UP007
        self.query_type: Any = Union[tuple(answerers)]  # noqa: UP007

    def evaluate(
        self, command: msgspec.Struct, view: View, effects: Effects, context: Context
    ) -> msgspec.Struct:
        function = self._evaluators.get(type(command))
        if function is None:
            raise InternalError(f"no such command: {type(command).__name__}")
        return function(command, view, effects, context)

    def answer(self, query: msgspec.Struct, view: View) -> msgspec.Struct:
        function = self._answerers.get(type(query))
        if function is None:
            raise InternalError(f"no such query: {type(query).__name__}")
        return function(query, view)


class ObjectsModel(_TableModel):
    """Keyspace 2: objects, uploads, manifests, repair queue, fences, locks. Routed by stem."""

    def __init__(self) -> None:
        locks = LockRules(transactions.ObjectStage(), has_ledgers=False)
        while_unlocked = transactions.while_unlocked
        super().__init__(
            {
                c.PutObject: while_unlocked(objects.put_object),
                c.DeleteObject: while_unlocked(objects.delete_object),
                c.PutTags: while_unlocked(objects.put_tags),
                c.PutSegment: manifests.put_segment,
                c.AbandonManifest: transactions.abandon_unstaged_manifest,
                c.CreateUpload: uploads.create_upload,
                c.PutPart: uploads.put_part,
                c.StageParts: uploads.stage_parts,
                c.CompleteUpload: while_unlocked(uploads.complete_upload),
                c.AbortUpload: uploads.abort_upload,
                c.CloseBucket: fence.close_bucket,
                c.ReopenBucket: fence.reopen_bucket,
                c.CompleteRepairs: repairs.complete_repairs,
                c.CollectReleased: manifests.collect_released,
                c.DropRepair: repairs.drop_repair,
                c.Settle: references.settle,
                t.Prepare: locks.prepare,
                t.Resolve: locks.resolve,
                t.Reserve: locks.reserve,
            },
            {
                c.GetObject: objects.get_object,
                c.ListObjects: listing.list_objects,
                c.ListUploads: listing.list_uploads,
                c.GetUpload: uploads.get_upload,
                c.ListParts: uploads.list_parts,
                c.GetSegments: manifests.get_segments,
                c.GetPartList: uploads.get_part_list,
                c.ListRepairs: repairs.list_repairs,
                c.ListPending: manifests.list_pending,
                c.ListReleased: manifests.list_released,
                c.GetRepair: repairs.get_repair,
                c.ListReferences: references.list_references,
                c.FindUsers: references.find_users,
                t.ListLocks: locks.list_locks,
            },
        )


class SystemModel(_TableModel):
    """Keyspace 1: bucket records by name. Routed by the bucket's name in UTF-8."""

    def __init__(self) -> None:
        super().__init__(
            {
                c.CreateBucket: buckets.create_bucket,
                c.DeleteBucket: buckets.delete_bucket,
                c.UpdateGeneration: buckets.update_generation,
                c.PutBucketTags: buckets.put_bucket_tags,
                c.PutCors: buckets.put_cors,
                c.PutPublicAccessBlock: buckets.put_public_access_block,
            },
            {
                c.GetBucket: buckets.get_bucket,
                c.GetBucketSettings: buckets.get_bucket_settings,
                c.ListBuckets: buckets.list_buckets,
            },
        )
