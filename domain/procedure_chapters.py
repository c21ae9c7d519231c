"""The procedure document (订单管理程序文件) written from what is in force: a function per chapter.

Each rule of the policy stands in one chapter, under who sees to it. What else a chapter says is a
fact of the code, with its numbers from there. Whoever builds a rule moves it to CARRIED_OUT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from domain.command_types import Channel, PaymentMethod
from domain.intake_checks import USUAL_MIN
from domain.number import SEED_MAX
from domain.order_hold import FORBID_CAPTURING
from domain.order_status import PAYS_LATER
from domain.policy import PolicyVersion
from domain.policy_labels import CHANNELS, Pair
from domain.policy_rules import PolicyRules, leaves
from domain.policy_words import Language, in_language, label, listed, sentence
from domain.procedure_document import Block, Chapter, Document, Line, extract
from domain.procedure_words import (
    BLOCKS,
    COLUMNS,
    EVERYONE,
    EXTRACT_TITLE,
    FACTS,
    PERMISSIONS,
    TITLE,
)
from domain.procedure_words import CHAPTERS as TITLES
from domain.values import LINES_MAX

Rights: TypeAlias = Mapping[str, Sequence[str]]  # role -> its permissions
By = Literal["system", "people", "settings"]

ALL = "everyone"  # the role of all callers, until there are accounts

# Rules that a decision or a worker follows today; all others wait for a person.
CARRIED_OUT = frozenset(
    {
        "review.auto_approve_below",
        "exceptions.duplicate_hours",
        "exceptions.price_deviation_bp",
        "exceptions.quantity_factor",
        "exceptions.negative_margin",
        "payment.term_hours",
        "payment.late_fee_percent_per_day",
        "payment.late_fee_cap_bp",
        "payment.tolerance",
        "payment.on_overdue",
        "payment.overpayment_days",
        "payment.reminder_hours",
        "status.completed_days",
        "status.counts_as_paid",
        "status.confirm",
        "cancellation.free_hours",
        "cancellation.fee_bp",
        "cancellation.fee_tax_rate_bp",
        "cancellation.until",
        "cancellation.no_fee_reasons",
        "refund.second_approval_over",
        "refund.evidence_for",
        "refund.seller_reasons",
        "refund.working_days",
        "refund.decision_working_days",
        "returns.no_reason_days",
        "returns.quality_days",
        "returns.excluded_categories",
        "returns.restocking_fee_bp",
        "invoices.trigger",
    }
)
INTAKE = "intake."  # all of its rules, by channel, are carried out as well
# Rules that customers are told; facts say so where they stand.
PUBLIC = frozenset(
    {
        "payment.term_hours",
        "payment.on_overdue",
        "payment.late_fee_percent_per_day",
        "payment.late_fee_cap_bp",
        "payment.overpayment_days",
        "cancellation.free_hours",
        "cancellation.fee_bp",
        "cancellation.until",
        "cancellation.no_fee_reasons",
        "refund.working_days",
        "refund.decision_working_days",
        "refund.evidence_for",
        "refund.seller_reasons",
        "returns.no_reason_days",
        "returns.quality_days",
        "returns.excluded_categories",
        "returns.restocking_fee_bp",
    }
)
_SETTINGS = ("shop.", "calendar.", "days.")  # nobody has to see to them
_LATE_FEE = frozenset({"payment.late_fee_percent_per_day", "payment.late_fee_cap_bp"})


@dataclass(frozen=True, slots=True)
class Basis:
    """What the document is written from."""

    policy: PolicyVersion
    rights: Rights
    language: Language

    def say(self, pair: Pair, **values: Any) -> str:
        return in_language(pair, self.language).format(**values)


Said = tuple[By, Line]


def rules(basis: Basis, *names: str) -> Iterator[Said]:
    """The sentences of these sections or single rules, in their order, as far as they apply."""
    policy = basis.policy
    known = [*leaves(policy.rules), *leaves(policy.days, "days.")]
    for name in names:
        for path, value in known:
            if f"{path}.".startswith(f"{name}.") and _applies(path, policy.rules):
                text = sentence(path, value, basis.language)
                yield _by(path), Line(key=path, cells=[text], public=path in PUBLIC)


def _by(path: str) -> By:
    if path.startswith(_SETTINGS):
        return "settings"
    carried_out = path in CARRIED_OUT or path.startswith(INTAKE)
    return "system" if carried_out else "people"


def _applies(path: str, given: PolicyRules) -> bool:
    return path not in _LATE_FEE or given.payment.on_overdue == "late_fee"


def fact(basis: Basis, key: str, *, public: bool = False, **values: Any) -> Said:
    """What the system does whatever the policy says."""
    return "system", Line(key=key, cells=[basis.say(FACTS[key], **values)], public=public)


def task(basis: Basis, key: str) -> Said:
    """What people do whatever the policy says."""
    return "people", fact(basis, key)[1]


def _sorted(basis: Basis, said: Iterable[Said]) -> list[Block]:
    """Under who sees to it."""
    lines: dict[By, list[Line]] = {by: [] for by in get_args(By)}
    for by, line in said:
        lines[by].append(line)
    return [
        Block(code=by, title=basis.say(BLOCKS[by]), lines=found)
        for by, found in lines.items()
        if found
    ]


def _labels(basis: Basis, codes: Iterable[str]) -> str:
    return listed((label(code, basis.language) for code in codes), basis.language)


def intake(basis: Basis) -> list[Block]:
    channels = (basis.say(CHANNELS[channel]) for channel in get_args(Channel))
    said = [
        fact(basis, "intake.channels", channels=listed(channels, basis.language)),
        fact(basis, "intake.lines", lines=LINES_MAX),
        fact(basis, "intake.number", digits=len(str(SEED_MAX)) + 1),
        fact(basis, "intake.once"),
        fact(basis, "intake.pinned"),
        *rules(basis, "intake", "shop.currency"),
    ]
    return _sorted(basis, said)


def review(basis: Basis) -> list[Block]:
    said = [fact(basis, "review.before_packing"), *rules(basis, "review", "terms.review_hours")]
    return _sorted(basis, said)


def processing(basis: Basis) -> list[Block]:
    said = [
        fact(basis, "processing.stock"),
        fact(basis, "processing.paid", later=_labels(basis, sorted(PAYS_LATER))),
        fact(basis, "processing.unpaid"),
        fact(basis, "processing.packed"),
        fact(basis, "processing.scans"),
        *rules(basis, "terms.packing_hours", "tracking.dispatch_hours", "status.completed_days"),
        *rules(basis, "status.confirm", "messages", "shop.language", "calendar", "days"),
    ]
    return _sorted(basis, said)


def payment(basis: Basis) -> list[Block]:
    methods = _labels(basis, get_args(PaymentMethod))
    said = [
        fact(basis, "payment.methods", public=True, methods=methods),
        fact(basis, "payment.parts", public=True),
        fact(basis, "payment.on_account", public=True),
        fact(basis, "payment.at_the_door", public=True),
        fact(basis, "payment.spared"),
        fact(basis, "payment.reinstated"),
        fact(basis, "payment.dispute"),
        *rules(basis, "payment", "status.counts_as_paid", "invoices"),
    ]
    return _sorted(basis, said)


def cancellation(basis: Basis) -> list[Block]:
    ended = basis.policy.rules.cancellation.until == "packed"
    said = [
        *rules(basis, "cancellation"),
        fact(basis, "cancellation.fee_bound", public=True),
        fact(basis, "cancellation.packed_stays" if ended else "cancellation.packed", public=True),
        fact(basis, "cancellation.intercept", public=True),
        fact(basis, "cancellation.shipping", public=True),
        fact(basis, "cancellation.stock"),
    ]
    return _sorted(basis, said)


def refund(basis: Basis) -> list[Block]:
    said = [
        fact(basis, "refund.bound"),
        fact(basis, "refund.share", public=True),
        fact(basis, "refund.undelivered", public=True),
        *rules(basis, "refund", "returns"),
    ]
    return _sorted(basis, said)


def _listed_types(basis: Basis) -> str:
    return listed(sorted(FORBID_CAPTURING), basis.language)


def exceptions(basis: Basis) -> list[Block]:
    said = [
        fact(basis, "exceptions.parcel"),
        fact(basis, "exceptions.case"),
        fact(basis, "exceptions.compared", count=USUAL_MIN),
        fact(basis, "exceptions.hold", types=_listed_types(basis)),
        fact(basis, "exceptions.override"),
        fact(basis, "exceptions.override_ends"),
        fact(basis, "exceptions.unreadable"),
        *rules(basis, "exceptions", "tracking.silent_hours", "tracking.delivery_grace_hours"),
        *rules(basis, "tracking.quiet_periods"),
        task(basis, "exceptions.resend"),
    ]
    return _sorted(basis, said)


def rights(basis: Basis) -> list[Block]:
    said = [fact(basis, "rights.no_accounts")] if ALL in basis.rights else []
    names = dict.fromkeys(name for granted in basis.rights.values() for name in granted)
    table = Block(
        code="rights",
        title=basis.say(BLOCKS["rights"]),
        columns=[basis.say(column) for column in COLUMNS],
        lines=[_right(basis, name) for name in names],
    )
    return [*_sorted(basis, [*said, fact(basis, "rights.log")]), table]


def _right(basis: Basis, name: str) -> Line:
    roles = [role for role, granted in basis.rights.items() if name in granted]
    who = (basis.say(EVERYONE) if role == ALL else role for role in roles)
    allows = basis.say(PERMISSIONS[name]) if name in PERMISSIONS else name
    return Line(key=name, cells=[name, allows, listed(who, basis.language)])


def backup(basis: Basis) -> list[Block]:
    tasks = ("none", "database", "rebuilt", "key", "verify")
    said = (task(basis, f"backup.{name}") for name in tasks)
    return _sorted(basis, [fact(basis, "backup.fixed"), *said])


# In the order of the document.
CHAPTERS: Mapping[str, Callable[[Basis], list[Block]]] = {
    "intake": intake,
    "review": review,
    "processing": processing,
    "payment": payment,
    "cancellation": cancellation,
    "refund": refund,
    "exceptions": exceptions,
    "rights": rights,
    "backup": backup,
}


def written(policy: PolicyVersion, granted: Rights, language: Language) -> Document:
    """The document, for operators: a pure function of the rules, the rights and the language."""
    basis = Basis(policy, granted, language)
    chapters = [
        Chapter(code=code, title=basis.say(TITLES[code]), blocks=write(basis))
        for code, write in CHAPTERS.items()
    ]
    return Document(title=basis.say(TITLE), chapters=chapters)


def for_customers(document: Document, language: Language) -> Document:
    """The extract: what customers are told of payment, cancellation, refunds and returns."""
    return extract(document, in_language(EXTRACT_TITLE, language))
