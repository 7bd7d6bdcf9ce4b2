# Made from async_bucket.py by `make blocking`: change that one.
"""A bucket of the blocking client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trilith.client import object_calls, types, upload_calls
from trilith.client.bodies import BodyStream, Data, source_of
from trilith.client.object_calls import PUT_OBJECT, Range
from trilith.client.object_reader import ObjectReader
from trilith.client.reading import Progress
from trilith.client.retries import RETRY_S
from trilith.client.session import Session
from trilith.client.upload import Upload
from trilith.wire.v1 import objects_pb2


class Bucket:
    """Objects by their keys."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.name = name

    def put(
        self,
        key: str,
        data: Data,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
        timeout_s: float | None = None,
    ) -> types.ObjectInfo:
        """Store an object: bytes, a pathlib.Path, a binary file or an iterable of bytes.

        Streams in constant memory. It is there whole, synced in every in-sync zone, when this
        returns, and not at all when it raises, but for OutcomeUnknown. `if_absent`: only where
        there is none; `if_match`: only over an object of this ETag. Raises PreconditionFailed,
        BucketNotFound. An iterable is read once, so such a put is not made again after a failure.
        """
        source = source_of(data)
        head = object_calls.put_head(
            self.name,
            key,
            size=source.size,
            content_type=content_type,
            metadata=metadata,
            headers=headers,
            if_match=if_match,
            if_absent=if_absent,
        )
        last = objects_pb2.PutObjectRequest(last=True)
        body = BodyStream(objects_pb2.PutObjectRequest(head=head), source, last)
        return types.object_info(self._session.send(PUT_OBJECT, body, timeout_s))

    def get(
        self,
        key: str,
        *,
        range: Range | None = None,  # noqa: A002
        eventual: bool = False,
    ) -> ObjectReader:
        """Open an object. `range`: its (first, last) bytes, inclusive; (-n, None): the last n.

        `eventual`: a replica may answer that cannot prove to be current. Raises ObjectNotFound.
        """
        progress = Progress(self.name, key, range, eventual=eventual)
        return ObjectReader(self._session, progress, RETRY_S).open()

    def head(self, key: str, *, eventual: bool = False) -> types.ObjectInfo:
        """Raises ObjectNotFound."""
        return self._session.run(object_calls.head_object(self.name, key, eventual=eventual))

    def delete(self, key: str, *, if_match: str | None = None) -> bool:
        """Whether there was one."""
        return self._session.run(object_calls.delete_object(self.name, key, if_match=if_match))

    def copy(
        self,
        source_key: str,
        key: str,
        *,
        source_bucket: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> types.ObjectInfo:
        """Copy an object into this bucket, without moving its bytes. Keeps its metadata unless
        some is given. Raises ObjectNotFound.
        """
        call = object_calls.copy_object(
            (source_bucket or self.name, source_key),
            self.name,
            key,
            metadata=object_calls.metadata_message(content_type, metadata, None),
            if_match=if_match,
            if_absent=if_absent,
        )
        return self._session.run(call)

    def list(
        self, prefix: str = "", *, after: str = "", eventual: bool = False
    ) -> Iterator[types.ListedObject]:
        """All objects under a prefix, in the order of their keys, page by page."""
        following: str | None = after
        while following is not None:
            page = self.list_page(prefix, after=following, eventual=eventual)
            yield from page.objects
            following = page.next_after

    def list_page(
        self,
        prefix: str = "",
        *,
        delimiter: str = "",
        after: str = "",
        limit: int = 0,
        eventual: bool = False,
    ) -> types.ObjectPage:
        """One page; keys that have `delimiter` behind the prefix are summed up as prefixes."""
        call = object_calls.list_objects(
            self.name,
            prefix=prefix,
            delimiter=delimiter,
            after=after,
            limit=limit,
            eventual=eventual,
        )
        return self._session.run(call)

    # --- uploads in parts ------------------------------------------------------------------------

    def start_upload(
        self,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Upload:
        """Begin an object that comes in parts: side by side, and gone on with after a failure.

        Its parts stay until it is completed or aborted. Raises BucketNotFound.
        """
        call = upload_calls.create_upload(
            self.name, key, object_calls.metadata_message(content_type, metadata, headers)
        )
        return self.upload(key, (self._session.run(call)).id)

    def upload(self, key: str, upload_id: str) -> Upload:
        """An upload that was begun before; asks nobody whether it is there."""
        return Upload(self._session, self.name, key, upload_id)

    def uploads(self, prefix: str = "") -> Iterator[types.UploadInfo]:
        """Those that are neither completed nor aborted, by key, the oldest first."""
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            call = upload_calls.list_uploads(self.name, prefix, after)
            found, after = self._session.run(call)
            yield from found
