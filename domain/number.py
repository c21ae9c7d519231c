"""Order numbers that people can say: ten digits, the last of which catches a slip."""

from __future__ import annotations

import re

SEED_MIN = 100_000_000  # nine digits: no leading zero, which spreadsheets and people drop
SEED_MAX = 999_999_999

_TEN_DIGITS = re.compile(r"[1-9][0-9]{9}")

# Totally anti-symmetric quasigroup of order 10: H. Michael Damm, "Total anti-symmetrische
# Quasigruppen", Marburg 2004. It catches every single wrong digit and every swap of neighbours,
# which the cheaper sums modulo 10 do not.
_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)


def from_seed(nine_digits: int) -> str:
    """The order number of a seed between SEED_MIN and SEED_MAX: its digits and a check digit.

    Raises ValueError outside these bounds.
    """
    if not SEED_MIN <= nine_digits <= SEED_MAX:
        raise ValueError(f"{nine_digits} is not {SEED_MIN} to {SEED_MAX}")
    return f"{nine_digits}{check_digit(str(nine_digits))}"


def is_number(text: str) -> bool:
    """Whether a text is an order number: ten ASCII digits, the first not 0, the check passing."""
    return _TEN_DIGITS.fullmatch(text) is not None and check_digit(text) == 0


def check_digit(digits: str) -> int:
    """The Damm check digit of ASCII digits; 0 for digits that end in their own."""
    interim = 0
    for digit in digits:
        interim = _DAMM[interim][int(digit)]
    return interim
