"""What each step of the worked month's story asks the ledger for: one small table of verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from commands.china_calendar import public_days
from domain.account_commands import ExpireGifts, GrantCredit, IssueGift, SetCreditLimit
from domain.case_commands import CloseCase, RejectOrder
from domain.customer import RecordCustomer
from domain.draft_commands import AcceptQuote, ConfirmDraft, OfferQuote, SaveDraft, StartDraft
from domain.invoice_commands import (
    IssueCreditNote,
    IssueInvoice,
    RecordFapiao,
    RequestFapiao,
    ReverseFapiao,
)
from domain.message import Command
from domain.number import SEED_MIN, from_seed
from domain.order_commands import ApproveOrder, CancelOrder, VoidOrder
from domain.order_intake import case_of
from domain.parcel_commands import DeliverParcel, DispatchParcel, PackParcel, TrackParcel
from domain.payment_commands import (
    AuthorisePayment,
    CancelOverdue,
    CapturePayment,
    ChargeLateFee,
    DeclareOverdue,
    LoseChargeback,
    MovePayment,
    OpenChargeback,
    RecordPayment,
    RecordPaymentFailure,
    RecordRemittance,
    RefuseDelivery,
    VoidAuthorisation,
    VoidPayment,
    WaiveLateFee,
    WinChargeback,
)
from domain.placement_commands import AmendOrder, PlaceOrder
from domain.policy import PublishPolicy
from domain.policy_rules import PolicyRules
from domain.refund_commands import (
    ApproveRefund,
    ApproveReturn,
    CloseReturn,
    DenyRefund,
    ExchangeOrder,
    FailRefund,
    PayCompensation,
    PayRefund,
    ReceiveReturn,
    RequestRefund,
    RequestReturn,
    RetryRefund,
)
from domain.stock_item import ReceiveStock
from tests.papers import SELLERS
from tests.worked_month import YEAR, Month, Step, minor, moment, order_id, parcel_id

C = TypeVar("C", bound=Command)
CARRIER = "sf-express"
PERSON = {"name": "王小明", "phone": "13700002600"}
ADDRESS = {"line1": "龙井路 1 号", "city": "杭州", "country": "CN"}
EVIDENCE = ["ab" * 32]
FILE = {"issue_date": f"{YEAR}-03-21", "file_digest": f"sha256:{'ab' * 32}"}


class Asked:
    """A step with the amounts and names of its order, as the builders below need them."""

    def __init__(self, step: Step, month: Month) -> None:
        self.step, self.month = step, month
        self.words, self.options = step.words, step.options
        self.currency = month.currency(step.of)

    def make(self, kind: type[C], **more: Any) -> C:
        """About the step's own order."""
        return kind.model_validate({"at": self.step.at, "order_id": order_id(self.step.of)} | more)

    def amount(self, word: str) -> int:
        return minor(word, self.currency)

    def option(self, name: str) -> int | None:
        return self.amount(self.options[name]) if name in self.options else None

    def payment(self) -> dict[str, Any]:
        """`P1 100.00 alipay payer=… value=03-09`."""
        name, amount, method = self.words[:3]
        told = {"payment_id": name, "method": method, "amount_minor": self.amount(amount)}
        told |= {"reference": f"{self.step.of}-{name}", "payer": self.options.get("payer")}
        if "value" in self.options:
            told["value_date"] = f"{YEAR}-{self.options['value']}"
        return {key: value for key, value in told.items() if value is not None}

    def refund(self) -> dict[str, Any]:
        """`R1`, and who acts."""
        return {"refund_id": self.words[0], "actor": self.options.get("by", "desk")}

    def of_return(self) -> dict[str, Any]:
        return {"return_id": self.words[0]}

    def paper(self) -> dict[str, Any]:
        return {"paper_id": self.words[0], "sellers": SELLERS}

    def fapiao(self) -> dict[str, Any]:
        return {"fapiao_id": self.words[0]}

    def account(self, kind: type[C], **more: Any) -> C:
        ids = {"customer_id": self.step.of, "currency": self.currency, "at": self.step.at}
        return kind.model_validate(ids | more)


def commands(month: Month) -> Iterator[tuple[Step, Command]]:
    """What the story asks for, one after the other. A refusal is of a step's last command."""
    for step in month.steps():
        *first, last = VERBS[step.verb](Asked(step, month))
        yield from ((replace(step, refused=None), one) for one in first)
        yield step, last


def body(asked: Asked) -> dict[str, Any]:
    """An order as it is placed, or as a draft is saved."""
    name, begun = asked.step.of, asked.month.placing(asked.step.of)
    told = {
        "external_ref": name,
        "shop": begun.options.get("shop", "main"),
        "channel": begun.verb,
        "payment_method": begun.words[0],
        "customer_id": begun.options.get("customer", f"buyer-{name}"),
        "currency": asked.currency,
        "prices_include_tax": "exclusive" not in begun.words,
        "contact": PERSON,
        "shipping_address": ADDRESS,
    }
    if "exempt" in begun.options:
        told["exemption"] = {"code": begun.options["exempt"], "reason": "免税"}
    if "total" in begun.options:
        told["total_minor"] = asked.amount(begun.options["total"])
    return told | asked.month.lines(name)


def number(name: str) -> tuple[str, ...]:
    return (from_seed(SEED_MIN + int(name.removeprefix("M"))),)


def drafted(asked: Asked) -> list[Command]:
    """Nothing is known yet but who calls."""
    told: dict[str, Any] = {"draft_id": order_id(asked.step.of)}
    told |= {"numbers": number(asked.step.of)}
    told |= {"customer_id": f"buyer-{asked.step.of}", "contact": PERSON, "at": asked.step.at}
    return [StartDraft.model_validate(told)]


def of_draft(kind: type[Command], told: Callable[[Asked], dict[str, Any]]) -> Any:
    """A verb with one command about the step's draft."""

    def made(asked: Asked) -> list[Command]:
        ids = {"draft_id": order_id(asked.step.of), "at": asked.step.at}
        return [kind.model_validate(ids | told(asked))]

    return made


def exchanged(asked: Asked) -> list[Command]:
    """`T1 R1 changed_mind 1:1 for=M045`."""
    back, refund, reason = asked.words
    new = asked.options["for"]
    body = {
        "return_id": back,
        "refund_id": refund,
        "reason": reason,
        "lines": asked.step.lines,
        "new_order_id": order_id(new),
        "numbers": number(new),
        "new_lines": asked.month.lines(new)["lines"],
        "external_ref": new,
        "actor": "desk",
    }
    return [asked.make(ExchangeOrder, **body)]


def sent(asked: Asked) -> list[Command]:
    """Packed and handed to the carrier: `K1 1:2`. A refusal is of the last."""
    name, at = asked.step.of, asked.step.at
    parcel = parcel_id(name, asked.words[0])
    contents = [{"order_id": order_id(name)} | line for line in asked.step.lines]
    pack = PackParcel.model_validate({"parcel_id": parcel, "contents": contents, "at": at})
    number = f"SF-{name}-{asked.words[0]}"
    leave = {"parcel_id": parcel, "carrier": CARRIER, "tracking_number": number, "at": at}
    return [pack, DispatchParcel.model_validate(leave)]


def scanned(asked: Asked, milestone: str) -> list[Command]:
    name, at = asked.step.of, asked.step.at
    body = {
        "parcel_id": parcel_id(name, asked.words[0]),
        "event_id": f"{name}-{milestone}",
        "carrier": CARRIER,
        "tracking_number": f"SF-{name}-{asked.words[0]}",
        "milestone": milestone,
        "occurred_at": at,
        "at": at,
    }
    return [TrackParcel.model_validate(body)]


def delivered(asked: Asked) -> list[Command]:
    parcel = parcel_id(asked.step.of, asked.words[0])
    return [DeliverParcel(parcel_id=parcel, at=asked.step.at)]


def refund(asked: Asked) -> list[Command]:
    """`R1 other amount=20.00 shipping=8.00 1:1 evidence by=desk`."""
    body: dict[str, Any] = asked.refund() | {"reason": asked.words[1]}
    body |= {"amount_minor": asked.option("amount"), "shipping_minor": asked.option("shipping")}
    if asked.step.units:
        body["lines"] = asked.step.lines
    if "evidence" in asked.words:
        body["evidence"] = EVIDENCE
    return [asked.make(RequestRefund, **body)]


def cancelled(asked: Asked) -> list[Command]:
    """`changed_mind 1:1 by=customer fee=10.00`."""
    body: dict[str, Any] = {"reason_code": asked.words[0], "initiator": asked.options["by"]}
    body["expected_fee_minor"] = asked.option("fee")
    if asked.step.units:
        body["lines"] = asked.step.lines
    return [asked.make(CancelOrder, **body)]


def published(asked: Asked) -> list[Command]:
    rules = PolicyRules.model_validate(asked.month.told["shops"][asked.step.of]["rules"])
    days, shop = public_days(rules), asked.step.of
    return [PublishPolicy(shop=shop, rules=rules, days=days, at=asked.step.at)]


def received(asked: Asked) -> list[Command]:
    body = {"sku": asked.step.of, "quantity": asked.words[0], "at": asked.step.at}
    return [ReceiveStock.model_validate(body)]


def account(asked: Asked, kind: type[Command], **more: Any) -> list[Command]:
    """The customer is known first: who is not has no account."""
    body = {"customer_id": asked.step.of, "contact": PERSON, "at": asked.step.at}
    return [RecordCustomer.model_validate(body), asked.account(kind, **more)]


def gift(asked: Asked) -> list[Command]:
    told = {"amount_minor": asked.amount(asked.words[0]), "reason_code": "spring"}
    told |= {"expires_at": moment(asked.options["until"]), "gift_id": f"G-{asked.step.of}"}
    return account(asked, IssueGift, **told)


def one(kind: type[Command], told: Callable[[Asked], dict[str, Any]]) -> Any:
    """A verb with one command about the step's order."""
    return lambda asked: [asked.make(kind, **told(asked))]


def nothing(_: Asked) -> dict[str, Any]:
    return {}


VERBS: dict[str, Callable[[Asked], list[Command]]] = {
    "publish": published,
    "received": received,
    "limit": lambda a: account(
        a, SetCreditLimit, limit_minor=a.amount(a.words[0]), reason="by contract"
    ),
    "grant": lambda a: account(
        a,
        GrantCredit,
        amount_minor=a.amount(a.words[0]),
        cause="compensation",
        reason_code="late",
    ),
    "gift": gift,
    "expire-gifts": lambda a: [a.account(ExpireGifts)],
    # orders
    "place": lambda a: [a.make(PlaceOrder, numbers=number(a.step.of), **body(a))],
    "draft": drafted,
    "save": of_draft(SaveDraft, body),
    "quote": of_draft(OfferQuote, lambda a: {"expires_at": moment(a.options["until"])}),
    "accept": of_draft(AcceptQuote, lambda a: {"offer_no": int(a.words[0])}),
    "confirm": of_draft(ConfirmDraft, nothing),
    "approve": one(ApproveOrder, nothing),
    "reject": one(RejectOrder, lambda a: {"reason_code": a.words[0]}),
    "close-case": one(
        CloseCase,
        lambda a: {
            "case_id": case_of(order_id(a.step.of), a.words[0]),
            "cause": a.options["cause"],
            "action": "asked and put right",
        },
    ),
    "void": one(VoidOrder, lambda _: {"reason": "a test"}),
    "amend": one(AmendOrder, lambda a: {"lines": a.step.lines, "reason": "asked for"}),
    "cancel": cancelled,
    # money
    "pay": one(RecordPayment, Asked.payment),
    "authorise": one(AuthorisePayment, Asked.payment),
    "capture": one(
        CapturePayment,
        lambda a: {
            "authorisation_id": a.options["of"],
            "payment_id": a.words[0],
            "amount_minor": a.amount(a.words[1]),
            "reference": f"{a.step.of}-{a.words[0]}",
        },
    ),
    "release": one(VoidAuthorisation, lambda a: {"payment_id": a.words[0], "reason": "enough"}),
    "fail": one(RecordPaymentFailure, lambda a: a.payment() | {"code": a.words[3]}),
    "void-payment": one(VoidPayment, lambda a: {"payment_id": a.words[0], "reason": "typed twice"}),
    "move": one(
        MovePayment,
        lambda a: {
            "payment_id": a.words[0],
            "to_order_id": order_id(a.options["to"]),
            "to_payment_id": a.options["as"],
            "reason": "meant for the other",
        },
    ),
    "chargeback": one(
        OpenChargeback,
        lambda a: {
            "payment_id": a.options["of"],
            "chargeback_id": a.words[0],
            "reference": f"{a.step.of}-{a.words[0]}",
            "code": "not_received",
        },
    ),
    "won": one(WinChargeback, lambda a: {"chargeback_id": a.words[0]}),
    "lost-chargeback": one(LoseChargeback, lambda a: {"chargeback_id": a.words[0]}),
    "remit": one(
        RecordRemittance,
        lambda a: {
            "payment_id": a.words[0],
            "carrier": CARRIER,
            "amount_minor": a.amount(a.words[1]),
            "fee_minor": a.option("fee"),
            "reference": f"{a.step.of}-{a.words[0]}",
        },
    ),
    "overdue": one(DeclareOverdue, nothing),
    "cancel-overdue": one(CancelOverdue, nothing),
    "late-fee": one(ChargeLateFee, nothing),
    "waive": one(
        WaiveLateFee, lambda a: {"amount_minor": a.amount(a.words[0]), "reason": "goodwill"}
    ),
    # goods
    "send": sent,
    "deliver": delivered,
    "lost": lambda a: scanned(a, "lost"),
    "refuse": one(
        RefuseDelivery,
        lambda a: {
            "parcel_id": parcel_id(a.step.of, a.words[0]),
            "freight_minor": a.option("freight"),
        },
    ),
    # what goes back
    "refund": refund,
    "approve-refund": one(ApproveRefund, Asked.refund),
    "deny": one(DenyRefund, lambda a: {"refund_id": a.words[0], "reason": "no fault found"}),
    "payout": one(
        PayRefund,
        lambda a: {
            "refund_id": a.words[0],
            "reference": f"{a.step.of}-{a.words[0]}",
            "method": a.options.get("method"),
        },
    ),
    "bounced": one(FailRefund, lambda a: {"refund_id": a.words[0], "code": "ACCOUNT_CLOSED"}),
    "retry": one(RetryRefund, lambda a: {"refund_id": a.words[0]}),
    "compensate": one(
        PayCompensation,
        lambda a: {
            "compensation_id": a.words[0],
            "amount_minor": a.amount(a.words[1]),
            "method": a.words[2],
            "reason": "late",
            "reference": f"{a.step.of}-{a.words[0]}",
        },
    ),
    "return": one(
        RequestReturn, lambda a: a.of_return() | {"reason": a.words[1], "lines": a.step.lines}
    ),
    "approve-return": one(ApproveReturn, Asked.of_return),
    "receive": one(
        ReceiveReturn,
        lambda a: {
            "return_id": a.words[0],
            "refund_id": a.words[1],
            "lines": a.step.lines,
            "actor": "warehouse",
        },
    ),
    "close-return": one(CloseReturn, Asked.of_return),
    "exchange": exchanged,
    # papers
    "invoice": one(IssueInvoice, Asked.paper),
    "credit-note": one(
        IssueCreditNote,
        lambda a: a.paper() | {"refund_id": a.options["refund"], "reason": "refund"},
    ),
    "fapiao": one(RequestFapiao, lambda a: a.fapiao() | {"title": "王小明"}),
    "fapiao-issued": one(
        RecordFapiao, lambda a: a.fapiao() | {"fapiao_number": a.words[1], **FILE}
    ),
    "red-letter": one(ReverseFapiao, Asked.fapiao),
    "red-letter-issued": one(
        RecordFapiao,
        lambda a: a.fapiao() | {"fapiao_number": a.words[1], "credit_number": a.words[2], **FILE},
    ),
}
