"""The examples of OpenAPI, which a test sends one after the other to a running API."""

from __future__ import annotations

from typing import Any

ADDRESS: dict[str, Any] = {
    "line1": "人民路 1 号",
    "city": "上海",
    "postal_code": "200000",
    "country": "CN",
}
CONTACT = {"name": "王小明", "phone": "13800000000"}
ORDER: dict[str, Any] = {
    "channel": "web",
    "customer_id": "C-1001",
    "currency": "CNY",
    "lines": [
        {
            "sku": "TEA-LONGJING",
            "name": "Longjing tea, 100 g",
            "category": "tea",
            "quantity": 2,
            "unit_price_minor": 8800,
            "tax_rate_bp": 1300,
        },
        {
            "sku": "CUP-WHITE",
            "name": "White cup",
            "category": "ware",
            "quantity": 1,
            "unit_price": "29.00",
            "tax_rate_bp": 1300,
        },
    ],
    "discount_minor": 500,
    "shipping_minor": 1000,
    "contact": CONTACT,
    "shipping_address": ADDRESS,
    "payment_method": "alipay",
    "total_minor": 21000,
}
AMENDMENT = {"lines": [{"line_no": 1, "quantity": 3}], "reason": "The customer wants one more."}
PAYMENT = {"method": "alipay", "amount_minor": 10000, "reference": "2026022822001"}
AUTHORISATION = {
    "method": "credit_card",
    "amount_minor": 20000,
    "reference": "AUTH-77",
    "expires_at": "2030-03-04T18:00:00+08:00",
}
CAPTURE = {"amount_minor": 5000}
REQUESTED_CAPTURE = {"amount_minor": 1000}
AUTHORISATION_VOIDING = {"reason": "One of them is sold out."}
PAYMENT_FAILURE = {
    "method": "credit_card",
    "amount_minor": 5000,
    "reference": "TRY-1",
    "code": "insufficient_funds",
}
PAYMENT_VOIDING = {"reason": "Typed twice."}
PAYMENT_MOVE = {
    "to_order_id": "1000000008",
    "amount_minor": 1000,
    "reason": "The reference names the other order.",
}
CHARGEBACK = {"amount_minor": 1000, "reference": "CASE-5", "code": "not_received"}
WRITE_OFF = {"text": "The customer's bank kept it."}
WAIVER = {"amount_minor": 10, "reason": "An old customer."}
REMITTANCE = {
    "carrier": "sf",
    "amount_minor": 21000,
    "fee_minor": 210,
    "reference": "SF-BATCH-9",
    "value_date": "2026-03-05",
}
REFUSAL = {"freight_minor": 2400, "reason": "Wrong colour."}
PACKING = {"lines": [{"line_no": 1, "quantity": 1}]}
CANCELLATION = {
    "reason_code": "changed_mind",
    "initiator": "customer",
    "lines": [{"line_no": 1, "quantity": 1}],
}
REFUND = {"reason": "damaged", "amount_minor": 500}
REFUND_PAYMENT = {"reference": "R-2026-0001"}
NOTE = {"text": "Rang the customer; the parcel may stay with the neighbour."}
OVERRIDE = {
    "dimension": "fulfilment",
    "value": "delivered",
    "reason": "The neighbour has it; the carrier's scan is missing.",
}
VOIDING = {"reason": "Entered twice."}
DISPATCH = {
    "carrier": "sf",
    "tracking_number": "SF1000000000017",
    "estimated_at": "2030-03-04T18:00:00+08:00",
}
DELIVERY = {"name": "王小明", "picture_ref": "proof/17.jpg"}
RECEIPT = {"quantity": 100, "reference": "PO-17"}
ADJUSTMENT = {"delta": -1, "reason": "One was broken."}
CUSTOMER = {"contact": CONTACT, "address": ADDRESS}
POLICY = {
    "rules": {
        "cancellation": {"free_hours": 48, "fee_bp": 1000},
        "payment": {"term_hours": 72, "reminder_hours": [24, 0], "tolerance": {"CNY": 100}},
        "messages": {"templates": {"paid": {"zh": "订单 {number} 已收到 {paid}。谢谢！"}}},
    },
    "note": "Longer free cancellation for spring.",
}
