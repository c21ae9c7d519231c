"""The procedure document: it says what the rules say, and changes where they change."""

from __future__ import annotations

import io
import re
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import pytest
from pypdf import PdfReader
from pypdf.generic import NameObject

from api import permissions, procedure_pdf, procedure_view
from api.permissions import Permission
from api.procedure_view import ProcedureShown
from domain import procedure
from domain.message import Event, Rejected
from domain.policy import DEFAULTS, PolicyVersion
from domain.policy_rules import PolicyRules, leaves
from domain.policy_words import Language, sentence
from domain.procedure import (
    AcknowledgeProcedure,
    IssueProcedure,
    Procedure,
    ProcedureAcknowledged,
    ProcedureIssued,
    ReadersNamed,
)
from domain.procedure_chapters import CARRIED_OUT, CHAPTERS, PUBLIC, for_customers, written
from domain.procedure_document import Changed, Document, Line, differences, digest, marked
from domain.procedure_words import PERMISSIONS
from tests.given import NOON

ROOT = Path(__file__).parents[1]
FOLDERS = ("domain", "commands", "projections", "workers")
OWN = ("policy", "procedure", "desk", "china_calendar")  # they pass rules on
RIGHTS = {"manager": ["order.place", "policy.publish"], "clerk": ["order.place"]}


def rules(**sections: Any) -> PolicyVersion:
    """The defaults with some rules changed."""
    given = PolicyRules.model_validate(sections)
    return PolicyVersion(1, given, DEFAULTS.days, DEFAULTS.calendar)


LATE = rules(payment={"on_overdue": "late_fee"})


def english(version: PolicyVersion = DEFAULTS, rights: Any = None) -> Document:
    return written(version, RIGHTS if rights is None else rights, "en")


def lines(document: Document) -> list[Line]:
    return [line for one in document.chapters for block in one.blocks for line in block.lines]


def texts(document: Document) -> list[str]:
    return [" | ".join(line.cells) for line in lines(document)]


# -- what it says --------------------------------------------------------------------------------


def test_it_has_all_chapters_in_the_order_of_an_orders_life() -> None:
    codes = [chapter.code for chapter in english().chapters]
    assert codes == list(CHAPTERS)
    assert codes == [
        *("intake", "review", "processing", "payment", "cancellation", "refund"),
        *("exceptions", "rights", "backup"),
    ]


@pytest.mark.parametrize("language", get_args(Language))
def test_every_rule_of_the_policy_stands_in_one_chapter(language: Language) -> None:
    told = {line.key: line.cells[0] for line in lines(written(LATE, RIGHTS, language))}
    keys = [line.key for line in lines(written(LATE, RIGHTS, language))]
    assert len(keys) == len(set(keys))
    for path, value in [*leaves(LATE.rules), *leaves(LATE.days, "days.")]:
        assert told[path] == sentence(path, value, language)


def test_the_late_fee_is_told_only_where_there_is_one() -> None:
    assert not any("late fee" in text for text in texts(english()))
    late = texts(english(LATE))
    assert "The late fee is 0.05 % of the outstanding sum for each full day." in late


def test_a_rule_stands_under_who_sees_to_it() -> None:
    by = {
        line.key: block.code
        for chapter in english(LATE).chapters
        for block in chapter.blocks
        for line in block.lines
    }
    assert by["cancellation.fee_bp"] == by["cancellation.until"] == "system"
    assert by["tracking.silent_hours"] == "people"
    assert by["calendar.weekend"] == "settings"
    assert {path for path, who in by.items() if who == "system"} >= CARRIED_OUT


NOT_SENT_YET = {"messages.ways"}  # messages are queued, and nothing sends them yet


def followed(text: str) -> set[str]:
    """The rules that a module's code reads, by their names."""
    found = set()
    for path, _ in leaves(PolicyRules()):
        section, _, name = path.partition(".")
        kind = PolicyRules.model_fields[section].annotation
        assert kind is not None
        if re.search(rf"\brules\.{section}\b|\b{kind.__name__}\b", text) and f".{name}" in text:
            found.add(path)
    return found


def test_rules_that_code_follows_are_told_as_the_systems() -> None:
    """Who builds a rule says so in the document: `CARRIED_OUT` in domain/procedure_chapters.py."""
    told = CARRIED_OUT | NOT_SENT_YET
    files = [one for folder in FOLDERS for one in (ROOT / folder).glob("*.py")]
    code = {one.name: followed(one.read_text()) for one in files if not one.name.startswith(OWN)}
    settings = ("calendar.", "days.", "shop.")
    untold = {
        name: {one for one in paths - told if not one.startswith(settings)}
        for name, paths in code.items()
    }
    assert not {name: paths for name, paths in untold.items() if paths}
    assert told == set().union(*code.values()) & told, "no code follows these any more"


def test_what_is_said_of_rules_is_of_rules_that_there_are() -> None:
    paths = {path for path, _ in leaves(PolicyRules())}
    assert paths >= CARRIED_OUT | PUBLIC


def test_both_languages_say_the_same_things() -> None:
    zh, en = (written(DEFAULTS, RIGHTS, language) for language in get_args(Language))
    shape = [
        [(block.code, [(one.key, one.public, len(one.cells)) for one in block.lines])]
        for chapter in zh.chapters
        for block in chapter.blocks
    ]
    assert shape == [
        [(block.code, [(one.key, one.public, len(one.cells)) for one in block.lines])]
        for chapter in en.chapters
        for block in chapter.blocks
    ]
    assert not {line.cells[-1] for line in lines(zh)} & {
        line.cells[-1] for line in lines(en) if line.key not in PERMISSIONS
    }


def test_every_permission_is_explained_in_both_languages() -> None:
    """covers: A37"""
    missing = {one.value for one in Permission} - {"public"} - PERMISSIONS.keys()
    assert not missing, "say in domain/procedure_words.py what these allow"


def test_rights_are_told_by_role() -> None:
    """covers: A37"""
    (table,) = (block for block in english().chapters[7].blocks if block.columns)
    assert [line.cells for line in table.lines] == [
        ["order.place", "place orders", "manager, clerk"],
        ["policy.publish", "publish rules", "manager"],
    ]


def test_without_accounts_it_says_that_everyone_may_do_everything() -> None:
    said = texts(english(rights=permissions.rights()))
    assert any(text.startswith("There are no accounts yet") for text in said)
    assert "order.void | void orders that nothing happened to | everyone who calls" in said
    assert not any(text.startswith("There are no accounts yet") for text in texts(english()))


def test_the_extract_tells_customers_what_concerns_them_and_nothing_else() -> None:
    document = for_customers(english(), "en")
    assert [one.code for one in document.chapters] == ["payment", "cancellation", "refund"]
    said = texts(document)
    for part in (
        "Payment is due 72 hours after placing.",
        "Cancelling is free for 24 hours after placing.",
        "After that it costs 10 % of the cancelled goods.",
        "Goods can be returned without a reason for 7 days after delivery.",
    ):
        assert part in said
    for hidden in ("second person", "approved by themselves", "written off", "order.place"):
        assert not any(hidden in text for text in said)
    assert {block.title for one in document.chapters for block in one.blocks} == {""}


# -- what changes --------------------------------------------------------------------------------


def test_a_changed_rule_changes_its_own_sentence_only() -> None:
    """covers: A3, A5"""
    now = rules(cancellation={"free_hours": 48, "fee_bp": 1250})
    assert differences(english(), english(now)) == [
        Changed(
            "cancellation",
            "Cancellation",
            "cancellation.free_hours",
            "Cancelling is free for 24 hours after placing.",
            "Cancelling is free for 48 hours after placing.",
        ),
        Changed(
            "cancellation",
            "Cancellation",
            "cancellation.fee_bp",
            "After that it costs 10 % of the cancelled goods.",
            "After that it costs 12.5 % of the cancelled goods.",
        ),
    ]


def test_every_rule_that_can_change_is_seen_to_change() -> None:
    """covers: A3. One by one: no number of the policy stands in the document by hand."""
    before = english()
    for path, value in leaves(PolicyRules()):
        section, _, name = path.partition(".")
        if type(value) is not int or path == "payment.late_fee_cap_bp":  # told with a late fee
            continue
        (change,) = differences(before, english(rules(**{section: {name: value + 100}})))
        assert change.key == path


def test_a_changed_right_is_a_change_of_the_rights_chapter() -> None:
    wider = RIGHTS | {"clerk": ["order.place", "order.cancel"]}
    found = differences(english(), english(rights=wider))
    assert [(one.chapter, one.key, one.was, one.now) for one in found] == [
        ("rights", "order.cancel", None, "order.cancel | cancel orders | clerk"),
    ]
    fewer = RIGHTS | {"manager": ["order.place"]}
    (gone,) = differences(english(), english(rights=fewer))
    assert (gone.was, gone.now) == ("policy.publish | publish rules | manager", None)


def test_a_rule_that_is_automatic_from_now_on_says_so() -> None:
    before = english()
    moved = before.model_copy(deep=True)
    system, people = moved.chapters[1].blocks
    system.lines.append(people.lines.pop(0))
    (change,) = differences(before, moved)
    assert change.was is not None
    assert change.now is not None
    assert change.was.startswith("Not automatic: people see to it: Orders are reviewed")
    assert change.now.startswith("The system sees to it: Orders are reviewed")


def test_the_same_text_has_the_same_digest_and_another_word_another() -> None:
    assert digest([english()]) == digest([english()])
    assert digest([english()]) != digest([english(rules(payment={"term_hours": 73}))])
    assert digest([english()]) == digest([english(rules())])


# -- on paper ------------------------------------------------------------------------------------


def on_paper(old: Document, new: Document, language: Language = "en") -> ProcedureShown:
    references = [("Shop", "main")]
    return ProcedureShown(language, new.title, references, marked(old, new))


def pdf_text(shown: ProcedureShown) -> str:
    """Letters only: what stands between them the reader guesses. Codes have two bytes, as in
    Identity-H; pypdf does not read that out of the font's own map and would take one.
    """
    pages = PdfReader(io.BytesIO(procedure_pdf.pdf(shown, NOON))).pages
    for page in pages:
        resources: Any = page["/Resources"]
        for font in resources["/Font"].values():
            font.get_object()[NameObject("/Encoding")] = NameObject("/Identity-H")
    text = "".join(page.extract_text() for page in pages)
    return "".join(c for c in text if c.isprintable() and c != " ")


@pytest.mark.parametrize("language", get_args(Language))
def test_html_and_pdf_hold_every_sentence(language: Language) -> None:
    document = written(DEFAULTS, permissions.rights(), language)
    shown = on_paper(document, document, language)
    page, printed = procedure_view.page(shown), pdf_text(shown)
    plain = page.replace("<code>", "").replace("</code>", "").replace("&#39;", "'")
    for chapter in document.chapters:
        assert chapter.title in page
        assert chapter.title.replace(" ", "") in printed
    for cell in (cell for line in lines(document) for cell in line.cells):
        assert cell.replace("`", "") in plain
        assert cell.replace("`", "").replace(" ", "") in printed
    assert "<script" not in page
    assert "http" not in page
    assert "<ins>" not in page


def test_differences_are_marked_in_html_and_pdf() -> None:
    shown = on_paper(english(), english(rules(cancellation={"free_hours": 48})))
    page, printed = procedure_view.page(shown), pdf_text(shown)
    assert page.count("<ins>") == page.count("<del>") == 1
    assert "<del>Cancelling is free for 24 hours after placing.</del>" in page
    assert "<ins>Cancelling is free for 48 hours after placing.</ins>" in page
    assert "−Cancellingisfreefor24hoursafterplacing.+Cancellingisfreefor48hours" in printed
    assert "•Afterthatitcosts10%" in printed


def test_a_table_marks_its_rows() -> None:
    wider = RIGHTS | {"clerk": ["order.place", "order.cancel"]}
    shown = on_paper(english(), english(rights=wider))
    assert "<ins>order.cancel</ins>" in procedure_view.page(shown)
    assert "+order.cancelcancelorders" in pdf_text(shown)


def test_what_a_shop_wrote_is_text_on_paper() -> None:
    odd = english(rules(returns={"excluded_categories": ["<b>`x` {y}"]}))
    page = procedure_view.page(on_paper(odd, odd))
    assert "<b>" not in page
    assert "&lt;b&gt;<code>x</code> {y}" in page


# -- issuing and acknowledging -------------------------------------------------------------------


def issue(version: PolicyVersion = DEFAULTS, *, given: list[Event], **more: Any) -> list[Event]:
    command = IssueProcedure.model_validate({"rights": RIGHTS, "at": NOON} | more)
    return procedure.issue(command, folded(given), version)


def acknowledge(version: int, reader: str, given: list[Event]) -> list[Event]:
    command = AcknowledgeProcedure(version=version, reader=reader, at=NOON)
    return procedure.acknowledge(command, folded(given))


def folded(events: list[Event]) -> Procedure:
    return reduce(procedure.evolve, events, Procedure())


def issued(**more: Any) -> list[Event]:
    return issue(given=[], **more)


def test_an_issued_version_keeps_both_texts_and_their_digest() -> None:
    (made,) = issued(readers=["bo", "an", "bo"])
    assert isinstance(made, ProcedureIssued)
    assert (made.version, made.policy_version, made.readers) == (1, 0, ["bo", "an"])
    assert made.en == english()
    assert made.digest == digest([made.zh, made.en])


def test_what_says_the_same_is_no_new_version() -> None:
    first = issued()
    assert issue(given=first) == []
    assert issue(rules(), given=first) == []
    (second,) = issue(rules(payment={"term_hours": 96}), given=first)
    assert isinstance(second, ProcedureIssued)
    assert (second.version, second.policy_version) == (2, 1)


def test_a_change_of_rights_is_a_new_version() -> None:
    """covers: A37"""
    (second,) = issue(given=issued(), rights={"clerk": ["order.place"]})
    assert isinstance(second, ProcedureIssued)
    assert second.version == 2


def test_a_text_that_was_not_seen_is_not_issued() -> None:
    (seen,) = issued()
    assert isinstance(seen, ProcedureIssued)
    assert issued(expected_digest=seen.digest) == [seen]
    with pytest.raises(Rejected, match="procedure_differs"):
        issue(rules(payment={"term_hours": 96}), given=[], expected_digest=seen.digest)


def test_readers_stay_until_others_are_named() -> None:
    first = issued(readers=["an", "bo"])
    (second,) = issue(rules(payment={"term_hours": 96}), given=first)
    assert isinstance(second, ProcedureIssued)
    assert second.readers == ["an", "bo"]
    assert issue(given=first, readers=["bo", "an"]) == []
    named = issue(given=first, readers=["an", "cy"])
    assert named == [ReadersNamed(shop="main", version=1, readers=["an", "cy"], at=NOON)]
    newest = folded([*first, *named]).newest
    assert newest is not None
    assert newest.outstanding == ["an", "cy"]


def test_reading_is_acknowledged_once_and_by_whoever_read() -> None:
    first = issued(readers=["an", "bo"])
    (an,) = acknowledge(1, "an", first)
    assert isinstance(an, ProcedureAcknowledged)
    assert an.digest == folded(first).versions[0].issued.digest
    assert acknowledge(1, "an", [*first, an]) == []
    (guest,) = acknowledge(1, "guest", first)
    newest = folded([*first, an, guest]).newest
    assert newest is not None
    assert newest.outstanding == ["bo"]
    assert newest.acknowledged == {"guest": NOON, "an": NOON}


def test_a_version_that_was_replaced_or_never_issued_is_not_acknowledged() -> None:
    first = issued(readers=["an"])
    history = [*first, *issue(rules(payment={"term_hours": 96}), given=first)]
    with pytest.raises(Rejected, match="procedure_superseded") as refused:
        acknowledge(1, "an", history)
    assert refused.value.facts == {"version": 1, "newest": 2}
    with pytest.raises(Rejected, match="procedure_version_not_found"):
        acknowledge(3, "an", history)
    both = [*first, *acknowledge(1, "an", first), *history[1:]]
    assert acknowledge(1, "an", both) == []


def test_a_new_version_has_to_be_read_anew() -> None:
    first = issued(readers=["an"])
    history = [*first, *acknowledge(1, "an", first)]
    history += issue(rules(payment={"term_hours": 96}), given=history)
    newest = folded(history).newest
    assert newest is not None
    assert newest.outstanding == ["an"]
