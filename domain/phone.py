"""Telephone numbers, as far as they tell one customer from another."""

from __future__ import annotations

import re
import unicodedata

DIGITS_MIN = 7

_EXTENSION = re.compile(r"[转轉#,;x]|分机|ext", re.IGNORECASE)
_COUNTRY = re.compile(r"^(?:\+|00)86")
_MOBILE = re.compile(r"1[3-9][0-9]{9}")  # of China
# Segments of virtual operators: marketplaces lend these numbers out for an order's time.
_VIRTUAL = re.compile(r"1(?:62|65|67|70|71)[0-9]{8}")


def reaches_one_person(phone: str | None) -> str | None:
    """The number in one way of writing; None where it is masked, virtual (with an extension, or
    lent out) or a placeholder, and so may be of anybody.
    """
    text = re.sub(r"[\s().]", "", unicodedata.normalize("NFKC", phone or ""))
    if "*" in text or _EXTENSION.search(text):
        return None
    local = _COUNTRY.sub("", text)
    first, _, more = local.partition("-")
    digits = re.sub(r"[^0-9]", "", local)
    if (_MOBILE.fullmatch(first) and more) or _VIRTUAL.fullmatch(digits):
        return None
    return digits if len(digits) >= DIGITS_MIN and len(set(digits)) > 1 else None
