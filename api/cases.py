"""Exception cases, holds and the review of orders over HTTP, and the worklist of cases."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel

from api.answers import Answer
from api.attempts import new_id
from api.calls import Call, CommandRoute, MatchedCall, Unmatched, example
from api.examples import CASE, CASE_CLOSING, CASE_REOPENING, CASE_STEP, HOLD, REJECTION, RELEASE
from api.order_answers import Handling, OrderRecorded, Reviewed
from api.permissions import Permission, needs
from api.problems import responses
from api.reads import (
    PAGE_ITEMS,
    Cursor,
    Limit,
    Reader,
    identifier,
    opened_place,
    page_router,
    sealed_cursor,
)
from domain.case_commands import (
    CaseKind,
    CaseStepBody,
    CloseCase,
    CloseCaseBody,
    HoldBody,
    HoldOrder,
    OpenCase,
    OpenCaseBody,
    RejectBody,
    RejectOrder,
    ReleaseBody,
    ReleaseHold,
    ReopenCase,
    ReopenCaseBody,
    TakeCaseStep,
)
from domain.desk_names import order_stream
from projections import cases
from projections.cases import CaseFilters

router = APIRouter(route_class=CommandRoute, tags=["cases"])
reads = page_router("cases")

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
ORDER = "/v1/orders/{order_id}"
ONE_CASE = f"{ORDER}/cases/{{case_id}}"


class CaseRecorded(OrderRecorded, Handling):
    """`cases` are those that are still open."""

    case_id: str


class StepRecorded(CaseRecorded):
    step_id: str


class HoldRecorded(OrderRecorded, Handling):
    hold_id: str


@router.post(
    f"{ORDER}/cases",
    status_code=201,
    response_model=CaseRecorded,
    responses=CHANGING,
    summary="Open a case about an order",
    **needs(Permission.CASE_MANAGE),
)
async def open_case(
    call: Call, order_id: str, body: Annotated[OpenCaseBody, Body(**example("A dispute", CASE))]
) -> Answer:
    """A blocking case holds the order until it is closed. Never conflicts."""
    found = await call.context.order_id(order_id)
    command = call.command(OpenCase, body, order_id=found, case_id=new_id())
    return await call.run(command, Unmatched.NEVER_CONFLICTS, status=201)


@router.post(
    f"{ONE_CASE}/steps",
    status_code=201,
    response_model=StepRecorded,
    responses=CHANGING,
    summary="Record a step of a case",
    **needs(Permission.CASE_MANAGE),
)
async def take_step(
    call: Call,
    order_id: str,
    case_id: str,
    body: Annotated[CaseStepBody, Body(**example("A call", CASE_STEP))],
) -> Answer:
    """What was found out or done, also after the closing. Sealed like all free text."""
    found, case = await call.context.order_id(order_id), identifier("case_id", case_id)
    command = call.command(TakeCaseStep, body, order_id=found, case_id=case, step_id=new_id())
    return await call.run(command, Unmatched.NEVER_CONFLICTS, status=201)


@router.post(
    f"{ONE_CASE}/close",
    response_model=CaseRecorded,
    responses=CHANGING,
    summary="Close a case",
    **needs(Permission.CASE_MANAGE),
)
async def close_case(
    call: MatchedCall,
    order_id: str,
    case_id: str,
    body: Annotated[CloseCaseBody, Body(**example("Put right", CASE_CLOSING))],
) -> Answer:
    """Needs cause and action, here or in a step before. Releases the hold of a blocking case; an
    order that nothing stands against any more is approved in the same write.
    """
    found, case = await call.context.order_id(order_id), identifier("case_id", case_id)
    command = call.command(CloseCase, body, order_id=found, case_id=case)
    return await call.run(command, order_stream(found))


@router.post(
    f"{ONE_CASE}/reopen",
    response_model=CaseRecorded,
    responses=CHANGING,
    summary="Reopen a case",
    **needs(Permission.CASE_MANAGE),
)
async def reopen_case(
    call: MatchedCall,
    order_id: str,
    case_id: str,
    body: Annotated[ReopenCaseBody, Body(**example("Not settled", CASE_REOPENING))],
) -> Answer:
    """A blocking case holds the order again."""
    found, case = await call.context.order_id(order_id), identifier("case_id", case_id)
    command = call.command(ReopenCase, body, order_id=found, case_id=case)
    return await call.run(command, order_stream(found))


@router.post(
    f"{ORDER}/hold",
    status_code=201,
    response_model=HoldRecorded,
    responses=CHANGING,
    summary="Hold an order",
    **needs(Permission.ORDER_HOLD),
)
async def hold(
    call: MatchedCall, order_id: str, body: Annotated[HoldBody, Body(**example("A doubt", HOLD))]
) -> Answer:
    """Nothing is packed or leaves until it is released; of type `review` or `fraud`, no money is
    captured either. Money that arrives unasked is recorded all the same.
    """
    found = await call.context.order_id(order_id)
    command = call.command(HoldOrder, body, order_id=found, hold_id=new_id())
    return await call.run(command, order_stream(found), status=201)


@router.post(
    f"{ORDER}/holds/{{hold_id}}/release",
    response_model=HoldRecorded,
    responses=CHANGING,
    summary="Release a hold",
    **needs(Permission.ORDER_HOLD),
)
async def release(
    call: MatchedCall,
    order_id: str,
    hold_id: str,
    body: Annotated[ReleaseBody, Body(**example("Cleared", RELEASE))],
) -> Answer:
    """Also that of a case, which then stays open without holding the order."""
    found, name = await call.context.order_id(order_id), identifier("hold_id", hold_id)
    command = call.command(ReleaseHold, body, order_id=found, hold_id=name)
    return await call.run(command, order_stream(found))


@router.post(
    f"{ORDER}/reject",
    response_model=Reviewed,
    responses=CHANGING,
    summary="Reject an order that waits for review",
    **needs(Permission.ORDER_REVIEW),
)
async def reject(
    call: MatchedCall,
    order_id: str,
    body: Annotated[RejectBody, Body(**example("No", REJECTION))],
) -> Answer:
    """Cancels it without a fee; what was paid is due back, stock is freed in the same write."""
    found = await call.context.order_id(order_id)
    command = call.command(RejectOrder, body, order_id=found)
    return await call.run(command, order_stream(found))


class OtherOrder(BaseModel):
    order_id: str
    number: str
    order_status: str


class CaseListed(BaseModel):
    """A case as the worklist shows it. `rule`: that found it, null where a person did; `figures`:
    the numbers that it compared; `duplicate_of`: of a duplicate, the other order of the pair.
    """

    case_id: str
    order_id: str
    number: str | None
    shop: str | None
    customer_id: str | None
    order_status: str | None
    kind: str
    blocking: bool
    open: bool
    rule: str | None
    fields: list[str]
    figures: dict[str, Any] | None
    duplicate_of: OtherOrder | None
    cause: str | None
    steps: int
    opened_at: datetime
    closed_at: datetime | None


class CasePage(BaseModel):
    items: list[CaseListed]
    next_cursor: str | None
    position: int


@reads.get(
    "/v1/cases",
    response_model=CasePage,
    responses=responses(401, 403, 422, 503, 504),
    summary="The worklist of cases",
    **needs(Permission.CASE_MANAGE),
)
async def list_cases(
    reader: Reader,
    kind: CaseKind | None = None,
    blocking: bool | None = None,
    is_open: Annotated[
        bool | None, Query(alias="open", description="Or closed; both when absent")
    ] = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Answer:
    """The oldest first. Nothing personal: what was said stands in the order."""
    query = ["cases", kind, blocking, is_open]
    after = opened_place(reader.context, query, cursor)
    await reader.reach(cases.NAME)
    async with reader.context.reading() as connection:
        filters = CaseFilters(kind, blocking, is_open)
        page = await cases.page(connection, filters, after, limit)
    following = page["next"] and sealed_cursor(reader.context, query, page["next"])
    return Answer({"items": page["items"], "next_cursor": following, "position": page["position"]})
