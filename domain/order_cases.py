"""What keeps an order from going on, as its facts have it: cases, holds, a rejection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from domain.case_facts import (
    CaseClosed,
    CaseFact,
    CaseOpened,
    CaseReopened,
    CaseStepTaken,
    HoldReleased,
    OrderHeld,
    OrderReviewed,
    UnitsBackordered,
)
from domain.frozen import replace


@dataclass(frozen=True)
class Case:
    kind: str
    blocking: bool
    rule: str | None = None  # that found it; None: a person did
    open: bool = True
    cause: str | None = None  # as far as it is known
    acted: bool = False  # whether an action was told
    steps: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()  # that are missing or wrong
    figures: Mapping[str, Any] | None = None  # the numbers that the rule compared

    @property
    def withholds_approval(self) -> bool:
        """What a rule found waits for a person; what a person opened is known to one."""
        return self.open and self.rule is not None


@dataclass(frozen=True)
class Hold:
    type: str
    case_id: str | None = None


@dataclass(frozen=True)
class Cases:
    cases: Mapping[str, Case] = field(default_factory=dict)  # by id, oldest first
    holds: Mapping[str, Hold] = field(default_factory=dict)  # that are not released
    released: tuple[str, ...] = ()  # ids of holds
    rejected: bool = False  # by a review
    backordered: Mapping[int, Decimal] = field(default_factory=dict)  # units by line_no

    @property
    def blocked(self) -> bool:
        return any(case.open and case.blocking for case in self.cases.values())

    @property
    def withhold_approval(self) -> bool:
        return any(case.withholds_approval for case in self.cases.values())

    @property
    def open_criteria(self) -> list[str]:
        """The rules whose cases are open."""
        return [case.rule for case in self.cases.values() if case.open and case.rule]


NONE = Cases()


def evolve(state: Cases, event: CaseFact) -> Cases:
    """Apply a recorded fact. Applies, never refuses, whatever history holds."""
    match event:
        case CaseOpened():
            case = Case(
                event.kind,
                event.blocking,
                event.rule,
                fields=tuple(event.fields or ()),
                figures=event.figures,
            )
            return replace(state, cases={**state.cases, event.case_id: case})
        case CaseStepTaken():
            known = state.cases.get(event.case_id)
            return state if known is None else _step(state, event, known)
        case CaseClosed():
            return _changed(state, event.case_id, open=False, cause=event.cause, acted=True)
        case CaseReopened():
            return _changed(state, event.case_id, open=True)
        case OrderHeld():
            hold = Hold(event.type, event.case_id)
            return replace(
                state,
                holds={**state.holds, event.hold_id: hold},
                released=tuple(one for one in state.released if one != event.hold_id),
            )
        case HoldReleased():
            holds = {key: hold for key, hold in state.holds.items() if key != event.hold_id}
            return replace(state, holds=holds, released=(*state.released, event.hold_id))
        case OrderReviewed():
            return replace(state, rejected=event.decision == "rejected")
        case UnitsBackordered():
            more = {item.line_no: item.quantity for item in event.lines}
            return replace(state, backordered={**state.backordered, **more})


def _step(state: Cases, event: CaseStepTaken, known: Case) -> Cases:
    return _changed(
        state,
        event.case_id,
        cause=event.cause or known.cause,
        acted=known.acted or event.action is not None,
        steps=(*known.steps, event.step_id),
    )


def _changed(state: Cases, case_id: str, **changes: Any) -> Cases:
    known = state.cases.get(case_id)
    if known is None:
        return state
    return replace(state, cases={**state.cases, case_id: replace(known, **changes)})
