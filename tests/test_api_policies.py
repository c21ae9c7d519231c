"""Policies as whoever runs a shop meets them: read, try, publish, compare."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from tests.api_server import Api

Json = dict[str, Any]
AT_ONCE = 20
_shops = count(1)


@pytest.fixture
def shop() -> str:
    """A shop that has published nothing."""
    return f"shop-{next(_shops)}"


def free_for(hours: int, **more: Any) -> Json:
    return {"rules": {"cancellation": {"free_hours": hours}}, **more}


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def publish(api: Api, shop: str, body: Json) -> Json:
    return api.made(f"/v1/policies/{shop}", body)


def errors(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(one["field"], one["rule"]) for one in answer.json()["errors"]]


def sentences(shown: Json, section: str) -> list[str]:
    (found,) = (one["sentences"] for one in shown["words"] if one["section"] == section)
    assert isinstance(found, list)
    return found


# -- reading -------------------------------------------------------------------------------------


def test_a_shop_that_has_published_nothing_has_the_defaults(api: Api, shop: str) -> None:
    shown = api.shown(f"/v1/policies/{shop}", language="en")
    assert (shown["version"], shown["status"], shown["effective_from"]) == (0, "in_force", None)
    assert shown["rules"]["cancellation"]["free_hours"] == 24
    assert shown["rules"]["intake"]["import"] == {"wrong": "record", "short": "hold"}
    assert sentences(shown, "cancellation")[0] == "Cancelling is free for 24 hours after placing."
    assert "2026-10-10" in shown["calendar"]["working_days"]
    assert "2026-10-01" in shown["calendar"]["holidays"]


def test_the_words_are_in_the_shops_language_unless_asked_for(api: Api, shop: str) -> None:
    assert sentences(api.shown(f"/v1/policies/{shop}"), "refund")[0] == (
        "退款在 3 个工作日内完成。"
    )
    publish(api, shop, {"rules": {"shop": {"language": "en"}}})
    shown = api.shown(f"/v1/policies/{shop}")
    assert sentences(shown, "refund")[0] == "Refunds are paid within 3 working days."


def test_the_calendar_says_when_its_known_holidays_end(api: Api, shop: str) -> None:
    calendar = api.shown(f"/v1/policies/{shop}")["calendar"]
    left = calendar["covered_days_left"]
    assert calendar["covered_until"] >= "2026-12-31"
    assert calendar["ends_soon"] == (left <= 60)
    publish(api, shop, {"rules": {"calendar": {"kind": "own", "holidays": ["2030-01-01"]}}})
    calendar = api.shown(f"/v1/policies/{shop}")["calendar"]
    assert (calendar["covered_days_left"], calendar["ends_soon"]) == (None, False)
    assert (calendar["holidays"], calendar["working_days"]) == (["2030-01-01"], [])


# -- publishing ----------------------------------------------------------------------------------


def test_a_published_version_is_in_force_and_can_be_read_at_once(api: Api, shop: str) -> None:
    """covers: A3."""
    made = publish(api, shop, free_for(48, note="春季"))
    assert (made["version"], made["policy_version"], made["status"]) == (1, 1, "in_force")
    shown = api.shown(f"/v1/policies/{shop}", min_position=made["position"])
    assert (shown["version"], shown["note"]) == (1, "春季")
    assert shown["rules"]["cancellation"]["free_hours"] == 48
    assert shown["rules"]["payment"]["term_hours"] == 72
    assert shown["position"] >= made["position"]


def test_the_rules_that_are_read_can_be_changed_and_sent_back(api: Api, shop: str) -> None:
    publish(api, shop, free_for(48))
    rules = api.shown(f"/v1/policies/{shop}")["rules"]
    rules["payment"]["term_hours"] = 96
    publish(api, shop, {"rules": rules})
    shown = api.shown(f"/v1/policies/{shop}")
    assert shown["rules"] == rules
    assert shown["rules"]["cancellation"]["free_hours"] == 48


def test_a_version_that_begins_later_is_scheduled_and_read_by_its_time(api: Api, shop: str) -> None:
    """covers: A3, A5."""
    begins = in_hours(24)
    made = publish(api, shop, free_for(48, effective_from=begins))
    assert made["status"] == "scheduled"
    now = api.shown(f"/v1/policies/{shop}")
    assert (now["version"], now["newest_version"]) == (0, 1)
    later = api.shown(f"/v1/policies/{shop}", at=begins)
    assert (later["version"], later["status"]) == (1, "scheduled")
    assert api.shown(f"/v1/policies/{shop}", at="2025-01-01")["version"] == 0


def test_versions_are_listed_with_who_and_why_and_stay_as_they_were(api: Api, shop: str) -> None:
    """covers: A3."""
    publish(api, shop, free_for(48, note="first"))
    publish(api, shop, free_for(12, effective_from=in_hours(24)))
    publish(api, shop, free_for(36))
    listed = api.shown(f"/v1/policies/{shop}/versions")["versions"]
    assert [(one["version"], one["status"]) for one in listed] == [
        (3, "in_force"),
        (2, "replaced"),
        (1, "past"),
        (0, "past"),
    ]
    assert (listed[2]["note"], listed[2]["published_by"]) == ("first", "desk")
    old = api.shown(f"/v1/policies/{shop}", version=1)
    assert old["rules"]["cancellation"]["free_hours"] == 48


def test_more_versions_than_are_read_at_once(api: Api, shop: str) -> None:
    for hours in range(102):
        publish(api, shop, free_for(hours))
    listed = api.shown(f"/v1/policies/{shop}/versions")["versions"]
    assert [one["version"] for one in listed] == list(range(102, -1, -1))
    assert api.shown(f"/v1/policies/{shop}")["rules"]["cancellation"]["free_hours"] == 101


def test_publishing_what_is_in_force_records_nothing(api: Api, shop: str) -> None:
    publish(api, shop, free_for(48))
    again = publish(api, shop, free_for(48))
    assert (again["position"], again["version"], again["policy_version"]) == (None, 1, 1)


def test_the_same_attempt_sent_twice_is_one_version(api: Api, shop: str) -> None:
    first, second = (
        api.post(f"/v1/policies/{shop}", free_for(48), idempotency_key=f"spring {shop}")
        for _ in range(2)
    )
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert api.shown(f"/v1/policies/{shop}")["newest_version"] == 1


# -- refusals ------------------------------------------------------------------------------------


def test_impossible_rules_name_field_and_rule_and_nothing_is_written(api: Api, shop: str) -> None:
    head = api.head()
    body = {
        "rules": {
            "payment": {"reminder_hours": [24, -1], "late_fee_cap_bp": 4},
            "refund": {"evidence_for": ["boredom"]},
            "messages": {"templates": {"paid": {"en": "{number} {iban}"}}},
        }
    }
    assert errors(api.post(f"/v1/policies/{shop}", body)) == [
        ("rules.payment.reminder_hours.1", "reminder_after_due"),
        ("rules.payment.late_fee_cap_bp", "cap_below_a_day"),
        ("rules.refund.evidence_for.0", "unknown_reason"),
        ("rules.messages.templates.paid.en", "unknown_variable"),
    ]
    assert api.head() == head


def test_what_is_no_rule_at_all_names_its_field(api: Api, shop: str) -> None:
    for rules, field in (
        ({"cancelation": {}}, "rules.cancelation"),
        ({"cancellation": {"free_hours": 24.5}}, "rules.cancellation.free_hours"),
        ({"payment": {"on_overdue": "shrug"}}, "rules.payment.on_overdue"),
        ({"calendar": {"opens": "25:00"}}, "rules.calendar.opens"),
        ({"calendar": {"holidays": ["2026-02-30"]}}, "rules.calendar.holidays.0"),
        ({"returns": {"excluded_categories": ["a\x00"]}}, "rules.returns.excluded_categories.0"),
    ):
        ((found, _),) = errors(api.post(f"/v1/policies/{shop}", {"rules": rules}))
        assert found == field
    assert errors(api.post(f"/v1/policies/{shop}", {})) == [("rules", "missing")]


def test_the_past_is_refused_and_so_is_the_far_future(api: Api, shop: str) -> None:
    """covers: A3."""
    answer = api.post(f"/v1/policies/{shop}", free_for(48, effective_from=in_hours(-1)))
    assert answer.status_code == 409
    assert answer.json()["code"] == "policy_for_the_past"
    far = free_for(48, effective_from="2099-01-01T00:00:00Z")
    assert errors(api.post(f"/v1/policies/{shop}", far)) == [("effective_from", "value_error")]
    naive = free_for(48, effective_from="2030-01-01T00:00:00")
    assert errors(api.post(f"/v1/policies/{shop}", naive)) == [("effective_from", "value_error")]


def test_who_has_not_seen_the_newest_version_is_told_what_came_in_between(
    api: Api, shop: str
) -> None:
    etag = api.get(f"/v1/policies/{shop}").headers["etag"]
    publish(api, shop, free_for(48))
    answer = api.post(f"/v1/policies/{shop}", free_for(12), if_match=etag)
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "stale_version"
    assert [one["topic"] for one in problem["events"]] == ["policy.published.v1"]
    seen = api.get(f"/v1/policies/{shop}").headers["etag"]
    assert api.post(f"/v1/policies/{shop}", free_for(12), if_match=seen).is_success
    behind = api.post(f"/v1/policies/{shop}", free_for(6, expected_version=1))
    assert behind.json()["facts"] == {"expected": 1, "newest": 2}


def test_an_unknown_version_is_not_found(api: Api, shop: str) -> None:
    for query in ({"version": 1}, {"version": 1_000_000}):
        answer = api.get(f"/v1/policies/{shop}", **query)
        assert answer.status_code == 404
        assert answer.json()["code"] == "policy_version_not_found"
    assert api.get(f"/v1/policies/{shop}/compare", **{"from": 0, "to": 1}).status_code == 404
    assert errors(api.get(f"/v1/policies/{shop}", version=0, at="2026-01-01")) == [("at", "one_of")]


# -- comparing and trying ------------------------------------------------------------------------


def test_two_versions_are_compared_as_data_and_in_words(api: Api, shop: str) -> None:
    """covers: A3."""
    publish(api, shop, free_for(48))
    found = api.shown(f"/v1/policies/{shop}/compare", **{"from": 0, "to": 1, "language": "en"})
    (change,) = (one for one in found["changes"] if not one["path"].startswith("days."))
    assert change == {
        "path": "cancellation.free_hours",
        "title": "Cancellation",
        "before": 24,
        "after": 48,
        "was": "Cancelling is free for 24 hours after placing.",
        "now": "Cancelling is free for 48 hours after placing.",
    }
    same = api.shown(f"/v1/policies/{shop}/compare", **{"from": 1, "to": 1})
    assert same["changes"] == []


def test_a_draft_is_tried_before_it_is_published(api: Api, shop: str) -> None:
    publish(api, shop, free_for(48))
    publish(api, shop, free_for(12, effective_from=in_hours(24)))
    head = api.head()
    draft = free_for(36, effective_from=in_hours(1))
    shown = api.made(f"/v1/policies/{shop}/preview", draft)
    assert (shown["compared_with"], shown["newest_version"]) == (1, 2)
    assert shown["replaces"] == [2]
    assert [one["now"] for one in shown["changes"]] == ["下单后 36 小时内可免费取消。"]
    assert sentences(shown, "cancellation")[0] == shown["changes"][0]["now"]
    assert shown["refused"] == []
    assert api.head() == head


def test_a_draft_is_told_all_that_would_be_refused(api: Api, shop: str) -> None:
    body = {
        "rules": {
            "shop": {"currency": "RMB"},
            "calendar": {"time_zone": "Mars/Olympus"},
            "payment": {"tolerance": {"RMB": -5}},
        },
        "effective_from": in_hours(-1),
    }
    shown = api.made(f"/v1/policies/{shop}/preview", body)
    assert [(one["field"], one["rule"]) for one in shown["refused"]] == [
        ("rules.shop.currency", "unknown_currency"),
        ("rules.payment.tolerance.RMB", "unknown_currency"),
        ("rules.payment.tolerance.RMB", "negative"),
        ("rules.calendar.time_zone", "unknown_time_zone"),
        ("effective_from", "policy_for_the_past"),
    ]


# -- in the ledger -------------------------------------------------------------------------------


def test_the_fact_holds_rules_and_days_as_they_were_published(api: Api, shop: str) -> None:
    made = publish(api, shop, free_for(48))
    (event,) = api.shown("/v1/feed", after=made["position"] - 1, limit=1)["events"]
    assert (event["topic"], event["category"], event["key"]) == (
        "policy.published.v1",
        "policy",
        shop,
    )
    assert event["data"]["rules"]["refund"]["working_days"] == 3
    assert "2026-10-10" in event["data"]["days"]["working_days"]


def test_read_models_pass_over_what_is_no_concern_of_theirs(api: Api, shop: str) -> None:
    made = publish(api, shop, free_for(48))
    api.shown("/v1/orders", min_position=made["position"])
    assert {one["parked"] for one in api.shown("/v1/lag")["projections"]} == {0}


def test_many_who_publish_at_once_make_versions_without_a_gap(api: Api, shop: str) -> None:
    """covers: A3."""
    with ThreadPoolExecutor(AT_ONCE) as senders:
        made = list(senders.map(lambda n: publish(api, shop, free_for(n)), range(AT_ONCE)))
    assert sorted(one["version"] for one in made) == list(range(1, AT_ONCE + 1))
    listed = api.shown(f"/v1/policies/{shop}/versions")["versions"]
    assert [one["version"] for one in listed] == list(range(AT_ONCE, -1, -1))


# -- trying on past orders ------------------------------------------------------------------------


def test_a_draft_is_tried_on_past_orders_and_nothing_is_recorded(api: Api, shop: str) -> None:
    """covers: A89: another free time gives the difference of the fees; the ledger is unchanged."""
    publish(api, shop, free_for(0))
    for _ in range(2):
        order = api.place(shop=shop)
        at = f"/v1/orders/{order['order_id']}"
        body = {"method": "alipay", "amount_minor": order["total_minor"], "reference": "r"}
        api.made(f"{at}/payments", body)
        told = {"reason_code": "changed_mind", "initiator": "customer"}
        fee = api.made(f"{at}/cancel/preview", told)["fee_minor"]
        api.made(f"{at}/cancel", told)
        assert fee > 0
    api.place()  # of another shop
    head = api.head()
    api.shown("/v1/orders", min_position=head)
    body = free_for(24) | {"placed_from": in_hours(-1), "placed_to": in_hours(1)}
    tried = api.made(f"/v1/policies/{shop}/try", body)
    (fees,) = [one for one in tried["rules"] if one["rule"] == "cancellation_fee"]
    assert (tried["orders"], tried["more"], tried["differences_more"]) == (2, False, 0)
    assert (fees["decisions"], fees["different"]) == (2, 2)
    assert fees["change_minor"] == {"CNY": -2 * fee}
    assert [(one["was"], one["would_be"]) for one in tried["differences"]] == [(fee, 0)] * 2
    assert api.head() == head
    nothing = api.made(
        f"/v1/policies/{shop}/try",
        free_for(0) | {"placed_from": in_hours(-1), "placed_to": in_hours(1)},
    )
    assert nothing["differences"] == []


def test_what_cannot_be_tried_is_told_by_field(api: Api, shop: str) -> None:
    body = free_for(24) | {"placed_from": in_hours(1), "placed_to": in_hours(-1)}
    answer = api.client.post(f"/v1/policies/{shop}/try", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["message"]) == ("placed_to", "must be after placed_from")
    body = {"rules": {"payment": {"reminder_hours": [100]}}} | {
        "placed_from": in_hours(-1),
        "placed_to": in_hours(1),
    }
    ((field, _),) = errors(api.client.post(f"/v1/policies/{shop}/try", json=body))
    assert field.startswith("rules.payment.reminder_hours")
