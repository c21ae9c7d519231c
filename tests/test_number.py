"""Order numbers: ten digits that notice a slip of the tongue or the finger."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.number import SEED_MAX, SEED_MIN, check_digit, from_seed, is_number

SEEDS = st.integers(SEED_MIN, SEED_MAX)


def test_check_digit_of_the_known_example() -> None:
    """The example of Damm's thesis and of every description of it: 572 has check digit 4."""
    assert check_digit("572") == 4
    assert check_digit("5724") == 0


@given(SEEDS)
def test_a_number_is_ten_digits_and_keeps_its_seed(seed: int) -> None:
    number = from_seed(seed)
    assert is_number(number)
    assert len(number) == 10
    assert number[0] != "0"
    assert number[:9] == str(seed)


@given(SEEDS, st.integers(0, 9), st.sampled_from("0123456789"))
def test_one_wrong_digit_is_caught(seed: int, place: int, digit: str) -> None:
    number = from_seed(seed)
    assume(number[place] != digit)
    assert not is_number(number[:place] + digit + number[place + 1 :])


@given(SEEDS, st.integers(0, 8))
def test_neighbours_swapped_are_caught(seed: int, place: int) -> None:
    number = from_seed(seed)
    left, right = number[place], number[place + 1]
    assume(left != right)
    assert not is_number(number[:place] + right + left + number[place + 2 :])


@pytest.mark.parametrize("seed", [-1, 0, SEED_MIN - 1, SEED_MAX + 1])
def test_other_seeds_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="is not 100000000 to"):
        from_seed(seed)


@pytest.mark.parametrize(
    "text", ["", "0000000000", "123456789", "12345678901", "\uff11" * 10, "123456789a"]
)
def test_other_texts_are_no_numbers(text: str) -> None:
    assert not is_number(text)


def test_surroundings_are_not_part_of_a_number() -> None:
    number = from_seed(SEED_MIN)
    assert not is_number(f"{number}\n")
    assert not is_number(f" {number}")
