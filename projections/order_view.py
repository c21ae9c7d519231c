"""An order as it is answered: plain data of one row, personal fields still sealed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain import order_alerts
from domain.order_facts import Exemption
from domain.order_line import OrderLine
from domain.order_money import settlement
from domain.order_replacement_state import Replacement
from domain.order_state import Order
from domain.order_status import facts, shown
from domain.parcel import Parcel
from domain.values import quantity_json
from projections import case_told
from projections.order_row import OrderStatus
from projections.order_told import RefundTold, Remark, ReturnTold, Told


def view(row: OrderStatus) -> dict[str, Any]:
    """All of an order. Amounts in minor units, times as datetime, personal values as Sealed."""
    order, status = row.order, shown(row.order)
    return {
        "order_id": order.order_id,
        "number": order.number,
        "shop": order.shop,
        "channel": row.channel,
        "customer_id": order.customer_id,
        "currency": order.currency,
        "external_ref": row.external_ref,
        "origin": row.origin,
        "status": status.code,
        "status_label": status.label,
        "stage": status.dimensions.stage,
        "payment": status.dimensions.payment,
        "fulfilment": status.dimensions.fulfilment,
        "return_status": status.dimensions.returns,
        "overrides": _overrides(row),
        **case_told.shown(order.cases, row.handled),
        "prices_include_tax": order.prices_include_tax,
        "total_minor": order.total_minor,
        "tax_minor": _tax_minor(row),
        "exemption": _exemption(order.exemption),
        "exemption_certificate": order.exemption_certificate,
        "discounts": [dict(vars(one)) for one in order.discounts],
        "shipping_minor": 0 if order.shipping_cancelled else order.shipping_minor,
        "paid_minor": order.paid_minor,
        "refunded_minor": row.paid_out_minor,
        "refund_open_minor": order.refunded_minor - row.paid_out_minor,
        "balance_minor": order.balance_minor,
        **_money(order),
        "units": quantity_json(status.units),
        "shipped_units": quantity_json(status.shipped_units),
        "payment_method": order.payment_method,
        "lines": [_line(line, order.prices_include_tax) for line in order.lines.values()],
        "payments": [_payment(row, key) for key in row.payments],
        "authorisations": [
            {"payment_id": key, **_fields(held), "open_minor": held.open_minor}
            for key, held in order.money.authorisations.items()
        ],
        "chargebacks": [
            {"chargeback_id": key, **_fields(one)} for key, one in order.money.chargebacks.items()
        ],
        "refundable_minor": order.refundable_minor,
        "refunds": [_refund(row, key, told) for key, told in row.refunds.items()],
        "returns": [_return(row, key, told) for key, told in row.returns.items()],
        "compensations": [
            {"compensation_id": key, **_fields(told)} for key, told in row.compensations.items()
        ],
        "alerts": [alert._asdict() for alert in order_alerts.standing(order)],
        "exchange_of": order.exchange_of,
        "replacement_of": order.replacement_of,
        "replacements": [_replacement(key, one) for key, one in order.replacements.items()],
        "parcels": [_parcel(row, key, told) for key, told in row.parcels.items()],
        "contact": order.contact,
        "shipping_address": order.shipping_address,
        "billing_address": order.billing_address,
        "region": row.region,
        "note": row.note,
        "notes": [_remark(told) for told in row.notes],
        "feedback": [_remark(told) for told in row.feedback],
        "placed_at": row.ordered.at,
        "promised_at": order.promised_at,
        "times": _times(row),
        "earlier_estimates": _earlier_estimates(row),
        "source": row.source,
        "version": row.version,
        "position": row.position,
    }


def _fields(told: Any) -> dict[str, Any]:
    return dict(vars(told))


def _money(order: Order) -> dict[str, Any]:
    """What beside payments and refunds is known of the order's money."""
    settled = settlement(order)
    return {
        "due_at": order.money.due_at,
        "authorised_minor": order.money.authorised_minor,
        "unpaid_minor": settled.unpaid_minor,
        "credit_minor": settled.credit_minor,
        "fees_minor": order.fees_minor,
        "late_fee_minor": order.money.late_fees_minor,
        "written_off_minor": settled.written_off_minor,
        "collected_minor": order.money.collected_minor,
        "freight_minor": order.money.freight_minor,
    }


def _payment(row: OrderStatus, payment_id: str) -> dict[str, Any]:
    """What was told of a payment, and what has become of it."""
    told, known = row.payments[payment_id], row.order.payments[payment_id]
    return {
        "payment_id": payment_id,
        **_fields(told),
        "value_date": known.value_date,
        "authorisation_id": known.authorisation_id,
        "refunded_minor": known.refunded_minor,
        "moved_minor": known.moved_minor,
        "disputed_minor": known.disputed_minor,
        "lost_minor": known.lost_minor,
        "voided": known.voided,
    }


def _remark(told: Remark) -> dict[str, Any]:
    return {name: value for name, value in vars(told).items() if value is not None}


def _overrides(row: OrderStatus) -> dict[str, dict[str, Any]]:
    """Of each dimension that is shown as an operator said: why, and what the facts say."""
    by_facts = facts(row.order)
    return {
        name: _fields(told) | {"facts": getattr(by_facts, "returns" if name == "return" else name)}
        for name, told in row.overrides.items()
        if name in row.order.overrides
    }


def _tax_minor(row: OrderStatus) -> int:
    order = row.order
    shipping = 0 if order.shipping_cancelled else order.shipping_tax_minor
    return shipping + sum(line.owed_tax_minor for line in order.lines.values())


def _line(line: OrderLine, includes_tax: bool) -> dict[str, Any]:
    priced = line.priced
    return {
        "line_no": priced.line_no,
        "sku": priced.sku,
        "name": priced.name,
        "category": priced.category,
        "unit": priced.unit,
        "location": priced.location,
        "unit_price_minor": priced.unit_price_minor,
        "unit_cost_minor": priced.unit_cost_minor,
        "tax_rate_bp": priced.tax_rate_bp,
        "amount_minor": priced.amount_minor,
        "discount_minor": priced.discount_minor,
        "order_discount_minor": priced.order_discount_minor,
        "discount_shares": priced.discount_shares or [],
        "exemption": _exemption(priced.exemption),
        "net_minor": priced.base_minor - (priced.tax_minor if includes_tax else 0),
        "tax_minor": priced.tax_minor,
        "gross_minor": line.gross_minor,
        "refunded_minor": line.refunded_minor,
        **{
            name: quantity_json(getattr(line, name))
            for name in (
                "quantity",
                "cancelled",
                "reserved",
                "packed",
                "dispatched",
                "delivered",
                "refused",
                "refunded",
                "returned",
                "replaced",
            )
        },
    }


def _exemption(one: Exemption | None) -> dict[str, Any] | None:
    return None if one is None else dict(vars(one))


def _refund(row: OrderStatus, refund_id: str, told: RefundTold) -> dict[str, Any]:
    """Terms that do not run are null: decided on, denied, or waiting for the customer."""
    refund = row.order.refunds[refund_id]
    undecided = refund.runs and refund.status == "requested"
    return {
        "refund_id": refund_id,
        **_fields(told),
        "status": refund.status,
        "requested_by": refund.requested_by or None,
        "shipping_minor": refund.shipping_minor,
        "fee_minor": refund.fee_minor,
        "lines": [
            {
                "line_no": no,
                "quantity": quantity_json(part.units),
                "amount_minor": part.amount_minor,
                "tax_minor": part.tax_minor,
            }
            for no, part in refund.lines.items()
        ],
        "payments": [
            {"payment_id": payment_id, "amount_minor": amount}
            for payment_id, amount in refund.payments.items()
        ],
        "evidence": list(refund.evidence),
        "return_id": refund.return_id,
        "waits_since": refund.waits_since,
        "decide_by": refund.decide_by if undecided else None,
        "pay_by": refund.pay_by if refund.runs else None,
    }


def _return(row: OrderStatus, return_id: str, told: ReturnTold) -> dict[str, Any]:
    one = row.order.returns[return_id]
    return {
        "return_id": return_id,
        **_fields(told),
        "received": [
            {**_fields(came), "quantity": quantity_json(came.quantity)} for came in told.received
        ],
        "status": one.status,
        "lines": [
            {"line_no": no, "quantity": quantity_json(units)} for no, units in one.lines.items()
        ],
        "parcel_id": one.parcel_id,
        "evidence": list(one.evidence),
        "exchange_order_id": one.exchange_order_id,
    }


def _replacement(order_id: str, one: Replacement) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "reason": one.reason,
        "parcel_id": one.parcel_id,
        "at": one.at,
        "lines": [
            {"line_no": no, "quantity": quantity_json(units)}
            for no, units in one.units.items()
            if units > 0
        ],
    }


def _parcel(row: OrderStatus, parcel_id: str, parcel: Parcel) -> dict[str, Any]:
    known = row.order.parcels.get(parcel_id)
    return {
        "parcel_id": parcel_id,
        "carrier": parcel.carrier or None,
        "tracking_number": parcel.tracking_number or None,
        "status": parcel.status,
        "milestone": parcel.milestone,
        "milestone_at": parcel.milestone_at,
        "estimated_at": parcel.estimated_at,
        "intercept": known.intercept if known else None,
        "lines": [
            {"line_no": item.line_no, "quantity": quantity_json(item.quantity)}
            for item in (known.lines if known else ())
        ],
    }


def _times(row: OrderStatus) -> dict[str, dict[str, Any] | None]:
    """Each with the position of the event that told it."""
    return {
        "ordered": _told(row.ordered),
        "shipped": _told(row.shipped),
        "estimated": _estimated(row, row.estimated_at),
        "delivered": _told(row.delivered),
        "completed": _told(row.completed),
    }


def _told(told: Told | None) -> dict[str, Any] | None:
    return None if told is None else {"at": told.at, "position": told.position}


def _estimated(row: OrderStatus, at: datetime | None) -> dict[str, Any] | None:
    position = next((e.position for e in row.estimates if e.estimated_at == at), None)
    return None if at is None else {"at": at, "position": position}


def _earlier_estimates(row: OrderStatus) -> list[dict[str, Any]]:
    return [
        {"parcel_id": e.parcel_id, "at": e.estimated_at, "given_at": e.at, "position": e.position}
        for e in row.estimates
        if e.estimated_at != row.parcels[e.parcel_id].estimated_at
    ]
