"""The ledger's Merkle tree: what a leaf is, its root, and proof that an event is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TypeAlias
from uuid import UUID

Hash: TypeAlias = bytes  # SHA-256, 32 bytes

INTEGER_MAX = 2**53 - 1  # RFC 8785 writes numbers as IEEE doubles: above this they are not exact

# RFC 6962, 2.1: different first bytes, so that no inner node can pass for a leaf.
_LEAF = b"\x00"
_NODE = b"\x01"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row of `ledger_event`, every column, in the order of the table."""

    position: int
    stream_id: UUID
    version: int
    category: str
    key: str
    topic: str
    state: bytes  # as stored, sealed
    occurred_at: datetime  # aware
    recorded_at: datetime  # aware
    actor: str
    origin: str
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None


def leaf(row: LedgerRow) -> Hash:
    """The leaf hash of an event: SHA-256 of 0x00 and its canonical JSON. Errors as `canonical`."""
    return leaf_hash(canonical(row))


def canonical(row: LedgerRow) -> bytes:
    """A row as RFC 8785 JSON: state as hex, times as microseconds since 1970 UTC, absent as null.

    Raises ValueError for a naive time, an integer beyond 2^53 - 1 or a lone surrogate.
    """
    return canonical_json(
        {
            "position": row.position,
            "stream_id": str(row.stream_id),
            "version": row.version,
            "category": row.category,
            "key": row.key,
            "topic": row.topic,
            "state": row.state.hex(),
            "occurred_at": microseconds(row.occurred_at),
            "recorded_at": microseconds(row.recorded_at),
            "actor": row.actor,
            "origin": row.origin,
            "command_id": str(row.command_id),
            "correlation_id": str(row.correlation_id),
            "causation_id": None if row.causation_id is None else str(row.causation_id),
        }
    )


def canonical_json(members: Mapping[str, str | int | None]) -> bytes:
    """A flat object as RFC 8785 JSON in UTF-8; tests compare it with the library of that name.

    For these three types json.dumps already writes what the RFC asks for (3.2.2.2: the short
    escapes, lower-case hex for other controls, all else as it is); only order and bounds are ours.
    Raises ValueError for an integer beyond 2^53 - 1 or a lone surrogate (UnicodeEncodeError).
    """
    for name, value in members.items():
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            raise ValueError(f"{name}: {value} is beyond 2^53 - 1")
    # 3.2.3: members sort by UTF-16 code units, which differs from code points above U+FFFF.
    ordered = sorted(members.items(), key=lambda member: member[0].encode("utf-16-be"))
    return json.dumps(dict(ordered), ensure_ascii=False, separators=(",", ":")).encode()


def microseconds(at: datetime) -> int:
    """Whole microseconds since 1970-01-01 UTC, exact. Raises ValueError for a naive time."""
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no offset")
    return (at - _EPOCH) // _MICROSECOND


def leaf_hash(content: bytes) -> Hash:
    """RFC 6962, 2.1: the hash of one leaf's bytes."""
    return sha256(_LEAF + content).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    """RFC 6962, 2.1: the hash of an inner node."""
    return sha256(_NODE + left + right).digest()


def tree_hash(leaves: Iterable[Hash]) -> Hash:
    """RFC 6962, 2.1: the root over leaf hashes in position order; of none, SHA-256 of nothing.

    Reads the leaves once and keeps one hash a level, so a whole ledger can stream through.
    """
    peaks: list[tuple[int, Hash]] = []  # complete subtrees left to right: (leaves, hash)
    for leaf_ in leaves:
        size, right = 1, leaf_
        while peaks and peaks[-1][0] == size:
            size, right = 2 * size, node_hash(peaks.pop()[1], right)
        peaks.append((size, right))
    if not peaks:
        return sha256(b"").digest()
    root = peaks.pop()[1]
    while peaks:
        root = node_hash(peaks.pop()[1], root)
    return root


def inclusion_proof(leaves: Sequence[Hash], index: int) -> list[Hash]:
    """RFC 6962, 2.1.1: the hashes that lead from leaf `index` (from 0) to the root, lowest first.

    Raises IndexError when the tree has no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    path: list[Hash] = []
    while len(leaves) > 1:
        half = 1 << (len(leaves) - 1).bit_length() - 1  # largest power of two below the size
        left, right = leaves[:half], leaves[half:]
        path.append(tree_hash(right if index < half else left))
        leaves, index = (left, index) if index < half else (right, index - half)
    return path[::-1]


def verify_inclusion(leaf_: Hash, index: int, size: int, proof: Sequence[Hash], root: Hash) -> bool:
    """Whether a proof shows that a leaf hash stands at `index` (from 0) of `size` leaves.

    RFC 9162, 2.1.3.2. Never raises: whatever does not fit is no proof.
    """
    if not 0 <= index < size:
        return False
    node, last, reached = index, size - 1, leaf_
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            reached = node_hash(sibling, reached)
            # A node without right sibling rises unhashed to the level where it is a right child.
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            reached = node_hash(reached, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and reached == root
