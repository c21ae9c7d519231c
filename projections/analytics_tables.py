"""The tables of facts that figures are made of, with their columns."""

from __future__ import annotations

# What every fact has. `n` numbers the facts of one event; occurred_at is the event's time,
# placed_at the order's.
COMMON: dict[str, str] = {
    "position": "BIGINT",
    "n": "INTEGER",
    "order_id": "UUID",
    "occurred_at": "TIMESTAMPTZ",
    "recorded_at": "TIMESTAMPTZ",
    "placed_at": "TIMESTAMPTZ",
    "shop": "VARCHAR",
    "channel": "VARCHAR",
    "currency": "VARCHAR",
    "origin": "VARCHAR",
}

LINE_FACT = "order_line_fact"
PAYMENT_FACT = "payment_fact"
REFUND_FACT = "refund_fact"
PARCEL_FACT = "parcel_fact"
TABLES: dict[str, dict[str, str]] = {
    # `lines`: 1 when a line begins to be sold, -1 when nothing of it remains. Line 0 stands for an
    # order without lines. Amounts as `Selling` defines them.
    LINE_FACT: COMMON
    | {
        "kind": "VARCHAR",  # as `_KINDS` of the facts names them
        "line_no": "INTEGER",
        "sku": "VARCHAR",
        "category": "VARCHAR",
        "lines": "INTEGER",
        "quantity": "DECIMAL(18,3)",
        "gross_minor": "BIGINT",
        "discount_minor": "BIGINT",
        "shipping_minor": "BIGINT",
        "tax_minor": "BIGINT",
        "cost_minor": "BIGINT",
    },
    # `payments`: 1 when money comes, -1 when nothing of it remains. Below 0: what was voided, moved
    # to another order (where it comes in) or lost to a bank. New columns stand last.
    PAYMENT_FACT: COMMON
    | {
        "payment_id": "VARCHAR",
        "method": "VARCHAR",
        "amount_minor": "BIGINT",
        "payments": "INTEGER",
        "kind": "VARCHAR",  # captured, moved_in, moved_out, voided, charged_back
    },
    # A refund's money by line, goods and shipping together. `sold_minor`: the part of it that
    # lowers what was sold. Money paid above what is owed, as after a cancellation, goes back first;
    # so an order that is cancelled or changed after its refund takes that part away again.
    REFUND_FACT: COMMON
    | {
        "refund_id": "VARCHAR",
        "method": "VARCHAR",
        "line_no": "INTEGER",
        "sku": "VARCHAR",
        "category": "VARCHAR",
        "amount_minor": "BIGINT",
        "sold_minor": "BIGINT",
    },
    PARCEL_FACT: COMMON
    | {
        "parcel_id": "VARCHAR",
        "kind": "VARCHAR",  # packed, dispatched, delivered
        "carrier": "VARCHAR",
        "quantity": "DECIMAL(18,3)",
        "estimated_at": "TIMESTAMPTZ",
    },
}
