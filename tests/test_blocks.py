"""A map that is copied in parts is the dictionary it stands for."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from domain.blocks import Blocks
from tests.scale import scale

CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, 600), st.integers()), max_size=60)


@given(CHANGES)
def test_it_holds_what_a_dictionary_would_and_never_changes(
    changes: list[tuple[bool, int, int]],
) -> None:
    blocks: Blocks[int, int] = Blocks()
    expected: dict[int, int] = {}
    for put, key, value in changes:
        before, known = blocks, dict(expected)
        if put:
            blocks, expected = blocks.put(key, value), {**expected, key: value}
        else:
            blocks = blocks.without(key)
            expected = {k: v for k, v in expected.items() if k != key}
        assert before == known
    assert blocks == expected
    assert len(blocks) == len(expected)
    assert sorted(blocks) == sorted(expected)


def test_a_large_statement_is_folded_in_no_more_than_linear_time() -> None:
    count = scale(50_000, 5_000)
    blocks: Blocks[int, int] = Blocks()
    started = time.process_time()
    for number in range(count):
        blocks = blocks.put(number, number)
    assert len(blocks) == count
    assert (time.process_time() - started) / count < 200e-6
