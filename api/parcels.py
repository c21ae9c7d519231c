"""The commands of a parcel over HTTP: pack, also for several orders, dispatch, deliver."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from api.answers import Answer, ParcelRecorded
from api.attempts import new_id
from api.calls import Call, CommandRoute, MatchedCall, Unmatched, example, validated
from api.context import uuid_text
from api.examples import DELIVERY, DISPATCH
from api.permissions import Permission, needs, require
from api.problems import responses
from domain.desk_names import parcel_stream
from domain.parcel_commands import (
    DeliverBody,
    DeliverParcel,
    DispatchBody,
    DispatchParcel,
    PackParcel,
    PackParcelBody,
)

CHANGING = responses(400, 401, 403, 404, 409, 413, 422, 503)
CONTENTS = {
    "contents": [
        {"order_id": "0193d3a0-5b7e-7c3a-9f1e-1c2d3e4f5a6b", "line_no": 1, "quantity": 1},
        {"order_id": "1000000008", "line_no": 1, "quantity": 2},
    ]
}

router = APIRouter(route_class=CommandRoute, tags=["parcels"])


@router.post(
    "/v1/parcels",
    status_code=201,
    response_model=ParcelRecorded,
    responses=CHANGING,
    summary="Pack units of several orders into one parcel",
    **needs(Permission.PARCEL_PACK),
)
async def pack(
    call: Call, body: Annotated[PackParcelBody, Body(**example("Two orders", CONTENTS))]
) -> Answer:
    """All orders change in one write, or none. Orders are named by UUID or number."""
    contents = [
        {**vars(item), "order_id": await call.context.order_id(item.order_id)}
        for item in body.contents
    ]
    # Once more, since one order may have been named by its number and by its UUID.
    named = validated(PackParcelBody, {"contents": contents})
    command = call.command(PackParcel, named, parcel_id=new_id())
    return await call.run(command, Unmatched.NO_VERSION, status=201)


@router.post(
    "/v1/parcels/{parcel_id}/dispatch",
    response_model=ParcelRecorded,
    responses=CHANGING,
    summary="Hand a parcel to the carrier",
    **needs(Permission.PARCEL_DISPATCH),
)
async def dispatch(
    call: MatchedCall,
    parcel_id: str,
    body: Annotated[DispatchBody, Body(**example("SF", DISPATCH))],
) -> Answer:
    """Needs full payment of its orders, except by methods that are paid later; or a reason why it
    leaves unpaid, from somebody with the permission `order.ship_unpaid`. Nothing leaves while a
    payment of it is disputed.
    """
    if body.unpaid_reason is not None:
        require(call.sender.actor, Permission.ORDER_SHIP_UNPAID)
    found = uuid_text(parcel_id, "parcel")
    command = call.command(DispatchParcel, body, parcel_id=found)
    return await call.run(command, parcel_stream(found))


@router.post(
    "/v1/parcels/{parcel_id}/deliver",
    response_model=ParcelRecorded,
    responses=CHANGING,
    summary="Record a delivery that a person saw",
    **needs(Permission.PARCEL_DELIVER),
)
async def deliver(
    call: MatchedCall,
    parcel_id: str,
    body: Annotated[DeliverBody, Body(**example("Proof", DELIVERY))],
) -> Answer:
    """Who took it, when, and where the picture lies. The carrier's scans come through Kafka."""
    found = uuid_text(parcel_id, "parcel")
    command = call.command(DeliverParcel, body, parcel_id=found)
    return await call.run(command, parcel_stream(found))
