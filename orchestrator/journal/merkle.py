"""Merkle trees as in RFC 6962, section 2.1: one hash for a whole log, short proofs about parts.

A leaf is the hash of an event, which itself covers the event's content. Sizes and indices count
leaves; proofs run from the leaf's level up, as the RFC writes them.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence


def leaf_hash(data: bytes) -> bytes:
    """MTH({d}) = SHA-256(0x00 || d)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the full subtrees at a growing tree's right edge: all that a root needs.

    Memory and time per leaf are logarithmic, whatever the size.
    """

    def __init__(self, size: int = 0, subtrees: Sequence[bytes] = ()) -> None:
        self.size = size
        self._subtrees = list(subtrees)
        """Largest first; one per bit that is set in ``size``."""

    def add(self, data: bytes) -> None:
        """The tree with one more leaf."""
        new, size = leaf_hash(data), self.size
        while size & 1:
            new = node_hash(self._subtrees.pop(), new)
            size >>= 1
        self._subtrees.append(new)
        self.size += 1

    def root(self) -> bytes:
        """The tree's hash; SHA-256 of nothing for the empty tree."""
        if not self._subtrees:
            return hashlib.sha256(b"").digest()
        root = self._subtrees[-1]
        for left in reversed(self._subtrees[:-1]):
            root = node_hash(left, root)
        return root


class Tree(ABC):
    """Roots and proofs of any size from the full subtrees, wherever they are kept."""

    @abstractmethod
    def node(self, level: int, place: int) -> bytes:
        """The root of the full subtree over the leaves ``place * 2**level`` and so on."""

    def root(self, size: int) -> bytes:
        """The hash of the first ``size`` leaves."""
        return self._hash(0, size) if size else hashlib.sha256(b"").digest()

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """PATH(index, D[size]): that the leaf ``index`` (from 0) is among the first ``size``."""
        return self._path(index, 0, size)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """PROOF(old, D[size]): that the first ``old`` leaves begin the tree of ``size``."""
        return self._subproof(old, 0, size, whole=True) if 0 < old < size else []

    def frontier(self, size: int) -> Frontier:
        """The right edge of the first ``size`` leaves, to go on from."""
        subtrees, begin = [], 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                subtrees.append(self.node(level, begin >> level))
                begin += 1 << level
        return Frontier(size, subtrees)

    def _hash(self, begin: int, end: int) -> bytes:
        width = end - begin
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self.node(level, begin >> level)
        middle = begin + _split(width)
        return node_hash(self._hash(begin, middle), self._hash(middle, end))

    def _path(self, index: int, begin: int, end: int) -> list[bytes]:
        if end - begin == 1:
            return []
        middle = begin + _split(end - begin)
        if index < middle:
            return [*self._path(index, begin, middle), self._hash(middle, end)]
        return [*self._path(index, middle, end), self._hash(begin, middle)]

    def _subproof(self, old: int, begin: int, end: int, *, whole: bool) -> list[bytes]:
        if old == end:
            return [] if whole else [self._hash(begin, end)]
        middle = begin + _split(end - begin)
        if old <= middle:
            return [*self._subproof(old, begin, middle, whole=whole), self._hash(middle, end)]
        return [*self._subproof(old, middle, end, whole=False), self._hash(begin, middle)]


class MemoryTree(Tree):
    """All full subtrees in memory, to look them up."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for data in leaves:
            self.add(data)

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return len(self._levels[0])

    def add(self, data: bytes) -> None:
        """One more leaf."""
        self._levels[0].append(leaf_hash(data))
        level = 0
        while len(self._levels[level]) % 2 == 0:
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(node_hash(*self._levels[level][-2:]))
            level += 1

    def node(self, level: int, place: int) -> bytes:
        """See Tree."""
        return self._levels[level][place]


TILE_HEIGHT = 8
"""As in C2SP tlog-tiles: 256 nodes of one level make a tile, whose root is a node of the level
``TILE_HEIGHT`` above. Only those levels are kept; what lies between is computed from one tile."""
TILE_WIDTH = 1 << TILE_HEIGHT


class TiledTree(Tree):
    """A tree of any size of which only a few tiles are read for a proof."""

    def __init__(self, read: Callable[[int, int, int], Sequence[bytes]]) -> None:
        """``read(level, begin, end)``: those of these nodes that exist, for levels 0, 8, 16..."""
        self._read = read
        self._tiles: dict[tuple[int, int], Sequence[bytes]] = {}

    def node(self, level: int, place: int) -> bytes:
        """See Tree. Raises LookupError when the nodes below are not all kept."""
        base = level - level % TILE_HEIGHT
        begin, width = place << (level - base), 1 << (level - base)
        tile, inside = divmod(begin, TILE_WIDTH)
        nodes = self._tile(base, tile)[inside : inside + width]
        if len(nodes) != width:
            raise LookupError(f"{width - len(nodes)} nodes are missing at level {base}")
        return perfect_root(nodes)

    def _tile(self, base: int, tile: int) -> Sequence[bytes]:
        found = self._tiles.get((base, tile))
        if found is None:
            found = self._read(base, tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH)
            self._tiles[base, tile] = found
        return found


def perfect_root(nodes: Sequence[bytes]) -> bytes:
    """The root over a power of two of neighbouring nodes."""
    while len(nodes) > 1:
        nodes = [node_hash(*nodes[i : i + 2]) for i in range(0, len(nodes), 2)]
    return nodes[0]


def root_from_path(data: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to; None when its length is wrong (RFC 9162 2.1.3)."""
    if not 0 <= index < size:
        return None
    number, last, root = index, size - 1, leaf_hash(data)
    for sibling in path:
        if last == 0:
            return None
        if number & 1 or number == last:
            root = node_hash(sibling, root)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        number, last = number >> 1, last >> 1
    return root if last == 0 else None


def _split(width: int) -> int:
    """The largest power of two smaller than ``width``."""
    return 1 << (width - 1).bit_length() - 1
