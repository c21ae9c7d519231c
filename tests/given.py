"""Given what happened, when a command comes, then these facts or this refusal.

A `World` is a ledger in memory: it asks the desk what a command needs, decides and applies, as the
runner does over PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from domain import desk
from domain.account import Account
from domain.account_commands import ExpireGifts, GrantCredit, IssueGift, SetCreditLimit
from domain.case_commands import (
    CloseCase,
    HoldOrder,
    OpenCase,
    RejectOrder,
    ReleaseHold,
    ReopenCase,
    TakeCaseStep,
)
from domain.customer import RecordCustomer
from domain.message import Command, Decision, Event, Rejected, StreamName
from domain.order_commands import (
    AddNote,
    AmendOrder,
    ApproveOrder,
    CancelOrder,
    DeliverParcel,
    DispatchParcel,
    OverrideStatus,
    PackParcel,
    PayRefund,
    PlaceOrder,
    RecordPayment,
    RequestRefund,
    TrackParcel,
    VoidOrder,
)
from domain.order_state import Order
from domain.parcel import Parcel
from domain.payment_commands import (
    AuthorisePayment,
    CapturePayment,
    MovePayment,
    OpenChargeback,
    VoidPayment,
)
from domain.policy import PublishPolicy
from domain.refund_commands import (
    AddEvidence,
    ApproveRefund,
    ApproveReturn,
    AskEvidence,
    CloseReturn,
    DenyRefund,
    DenyReturn,
    ExchangeOrder,
    FailRefund,
    PayCompensation,
    ReceiveReturn,
    RequestIntercept,
    RequestReturn,
    RetryRefund,
)
from domain.stock_item import ReceiveStock, StockItem

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
# A refund that needs no second person.
REFUNDED = ("order.refund_requested.v2", "order.refund_approved.v1")
C = TypeVar("C", bound=Command)
Facts = Mapping[StreamName, Sequence[Event]]


def hours(count: float) -> datetime:
    """So many hours after noon."""
    return NOON + timedelta(hours=count)


@dataclass
class World:
    """Events per stream, who owns which claim, and the states that follow from the events."""

    events: dict[StreamName, list[Event]] = field(default_factory=dict)
    claims: dict[StreamName, str] = field(default_factory=dict)
    states: dict[StreamName, Any] = field(default_factory=dict)

    def add(self, stream: StreamName, events: Sequence[Event]) -> None:
        for event in events:
            type(event).model_validate_json(event.model_dump_json())  # Made right, unvalidated.
            self.events.setdefault(stream, []).append(event)
            self.states[stream] = desk.evolve(stream.category, self.state(stream), event)

    def state(self, stream: StreamName) -> Any:
        if stream.category.startswith("claim:"):
            return self.claims.get(stream)
        return self.states.get(stream, desk.initial(stream.category))

    def decide(self, command: Command) -> Decision:
        return desk.decide(command, self.needed(command))

    def needed(self, command: Command) -> dict[StreamName, Any]:
        loaded: dict[StreamName, Any] = {}
        while new := desk.streams(command, loaded) - loaded.keys():
            loaded |= {name: self.state(name) for name in new}
        return loaded

    def run(self, command: Command) -> Decision:
        decision = self.decide(command)
        for stream, events in decision.events.items():
            self.add(stream, events)
        for kind, key, owner in decision.claims:
            name = StreamName(f"claim:{kind}", key)
            assert self.claims.get(name, owner) == owner
            self.claims[name] = owner
        return decision

    def answer(self, command: Command) -> dict[str, Any]:
        self.run(command)
        names = self.needed(command)
        versions = {name: len(self.events.get(name, [])) for name in names}
        return desk.answer(command, names, versions)

    def order(self, order_id: str = "A") -> Order:
        state = self.state(desk.order_stream(order_id))
        assert isinstance(state, Order)
        return state

    def parcel(self, parcel_id: str = "K") -> Parcel:
        state = self.state(desk.parcel_stream(parcel_id))
        assert isinstance(state, Parcel)
        return state

    def stock(self, sku: str = "TEA", location: str = "main") -> StockItem:
        state = self.state(desk.stock_stream(sku, location))
        assert isinstance(state, StockItem)
        return state

    def account(self, customer_id: str = "li", currency: str = "CNY") -> Account:
        state = self.state(desk.account_stream(customer_id, currency))
        assert isinstance(state, Account)
        return state


def _stored(facts: Facts) -> dict[StreamName, list[tuple[str, dict[str, Any]]]]:
    """As they are kept: a command's stricter address is an address like any other there."""
    return {name: [(e.TOPIC, e.model_dump()) for e in made] for name, made in facts.items()}


@dataclass
class Then:
    """What a command came to: a decision or a refusal, and the world after it."""

    outcome: Decision | Rejected
    world: World

    def then(self, expected: Facts | Rejected) -> World:
        """Exactly these facts on these streams; of a refusal, the code and the facts named."""
        if isinstance(expected, Rejected):
            return self.refused(expected.code, **expected.facts)
        if isinstance(self.outcome, Rejected):
            raise self.outcome
        assert _stored(self.outcome.events) == _stored(expected)
        return self.world

    def nothing(self) -> World:
        """Already so."""
        return self.then({})

    def topics(self, *expected: str) -> World:
        """These topics, stream by stream in the order of the write."""
        if isinstance(self.outcome, Rejected):
            raise self.outcome
        made = [event.TOPIC for events in self.outcome.events.values() for event in events]
        assert sorted(made) == sorted(expected)
        return self.world

    def refused(self, code: str, **facts: Any) -> World:
        assert isinstance(self.outcome, Rejected), f"was accepted: {self.outcome}"
        assert self.outcome.code == code
        assert self.outcome.facts.items() >= facts.items(), self.outcome.facts
        return self.world

    @property
    def message(self) -> str:
        assert isinstance(self.outcome, Rejected)
        return self.outcome.message


class Given:
    def __init__(self, world: World) -> None:
        self.world = world

    def when(self, command: Command) -> Then:
        world = deepcopy(self.world)
        try:
            return Then(world.run(command), world)
        except Rejected as refusal:
            return Then(refusal, world)


def given(facts: Facts | World | None = None, *commands: Command) -> Given:
    """What was recorded, then the commands that were accepted since."""
    world = deepcopy(facts) if isinstance(facts, World) else World()
    if isinstance(facts, Mapping):
        for stream, events in facts.items():
            world.add(stream, events)
    for command in commands:
        world.run(command)
    return Given(world)


def after(*commands: Command) -> Given:
    """The world that these commands lead to, all accepted."""
    return given(None, *commands)


def line(sku: str = "TEA", quantity: int | str = 2, price: int = 5000, **more: Any) -> Any:
    """A line of a placement: 2 teas at 50.00."""
    named = {"name": sku.title(), "category": "drinks"} | more
    return {"sku": sku, "quantity": quantity, "unit_price_minor": price, **named}


ADDRESS = {"line1": "1 Long Street", "city": "Hangzhou", "region": "Zhejiang", "country": "CN"}


def place(order_id: str = "A", *lines: Any, at: datetime = NOON, **more: Any) -> PlaceOrder:
    """An order of 2 teas at 50.00 unless lines are given; paid before it leaves."""
    body: dict[str, Any] = {
        "order_id": order_id,
        "numbers": (f"number-{order_id}",),
        "channel": "web",
        "customer_id": "li",
        "currency": "CNY",
        "lines": list(lines) or [line()],
        "contact": {"name": "Li Wei", "email": "li@example.com"},
        "shipping_address": ADDRESS,
        "payment_method": "alipay",
        "at": at,
    }
    return PlaceOrder.model_validate(body | more)


def receive(quantity: int | str, sku: str = "TEA", at: datetime = NOON) -> ReceiveStock:
    return ReceiveStock.model_validate({"sku": sku, "quantity": quantity, "at": at})


def approve(order_id: str = "A", **more: Any) -> ApproveOrder:
    return ApproveOrder.model_validate({"order_id": order_id, "at": NOON} | more)


def reject(order_id: str = "A", **more: Any) -> RejectOrder:
    body = {"order_id": order_id, "reason_code": "not_reachable", "at": NOON}
    return RejectOrder.model_validate(body | more)


def open_case(case_id: str = "C1", order_id: str = "A", **more: Any) -> OpenCase:
    body = {"kind": "customer_dispute", "blocking": True, "text": "says so", "at": NOON}
    return OpenCase.model_validate({"order_id": order_id, "case_id": case_id} | body | more)


def step(case_id: str = "C1", step_id: str = "S1", order_id: str = "A", **more: Any) -> Command:
    body = {"step": "communicate", "order_id": order_id, "case_id": case_id, "at": NOON}
    return TakeCaseStep.model_validate(body | {"step_id": step_id} | more)


def close_case(case_id: str = "C1", order_id: str = "A", **more: Any) -> CloseCase:
    body = {"order_id": order_id, "case_id": case_id, "at": NOON}
    return CloseCase.model_validate(body | more)


def reopen(case_id: str = "C1", order_id: str = "A") -> ReopenCase:
    return ReopenCase(order_id=order_id, case_id=case_id, reason="not settled", at=NOON)


def hold(kind: str = "fraud", hold_id: str = "H1", order_id: str = "A") -> HoldOrder:
    body = {"order_id": order_id, "hold_id": hold_id, "type": kind, "reason": "doubt"}
    return HoldOrder.model_validate(body | {"at": NOON})


def release(hold_id: str = "H1", order_id: str = "A") -> ReleaseHold:
    return ReleaseHold(order_id=order_id, hold_id=hold_id, reason="cleared", at=NOON)


def pay(amount_minor: int, payment_id: str = "P1", order_id: str = "A", **more: Any) -> Command:
    body = {"method": "alipay", "amount_minor": amount_minor, "reference": f"ref {payment_id}"}
    ids = {"order_id": order_id, "payment_id": payment_id, "at": NOON}
    return RecordPayment.model_validate(body | ids | more)


def publish(at: datetime = NOON, **rules: Any) -> PublishPolicy:
    """A policy of the main shop: `publish(payment={"term_hours": 48})`."""
    body = {"shop": "main", "rules": rules, "days": {"covered_until": "2030-12-31"}, "at": at}
    return PublishPolicy.model_validate(body)


def money(kind: type[Command], order_id: str = "A", at: datetime = NOON, **more: Any) -> Any:
    """A command about the money of an order: `money(VoidPayment, payment_id="P1", reason="r")`."""
    return kind.model_validate({"order_id": order_id, "at": at} | more)


def authorise(amount_minor: int, payment_id: str = "H1", order_id: str = "A", **more: Any) -> Any:
    body: dict[str, Any] = {"method": "credit_card", "amount_minor": amount_minor}
    body |= {"reference": "auth", "payment_id": payment_id} | more
    return money(AuthorisePayment, order_id, **body)


def capture(amount_minor: int | None, payment_id: str = "P1", **more: Any) -> Any:
    ids = {"authorisation_id": "H1", "payment_id": payment_id, "amount_minor": amount_minor}
    return money(CapturePayment, **(ids | more))


def unrecord(payment_id: str = "P1", order_id: str = "A") -> Any:
    return money(VoidPayment, order_id, payment_id=payment_id, reason="typed twice")


def move(
    payment_id: str = "P1", to: str = "B", amount_minor: int | None = None, **more: Any
) -> Any:
    ids = {"payment_id": payment_id, "to_order_id": to, "to_payment_id": f"M-{payment_id}"}
    body: dict[str, Any] = {"amount_minor": amount_minor, "reason": "misread"}
    return money(MovePayment, **(body | ids | more))


def dispute(payment_id: str = "P1", amount_minor: int | None = None, **more: Any) -> Any:
    ids = {"payment_id": payment_id, "chargeback_id": f"C-{payment_id}"}
    body = {"amount_minor": amount_minor, "reference": "case", "code": "not_received"}
    return money(OpenChargeback, **(ids | body | more))


def amend(*lines: Any, order_id: str = "A", **more: Any) -> AmendOrder:
    body: dict[str, Any] = {"order_id": order_id, "reason": "customer asked", "at": NOON}
    changed = {"lines": list(lines)} if lines else {}
    return AmendOrder.model_validate(body | changed | more)


def cancel(*lines: tuple[int, int | str], order_id: str = "A", **more: Any) -> CancelOrder:
    body: dict[str, Any] = {"order_id": order_id, "reason_code": "changed_mind", "at": NOON}
    return CancelOrder.model_validate(body | _quantities(lines) | more)


def refund(
    amount_minor: int | None = None,
    *lines: tuple[int, int | str],
    refund_id: str = "R1",
    order_id: str = "A",
    **more: Any,
) -> RequestRefund:
    body: dict[str, Any] = {"reason": "other", "amount_minor": amount_minor, "actor": "desk"}
    ids = {"order_id": order_id, "refund_id": refund_id, "at": NOON}
    return RequestRefund.model_validate(body | ids | _quantities(lines) | more)


def pay_refund(refund_id: str = "R1", order_id: str = "A", **more: Any) -> PayRefund:
    body = {"order_id": order_id, "refund_id": refund_id, "reference": "back", "at": NOON}
    return PayRefund.model_validate(body | more)


def pack(*lines: tuple[int, int | str], parcel_id: str = "K", order_id: str = "A") -> PackParcel:
    contents = [{"order_id": order_id, "line_no": no, "quantity": units} for no, units in lines]
    return pack_orders(*contents, parcel_id=parcel_id)


def pack_orders(*contents: Any, parcel_id: str = "K") -> PackParcel:
    return PackParcel.model_validate(
        {"parcel_id": parcel_id, "contents": list(contents), "at": NOON}
    )


def dispatch(
    parcel_id: str = "K", number: str | None = None, at: datetime = NOON, **more: Any
) -> Command:
    return DispatchParcel(
        parcel_id=parcel_id,
        carrier="sf-express",
        tracking_number=number or f"SF-{parcel_id}",
        at=at,
        **more,
    )


def deliver(parcel_id: str = "K", **more: Any) -> DeliverParcel:
    return DeliverParcel.model_validate({"parcel_id": parcel_id, "at": hours(48)} | more)


def scan(milestone: str, at: datetime, parcel_id: str = "K", **more: Any) -> TrackParcel:
    body: dict[str, Any] = {
        "parcel_id": parcel_id,
        "event_id": f"{milestone}-{at.isoformat()}",
        "carrier": "sf-express",
        "tracking_number": f"SF-{parcel_id}",
        "milestone": milestone,
        "occurred_at": at,
        "at": hours(100),
    }
    return TrackParcel.model_validate(body | more)


def override(dimension: str, value: str, **more: Any) -> OverrideStatus:
    body = {"order_id": "A", "dimension": dimension, "value": value, "reason": "seen", "at": NOON}
    return OverrideStatus.model_validate(body | more)


def note(note_id: str = "N1") -> AddNote:
    return AddNote(order_id="A", note_id=note_id, text="Ring twice", at=NOON)


def void(order_id: str = "A") -> VoidOrder:
    return VoidOrder(order_id=order_id, reason="test order", at=NOON)


def register(customer_id: str = "li") -> RecordCustomer:
    contact = {"name": "Li Wei"}
    body = {"customer_id": customer_id, "contact": contact, "at": NOON}
    return RecordCustomer.model_validate(body)


_LI = {"customer_id": "li", "currency": "CNY", "at": NOON}


def credit(amount_minor: int, **more: Any) -> GrantCredit:
    body = {"amount_minor": amount_minor, "cause": "compensation", "reason_code": "late"}
    return GrantCredit.model_validate(_LI | body | more)


def gift(amount_minor: int, gift_id: str = "G1", days: float = 30, **more: Any) -> IssueGift:
    """A gift that is good for so many days from noon."""
    body = {"amount_minor": amount_minor, "reason_code": "birthday", "gift_id": gift_id}
    return IssueGift.model_validate(_LI | body | {"expires_at": hours(24 * days)} | more)


def limit(limit_minor: int, **more: Any) -> SetCreditLimit:
    body = {"limit_minor": limit_minor, "reason": "agreed"}
    return SetCreditLimit.model_validate(_LI | body | more)


def expire_gifts(at: datetime = NOON) -> ExpireGifts:
    return ExpireGifts.model_validate(_LI | {"at": at})


def _quantities(lines: tuple[tuple[int, int | str], ...]) -> dict[str, Any]:
    if not lines:
        return {}
    return {"lines": [{"line_no": no, "quantity": units} for no, units in lines]}


def _of(kind: type[C], refund_id: str, more: dict[str, Any]) -> C:
    ids = {"order_id": "A", "refund_id": refund_id, "at": NOON}
    return kind.model_validate(ids | more)


def approve_refund(actor: str = "manager", refund_id: str = "R1", **more: Any) -> ApproveRefund:
    return _of(ApproveRefund, refund_id, {"actor": actor} | more)


def deny_refund(refund_id: str = "R1", **more: Any) -> DenyRefund:
    return _of(DenyRefund, refund_id, {"reason": "no fault found"} | more)


def fail_refund(refund_id: str = "R1", **more: Any) -> FailRefund:
    return _of(FailRefund, refund_id, {"code": "ACCOUNT_CLOSED"} | more)


def retry_refund(refund_id: str = "R1", **more: Any) -> RetryRefund:
    return _of(RetryRefund, refund_id, more)


def ask_evidence(refund_id: str = "R1", **more: Any) -> AskEvidence:
    return _of(AskEvidence, refund_id, {"text": "A picture of the label, please"} | more)


def add_evidence(*digests: str, refund_id: str = "R1", **more: Any) -> AddEvidence:
    return _of(AddEvidence, refund_id, {"evidence": list(digests)} | more)


def compensate(amount_minor: int, compensation_id: str = "X1", **more: Any) -> PayCompensation:
    body = {
        "amount_minor": amount_minor,
        "reason": "goodwill",
        "method": "alipay",
        "reference": "K",
    }
    ids = {"order_id": "A", "compensation_id": compensation_id, "at": NOON}
    return PayCompensation.model_validate(body | ids | more)


def send_back(
    *lines: tuple[int, int | str], return_id: str = "T1", at: datetime | None = None, **more: Any
) -> RequestReturn:
    """Units that were delivered (`deliver` is 48 hours after noon), by default an hour after."""
    body: dict[str, Any] = {"reason": "changed_mind", "order_id": "A", "return_id": return_id}
    return RequestReturn.model_validate(body | _quantities(lines) | {"at": at or hours(49)} | more)


def intercept(parcel_id: str = "K", **more: Any) -> RequestIntercept:
    body = {"order_id": "A", "parcel_id": parcel_id, "reason_code": "changed_mind", "at": hours(30)}
    return RequestIntercept.model_validate(body | more)


def approve_return(return_id: str = "T1", **more: Any) -> ApproveReturn:
    body = {"order_id": "A", "return_id": return_id, "at": hours(50)}
    return ApproveReturn.model_validate(body | more)


def deny_return(return_id: str = "T1", **more: Any) -> DenyReturn:
    body = {"order_id": "A", "return_id": return_id, "reason": "worn", "at": hours(50)}
    return DenyReturn.model_validate(body | more)


def take_back(
    *lines: tuple[int, int | str] | tuple[int, int | str, str],
    return_id: str = "T1",
    refund_id: str = "R1",
    **more: Any,
) -> ReceiveReturn:
    """Units that came back, to be sold again unless a condition is named."""
    came = [dict(zip(("line_no", "quantity", "condition"), one, strict=False)) for one in lines]
    body = {"order_id": "A", "return_id": return_id, "refund_id": refund_id, "lines": came}
    return ReceiveReturn.model_validate(body | {"actor": "warehouse", "at": hours(72)} | more)


def close_return(return_id: str = "T1", **more: Any) -> CloseReturn:
    body = {"order_id": "A", "return_id": return_id, "at": hours(99)}
    return CloseReturn.model_validate(body | more)


def exchange(*new_lines: Any, back: tuple[tuple[int, int | str], ...], **more: Any) -> Command:
    """Order B for units of order A."""
    body: dict[str, Any] = {
        "order_id": "A",
        "return_id": "T1",
        "refund_id": "R1",
        "new_order_id": "B",
        "numbers": ("number-B",),
        "reason": "changed_mind",
        "new_lines": list(new_lines),
        "actor": "desk",
        "at": hours(49),
    }
    return ExchangeOrder.model_validate(body | _quantities(back) | more)
