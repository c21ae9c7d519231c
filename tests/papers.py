"""Builders of the commands about papers, for the tests of invoices, credit notes and fapiao."""

from __future__ import annotations

from typing import Any

from domain.invoice_commands import (
    IssueCreditNote,
    IssueInvoice,
    RecordFapiao,
    RequestFapiao,
    ReverseFapiao,
    SellerTerms,
)
from domain.order_papers import CreditNote, Invoice, Papers
from tests.given import NOON, World

TERMS: dict[str, Any] = {
    "name": "杭州龙井茶业有限公司",
    "address": {
        "line1": "龙井路 1 号",
        "city": "杭州",
        "postal_code": "310013",
        "country": "CN",
    },
    "tax_id": "91330100MA27XYZ123",
}
SELLERS = {"main": SellerTerms.model_validate(TERMS)}


def quantities(lines: tuple[tuple[int, int | str], ...]) -> dict[str, Any]:
    if not lines:
        return {}
    return {"lines": [{"line_no": no, "quantity": units} for no, units in lines]}


def issue(
    *lines: tuple[int, int | str], paper_id: str = "I1", order_id: str = "A", **more: Any
) -> IssueInvoice:
    ids = {"order_id": order_id, "paper_id": paper_id, "sellers": SELLERS, "at": NOON}
    return IssueInvoice.model_validate(ids | quantities(lines) | more)


def credit(
    *lines: tuple[int, int | str], paper_id: str = "C1", order_id: str = "A", **more: Any
) -> IssueCreditNote:
    ids = {"order_id": order_id, "paper_id": paper_id, "sellers": SELLERS, "at": NOON}
    reason = {"reason": "correction" if more.get("correction") else "refund"}
    return IssueCreditNote.model_validate(ids | reason | quantities(lines) | more)


def fapiao(fapiao_id: str = "F1", **more: Any) -> RequestFapiao:
    body = {"title": "李伟", "order_id": "A", "fapiao_id": fapiao_id, "at": NOON}
    return RequestFapiao.model_validate(body | more)


def answered(number: str, fapiao_id: str = "F1", **more: Any) -> RecordFapiao:
    body = {
        "order_id": "A",
        "fapiao_id": fapiao_id,
        "fapiao_number": number,
        "issue_date": "2025-03-02",
        "file_digest": f"sha256:{'ab' * 32}",
        "at": NOON,
    }
    return RecordFapiao.model_validate(body | more)


def reverse(fapiao_id: str = "F1", **more: Any) -> ReverseFapiao:
    body = {"order_id": "A", "fapiao_id": fapiao_id, "at": NOON}
    return ReverseFapiao.model_validate(body | more)


def papers(world: World, order_id: str = "A") -> Papers:
    return world.order(order_id).papers


def invoices(world: World, order_id: str = "A") -> list[Invoice]:
    return list(papers(world, order_id).invoices.values())


def credit_notes(world: World, order_id: str = "A") -> list[CreditNote]:
    return list(papers(world, order_id).credit_notes.values())
