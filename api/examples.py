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
DRAFT: dict[str, Any] = {
    "channel": "phone",
    "currency": "CNY",
    "lines": [{"sku": "TEA-LONGJING", "name": "Longjing tea, 100 g", "quantity": 2}],
    "contact": {"phone": "13800000000"},
}
QUOTE = {"expires_at": "2031-01-31T18:00:00+08:00", "text": "From ten on, five percent less."}
ACCEPTANCE = {"offer_no": 1}
DECLINING = {"offer_no": 1, "reason": "Another shop was cheaper."}
DISCARDING = {"reason": "The customer rang off."}
CASE = {
    "kind": "customer_dispute",
    "text": "The customer says that they ordered once, not twice.",
}
CASE_STEP = {
    "step": "communicate",
    "contact": "Mr Wang, by phone",
    "outcome": "He keeps this one.",
}
CASE_CLOSING = {"cause": "customer", "action": "Agreed on the phone to deliver."}
CASE_REOPENING = {"reason": "He rang again."}
HOLD = {"type": "fraud", "reason": "The card's owner lives elsewhere."}
RELEASE = {"reason": "The bank has confirmed the owner."}
APPROVAL = {"text": "A company that we know."}
REJECTION = {"reason_code": "not_reachable", "text": "Nobody answers this number."}
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
NOTICE = {
    "notice_id": "n-1042",
    "kind": "captured",
    "occurred_at": "2026-02-28T18:00:00+08:00",
    "order_ref": "CHECKOUT-7",
    "payment": "ch-77",
    "method": "alipay",
    "amount_minor": 21000,
    "currency": "CNY",
}
NOTICE_ORDER = {"order_id": "01953367-7e00-7000-8000-000000000000"}
PAYMENT_MOVE = {
    "to_order_id": "1000000008",
    "amount_minor": 1000,
    "reason": "The reference names the other order.",
}
CHARGEBACK = {"amount_minor": 1000, "reference": "CASE-5", "code": "not_received"}
CHARGEBACK_END = {"reference": "CASE-5/R"}
WRITE_OFF = {"text": "The customer's bank kept it."}
WAIVER = {"amount_minor": 10, "reason": "An old customer."}
REMITTANCE = {
    "carrier": "sf",
    "amount_minor": 21000,
    "fee_minor": 210,
    "reference": "SF-BATCH-9",
}
REFUSAL = {"freight_minor": 2400, "reason": "Wrong colour."}
INTERCEPT = {"reason_code": "changed_mind", "text": "Rang an hour after it had left."}
PACKING = {"lines": [{"line_no": 1, "quantity": 1}]}
CANCELLATION = {
    "reason_code": "changed_mind",
    "initiator": "customer",
    "lines": [{"line_no": 1, "quantity": 1}],
}
REFUND = {"reason": "late", "amount_minor": 500}
REFUND_PAYMENT = {"reference": "R-2026-0001"}
INVOICE: dict[str, Any] = {"lines": [{"line_no": 1, "quantity": 1}], "language": "zh"}
CREDIT_NOTE = {"reason": "wrong_address", "correction": True, "text": "The street was wrong."}
FAPIAO = {"kind": "special", "title": "杭州茶友有限公司", "tax_id": "91330100MA27ABC456"}
FAPIAO_FILE = {
    "fapiao_number": "26332000000012345678",
    "issue_date": "2026-03-02",
    "file_digest": f"sha256:{'5e' * 32}",
}
RED_LETTER: dict[str, Any] = {}
RED_LETTER_FILE = FAPIAO_FILE | {"fapiao_number": "26332000000012345679"}
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
RECEIPT_CONFIRMATION = {"by": "customer"}
REPLACEMENT = {
    "reason": "damaged",
    "lines": [{"line_no": 1, "quantity": 1}],
    "text": "The tin was crushed.",
    "evidence": EVIDENCE_ADDED["evidence"],
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
STATEMENT = {
    "layout": "csv",
    "file_name": "2025-03.csv",
    # day,sum,reference,text
    # 2025-03-03,210.00,2026022822001,order paid by transfer
    "content": "ZGF5LHN1bSxyZWZlcmVuY2UsdGV4dAoyMDI1LTAzLTAzLDIxMC4wMCwyMDI2MDIyODIyMDAx"
    "LG9yZGVyIHBhaWQgYnkgdHJhbnNmZXIK",
    "mapping": {
        "columns": {"date": "day", "amount": "sum", "reference": "reference", "text": ["text"]},
        "currency": "CNY",
    },
}
MATCH = {
    "lines": [{"line_no": 2, "amount_minor": 10000}],
    "movements": [{"kind": "capture", "owner": "0193e8a1-0000-7000-8000-000000000001", "id": "P1"}],
}
UNMATCH = {"reason": "The customer meant another order."}
UNALLOCATED = {"note": "Asked the bank who sent it."}
CLOSING = {"shop": "main", "zone": "Asia/Shanghai"}
CUSTOMER = {"contact": CONTACT, "address": ADDRESS}
POLICY = {
    "rules": {
        "cancellation": {"free_hours": 48, "fee_bp": 1000},
        "payment": {"term_hours": 72, "reminder_hours": [24, 0], "tolerance": {"CNY": 100}},
        "messages": {"templates": {"paid": {"zh": "订单 {number} 已收到 {paid}。谢谢！"}}},
    },
    "note": "Longer free cancellation for spring.",
}
POLICY_TRIAL = {
    "rules": {"cancellation": {"free_hours": 48}},
    "placed_from": "2026-03-01T00:00:00+08:00",
    "placed_to": "2026-04-01T00:00:00+08:00",
}
PROCEDURE = {"shop": "main", "readers": ["clerk-7", "warehouse-2"]}
ACKNOWLEDGEMENT = {"shop": "main"}
CREDIT = {
    "amount_minor": 2000,
    "cause": "compensation",
    "reason_code": "late_delivery",
    "reference": "case 7",
    "text": "Rang twice about the parcel.",
}
GIFT = {
    "amount_minor": 5000,
    "expires_at": "2031-01-01T00:00:00+08:00",
    "reason_code": "birthday",
}
CREDIT_LIMIT = {"limit_minor": 500000, "reason": "Contract of March, paid by the month."}
