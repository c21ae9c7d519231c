"""What rules may say, and how they are said: faults by code and path, sentences in zh and en."""

from __future__ import annotations

from datetime import date
from typing import Any, get_args

import pytest

from domain.policy_calendar import DEFAULT_DAYS, CalendarDays
from domain.policy_faults import faults
from domain.policy_labels import SENTENCES, TITLES
from domain.policy_rules import PolicyRules, Rules, Weekday, leaves
from domain.policy_templates import MESSAGES, filled, variables
from domain.policy_words import Language, changes, sentence, words


def rules(**sections: Any) -> PolicyRules:
    return PolicyRules.model_validate(sections)


def found(**sections: Any) -> list[tuple[str, str]]:
    return [(fault.code, fault.path) for fault in faults(rules(**sections))]


# -- faults --------------------------------------------------------------------------------------

IMPOSSIBLE: list[tuple[str, str, dict[str, Any]]] = [
    ("negative", "cancellation.free_hours", {"cancellation": {"free_hours": -1}}),
    ("too_large", "cancellation.free_hours", {"cancellation": {"free_hours": 8_785}}),
    ("too_large", "cancellation.fee_bp", {"cancellation": {"fee_bp": 10_001}}),
    ("zero", "payment.term_hours", {"payment": {"term_hours": 0, "reminder_hours": []}}),
    ("zero", "refund.working_days", {"refund": {"working_days": 0}}),
    ("too_large", "returns.quality_days", {"returns": {"quality_days": 367}}),
    ("window_too_short", "returns.quality_days", {"returns": {"quality_days": 6}}),
    ("factor_too_small", "exceptions.quantity_factor", {"exceptions": {"quantity_factor": 1}}),
    ("reminder_after_due", "payment.reminder_hours.1", {"payment": {"reminder_hours": [24, -1]}}),
    ("reminder_before_placement", "payment.reminder_hours.0", {"payment": {"term_hours": 23}}),
    ("repeated", "payment.reminder_hours", {"payment": {"reminder_hours": [1, 1]}}),
    ("too_many", "payment.reminder_hours", {"payment": {"reminder_hours": [0] * 201}}),
    ("cap_below_a_day", "payment.late_fee_cap_bp", {"payment": {"late_fee_cap_bp": 4}}),
    (
        "zero",
        "payment.late_fee_percent_per_day",
        {"payment": {"late_fee_percent_per_day": "0.00", "on_overdue": "late_fee"}},
    ),
    (
        "too_large",
        "payment.late_fee_percent_per_day",
        {"payment": {"late_fee_percent_per_day": "101"}},
    ),
    ("unknown_currency", "shop.currency", {"shop": {"currency": "RMB"}}),
    ("unknown_currency", "payment.tolerance.cny", {"payment": {"tolerance": {"cny": 1}}}),
    ("negative", "payment.tolerance.CNY", {"payment": {"tolerance": {"CNY": -1}}}),
    (
        "too_large",
        "refund.second_approval_over.CNY",
        {"refund": {"second_approval_over": {"CNY": 10**12 + 1}}},
    ),
    ("unknown_reason", "refund.evidence_for.0", {"refund": {"evidence_for": ["boredom"]}}),
    ("unknown_reason", "refund.seller_reasons.0", {"refund": {"seller_reasons": ["boredom"]}}),
    (
        "malformed_reason",
        "cancellation.no_fee_reasons.0",
        {"cancellation": {"no_fee_reasons": ["Out of stock"]}},
    ),
    ("recorded_but_refused", "intake.web.short", {"intake": {"web": {"wrong": "record"}}}),
    ("recorded_but_refused", "intake.import.short", {"intake": {"import": {"wrong": "record"}}}),
    (
        "ends_before_it_begins",
        "tracking.quiet_periods.0.last",
        {"tracking": {"quiet_periods": [{"first": "2026-02-15", "last": "2026-02-14"}]}},
    ),
    (
        "too_large",
        "tracking.quiet_periods.0.last",
        {"tracking": {"quiet_periods": [{"first": "2026-02-15", "last": "2028-02-14"}]}},
    ),
    *(
        ("unknown_time_zone", "calendar.time_zone", {"calendar": {"time_zone": name}})
        for name in (
            "localtime",
            "Asia/Atlantis",
            "America",
            "../etc/passwd",
            "/etc/passwd",
            "x" * 500,
        )
    ),
    (
        "no_working_day",
        "calendar.weekend",
        {"calendar": {"weekend": get_args(Weekday)}},
    ),
    ("office_never_open", "calendar.closes", {"calendar": {"closes": "09:00"}}),
    (
        "holiday_and_working_day",
        "calendar.working_days",
        {"calendar": {"holidays": ["2026-05-04"], "working_days": ["2026-05-04"]}},
    ),
    ("not_ours_to_say", "calendar.covered_until", {"calendar": {"covered_until": "2026-12-31"}}),
    (
        "day_not_covered",
        "calendar.covered_until",
        {"calendar": {"kind": "own", "covered_until": "2025-12-31", "holidays": ["2026-01-01"]}},
    ),
    ("empty", "messages.ways", {"messages": {"ways": []}}),
    (
        "unknown_message",
        "messages.templates.birthday",
        {"messages": {"templates": {"birthday": {"en": "Hello"}}}},
    ),
    (
        "unknown_variable",
        "messages.templates.paid.zh",
        {"messages": {"templates": {"paid": {"zh": "{number} 已付 {iban}", "en": "{number}"}}}},
    ),
    *(
        (
            "malformed_template",
            "messages.templates.paid.en",
            {"messages": {"templates": {"paid": {"en": text}}}},
        )
        for text in ("{number", "}", "{}", "{0}", "{number!r}", "{number:>9}", "{number.real}")
    ),
]


@pytest.mark.parametrize(("code", "path", "sections"), IMPOSSIBLE)
def test_impossible_rules_are_named_by_code_and_path(
    code: str, path: str, sections: dict[str, Any]
) -> None:
    assert (code, path) in found(**sections)


def test_the_defaults_have_no_fault_and_neither_has_what_is_unusual_but_possible() -> None:
    assert found() == []
    assert found(cancellation={"free_hours": 0, "fee_bp": 0, "no_fee_reasons": []}) == []
    assert found(payment={"term_hours": 8_784, "reminder_hours": [], "tolerance": {}}) == []
    assert found(payment={"late_fee_percent_per_day": "0", "late_fee_cap_bp": 0}) == []
    assert found(calendar={"opens": "00:00", "closes": "00:00", "weekend": []}) == []
    assert found(intake={"web": {"wrong": "record", "short": "backorder"}}) == []


def test_all_faults_are_named_at_once() -> None:
    several = found(cancellation={"free_hours": -1, "fee_bp": -1}, shop={"currency": "RMB"})
    assert len(several) == 3


# -- texts of messages ---------------------------------------------------------------------------


def test_a_text_is_filled_with_names_only() -> None:
    text = "订单 {number} 已付 {paid}，{{谢谢}}"
    assert variables(text) == {"number", "paid"}
    assert filled(text, {"number": "1000000009", "paid": "{number}"}) == (
        "订单 1000000009 已付 {number}，{谢谢}"
    )
    assert filled("{late_fee}", {}) == ""


def test_every_message_may_name_the_order_its_customer_and_the_page() -> None:
    for known in MESSAGES.values():
        assert known >= {"number", "name", "link", "shop"}


# -- words ---------------------------------------------------------------------------------------

LANGUAGES: tuple[Language, Language] = ("zh", "en")


def generic(path: str) -> str:
    """The five channels share their two sentences."""
    section, _, rest = path.partition(".")
    return f"intake.{rest.partition('.')[2]}" if section == "intake" else path


def test_every_rule_has_a_sentence_and_every_section_a_title_in_both_languages() -> None:
    paths = {generic(path) for path, _ in leaves(PolicyRules())}
    paths |= {path for path, _ in leaves(CalendarDays(), "days.")}
    assert SENTENCES.keys() == paths
    assert TITLES.keys() == {path.partition(".")[0] for path in paths}
    for pair in [*SENTENCES.values(), *TITLES.values()]:
        assert len(set(pair)) == 2


def described(kind: type[Rules]) -> None:
    for name, field in kind.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Rules):
            assert annotation.__doc__, annotation
            described(annotation)
        else:
            assert field.description, f"{kind.__name__}.{name}"


def test_every_rule_is_explained() -> None:
    described(PolicyRules)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_policy_reads_as_sentences(language: Language) -> None:
    said = words(PolicyRules(), language)
    assert [one.section for one in said] == list(PolicyRules.model_fields)
    for paragraph in said:
        for text in paragraph.sentences:
            assert text.endswith("。" if language == "zh" else ".")
            assert "{" not in text
            assert "_" not in text


def test_values_are_said_as_people_say_them() -> None:
    cases = [
        ("cancellation.fee_bp", 1_250, "After that it costs 12.5 % of the cancelled goods."),
        ("cancellation.free_hours", 24, "Cancelling is free for 24 hours after placing."),
        (
            "payment.tolerance",
            {"CNY": 100, "JPY": 20, "KWD": 5},
            "Differences of up to 1.00 CNY, 20 JPY, 0.005 KWD are written off.",
        ),
        ("payment.tolerance", {}, "Differences of up to none are written off."),
        (
            "calendar.holidays",
            (date(2026, 1, 3), date(2026, 1, 1), date(2026, 1, 2), date(2026, 2, 1)),
            "The shop's own holidays: 2026-01-01 – 2026-01-03, 2026-02-01.",
        ),
        ("intake.web.short", "backorder", "Web: an order for more than is in stock is taken, "),
        ("refund.evidence_for", ("damaged",), "Evidence is needed for these reasons: damaged."),
    ]
    for path, value, text in cases:
        assert sentence(path, value, "en").startswith(text)
    assert sentence("cancellation.fee_bp", 1_000, "zh") == (
        "之后取消收取所取消商品金额 10 % 的手续费。"
    )


def test_a_change_is_said_before_and_after() -> None:
    """covers: A3."""
    new = rules(cancellation={"free_hours": 48}, tracking={"quiet_periods": [QUIET]})
    cancelling, quiet = changes(PolicyRules(), new, "en")
    assert (cancelling.path, cancelling.title) == ("cancellation.free_hours", "Cancellation")
    assert (cancelling.before, cancelling.after) == (24, 48)
    assert cancelling.was == "Cancelling is free for 24 hours after placing."
    assert cancelling.now == "Cancelling is free for 48 hours after placing."
    assert quiet.after == [QUIET]
    assert quiet.now == "Days on which no news is expected: 2026-02-15 – 2026-02-23."


QUIET = {"first": "2026-02-15", "last": "2026-02-23"}


def test_another_calendar_is_a_change_too() -> None:
    (until,) = changes(
        DEFAULT_DAYS,
        DEFAULT_DAYS.model_copy(update={"covered_until": date(2027, 12, 31)}),
        "zh",
        "days.",
    )
    assert (until.path, until.now) == ("days.covered_until", "数据截至：2027-12-31。")


def test_a_draft_with_an_unknown_currency_can_still_be_said() -> None:
    assert "RMB" in sentence("payment.tolerance", {"RMB": 5}, "en")
