"""Consistent hashing with virtual nodes.

A node of weight w owns `w * virtual_nodes` points of the 64-bit circle: the xxh3-64 hashes of
"{node_id}#{i}" in UTF-8. A token belongs to the first point at or after it, wrapping round; points
that coincide go to the lesser node id. So a ring depends on the set of its nodes, not on their
order, and a node that comes or goes moves only the tokens that it gains or loses.

The points are part of the stored placement: changing their rule moves every chunk of a cluster.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t, uint64_t

from xxhash import xxh3_64_intdigest

cdef enum:
    POINTS_MAX = 16777216


cdef Py_ssize_t find_point(
    const uint64_t* points, Py_ssize_t count, uint64_t token
) noexcept nogil:
    """The place of the first point at or after `token`, wrapping round. `count` is positive."""
    cdef Py_ssize_t low = 0, size = count
    cdef Py_ssize_t half
    # The halving that compilers turn into conditional moves: no branch to mispredict.
    while size > 1:
        half = size // 2
        low = low + half if points[low + half - 1] < token else low
        size -= half
    if points[low] < token:
        low += 1
    return 0 if low == count else low


@cython.final
cdef class Ring:
    """One zone's ring: tokens to node ids. Immutable. `nodes` are `(node_id, weight)`.

    ValueError: no nodes, a node twice, a weight or `virtual_nodes` under 1.
    """

    cdef uint64_t* points
    cdef uint32_t* owners_of_points
    cdef Py_ssize_t point_count
    cdef tuple ids

    def __cinit__(self, object nodes, Py_ssize_t virtual_nodes=128):
        cdef list pairs = sorted(nodes)
        cdef list placed = []
        cdef Py_ssize_t i, number
        if not pairs:
            raise ValueError("a ring needs a node")
        if virtual_nodes < 1:
            raise ValueError(f"{virtual_nodes} virtual nodes: at least one is needed")
        self.ids = tuple([node_id for node_id, _ in pairs])
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("a node is in the ring twice")
        for number, (node_id, weight) in enumerate(pairs):
            if weight < 1:
                raise ValueError(f"node {node_id!r} has weight {weight}: at least 1 is needed")
            if len(placed) + weight * virtual_nodes > POINTS_MAX:
                raise ValueError(f"a ring of more than {POINTS_MAX} points")
            for i in range(weight * virtual_nodes):
                placed.append((xxh3_64_intdigest(f"{node_id}#{i}".encode()), number))
        placed.sort()
        self.point_count = len(placed)
        self.points = <uint64_t*>PyMem_Malloc(self.point_count * sizeof(uint64_t))
        self.owners_of_points = <uint32_t*>PyMem_Malloc(self.point_count * sizeof(uint32_t))
        if self.points == NULL or self.owners_of_points == NULL:
            raise MemoryError
        for i in range(self.point_count):
            self.points[i] = placed[i][0]
            self.owners_of_points[i] = placed[i][1]

    def __dealloc__(self):
        PyMem_Free(self.points)
        PyMem_Free(self.owners_of_points)

    @property
    def node_ids(self):
        """The nodes, in order of their ids."""
        return self.ids

    cdef inline object owner_at(self, uint64_t token):
        return self.ids[
            self.owners_of_points[find_point(self.points, self.point_count, token)]
        ]

    def owner(self, uint64_t token):
        """The node that owns a token."""
        return self.owner_at(token)

    def owner_of(self, object key):
        """The node that owns the token of a key, its xxh3-64 hash."""
        return self.owner_at(xxh3_64_intdigest(key))

    def owners(self, uint64_t token, Py_ssize_t count):
        """The first `count` different nodes at and after a token; all nodes if there are fewer."""
        cdef Py_ssize_t place = find_point(self.points, self.point_count, token)
        cdef Py_ssize_t wanted = min(count, <Py_ssize_t>len(self.ids))
        cdef list found = []
        while len(found) < wanted:
            node_id = self.ids[self.owners_of_points[place]]
            if node_id not in found:
                found.append(node_id)
            place = 0 if place + 1 == self.point_count else place + 1
        return found


@cython.final
cdef class ZoneRings:
    """A ring per zone: one owner in each zone for every token. `nodes` are `(node_id, zone, weight)`.

    Immutable. A zone's owners depend on that zone's nodes alone.
    """

    cdef dict rings

    def __cinit__(self, object nodes, Py_ssize_t virtual_nodes=128):
        cdef dict members = {}
        for node_id, zone, weight in nodes:
            members.setdefault(zone, []).append((node_id, weight))
        self.rings = {zone: Ring(members[zone], virtual_nodes) for zone in sorted(members)}

    @property
    def zones(self):
        """The zones that have a node, in order of their names."""
        return tuple(self.rings)

    def ring(self, str zone not None):
        """A zone's ring. KeyError: no node is in that zone."""
        return self.rings[zone]

    def owners(self, uint64_t token):
        """The owner of a token in each zone: `{zone: node_id}`."""
        cdef dict found = {}
        for zone, ring in self.rings.items():
            found[zone] = (<Ring>ring).owner_at(token)
        return found

    def owners_of(self, object key):
        """`owners` of the key's xxh3-64 hash."""
        return self.owners(xxh3_64_intdigest(key))
