"""The Merkle leaf and tree: golden vector, known trees, and the library's canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from domain.proof import (
    INTEGER_MAX,
    LedgerRow,
    canonical,
    canonical_json,
    inclusion_proof,
    leaf,
    leaf_hash,
    microseconds,
    node_hash,
    tree_hash,
    verify_inclusion,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "leaf.json").read_text(encoding="utf-8"))


def row_of(columns: dict[str, Any]) -> LedgerRow:
    ids = ("stream_id", "command_id", "correlation_id", "causation_id")
    return LedgerRow(
        **{
            **columns,
            **{name: UUID(columns[name]) if columns[name] else None for name in ids},
            "state": bytes.fromhex(columns["state"]),
            "occurred_at": datetime.fromisoformat(columns["occurred_at"]),
            "recorded_at": datetime.fromisoformat(columns["recorded_at"]),
        }
    )


@pytest.mark.parametrize("vector", GOLDEN, ids=[vector["name"] for vector in GOLDEN])
def test_leaf_is_the_golden_vector(vector: dict[str, Any]) -> None:
    """The vectors never change: signed checkpoints stand on them."""
    row = row_of(vector["row"])
    assert canonical(row).decode() == vector["canonical"]
    assert leaf(row).hex() == vector["leaf"]
    assert leaf(row) == sha256(b"\x00" + vector["canonical"].encode()).digest()


def test_every_column_is_in_the_leaf() -> None:
    row = row_of(GOLDEN[0]["row"])
    other = UUID(int=1)
    changed = [
        replace(row, position=2),
        replace(row, stream_id=other),
        replace(row, version=9),
        replace(row, category="parcel"),
        replace(row, key="x"),
        replace(row, topic="order.paid.v2"),
        replace(row, state=b""),
        replace(row, occurred_at=row.occurred_at + timedelta(microseconds=1)),
        replace(row, recorded_at=row.recorded_at + timedelta(microseconds=1)),
        replace(row, actor="x"),
        replace(row, origin="x"),
        replace(row, command_id=other),
        replace(row, correlation_id=other),
        replace(row, causation_id=other),
    ]
    assert len({leaf(each) for each in [row, *changed]}) == len(changed) + 1
    assert len(changed) == len(LedgerRow.__dataclass_fields__)


@given(
    st.dictionaries(
        st.text(), st.none() | st.text() | st.integers(-INTEGER_MAX, INTEGER_MAX), max_size=20
    )
)
def test_canonical_json_equals_the_library(members: dict[str, str | int | None]) -> None:
    assert canonical_json(members) == rfc8785.dumps(members)


def test_keys_sort_by_utf16_code_units() -> None:
    members = {"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3, "\r": 4, "1": 5, "\u0080": 6, "\u00f6": 7}
    assert canonical_json(members) == rfc8785.dumps(members)
    assert list(json.loads(canonical_json(members))) == [
        "\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [INTEGER_MAX + 1, -INTEGER_MAX - 1, "\ud800"])
def test_what_json_cannot_say_exactly_is_refused(value: str | int) -> None:
    with pytest.raises(ValueError, match=r"beyond|surrogates"):
        canonical_json({"x": value})


def test_times_are_exact_and_aware() -> None:
    noon = datetime(2025, 3, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert microseconds(noon) == 1_740_830_400_000_001
    assert microseconds(noon.astimezone(timezone(timedelta(hours=8)))) == 1_740_830_400_000_001
    assert microseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    with pytest.raises(ValueError, match="no offset"):
        microseconds(datetime(2025, 3, 1))  # noqa: DTZ001 (refused, that is the point)


# The tree of Certificate Transparency's reference implementation: eight leaves, a root per size.
CT_LEAVES = [
    leaf_hash(bytes.fromhex(text))
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
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_known_tree(size: int) -> None:
    assert tree_hash(CT_LEAVES[:size]).hex() == CT_ROOTS[size]


def defined_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word, to compare the streaming root with."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(defined_root(leaves[:half]), defined_root(leaves[half:]))


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65])
def test_every_leaf_of_every_tree_is_proven_and_nothing_else(size: int) -> None:
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    root = tree_hash(iter(leaves))
    assert root == defined_root(leaves)
    for index, each in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        assert verify_inclusion(each, index, size, proof, root)
        assert not verify_inclusion(leaf_hash(b"forged"), index, size, proof, root)
        assert not verify_inclusion(each, index, size, [*proof, root], root)
        assert not verify_inclusion(each, index, size, proof, leaf_hash(b"other root"))
        for other in range(-1, size + 1):
            assert verify_inclusion(each, other, size, proof, root) == (other == index)
        for place in range(len(proof)):
            forged = [*proof[:place], root, *proof[place + 1 :]]
            assert not verify_inclusion(each, index, size, forged, root)
            assert not verify_inclusion(each, index, size, proof[:place], root)


@pytest.mark.parametrize(("size", "index"), [(0, 0), (3, 3), (3, -1)])
def test_a_leaf_that_is_not_there_has_no_proof(size: int, index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(CT_LEAVES[:size], index)
