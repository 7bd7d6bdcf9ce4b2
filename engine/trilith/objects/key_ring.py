"""The hierarchy of keys: root, bucket, object, chunk.

    root key (32 bytes, from the operator)
    └── bucket key       BLAKE3 derive-key(root key, bucket id)
        ├── inline key   BLAKE3 keyed(bucket key, version id): seals one small body
        └── data key     random, stored wrapped (AES-256-GCM) under the bucket key
            └── segment key   BLAKE3 keyed(data key, owner): seals that owner's manifest segments
                └── chunk keys    convergent (chunks/), kept only inside sealed segments

Why inline bodies get a derived key rather than a wrapped one: a version id is used once (a retry of
its command carries the very same bytes), so the derived key seals exactly one message; that saves
60 bytes and a second AES-GCM call per small object. Larger objects keep a wrapped random key, so
that a bucket's key can be replaced by re-wrapping 32 bytes per object instead of re-sealing
manifests.

Rotation would come so: bucket keys get a generation in their derivation input, records carry the
generation they were sealed under (a field added at the end, default 0), new writes use the newest,
and a background walk re-wraps data keys and re-seals inline bodies. Losing the root key loses
everything; it is never logged and never leaves the node.

The chunk salt bounds deduplication to one account: BLAKE3 derive-key(root key, account id).
"""

from __future__ import annotations

from blake3 import blake3

from trilith.errors import Corruption
from trilith.runtime.disk import Buffer
from trilith.runtime.entropy import Entropy
from trilith_native.convergent import open as open_sealed
from trilith_native.convergent import seal

ROOT_KEY_SIZE = 32
_BUCKET_CONTEXT = "trilith 2026-11 bucket key"
_SALT_CONTEXT = "trilith 2026-11 chunk salt of an account"
_ZERO_NONCE = bytes(12)
_NONCE_SIZE = 12
_CACHE_MAX = 4096  # derived keys kept at hand; deriving anew costs a microsecond


class KeyRing:
    """Derives and wraps keys. One per node; not shared between threads."""

    def __init__(self, root_key: bytes, entropy: Entropy) -> None:
        if len(root_key) != ROOT_KEY_SIZE:
            raise ValueError(f"the root key has {ROOT_KEY_SIZE} bytes, not {len(root_key)}")
        self._root_key = root_key
        self._entropy = entropy
        self._bucket_keys: dict[bytes, bytes] = {}
        self._salts: dict[str, bytes] = {}

    def bucket_key(self, bucket_id: bytes) -> bytes:
        key = self._bucket_keys.get(bucket_id)
        if key is None:
            key = blake3(self._root_key + bucket_id, derive_key_context=_BUCKET_CONTEXT).digest()
            if len(self._bucket_keys) >= _CACHE_MAX:
                self._bucket_keys.clear()
            self._bucket_keys[bucket_id] = key
        return key

    def chunk_salt(self, owner: str) -> bytes:
        """What the convergent keys of an account's chunks are derived from (32 bytes)."""
        salt = self._salts.get(owner)
        if salt is None:
            salt = blake3(
                self._root_key + owner.encode(), derive_key_context=_SALT_CONTEXT
            ).digest()
            if len(self._salts) >= _CACHE_MAX:
                self._salts.clear()
            self._salts[owner] = salt
        return salt

    def seal_inline(self, bucket_id: bytes, version_id: bytes, body: Buffer) -> bytes:
        """Ciphertext and tag (16 bytes longer) of a small body. Once per version id."""
        key = blake3(version_id, key=self.bucket_key(bucket_id)).digest()
        return seal(key, _ZERO_NONCE, body)

    def open_inline(self, bucket_id: bytes, version_id: bytes, sealed: bytes) -> bytes:
        """Raises Corruption when the bytes are not what was sealed for this version."""
        key = blake3(version_id, key=self.bucket_key(bucket_id)).digest()
        try:
            return open_sealed(key, _ZERO_NONCE, sealed)
        except ValueError as error:
            raise Corruption("an inline body does not authenticate") from error

    def new_data_key(self, bucket_id: bytes) -> tuple[bytes, bytes]:
        """A fresh data key: (key, wrapped)."""
        key = self._entropy.token_bytes(32)
        nonce = self._entropy.token_bytes(_NONCE_SIZE)
        return key, nonce + seal(self.bucket_key(bucket_id), nonce, key)

    def unwrap(self, bucket_id: bytes, wrapped: bytes) -> bytes:
        """The data key. Raises Corruption when it was not wrapped for this bucket."""
        nonce, sealed = wrapped[:_NONCE_SIZE], wrapped[_NONCE_SIZE:]
        try:
            return open_sealed(self.bucket_key(bucket_id), nonce, sealed)
        except ValueError as error:
            raise Corruption("a wrapped data key does not authenticate") from error
