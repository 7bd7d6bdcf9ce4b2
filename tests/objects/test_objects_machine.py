"""The object service and its two models against plain dictionaries, under random histories.

Histories mix objects of every kind, uploads, copies, deletions, transactions of them, lost and
repeated answers, commands that are still in flight when the next ones are evaluated, splits, and
collection of what is released. Afterwards every name answers as the dictionaries say, and every
chunk reference that was ever written is either reachable or was reported lost, exactly once.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.tables.local_tables import LocalTables

from trilith.errors import (
    BucketAlreadyOwned,
    BucketNotEmpty,
    BucketNotFound,
    ObjectNotFound,
    PreconditionFailed,
    UploadNotFound,
)
from trilith.objects.commands import DeleteObject, PutObject
from trilith.objects.housekeeping import Housekeeping
from trilith.objects.keys import (
    BUCKET_ID_SIZE,
    INLINE,
    OBJECT,
    PART,
    PARTS,
    PENDING,
    RELEASED,
    SEGMENT,
    UPLOAD,
    stem_of,
)
from trilith.objects.records import SEGMENT_RECORD
from trilith.objects.rules.fence import carry_over
from trilith.objects.transactions import CopyPart, DeletePart, ObjectTransactions, Part, PutPart
from trilith.objects.types import CompletedPart, WriteConditions

from .service_cluster import PLAIN, GivenBody, ServiceCluster

NAMES = ["b1", "b2"]
KEYS = ["a", "a/b", "a/b/c", "a\x00", "é", "a/"]
names = st.sampled_from(NAMES)
keys = st.sampled_from(KEYS)
sizes = st.sampled_from([0, 1, 9, 10, 11, 40, 600])  # inline up to 10; segments of 512 chunks
PART_MIN = 4


class Change(NamedTuple):
    """What a transaction does to a key. `kind`: put, copy or delete; `create`: if it is absent."""

    kind: str
    size: int
    source: tuple[str, str]
    create: bool


changes = st.builds(
    Change,
    st.sampled_from(["put", "copy", "delete"]),
    sizes,
    st.tuples(names, keys),
    st.integers(0, 3).map(lambda roll: roll == 0),
)


class ObjectsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        world = LocalTables()
        self.cluster = ServiceCluster(
            inline=10,
            chunk_size=1,
            part_size_bytes_min=PART_MIN,
            partitions=world,
            recovery=world.recovery,
        )
        self.service = self.cluster.service
        self.transactions = world.transactions
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.uploads: dict[str, tuple[str, str, dict[int, tuple[bytes, str]]]] = {}
        self.lost: Counter[bytes] = Counter()
        self.written: Counter[bytes] = Counter()
        self.random = random.Random(1)
        self.counted = 0

    @initialize()
    def begin(self) -> None:
        for name in NAMES:
            self.create_bucket(name)
        for key in KEYS:
            self.create_upload("b1", key)

    def teardown(self) -> None:
        self.run(self.transactions.settlements.stop())
        self.loop.close()

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def data(self, size: int) -> bytes:
        return self.random.randbytes(size)

    # -- buckets --------------------------------------------------------------------------------

    @rule(name=names)
    def create_bucket(self, name: str) -> None:
        creation = self.service.create_bucket(name, owner="o", region="r")
        if name in self.buckets:
            with pytest.raises(BucketAlreadyOwned):
                self.run(creation)
        else:
            self.run(creation)
            self.buckets[name] = {}

    @rule(name=names)
    def delete_bucket(self, name: str) -> None:
        deletion = self.service.delete_bucket(name)
        if name not in self.buckets:
            with pytest.raises(BucketNotFound):
                self.run(deletion)
        elif self.buckets[name]:
            with pytest.raises(BucketNotEmpty):
                self.run(deletion)
        else:
            self.run(deletion)
            del self.buckets[name]
            self.uploads = {i: u for i, u in self.uploads.items() if u[0] != name}

    @precondition(lambda self: self.buckets)
    @rule(choose=st.randoms(use_true_random=False), key=keys)
    def split(self, choose: random.Random, key: str) -> None:
        name = choose.choice(sorted(self.buckets))
        bucket_id = self.run(self.service.get_bucket(name)).bucket_id
        cut = stem_of(bucket_id, key)
        partitions = self.cluster.partitions
        partitions.split(cut, carry_over(partitions.view_of(cut), cut))

    # -- objects --------------------------------------------------------------------------------

    @rule(name=names, key=keys, size=sizes, create=st.booleans())
    def put(self, name: str, key: str, size: int, create: bool) -> None:
        data = self.data(size)
        conditions = WriteConditions(if_none_match_any=create)
        storing = self.cluster.put(name, key, data, conditions=conditions)
        if name not in self.buckets:
            with pytest.raises(BucketNotFound):
                self.run(storing)
        elif create and key in self.buckets[name]:
            with pytest.raises(PreconditionFailed):
                self.run(storing)
        else:
            self.run(storing)
            self.buckets[name][key] = data

    @rule(name=names, key=keys)
    def delete(self, name: str, key: str) -> None:
        deletion = self.service.delete_object(name, key)
        if name not in self.buckets:
            with pytest.raises(BucketNotFound):
                self.run(deletion)
        else:
            existed = self.buckets[name].pop(key, None) is not None
            assert self.run(deletion) == existed

    @rule(name=names, key=keys, other_name=names, other_key=keys)
    def copy(self, name: str, key: str, other_name: str, other_key: str) -> None:
        async def copying() -> None:
            source = await self.service.open_object(name, key)
            await self.service.copy_object(source, other_name, other_key, PLAIN)

        if name not in self.buckets or other_name not in self.buckets:
            return
        if key not in self.buckets[name]:
            with pytest.raises(ObjectNotFound):
                self.run(copying())
        else:
            self.run(copying())
            self.buckets[other_name][other_key] = self.buckets[name][key]

    @rule(name=names, key=keys, puts=st.lists(st.booleans(), min_size=1, max_size=5))
    def commands_in_flight(self, name: str, key: str, puts: list[bool]) -> None:
        """Each is evaluated before those before it are committed, and again with its token."""
        if name not in self.buckets:
            return
        partitions = self.cluster.partitions
        bucket_id = self.run(self.service.get_bucket(name)).bucket_id
        stem = stem_of(bucket_id, key)
        in_flight = []
        for is_put in puts:
            token = partitions.new_token()
            if is_put:
                data = self.data(3)
                sealed = self.cluster.keys.seal_inline(bucket_id, token, data)
                command: Any = PutObject(stem, 3, "e" * 32, PLAIN, sealed)
            else:
                command = DeleteObject(stem)
            result, effects = partitions.evaluate(2, stem, command, token)
            again, nothing = partitions.evaluate(2, stem, command, token)
            assert again == result
            assert not nothing.operations
            in_flight.append(effects)
            existed = key in self.buckets[name]
            if is_put:
                self.buckets[name][key] = data
            else:
                assert result.existed == existed
                self.buckets[name].pop(key, None)
        for effects in in_flight:
            partitions.commit(2, effects)

    # -- transactions ---------------------------------------------------------------------------

    @rule(
        wanted=st.dictionaries(st.tuples(names, keys), changes, min_size=1, max_size=4),
        is_resolved=st.booleans(),
    )
    def together(self, wanted: dict[tuple[str, str], Change], is_resolved: bool) -> None:
        """All of it, or nothing. Unless `is_resolved`, readers find its locks."""
        used = {name for name, _ in wanted} | {change.source[0] for change in wanted.values()}
        if not used <= set(self.buckets):
            return
        parts: list[Part] = []
        after: dict[tuple[str, str], bytes | None] = {}
        may_be = True
        for (name, key), change in wanted.items():
            conditions = WriteConditions(if_none_match_any=change.create)
            if change.kind == "delete":
                parts.append(DeletePart(name, key))
                after[name, key] = None
                continue
            may_be = may_be and not (change.create and key in self.buckets[name])
            if change.kind == "put":
                data: bytes | None = self.data(change.size)
                assert data is not None
                parts.append(PutPart(name, key, data, PLAIN, conditions))
            else:
                data = self.buckets[change.source[0]].get(change.source[1])
                may_be = may_be and data is not None
                parts.append(CopyPart(*change.source, name, key, None, conditions))
            after[name, key] = data
        together = ObjectTransactions(self.service, self.transactions)
        ended = self.run(together.execute(parts))
        assert ended.is_committed == may_be
        if is_resolved or not may_be:
            self.run(self.transactions.settlements.drain())
        if may_be:
            for (name, key), data in after.items():
                self.buckets[name].pop(key, None)
                if data is not None:
                    self.buckets[name][key] = data

    # -- uploads --------------------------------------------------------------------------------

    @rule(name=names, key=keys)
    def create_upload(self, name: str, key: str) -> None:
        if name in self.buckets:
            upload = self.run(self.service.create_upload(name, key, PLAIN))
            self.uploads[upload.upload_id] = (name, key, {})

    @precondition(lambda self: self.uploads)
    @rule(choose=st.randoms(use_true_random=False), number=st.integers(1, 4), size=sizes)
    def put_part(self, choose: random.Random, number: int, size: int) -> None:
        upload_id = choose.choice(sorted(self.uploads))
        name, key, parts = self.uploads[upload_id]
        data = self.data(size)
        body = GivenBody(data)
        part = self.run(self.service.put_part(name, key, upload_id, number, body))
        parts[number] = (data, part.etag)

    @precondition(lambda self: self.uploads)
    @rule(choose=st.randoms(use_true_random=False))
    def complete_upload(self, choose: random.Random) -> None:
        upload_id = choose.choice(sorted(self.uploads))
        name, key, parts = self.uploads[upload_id]
        fit = [number for number, (data, _) in sorted(parts.items()) if len(data) >= PART_MIN]
        if not fit:
            data = self.data(PART_MIN)
            part = self.run(self.service.put_part(name, key, upload_id, 2, GivenBody(data)))
            parts[2] = (data, part.etag)
            fit = [2]
        listed = sorted(choose.sample(fit, choose.randint(1, len(fit))))
        completed = [CompletedPart(number, parts[number][1]) for number in listed]
        for _ in range(2):  # the client repeats it, having lost the answer
            self.run(self.service.complete_upload(name, key, upload_id, completed))
        self.buckets[name][key] = b"".join(parts[number][0] for number in listed)
        del self.uploads[upload_id]

    @precondition(lambda self: self.uploads)
    @rule(choose=st.randoms(use_true_random=False))
    def abort_upload(self, choose: random.Random) -> None:
        upload_id = choose.choice(sorted(self.uploads))
        name, key, _ = self.uploads.pop(upload_id)
        self.run(self.service.abort_upload(name, key, upload_id))
        with pytest.raises(UploadNotFound):
            self.run(self.service.abort_upload(name, key, upload_id))

    # -- housekeeping ---------------------------------------------------------------------------

    @rule()
    def collect(self) -> None:
        async def collecting() -> None:
            housekeeping = Housekeeping(self.cluster.partitions)
            async for key in housekeeping.released(10**15):
                async for chunk_id in housekeeping.collect(key):
                    self.lost[chunk_id] += 1

        self.run(collecting())

    # -- what must hold -------------------------------------------------------------------------

    @invariant()
    def every_key_answers_as_the_dictionaries_say(self) -> None:
        for name in NAMES:
            if name not in self.buckets:
                with pytest.raises(BucketNotFound):
                    self.run(self.service.list_objects(name))
                continue
            page = self.run(self.service.list_objects(name))
            expected = sorted(self.buckets[name], key=lambda key: key.encode())
            assert [entry.key for entry in page.entries] == expected
            for key in KEYS:
                if key in self.buckets[name]:
                    assert self.run(self.cluster.get(name, key)) == self.buckets[name][key]
                else:
                    with pytest.raises(ObjectNotFound):
                        self.run(self.cluster.get(name, key))

    @invariant()
    def nothing_is_kept_without_a_reason(self) -> None:
        records = self.cluster.partitions.records
        assert len(records(OBJECT)) == sum(map(len, self.buckets.values()))
        assert len(records(UPLOAD)) == len(self.uploads)
        assert set(records(INLINE)) <= set(records(OBJECT))
        assert not records(PENDING)

    @invariant()
    def references_are_counted_exactly(self) -> None:
        """Every reference written is stored still, or was reported lost once."""
        executed = self.cluster.partitions.executed
        for command in executed[self.counted :]:
            segment = getattr(command, "segment", None)
            if segment is not None:
                self.written.update(_chunk_ids(segment.chunk_ids))
        self.counted = len(executed)
        stored: Counter[bytes] = Counter()
        for raw in self.cluster.partitions.records(SEGMENT).values():
            stored.update(_chunk_ids(SEGMENT_RECORD.decode(raw).chunk_ids))
        assert self.written == stored + self.lost

    @rule()
    def collecting_all_leaves_only_what_is_reachable(self) -> None:
        while self.cluster.partitions.records(RELEASED):
            self.collect()
        reachable = sum(len(data) for b in self.buckets.values() for data in b.values())
        reachable += sum(len(data) for u in self.uploads.values() for data, _ in u[2].values())
        ids = b"".join(
            SEGMENT_RECORD.decode(raw).chunk_ids
            for raw in self.cluster.partitions.records(SEGMENT).values()
        )
        assert len(ids) // 32 <= reachable
        owners = {key[BUCKET_ID_SIZE:] for key in self.cluster.partitions.records(PARTS)}
        parts = self.cluster.partitions.records(PART)
        assert len(owners) <= len(self.cluster.partitions.records(OBJECT))
        assert len(parts) == sum(len(upload[2]) for upload in self.uploads.values())


def _chunk_ids(joined: bytes) -> list[bytes]:
    return [joined[i : i + 32] for i in range(0, len(joined), 32)]


TestObjectsMachine = ObjectsMachine.TestCase
TestObjectsMachine.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
