"""Stripe's itemized reports of balance changes and payouts, and its older export, as CSV.

Amounts are in major units with the decimals of their currency, of which there may be several in one
file. `automatic_payout_id` is the batch.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from commands.statement_files import (
    BadRow,
    Bounded,
    Parsed,
    Unusable,
    amount,
    joined,
    minor,
    moment,
    records,
    said,
    text_lines,
    verbatim,
)
from domain.statement_commands import StatementLine
from domain.statement_facts import LineKind

# Name of the reports -> that of the older export.
ALIASES = {
    "balance_transaction_id": "id",
    "created_utc": "Created (UTC)",
    "currency": "Currency",
    "gross": "Amount",
    "fee": "Fee",
    "net": "Net",
    "reporting_category": "Type",
    "source_id": "Source",
    "description": "Description",
    "automatic_payout_id": "Transfer",
}
NEEDED = ("balance_transaction_id", "currency", "gross", "fee", "net", "reporting_category")
TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S%z")
KINDS: dict[str, LineKind] = {
    "charge": "charge",
    "payment": "charge",
    "refund": "refund",
    "payment_refund": "refund",
    "refund_failure": "refund",
    "payment_failure_refund": "refund",
    "partial_capture_reversal": "refund",
    "dispute": "refund",
    "dispute_reversal": "charge",
    "fee": "fee",
    "stripe_fee": "fee",
    "network_cost": "fee",
    "tax": "fee",
    "payout": "payout",
    "payout_reversal": "payout",
    "transfer": "transfer",
    "transfer_reversal": "transfer",
    "topup": "transfer",
    "topup_reversal": "transfer",
}
# Our order in what a shop adds to a payment; these and the ids are what a payment can be known by.
REFERENCES = (
    "payment_intent_id",
    "charge_id",
    "source_id",
    "payment_metadata[order_id]",
    "payment_metadata[order_number]",
    "order_id (metadata)",
)


def read(source: Bounded, name: str) -> Parsed:
    """Raises Unusable for a file without the columns that are needed."""
    parsed = Parsed(name, "credit_card")
    rows = records(text_lines(source, "utf-8", parsed), ",", '"', parsed)
    _, header = next(rows, (0, []))
    ours = {old: new for new, old in ALIASES.items()}
    columns = [ours.get(cell.strip(), cell.strip()) for cell in header]
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        raise Unusable("layout", f"no report of Stripe: {', '.join(missing)} missing")
    for number, cells in rows:
        if any(cell.strip() for cell in cells):
            parsed.add(number, lambda n=number, c=cells: _line(n, columns, c))  # type: ignore[misc]
    return parsed


def _line(line_no: int, columns: list[str], cells: list[str]) -> StatementLine | None:
    if len(cells) != len(columns):
        raise BadRow("columns", f"{len(cells)} cells for {len(columns)} columns")
    row = dict(zip(columns, cells, strict=True))
    currency = row["currency"].strip().upper()
    gross, fee, net = (
        minor(_amount(row, column), currency, column) for column in ("gross", "fee", "net")
    )
    if gross - fee != net:
        raise BadRow("net_differs", "gross less fee is not net")
    if not gross and not fee:
        return None
    at, day = _moment(row)
    return StatementLine.model_validate(
        {
            "line_no": line_no,
            "kind": _kind(row["reporting_category"].strip()),
            "amount_minor": gross,
            "fee_minor": fee,
            "net_minor": net,
            "currency": currency,
            "at": at,
            "value_on": day,
            "reference": _reference(row),
            "counterparty": said(row.get("customer_email")) or said(row.get("customer_name")),
            "text": joined(
                *(said(row.get(name)) for name in REFERENCES), said(row.get("description"))
            ),
            "batch_id": said(row.get("automatic_payout_id")) or _own_batch(row),
            "verbatim": verbatim(columns, cells),
        }
    )


def _reference(row: dict[str, str]) -> str | None:
    """A refund has an id of its own, beside that of its charge."""
    own, charge = said(row.get("source_id")), said(row.get("charge_id"))
    return own or charge if row["reporting_category"].strip() == "refund" else charge or own


def _own_batch(row: dict[str, str]) -> str | None:
    """A payout is the batch of which the others tell."""
    return said(row.get("source_id")) if row["reporting_category"].strip() == "payout" else None


def _amount(row: dict[str, str], column: str) -> Decimal:
    return amount(row[column].strip() or "0", column)


def _kind(category: str) -> LineKind:
    if category.endswith(("_fee", "_fees")):
        return "fee"
    return KINDS.get(category, "unknown")


def _moment(row: dict[str, str]) -> tuple[datetime, str]:
    told = said(row.get("created_utc"))
    if told is None:
        raise BadRow("time_unreadable", "created_utc")
    for pattern in TIMES:
        try:
            return moment(told, pattern, "UTC", "created_utc")
        except BadRow:
            continue
    raise BadRow("time_unreadable", "created_utc")
