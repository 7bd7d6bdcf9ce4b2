# Made from async_upload.py by `make blocking`: change that one.
"""An upload in parts, of the blocking client."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from trilith.client import types, upload_calls
from trilith.client.bodies import BodyStream, Data, FileSlice, source_of
from trilith.client.session import Session
from trilith.client.upload_calls import PART_BYTES, PUT_PART, UploadName
from trilith.errors import BodyMismatch, UploadNotFound
from trilith.wire.v1 import uploads_pb2 as wire

PARALLEL = 4


class Upload:
    """An object on its way in parts, until it is completed or aborted; S3's uploads are the same.

    With `key` and `id` another process takes it up: `bucket.upload(key, id)`.
    """

    def __init__(self, session: Session, bucket: str, key: str, upload_id: str) -> None:
        self._session = session
        self._name = UploadName(bucket, key, upload_id)

    @property
    def key(self) -> str:
        return self._name.key

    @property
    def id(self) -> str:
        return self._name.upload_id

    def send(
        self,
        path: str | os.PathLike[str],
        *,
        part_bytes: int = PART_BYTES,
        parallel: int = PARALLEL,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> types.ObjectInfo:
        """Send a file and complete the upload; `parallel` parts at a time, each again on its own.

        Parts that are there already, with the same bytes, are not sent: after a failure, send
        again, here or in another process, with the same `part_bytes`. Raises UploadNotFound,
        PreconditionFailed, BodyMismatch where the file is changed meanwhile, OSError.
        """
        if parallel < 1:
            raise ValueError("at least one part at a time is sent")
        parts = upload_calls.parts_of(path, part_bytes)
        there = {part.number: part for part in self.parts()}

        def put(numbered: tuple[int, FileSlice]) -> types.PartInfo:
            number, piece = numbered
            part = there.get(number)
            if part is not None and upload_calls.has_bytes_of(part, piece):
                return part
            return self.put_part(number, piece)

        sent = self._session.side_by_side(put, enumerate(parts.slices, 1), parallel)
        if not upload_calls.is_unchanged(path, parts):
            raise BodyMismatch(f"{os.fspath(path)} was changed while it was being sent")
        return self.complete(sent, if_match=if_match, if_absent=if_absent)

    def put_part(
        self, number: int, data: Data | FileSlice, *, timeout_s: float | None = None
    ) -> types.PartInfo:
        """Store a part, 1 to 10,000, or replace it; all but the last have 5 MiB at least.

        `data` as of `bucket.put`. Raises UploadNotFound.
        """
        source = source_of(data)
        head = upload_calls.part_head(self._name, number, source.size)
        body = BodyStream(head, source, wire.PutPartRequest(last=True))
        return types.part_info(self._session.send(PUT_PART, body, timeout_s))

    def parts(self) -> Iterator[types.PartInfo]:
        """Those that are there, in the order of their numbers. Raises UploadNotFound."""
        after = -1
        while after:
            page, after = self._session.run(upload_calls.list_parts(self._name, max(after, 0)))
            yield from page

    def complete(
        self,
        parts: Iterable[types.PartInfo] | None = None,
        *,
        if_match: str | None = None,
        if_absent: bool = False,
        timeout_s: float | None = None,
    ) -> types.ObjectInfo:
        """Make the object of these parts, or of all that are there. It is there whole from then on.

        Raises UploadNotFound, InvalidPart, PartTooSmall, PreconditionFailed.
        """
        chosen = list(self.parts()) if parts is None else parts
        call = upload_calls.complete_upload(
            self._name, chosen, if_match=if_match, if_absent=if_absent
        )
        return self._session.run(call, timeout_s)

    def abort(self) -> bool:
        """Forget it with all its parts. Whether there was one."""
        try:
            self._session.run(upload_calls.abort_upload(self._name))
        except UploadNotFound:
            return False
        return True
