"""Cases and holds of an order as they are read: when, by whom and in which words, beside the state
that decides (domain/order_cases.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.case_facts import (
    CaseClosed,
    CaseFact,
    CaseOpened,
    CaseReopened,
    CaseStepTaken,
    HoldReleased,
    OrderHeld,
)
from domain.frozen import replace
from domain.message import Sealed
from domain.order_cases import Case, Cases

Words = str | Sealed | None


@dataclass(frozen=True)
class StepTold:
    step: str
    at: datetime
    actor: str
    position: int
    cause: str | None = None
    contact: Words = None
    action: Words = None
    outcome: Words = None
    prevention: Words = None
    text: Words = None


@dataclass(frozen=True)
class CaseTold:
    opened_at: datetime
    opened_by: str  # actor: of a rule's case, who placed the order
    position: int
    text: Words = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    steps: tuple[StepTold, ...] = ()  # the closing and a reopening are steps as well


@dataclass(frozen=True)
class HoldTold:
    type: str
    held_at: datetime
    held_by: str
    position: int
    case_id: str | None = None
    reason: Words = None
    released_at: datetime | None = None
    released_by: str | None = None
    release_reason: Words = None


@dataclass(frozen=True)
class Handled:
    """All cases and holds that an order ever had, by id."""

    cases: Mapping[str, CaseTold] = field(default_factory=dict)
    holds: Mapping[str, HoldTold] = field(default_factory=dict)


NOTHING = Handled()


def told(state: Handled, event: CaseFact, actor: str, position: int) -> Handled:
    match event:
        case CaseOpened():
            case = CaseTold(event.at, actor, position, event.text)
            return replace(state, cases={**state.cases, event.case_id: case})
        case CaseStepTaken() | CaseClosed() | CaseReopened():
            known = state.cases.get(event.case_id)
            if known is None:
                return state
            after = _went_on(known, event, actor, position)
            return replace(state, cases={**state.cases, event.case_id: after})
        case OrderHeld():
            hold = HoldTold(event.type, event.at, actor, position, event.case_id, event.reason)
            return replace(state, holds={**state.holds, event.hold_id: hold})
        case HoldReleased():
            return _released(state, event, actor)
        case _:
            return state


def _went_on(
    known: CaseTold, event: CaseStepTaken | CaseClosed | CaseReopened, actor: str, position: int
) -> CaseTold:
    match event:
        case CaseStepTaken():
            words = _words(event)
            step = StepTold(event.step, event.at, actor, position, **words, text=event.text)
            return replace(known, steps=(*known.steps, step))
        case CaseClosed():
            step = StepTold("close", event.at, actor, position, **_words(event))
            steps = (*known.steps, step)
            return replace(known, steps=steps, closed_at=event.at, closed_by=actor)
        case CaseReopened():
            step = StepTold("reopen", event.at, actor, position, text=event.reason)
            return replace(known, steps=(*known.steps, step), closed_at=None, closed_by=None)


def _words(event: CaseStepTaken | CaseClosed) -> dict[str, Any]:
    names = ("cause", "contact", "action", "outcome", "prevention")
    return {name: getattr(event, name, None) for name in names}


def _released(state: Handled, event: HoldReleased, actor: str) -> Handled:
    known = state.holds.get(event.hold_id)
    if known is None:
        return state
    after = replace(known, released_at=event.at, released_by=actor, release_reason=event.reason)
    return replace(state, holds={**state.holds, event.hold_id: after})


def shown(state: Cases, handled: Handled) -> dict[str, Any]:
    """Cases and holds of an order view, the oldest first; personal values as Sealed."""
    return {
        "cases": [
            {"case_id": key, **case_shown(state.cases[key]), **_case_told(one)}
            for key, one in handled.cases.items()
        ],
        "holds": [{"hold_id": key, **vars(one)} for key, one in handled.holds.items()],
    }


def case_shown(case: Case) -> dict[str, Any]:
    return {
        "kind": case.kind,
        "blocking": case.blocking,
        "open": case.open,
        "rule": case.rule,
        "fields": list(case.fields),
        "figures": case.figures,
        "cause": case.cause,
    }


def _case_told(one: CaseTold) -> dict[str, Any]:
    steps = [{k: v for k, v in vars(step).items() if v is not None} for step in one.steps]
    return {**vars(one), "steps": steps}
