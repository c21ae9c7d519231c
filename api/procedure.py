"""Commands about the procedure document over HTTP: issue it, and acknowledge having read it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api import permissions
from api.answers import Answer
from api.calls import Call, CommandRoute, Unmatched, example
from api.examples import ACKNOWLEDGEMENT, PROCEDURE
from api.permissions import Permission, needs
from api.problems import field_problem, responses
from api.procedure_answers import ProcedureRecorded
from domain.procedure import AcknowledgeBody, AcknowledgeProcedure, IssueBody, IssueProcedure

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)

router = APIRouter(route_class=CommandRoute, tags=["procedure"])


@router.post(
    "/v1/procedure/issue",
    response_model=ProcedureRecorded,
    responses=CHANGING,
    summary="Issue the procedure document as it is in force",
    **needs(Permission.PROCEDURE_ISSUE),
)
async def issue(
    call: Call, body: Annotated[IssueBody, Body(**example("To two readers", PROCEDURE))]
) -> Answer:
    """The next version, in both languages, kept word for word; and who is to read it. Nothing is
    recorded where the newest version says the same to the same readers.
    """
    command = call.command(IssueProcedure, body, rights=permissions.rights())
    return await call.run(command, Unmatched.NO_VERSION)


@router.post(
    "/v1/procedure/{version}/acknowledge",
    response_model=ProcedureRecorded,
    responses=CHANGING,
    summary="Acknowledge having read a version",
    **needs(Permission.PROCEDURE_ACKNOWLEDGE),
)
async def acknowledge(
    call: Call,
    version: str,
    body: Annotated[AcknowledgeBody, Body(**example("Of the main shop", ACKNOWLEDGEMENT))],
) -> Answer:
    """By whoever calls, once; only the newest version. Also by those who were not asked to."""
    if not version.isascii() or not version.isdecimal():
        raise field_problem("version", "int_parsing", "must be the number of a version")
    ids = {"version": int(version[:10]), "reader": call.sender.actor}
    command = call.command(AcknowledgeProcedure, body, **ids)
    return await call.run(command, Unmatched.NO_VERSION)
