"""The work on one window of a body: hash, cut, name, encrypt. Runs on a worker thread.

A window holds at least one longest chunk, or the end of the body, so a cut is always found; where
cuts fall depends on the content alone, never on windows or on how the body arrived. Everything is
done in one pass over the window, while its bytes are in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from blake3 import blake3

from trilith.chunks.replicas import NewChunk
from trilith.runtime.network import Buffer
from trilith_native.chunker import Chunker
from trilith_native.convergent import NONCE_SIZE, derive, seal

_ZERO_NONCE = bytes(NONCE_SIZE)


class Hasher(Protocol):
    """Told all bytes of a body, in order (`hashlib.md5()`, a checksum)."""

    def update(self, data: Buffer, /) -> object: ...


class WindowCutter:
    """What the windows of one body have in common."""

    __slots__ = ("_chunker", "_is_known_here", "_salt")

    def __init__(
        self, chunker: Chunker, salt: bytes, is_known_here: Callable[[bytes], bool | None]
    ) -> None:
        """`is_known_here(chunk_id)`: True or None keep the plaintext, False has it sealed now."""
        self._chunker = chunker
        self._salt = salt
        self._is_known_here = is_known_here

    def cut(
        self, pieces: list[Buffer], tail_bytes: int, hashers: Sequence[Hasher], *, final: bool
    ) -> tuple[list[NewChunk], bytes]:
        """The chunks of a window, and the bytes behind the last of them: the next window's tail.

        `pieces` is emptied. Its first `tail_bytes` are the last window's tail, and hashed already.
        `final`: nothing may be left over.
        """
        window: Buffer = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        with memoryview(window) as view:
            for hasher in hashers:
                hasher.update(view[tail_bytes:])
            chunks: list[NewChunk] = []
            offset = 0
            while offset < len(view):
                length = self._chunker.next_cut(view, offset, final=final)
                if not length:
                    break
                chunks.append(self._name(view[offset : offset + length]))
                offset += length
            return chunks, bytes(view[offset:])

    def _name(self, plaintext: memoryview) -> NewChunk:
        key, chunk_id = derive(blake3(plaintext, key=self._salt).digest())
        if self._is_known_here(chunk_id) is False:
            return NewChunk(chunk_id, key, None, seal(key, _ZERO_NONCE, plaintext), len(plaintext))
        return NewChunk(chunk_id, key, bytes(plaintext), None, len(plaintext))
