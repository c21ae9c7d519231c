"""An order's papers as they are read: listed, and each as HTML, PDF and structured e-invoice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.answers import Answer, etag
from api.context import Context
from api.events import Row, opener, record_look, whole_stream
from api.paper_answers import PapersListed
from api.paper_html import HEADERS, page
from api.paper_view import PaperShown, shown
from api.permissions import Permission, needs
from api.problems import Problem, responses
from api.reads import ReadCall, Reader, identifier, revealed
from commands.store import CLAIMS
from domain import codec, order_fold
from domain.desk_names import order_stream
from domain.invoice_amounts import open_amounts
from domain.invoice_facts import Language, OrderCredited, OrderInvoiced
from domain.message import Event
from domain.order_state import Order

EVENTS_AT_ONCE = 1_000  # of one order's stream
DRAWN_AT_ONCE_MAX = 2  # PDF and XML, each some tenths of a second of a processor
NOT_STORED = {"Cache-Control": "no-store"}  # It may name a person.

T = TypeVar("T")

router = APIRouter(tags=["papers"])

READING = responses(401, 403, 404, 422, 503, 504)
_drawing = asyncio.Semaphore(DRAWN_AT_ONCE_MAX)


@router.get(
    "/v1/orders/{order_id}/papers",
    response_model=PapersListed,
    responses=READING,
    summary="The papers of an order",
    **needs(Permission.ORDER_READ),
)
async def list_papers(reader: Reader, order_id: str) -> Answer:
    """From the ledger itself, nothing personal; and what is still to invoice or to credit."""
    found = await reader.context.order_id(order_id)
    await reader.reach(None)
    rows = await _rows(reader.context, found)
    events = [_event(row) for row in rows]
    state = Order()
    for event in events:
        state = order_fold.evolve(state, event)
    open_minor = [one.gross for one in open_amounts(state).values()]
    version = rows[-1][2]
    listed = {
        "order_id": found,
        "version": version,
        "to_invoice_minor": sum(minor for minor in open_minor if minor > 0),
        "to_credit_minor": -sum(minor for minor in open_minor if minor < 0),
        "papers": [_listed(e) for e in events if isinstance(e, OrderInvoiced | OrderCredited)],
        "fapiao": [_fapiao(id_, state) for id_ in state.papers.fapiao],
    }
    return Answer(listed, headers=[etag(version)])


def _listed(event: OrderInvoiced | OrderCredited) -> dict[str, Any]:
    credited = isinstance(event, OrderCredited)
    same = ("paper_id", "number", "issue_date", "currency", "language")
    sums = ("net_minor", "tax_minor", "total_minor")
    more = ("invoice_number", "basis", "reason", "refund_id") if credited else ()
    return {
        "kind": "credit_note" if credited else "invoice",
        **{name: getattr(event, name) for name in (*same, *sums, *more)},
        "rates": [one.model_dump() for one in event.rates],
    }


def _fapiao(fapiao_id: str, state: Order) -> dict[str, Any]:
    known = state.papers.fapiao[fapiao_id]
    return {
        "fapiao_id": fapiao_id,
        "invoice_number": known.invoice_number,
        "kind": known.kind,
        "fapiao_number": known.number,
        "refused": known.refused,
        "red_letters": dict(known.red_letters),
    }


Language_ = Annotated[Language | None, Query(description="The paper's own when absent")]


def _file(media_type: str, *more: int) -> dict[str, Any]:
    """How OpenAPI describes a route that answers with a file."""
    content = {media_type: {"schema": {"type": "string"}}}
    described: dict[int | str, Any] = {**READING, **responses(*more)}
    described[200] = {"description": "The paper", "content": content}
    return {"responses": described, "response_class": Response, "response_model": None}


@router.get(
    "/v1/papers/{number}.html",
    summary="A paper to read and print",
    **_file("text/html"),
    **needs(Permission.ORDER_READ),
)
async def paper_html(reader: Reader, number: str, language: Language_ = None) -> Response:
    """The customer's name and address need `customer.read_personal` and are masked without; a look
    at them is recorded.
    """
    found = await _paper(reader, number, language, "GET /v1/papers/{number}.html")
    return Response(page(found), media_type="text/html", headers=HEADERS)


@router.get(
    "/v1/papers/{number}.xml",
    summary="A paper as a structured e-invoice",
    **_file("application/xml", 409),
    **needs(Permission.ORDER_READ),
)
async def paper_xml(reader: Reader, number: str, language: Language_ = None) -> Response:
    """EN 16931 in CII, as Factur-X and ZUGFeRD have it, checked by its schema. 409 where that
    standard has no words for it: a currency with three decimals. Personal values as in the HTML.
    """
    found = await _paper(reader, number, language, "GET /v1/papers/{number}.xml")
    made = await drawn(_xml, found)
    if isinstance(made, str):
        raise Problem(409, "not_expressible", f"{made}.")
    return Response(made, media_type="application/xml", headers=NOT_STORED)


@router.get(
    "/v1/papers/{number}.pdf",
    summary="A paper as PDF",
    **_file("application/pdf"),
    **needs(Permission.ORDER_READ),
)
async def paper_pdf(reader: Reader, number: str, language: Language_ = None) -> Response:
    """PDF/A-3 with the structured e-invoice inside (Factur-X), where that can be. Personal values
    as in the HTML.
    """
    found = await _paper(reader, number, language, "GET /v1/papers/{number}.pdf")
    made = await drawn(_pdf, found)
    return Response(made, media_type="application/pdf", headers=NOT_STORED)


async def drawn(draw: Callable[[T], Any], shown: T) -> Any:
    """In a thread: a request that waits for its turn must not hold up others."""
    async with _drawing:
        return await asyncio.to_thread(draw, shown)


def _xml(paper: PaperShown) -> bytes | str:
    """The XML, or why there is none."""
    # A second and 60 MB, which processes that never print need not spend.
    from api import paper_xml as structured  # noqa: PLC0415

    try:
        return structured.xml(paper)
    except structured.NotExpressible as reason:
        return str(reason)


def _pdf(paper: PaperShown) -> bytes:
    from api import paper_pdf as drawn  # noqa: PLC0415

    embedded = _xml(paper)
    return drawn.pdf(paper, embedded if isinstance(embedded, bytes) else None)


async def _paper(reader: ReadCall, number: str, language: str | None, what: str) -> PaperShown:
    """The paper with personal values in clear or masked. Raises Problem 404."""
    await reader.reach(None)
    order_id, paper_id = await _owner(reader.context, identifier("number", number))
    events = [_event(row) for row in await _rows(reader.context, order_id)]
    found = shown(events, paper_id, language)
    assert found is not None, "a paper's number is claimed by the write that has the paper"
    if not found.sealed:
        return found
    if not reader.sees_personal:
        return found.opened(dict.fromkeys(found.sealed))
    async with reader.context.reading() as connection:
        persons = {one.person for one in found.sealed.values()}
        opened = await opener(connection, reader.context, persons)
        await record_look(connection, reader.sender, what, order_id, [*found.sealed])
    return found.opened(revealed(found.sealed, opened))


async def _owner(context: Context, number: str) -> tuple[str, str]:
    async with context.reading() as connection:
        rows = await connection.execute(CLAIMS, [["paper"], [number]])
        claim = await rows.fetchone()
    if claim is None:
        raise Problem(404, "paper_not_found", "There is no such paper.", facts={"number": number})
    order_id, _, paper_id = claim[2].partition("/")
    return order_id, paper_id


async def _rows(context: Context, order_id: str) -> list[Row]:
    """The order's whole stream. Raises Problem 404."""
    async with context.reading() as connection:
        stream = whole_stream(connection, context, order_stream(order_id), EVENTS_AT_ONCE)
        rows = [row async for row in stream]
    if not rows:
        facts = {"order_id": order_id}
        raise Problem(404, "order_not_found", "There is no such order.", facts=facts)
    return rows


def _event(row: Row) -> Event:
    return codec.decode(row[5], row[6])
