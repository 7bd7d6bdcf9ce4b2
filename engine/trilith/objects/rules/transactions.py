"""Objects in transactions: what an action does, and what ordinary writes do where one is due.

An action is staged whole: a body travels sealed in it, or all segments of its manifest were
written ahead under its version id. So the chunks of a staged object are referenced by SEGMENT
records from before it is locked, and the collector knows nothing of locks. The record of what was
written ahead (PENDING) stays until the action is performed, and cannot be abandoned meanwhile; of
an action that is dropped it is left, and abandoned like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from trilith.errors import BucketClosed, ObjectNotFound, PreconditionFailed
from trilith.objects.commands import AbandonManifest, DeleteObject, Done, PutObject
from trilith.objects.keys import LOCK, NULL_VERSION, OBJECT
from trilith.objects.records import OBJECT_RECORD
from trilith.objects.rules.manifests import abandon_manifest
from trilith.objects.rules.objects import delete_object, put_object, store_object
from trilith.replication.state_machine import Context, Effects, View
from trilith.transactions.commands import CONDITION_FAILED, Staged, Verdict
from trilith.transactions.records import LOCK_RECORD
from trilith.transactions.stage import require_unlocked

BUCKET_CLOSED = "BucketClosed"  # see rules/fence.py; `Verdict.record`: the marker's generation
CHANGED = "SourceChanged"  # the object is not of the version that was to be copied

R = TypeVar("R")


class ObjectAction(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a transaction does to an object.

    `write`: None leaves it as it is. A put names its version id and has no segment: those were
    written ahead. `source_version`: which version the object must be of, as the source of a copy.
    `is_checked`: conditions and fence were found to allow it; the lock keeps that true.
    """

    write: PutObject | DeleteObject | None
    source_version: bytes | None = None
    is_checked: bool = False


encode_action = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ObjectAction).decode


def while_unlocked(
    write: Callable[[Any, View, Effects, Context], R],
) -> Callable[[Any, View, Effects, Context], R]:
    """An ordinary write, which leaves alone what a transaction is about to change."""

    def evaluate(command: Any, view: View, effects: Effects, context: Context) -> R:
        require_unlocked(view, LOCK, command.stem)
        return write(command, view, effects, context)

    return evaluate


def abandon_unstaged_manifest(
    command: AbandonManifest, view: View, effects: Effects, context: Context
) -> Done:
    """Raises TransactionConflict for what a transaction is about to commit."""
    raw = view.get(LOCK, command.stem)
    if raw is not None:
        write = _decode(LOCK_RECORD.decode(raw).sealed).write
        if isinstance(write, PutObject) and write.version_id == command.owner:
            require_unlocked(view, LOCK, command.stem)
    return abandon_manifest(command, view, effects, context)


class ObjectStage:
    """Implements transactions.stage.Stage. Keys are stems."""

    lock_family = LOCK

    def refusal(self, _staged: Staged) -> Verdict | None:
        return None

    def perform(self, staged: Staged, view: View, effects: Effects, context: Context) -> Verdict:
        action = _decode(staged.action)
        write = action.write
        raw = view.get(OBJECT, staged.key + NULL_VERSION)
        if not _is_version(raw, action.source_version):
            return Verdict(CHANGED, "the source of a copy was changed meanwhile")
        try:
            if isinstance(write, PutObject):
                if action.is_checked:
                    store_object(write, raw, view, effects, context)
                else:
                    put_object(write, view, effects, context)
            elif write is not None:
                delete_object(write, view, effects, context)
        except BucketClosed as closed:
            return Verdict(BUCKET_CLOSED, record=closed.details["generation"].to_bytes(8, "big"))
        except (PreconditionFailed, ObjectNotFound) as error:
            return Verdict(CONDITION_FAILED, error.message)
        return Verdict()

    def seal(self, staged: Staged) -> bytes:
        """Bodies are sealed before they come here; metadata is as readable as in its record."""
        action = _decode(staged.action)
        write = action.write
        plain = None if write is None else replace(write, conditions=None)
        return encode_action(ObjectAction(plain, is_checked=True))

    def open(self, _key: bytes, sealed: bytes) -> bytes:
        return sealed


def _is_version(raw: bytes | None, wanted: bytes | None) -> bool:
    if wanted is None:
        return True
    return raw is not None and OBJECT_RECORD.decode(raw).version_id == wanted
