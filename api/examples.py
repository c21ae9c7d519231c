"""The examples of OpenAPI, which a test sends one after the other to a running API."""

from __future__ import annotations

from hashlib import sha256
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
PACKING = {"lines": [{"line_no": 1, "quantity": 1}]}
CANCELLATION = {
    "reason_code": "changed_mind",
    "initiator": "customer",
    "lines": [{"line_no": 1, "quantity": 1}],
}
REFUND = {"reason": "late", "amount_minor": 500}
REFUND_PAYMENT = {"reference": "R-2026-0001"}
REFUND_DENIAL = {"reason": "The picture shows another product."}
REFUND_FAILURE = {"code": "ACCOUNT_CLOSED"}
EVIDENCE_ASKED = {"text": "Please send a picture of the label."}
EVIDENCE_FILE = b"%PDF-1.4\n%%EOF\n"
EVIDENCE_ADDED = {"evidence": [sha256(EVIDENCE_FILE).hexdigest()]}
COMPENSATION = {
    "amount_minor": 1000,
    "reason": "goodwill",
    "method": "alipay",
    "reference": "K-2026-0001",
}
RETURN = {"reason": "changed_mind", "lines": [{"line_no": 1, "quantity": 1}]}
RETURN_APPROVAL = {"label": "SF-RETURN-17"}
RETURN_DENIAL = {"reason": "The seal was broken."}
RETURN_RECEIPT = {"lines": [{"line_no": 1, "quantity": 1, "condition": "resell"}]}
RETURN_CLOSING = {"reason": "The rest never came."}
EXCHANGE = {
    "reason": "changed_mind",
    "lines": [{"line_no": 1, "quantity": 1}],
    "new_lines": [
        {
            "sku": "TEA-BILUOCHUN",
            "name": "Biluochun tea, 100 g",
            "category": "tea",
            "quantity": 1,
            "unit_price_minor": 9800,
            "tax_rate_bp": 1300,
        }
    ],
}
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
