"""Merkle trees and signed notes, held against published vectors and the definitions themselves."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.journal.merkle import Frontier, MemoryTree, TiledTree, leaf_hash, root_from_path
from orchestrator.journal.note import Signer, Verifier, open_note
from tools.errors import Invalid

# Test vectors of the certificate-transparency project (merkletree tests): leaves and roots.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

# The example of Go's golang.org/x/mod/sumdb/note, which C2SP signed-note describes.
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = GO_TEXT + (
    "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpR"
    "Zb6KE6RyyBwJnAM=\n"
)


def leaves(count: int) -> list[bytes]:
    """Leaves that differ."""
    return [number.to_bytes(4) for number in range(count)]


def defined_root(data: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return hashlib.sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return hashlib.sha256(b"\x01" + defined_root(data[:k]) + defined_root(data[k:])).digest()


def test_roots_are_the_published_ones() -> None:
    """Both ways of computing them."""
    frontier, tree = Frontier(), MemoryTree(LEAVES)
    for size, (leaf, root) in enumerate(zip(LEAVES, ROOTS, strict=True), start=1):
        frontier.add(leaf)

        assert frontier.root().hex() == root
        assert tree.root(size).hex() == root


@given(st.integers(0, 200), st.data())
def test_roots_follow_the_definition(size: int, data: st.DataObject) -> None:
    """For any size, and any earlier size of the same tree."""
    earlier = data.draw(st.integers(0, size))
    frontier = Frontier()
    for leaf in leaves(size):
        frontier.add(leaf)

    assert frontier.root() == defined_root(leaves(size))
    assert MemoryTree(leaves(size)).root(earlier) == defined_root(leaves(earlier))


@given(st.integers(1, 130), st.data())
def test_every_leaf_can_be_proved_and_no_other(size: int, data: st.DataObject) -> None:
    """A path leads to the root from its own leaf at its own place only."""
    index = data.draw(st.integers(0, size - 1))
    tree = MemoryTree(leaves(size + 3))
    path, root = tree.inclusion(index, size), tree.root(size)
    leaf = leaves(size)[index]

    assert root_from_path(leaf, index, size, path) == root
    assert root_from_path(b"other", index, size, path) != root
    assert root_from_path(leaf, index, size, [*path, root]) is None
    if size > 1:
        assert root_from_path(leaf, (index + 1) % size, size, path) != root
        assert root_from_path(leaf, index, size, path[:-1]) != root


@given(st.integers(2, 130), st.data())
def test_consistency_proofs_have_the_rfcs_shape(size: int, data: st.DataObject) -> None:
    """Rebuilt from the proof, both roots come out (RFC 9162, section 2.1.4.2)."""
    old = data.draw(st.integers(1, size - 1))
    tree = MemoryTree(leaves(size))
    proof = tree.consistency(old, size)
    if old & (old - 1) == 0:
        proof = [tree.root(old), *proof]
    number, last = old - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old_root = new_root = proof[0]
    for step in proof[1:]:
        if number & 1 or number == last:
            old_root = hashlib.sha256(b"\x01" + step + old_root).digest()
            new_root = hashlib.sha256(b"\x01" + step + new_root).digest()
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new_root = hashlib.sha256(b"\x01" + new_root + step).digest()
        number, last = number >> 1, last >> 1

    assert (old_root, new_root, last) == (tree.root(old), tree.root(size), 0)


def test_notes_are_those_of_other_tools() -> None:
    """Same key, same text, same bytes; and theirs opens here."""
    signer = Signer.parse(GO_SIGNER)

    assert str(signer.verifier) == GO_VERIFIER
    assert signer.sign(GO_TEXT) == GO_NOTE
    assert open_note(GO_NOTE, [Verifier.parse(GO_VERIFIER)])[0] == GO_TEXT
    assert signer.secret_text() == GO_SIGNER


def test_a_note_of_a_known_key_opens_beside_unknown_signatures() -> None:
    """Witnesses may add theirs."""
    other = Signer("other", b"\x01" * 32)
    both = GO_NOTE + other.sign(GO_TEXT).rpartition("\n\n")[2]

    assert open_note(both, [other.verifier]) == (GO_TEXT, [other.verifier])


@pytest.mark.parametrize("place", range(0, len(GO_NOTE), 7))
def test_no_edit_of_a_signed_note_opens(place: int) -> None:
    """Any character of text or signature."""
    other = "x" if GO_NOTE[place] != "x" else "y"
    edited = GO_NOTE[:place] + other + GO_NOTE[place + 1 :]
    with pytest.raises(Invalid):
        open_note(edited, [Verifier.parse(GO_VERIFIER)])


@pytest.mark.parametrize("text", ["", "a", "a+b+c", GO_VERIFIER[:-4] + "AAAA", GO_SIGNER])
def test_wrong_keys_are_refused(text: str) -> None:
    """Not a key, or not the key that its id says."""
    with pytest.raises(Invalid):
        Verifier.parse(text)


def test_an_error_about_a_signing_key_does_not_show_it() -> None:
    """It may end up in a log."""
    with pytest.raises(Invalid) as caught:
        Signer.parse(GO_SIGNER.replace("c74f20a3", "00000000"))

    assert GO_SIGNER[-40:] not in str(caught.value)


def test_a_tree_read_tile_by_tile_is_the_same_tree() -> None:
    """Roots, proofs and right edges from every 256th level agree with the tree in memory."""
    data = leaves(70_000)
    whole = MemoryTree(data)
    reads: list[int] = []

    def read(level: int, begin: int, end: int) -> list[bytes]:
        reads.append(end - begin)
        return [whole.node(level, place) for place in range(begin, min(end, len(data) >> level))]

    for size in (1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000):
        tiled = TiledTree(read)
        edge = tiled.frontier(size)
        for number in range(size, min(size + 3, len(data))):
            edge.add(data[number])

        assert tiled.root(size) == whole.root(size)
        assert edge.root() == whole.root(edge.size)
        for index in {0, size // 3, size - 1}:
            path = tiled.inclusion(index, size)
            assert path == whole.inclusion(index, size)
            assert root_from_path(data[index], index, size, path) == whole.root(size)
        assert tiled.consistency(size // 2, size) == whole.consistency(size // 2, size)
    assert max(reads) == 256


def test_a_tile_that_is_gone_is_not_made_up() -> None:
    """Nodes that were lost are an error, never a wrong root."""
    gone = TiledTree(lambda level, begin, end: [leaf_hash(b"")] * (255 if level else 256))
    with pytest.raises(LookupError, match="missing"):
        gone.inclusion(0, 1 << 16)
