"""The keys that seal item values.

    root key (32 bytes, from the operator)
    └── table key     BLAKE3 derive-key(root key, table id)
        └── item key  BLAKE3 keyed(table key, salt): AES-256-GCM of one stored item

The salt is 16 random bytes per write, in front of the sealed bytes: a derived key seals one message
(so its nonce is zero), even where a command is evaluated twice by two leaders. The item's logical
key is authenticated with it, so that a record cannot be passed off as another item's.
"""

from __future__ import annotations

from collections.abc import Callable

from blake3 import blake3

from trilith.errors import Corruption
from trilith.runtime.entropy import Entropy
from trilith.tables import item_codec
from trilith.tables.records import item_record, sealed_in
from trilith.tables.values import Item
from trilith_native.convergent import open as open_sealed
from trilith_native.convergent import seal

ROOT_KEY_SIZE = 32
_TABLE_CONTEXT = "trilith 2026-11 table key"
_ZERO_NONCE = bytes(12)
_ACTION = b"action of "  # no logical key starts so: slots are small
_SALT_SIZE = 16
_SALTS_DRAWN = 64
_CACHE_MAX = 4096


class ItemKeys:
    """Seals and opens stored items. One per node; not shared between threads."""

    def __init__(self, root_key: bytes, entropy: Entropy) -> None:
        if len(root_key) != ROOT_KEY_SIZE:
            raise ValueError(f"the root key has {ROOT_KEY_SIZE} bytes, not {len(root_key)}")
        self._root_key = root_key
        self._random = entropy.token_bytes
        self._table_keys: dict[bytes, bytes] = {}
        self._salts: list[bytes] = []
        # Told of each item that cannot be opened, before the error is raised: logical key, why.
        self.on_damaged: Callable[[bytes, str], None] = lambda *_: None

    def _table_key(self, table_id: bytes) -> bytes:
        key = self._table_keys.get(table_id)
        if key is None:
            key = blake3(self._root_key + table_id, derive_key_context=_TABLE_CONTEXT).digest()
            if len(self._table_keys) >= _CACHE_MAX:
                self._table_keys.clear()
            self._table_keys[table_id] = key
        return key

    def _salt(self) -> bytes:
        """Random bytes, drawn many at a time: a system call for each write costs more than they."""
        if not self._salts:
            drawn = self._random(_SALT_SIZE * _SALTS_DRAWN)
            self._salts = [drawn[at : at + _SALT_SIZE] for at in range(0, len(drawn), _SALT_SIZE)]
        return self._salts.pop()

    def seal_item(self, table_id: bytes, key: bytes, item: bytes, size: int) -> bytes:
        """The record of an encoded item (item_codec.py) under its logical key."""
        salts = self._salts
        salt = salts.pop() if salts else self._salt()
        table_key = self._table_keys.get(table_id) or self._table_key(table_id)
        item_key = blake3(salt, key=table_key).digest()
        return item_record(size, salt + seal(item_key, _ZERO_NONCE, item, key))

    def seal_action(self, table_id: bytes, key: bytes, action: bytes) -> bytes:
        """An encoded action of a transaction on an item, which cannot be passed off as one."""
        salt = self._salt()
        item_key = blake3(salt, key=self._table_key(table_id)).digest()
        return salt + seal(item_key, _ZERO_NONCE, action, _ACTION + key)

    def open_action(self, table_id: bytes, key: bytes, sealed: bytes) -> bytes:
        """Raises Corruption when it is not what was sealed under this key."""
        item_key = blake3(sealed[:_SALT_SIZE], key=self._table_key(table_id)).digest()
        try:
            return open_sealed(item_key, _ZERO_NONCE, sealed[_SALT_SIZE:], _ACTION + key)
        except ValueError as error:
            raise Corruption("a locked action does not authenticate") from error

    def open_item(self, table_id: bytes, key: bytes, record: bytes) -> Item:
        """Raises Corruption when the record is not what was sealed under this key."""
        try:
            sealed = sealed_in(record)
            item_key = blake3(sealed[:_SALT_SIZE], key=self._table_key(table_id)).digest()
            item = open_sealed(item_key, _ZERO_NONCE, sealed[_SALT_SIZE:], key)
            return item_codec.decode_item(item)
        except (ValueError, Corruption) as error:
            known = isinstance(error, Corruption)
            why = str(error) if known else "a stored item does not authenticate"
            self.on_damaged(key, why)
            raise Corruption(why) from error
