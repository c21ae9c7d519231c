"""Message texts of a policy: which messages there are, and the variables that each may name."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

_ORDER = frozenset({"number", "name", "shop", "link"})

MESSAGES: Mapping[str, frozenset[str]] = {
    "confirmed": _ORDER | {"total"},
    "payment_due": _ORDER | {"outstanding", "due_at"},
    "overdue": _ORDER | {"outstanding", "due_at", "late_fee"},
    "paid": _ORDER | {"paid"},
    "dispatched": _ORDER | {"carrier", "tracking_number", "estimated_at"},
    "delayed": _ORDER | {"carrier", "tracking_number", "estimated_at"},
    "delivered": _ORDER | {"delivered_at"},
    "cancelled": _ORDER | {"fee", "refund"},
    "return_requested": _ORDER,
    "return_approved": _ORDER | {"return_until"},
    "return_denied": _ORDER | {"reason"},
    "return_received": _ORDER | {"refund"},
    "refund_requested": _ORDER | {"refund", "due_at"},
    "refund_approved": _ORDER | {"refund", "due_at"},
    "refund_denied": _ORDER | {"reason"},
    "refund_evidence_asked": _ORDER | {"reason"},
    "refund_evidence_received": _ORDER,
    "refund_paid": _ORDER | {"refund"},
    "refund_failed": _ORDER | {"refund", "reason"},
    "refund_retried": _ORDER | {"refund", "due_at"},
    "feedback_asked": _ORDER,
}


def variables(text: str) -> frozenset[str]:
    """The names in braces; {{ and }} are braces. Raises ValueError for a text that is malformed.

    Nothing but a name may stand in them: an attribute, an index or a format could read or compute
    what the message was not given.
    """
    found = set()
    for _, name, form, conversion in Formatter().parse(text):
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise ValueError("a variable is one name in braces, such as {number}")
        found.add(name)
    return frozenset(found)


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with each variable's value; an empty one where there is none."""
    parts = []
    for literal, name, _, _ in Formatter().parse(text):
        parts.append(literal)
        parts.append("" if name is None else values.get(name, ""))
    return "".join(parts)
