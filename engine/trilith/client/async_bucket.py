"""A bucket of the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from trilith.client import object_calls, types, upload_calls
from trilith.client.async_bodies import AsyncBodyStream, AsyncData, async_source_of
from trilith.client.async_object_reader import AsyncObjectReader
from trilith.client.async_session import AsyncSession
from trilith.client.async_upload import AsyncUpload
from trilith.client.object_calls import PUT_OBJECT, Range
from trilith.client.reading import Progress
from trilith.client.retries import RETRY_S
from trilith.wire.v1 import objects_pb2


class AsyncBucket:
    """Objects by their keys."""

    def __init__(self, session: AsyncSession, name: str) -> None:
        self._session = session
        self.name = name

    async def put(
        self,
        key: str,
        data: AsyncData,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
        timeout_s: float | None = None,
    ) -> types.ObjectInfo:
        """Store an object: bytes, a pathlib.Path, a binary file, an iterable of bytes or
        an asynchronous one.

        Streams in constant memory. It is there whole, synced in every in-sync zone, when this
        returns, and not at all when it raises, but for OutcomeUnknown. `if_absent`: only where
        there is none; `if_match`: only over an object of this ETag. Raises PreconditionFailed,
        BucketNotFound. An iterable is read once, so such a put is not made again after a failure.
        """
        source = async_source_of(data)
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
        body = AsyncBodyStream(objects_pb2.PutObjectRequest(head=head), source, last)
        return types.object_info(await self._session.send(PUT_OBJECT, body, timeout_s))

    async def get(
        self,
        key: str,
        *,
        range: Range | None = None,  # noqa: A002
        eventual: bool = False,
    ) -> AsyncObjectReader:
        """Open an object. `range`: its (first, last) bytes, inclusive; (-n, None): the last n.

        `eventual`: a replica may answer that cannot prove to be current. Raises ObjectNotFound.
        """
        progress = Progress(self.name, key, range, eventual=eventual)
        return await AsyncObjectReader(self._session, progress, RETRY_S).open()

    async def head(self, key: str, *, eventual: bool = False) -> types.ObjectInfo:
        """Raises ObjectNotFound."""
        return await self._session.run(object_calls.head_object(self.name, key, eventual=eventual))

    async def delete(self, key: str, *, if_match: str | None = None) -> bool:
        """Whether there was one."""
        return await self._session.run(
            object_calls.delete_object(self.name, key, if_match=if_match)
        )

    async def copy(
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
        return await self._session.run(call)

    async def list(
        self, prefix: str = "", *, after: str = "", eventual: bool = False
    ) -> AsyncIterator[types.ListedObject]:
        """All objects under a prefix, in the order of their keys, page by page."""
        following: str | None = after
        while following is not None:
            page = await self.list_page(prefix, after=following, eventual=eventual)
            for one in page.objects:
                yield one
            following = page.next_after

    async def list_page(
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
        return await self._session.run(call)

    # --- uploads in parts ------------------------------------------------------------------------

    async def start_upload(
        self,
        key: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncUpload:
        """Begin an object that comes in parts: side by side, and gone on with after a failure.

        Its parts stay until it is completed or aborted. Raises BucketNotFound.
        """
        call = upload_calls.create_upload(
            self.name, key, object_calls.metadata_message(content_type, metadata, headers)
        )
        return self.upload(key, (await self._session.run(call)).id)

    def upload(self, key: str, upload_id: str) -> AsyncUpload:
        """An upload that was begun before; asks nobody whether it is there."""
        return AsyncUpload(self._session, self.name, key, upload_id)

    async def uploads(self, prefix: str = "") -> AsyncIterator[types.UploadInfo]:
        """Those that are neither completed nor aborted, by key, the oldest first."""
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            call = upload_calls.list_uploads(self.name, prefix, after)
            found, after = await self._session.run(call)
            for one in found:
                yield one
