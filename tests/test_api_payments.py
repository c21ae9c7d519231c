"""The money of an order over HTTP, as a desk, a provider and a bank bring it about."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api_server import Api, events

Json = dict[str, Any]


def orders_of(api: Api, *, count: int = 1, **changes: Any) -> list[str]:
    return [f"/v1/orders/{api.place(**changes)['order_id']}" for _ in range(count)]


def recorded(api: Api, at: str, amount: int, **more: Any) -> Json:
    body = {"method": "alipay", "amount_minor": amount, "reference": "A-1"} | more
    return api.made(f"{at}/payments", body)


def sent(api: Api, at: str, *units: int) -> str:
    lines = [{"line_no": no, "quantity": quantity} for no, quantity in enumerate(units, start=1)]
    parcel: str = api.made(f"{at}/parcels", {"lines": lines})["parcel_id"]
    return parcel


def carried() -> Json:
    return {"carrier": "sf", "tracking_number": uuid.uuid4().hex}


def refusal(api: Api, path: str, body: Any = None) -> tuple[int, str]:
    answer = api.post(path, body)
    return answer.status_code, answer.json()["code"]


def test_a_card_is_held_and_captured_in_parts(api: Api) -> None:
    """covers: A62 (partial capture)"""
    [at] = orders_of(api)
    body = {"method": "credit_card", "amount_minor": 21_000, "reference": "AUTH", "payer": "李雷"}
    held = api.made(f"{at}/payments/authorise", body)
    assert (held["outcome"], held["payment"], held["paid_minor"]) == ("held", "authorised", 0)
    capture = f"{at}/payments/{held['payment_id']}/capture"
    first = api.made(capture, {"amount_minor": 20_000})
    assert (first["outcome"], first["due_minor"]) == ("partly_paid", 1_000)
    assert refusal(api, capture, {"amount_minor": 1_001}) == (409, "capture_exceeds_authorised")
    rest = api.made(capture)
    assert (rest["outcome"], rest["status"]) == ("paid", "paid")
    shown = api.shown(at, min_position=rest["position"])
    assert [p["authorisation_id"] for p in shown["payments"]] == [held["payment_id"]] * 2
    assert shown["authorisations"][0]["captured_minor"] == 21_000
    assert refusal(api, f"{at}/payments/nobody/capture") == (404, "authorisation_not_found")


def test_money_moves_to_the_order_that_it_was_meant_for(api: Api) -> None:
    one, other = orders_of(api, count=2)
    day = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    paid = recorded(api, one, 21_000, value_date=day, payer="李雷")
    payment = paid["payment_id"]
    number = api.shown(other)["number"]
    body = {"to_order_id": number, "reason": "The reference names the other order."}
    moved = api.made(f"{one}/payments/{payment}/move", body)
    assert (moved["status"], moved["to"]["status"]) == ("awaiting_payment", "paid")
    assert (moved["to"]["number"], moved["to"]["outcome"]) == (number, "paid")
    shown = api.shown(other, min_position=moved["position"])
    [there] = shown["payments"]
    assert (there["value_date"], there["from_order_id"]) == (day, one.rsplit("/", 1)[1])
    assert there["payer"] == "李雷"
    here = api.shown(one)["payments"][0]
    assert (here["moved_minor"], api.shown(one)["paid_minor"]) == (21_000, 0)
    assert refusal(api, f"{one}/payments/{payment}/move", body) == (409, "move_exceeds_payment")
    assert refusal(api, f"{one}/payments/{payment}/void", {"reason": "?"}) == (409, "payment_used")


def test_figures_of_payments_count_money_where_it_is_and_once(api: Api) -> None:
    """covers: A24: moved, voided and charged back show, and nothing counts twice."""
    one, other = orders_of(api, count=2, currency="KRW", total_minor=None)
    first = recorded(api, one, 5_000)["payment_id"]
    second = recorded(api, one, 300, method="bank_transfer")["payment_id"]
    third = recorded(api, other, 700)["payment_id"]
    body = {"to_order_id": other.rsplit("/", 1)[1], "amount_minor": 2_000, "reason": "misread"}
    api.made(f"{one}/payments/{first}/move", body)
    api.made(f"{one}/payments/{second}/void", {"reason": "typed twice"})
    case = {"reference": "CASE", "code": "fraud"}
    opened = api.made(f"{other}/payments/{third}/chargebacks", case)
    lost = api.made(f"{other}/payments/chargebacks/{opened['chargeback_id']}/lose")
    query = {"currency": "KRW", "min_position": lost["position"]}
    rows = api.shown("/v1/analytics/payments", group="method", **query)["rows"]
    assert rows == [
        {"group": "alipay", "payments": 2, "paid_minor": 5_000, "refunded_minor": 0},
        {"group": "bank_transfer", "payments": 0, "paid_minor": 0, "refunded_minor": 0},
    ]
    [month] = api.shown("/v1/analytics/payments", group="month", **query)["rows"]
    assert (month["payments"], month["paid_minor"]) == (2, 5_000)
    paid = [api.shown(at)["paid_minor"] for at in (one, other)]
    assert (paid, sum(paid)) == ([3_000, 2_000], 5_000)


def test_a_disputed_order_stays_in_the_house(api: Api) -> None:
    """covers: A58"""
    [at] = orders_of(api)
    payment = recorded(api, at, 21_000)["payment_id"]
    parcel = sent(api, at, 2, 1)
    case = {"reference": "CASE", "code": "not_received", "respond_by": "2030-01-01T00:00:00Z"}
    opened = api.made(f"{at}/payments/{payment}/chargebacks", case)
    dispatch = f"/v1/parcels/{parcel}/dispatch"
    assert refusal(api, dispatch, carried()) == (409, "chargeback_open")
    refund = {"reason": "late", "amount_minor": 1}
    assert refusal(api, f"{at}/refunds", refund) == (409, "refund_exceeds_paid")
    api.made(f"{at}/payments/chargebacks/{opened['chargeback_id']}/win")
    assert api.made(dispatch, carried())["orders"][0]["status"] == "shipped"
    path = f"{at}/payments/chargebacks/{uuid.uuid4()}/win"
    assert refusal(api, path) == (404, "chargeback_not_found")


def test_goods_leave_unpaid_only_with_a_reason_that_is_recorded(api: Api) -> None:
    [at] = orders_of(api)
    recorded(api, at, 1_000)
    parcel = sent(api, at, 2, 1)
    dispatch = f"/v1/parcels/{parcel}/dispatch"
    assert refusal(api, dispatch, carried()) == (409, "not_paid")
    api.made(dispatch, carried() | {"unpaid_reason": "An old customer."})
    allowed = events(api, at.rsplit("/", 1)[1])[-2]
    assert allowed["topic"] == "order.unpaid_dispatch_allowed.v1"
    assert (allowed["data"]["due_minor"], allowed["data"]["reason"]) == (20_000, "An old customer.")


def test_an_edit_up_and_down_again_leaves_the_order_paid_with_nothing_to_refund(api: Api) -> None:
    """covers: A63"""
    [at] = orders_of(api)
    recorded(api, at, 21_000)
    up = {"lines": [{"line_no": 1, "quantity": 3}], "reason": "One more."}
    position = api.made(f"{at}/amend", up)["position"]
    shown = api.shown(at, min_position=position)
    assert (shown["payment"], shown["balance_minor"]) == ("partially_paid", 8_800)
    down = {"lines": [{"line_no": 1, "quantity": 2}], "reason": "Rather not."}
    position = api.made(f"{at}/amend", down)["position"]
    shown = api.shown(at, min_position=position)
    assert (shown["payment"], shown["balance_minor"], shown["credit_minor"]) == ("paid", 0, 0)
    assert shown["refunds"] == []


def test_small_differences_are_written_off_and_more_stays_as_credit(api: Api) -> None:
    one, other = orders_of(api, count=2)
    paid = recorded(api, one, 20_950)
    assert (paid["outcome"], paid["written_off_minor"]) == ("paid", 50)
    over = recorded(api, other, 21_500)
    assert (over["outcome"], over["credit_minor"]) == ("credit", 500)
    assert refusal(api, f"{other}/payments/write-off") == (409, "nothing_to_write_off")


def test_lateness_is_explained_charged_and_waived(api: Api) -> None:
    """covers: A22. An order that was due at once: its days are still to come, so nothing is due."""
    rules = {"payment": {"on_overdue": "late_fee"}}
    api.made("/v1/policies/late-shop", {"rules": rules})
    [at] = orders_of(api, shop="late-shop")
    told = api.made(f"{at}/payments/late-fee/preview")
    assert (told["percent_per_day"], told["cap_bp"], told["policy_version"]) == ("0.05", 500, 1)
    assert (told["days"], told["fee_minor"], told["to_charge_minor"]) == ([], 0, 0)
    charged = api.made(f"{at}/payments/late-fee")
    assert (charged["position"], charged["late_fee_minor"]) == (None, 0)
    [other] = orders_of(api)
    assert refusal(api, f"{other}/payments/late-fee") == (409, "no_late_fee")
    assert refusal(api, f"{other}/payments/overdue") == (409, "not_due")
    assert refusal(api, f"{other}/payments/cancel-overdue") == (409, "not_due")


def test_cash_is_collected_remitted_and_refused(api: Api) -> None:
    one, other = orders_of(api, count=2, payment_method="cash_on_delivery")
    parcel = sent(api, one, 2, 1)
    api.made(f"/v1/parcels/{parcel}/dispatch", carried())
    delivered = api.made(f"/v1/parcels/{parcel}/deliver", {"name": "李雷"})
    shown = api.shown(one, min_position=delivered["position"])
    assert (shown["collected_minor"], shown["balance_minor"], shown["paid_minor"]) == (21_000, 0, 0)
    body = {"carrier": "sf", "amount_minor": 21_000, "fee_minor": 210, "reference": "BATCH"}
    paid = api.made(f"{one}/payments/remit", body)
    assert (paid["outcome"], paid["payment"]) == ("paid", "paid")
    shown = api.shown(one, min_position=paid["position"])
    assert (shown["collected_minor"], shown["payments"][0]["fee_minor"]) == (0, 210)
    parcel = sent(api, other, 2, 1)
    api.made(f"/v1/parcels/{parcel}/dispatch", carried())
    refused = api.made(f"{other}/parcels/{parcel}/refuse", {"freight_minor": 2_400})
    shown = api.shown(other, min_position=refused["position"])
    assert (shown["total_minor"], shown["freight_minor"]) == (0, 2_400)
    assert shown["status"] == "exception"


def test_a_payment_that_comes_after_a_cancellation_says_what_became_of_it(api: Api) -> None:
    """The customer cancelled: a value date in time does not bring the order back, a person may."""
    [at] = orders_of(api)
    api.made(f"{at}/cancel", {"reason_code": "changed_mind", "initiator": "customer"})
    day = (datetime.now(UTC) - timedelta(days=30)).date().isoformat()
    late = recorded(api, at, 21_000, value_date=day)
    assert (late["outcome"], late["credit_minor"], late["status"]) == (
        "refund_due",
        21_000,
        "cancelled",
    )
    back = api.made(f"{at}/reinstate")
    assert (back["status"], back["total_minor"], back["credit_minor"]) == ("paid", 21_000, 0)


def test_a_value_date_is_a_day_that_can_be_meant(api: Api) -> None:
    [at] = orders_of(api)
    for day in ("1989-12-31", "2999-01-01", "2026-02-30", 5):
        body = {"method": "alipay", "amount_minor": 1, "reference": "A", "value_date": day}
        answer = api.post(f"{at}/payments", body)
        assert answer.status_code == 422, day
        assert answer.json()["errors"][0]["field"] == "value_date"


def test_a_payment_sent_twice_without_a_key_counts_once(api: Api) -> None:
    """covers: A76: the second is answered 200 with the first one's id. Payers are sealed, and told
    apart all the same.
    """
    [at] = orders_of(api)
    body = {"method": "alipay", "amount_minor": 9_000, "reference": "T-1", "payer": "李雷"}
    first = api.post(f"{at}/payments", body)
    again = api.post(f"{at}/payments", body)
    assert (first.status_code, again.status_code) == (201, 200)
    told, repeated = first.json(), again.json()
    assert (repeated["payment_id"], repeated["already_recorded"]) == (told["payment_id"], True)
    assert (repeated["position"], repeated["paid_minor"]) == (None, 9_000)
    for other in ({"payer": "韩梅梅"}, {"amount_minor": 1}):
        refused = api.post(f"{at}/payments", body | other)
        assert (refused.status_code, refused.json()["code"]) == (409, "payment_reference_used")
        assert refused.json()["facts"]["payment_id"] == told["payment_id"]
        assert "李雷" not in refused.text
    second = {"payer": "韩梅梅", "another_than": told["payment_id"]}
    answers = [api.post(f"{at}/payments", body | second) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 200]
    ids = [one.json()["payment_id"] for one in answers]
    assert ids[0] == ids[1] != told["payment_id"]
    shown = api.shown(at, min_position=answers[0].json()["position"])
    assert (len(shown["payments"]), shown["paid_minor"]) == (2, 18_000)


def test_times_that_cannot_be_meant_are_refused_by_field(api: Api) -> None:
    [at] = orders_of(api)
    held = {"method": "credit_card", "amount_minor": 1, "reference": "A"}
    late = api.post(f"{at}/payments/authorise", held | {"expires_at": "2026-01-01T00:00:00Z"})
    assert late.status_code == 422
    [fault] = late.json()["errors"]
    assert fault["field"] == "expires_at"
    assert "must lie ahead" in fault["message"]
    paid = {"method": "alipay", "amount_minor": 1, "reference": "A"}
    for field, time in (("value_date", "2016-03-01"), ("occurred_at", "2016-03-01T00:00:00Z")):
        slip = api.post(f"{at}/payments", paid | {field: time})
        assert (slip.status_code, slip.json()["code"]) == (409, "time_before_order")
        assert slip.json()["facts"]["field"] == field


def test_asking_to_capture_what_is_not_held_says_what_is(api: Api) -> None:
    [at] = orders_of(api)
    body = {"method": "credit_card", "amount_minor": 5_000, "reference": "AUTH"}
    held = api.made(f"{at}/payments/authorise", body)["payment_id"]
    ask = f"{at}/payments/{held}/request-capture"
    api.made(ask)
    refused = api.post(ask).json()
    assert (refused["code"], refused["facts"]["asked_minor"]) == ("nothing_held", 5_000)
    assert "50.00 asked for already" in refused["detail"]
    paid = recorded(api, at, 100)["payment_id"]
    wrong = api.post(f"{at}/payments/{paid}/request-capture").json()
    assert wrong["code"] == "authorisation_not_found"
    assert f"held is 50.00 as {held}" in wrong["detail"]
