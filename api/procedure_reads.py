"""The procedure document as it is read: what is in force, issued versions, two compared.

Reading writes nothing: the text follows from the rules and the rights by itself, and each answer
says whether it is the one that was issued last.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from starlette.responses import Response

from api.answers import Answer
from api.paper_reads import drawn
from api.permissions import Permission, needs
from api.problems import field_problem, responses
from api.procedure_answers import (
    Audience,
    ProcedureCompared,
    ProcedureText,
    ProcedureVersions,
    changes_json,
    chapters_json,
    version_json,
)
from api.procedure_texts import Found, Text, as_issued, read
from api.procedure_view import HEADERS, ProcedureShown, page, word
from api.reads import Instant, Reader, page_router
from domain.command_types import Handle
from domain.policy import in_force
from domain.policy_words import Language
from domain.procedure import VERSION_MAX, ProcedureIssued
from domain.procedure_chapters import for_customers
from domain.procedure_document import Document, differences, marked

DIGEST_SHOWN = 16  # characters, at the head of the document
Format = Literal["json", "html", "pdf"]
MEDIA_TYPES: dict[str, Format] = {
    "application/json": "json",
    "text/html": "html",
    "application/pdf": "pdf",
}

READING = responses(401, 403, 404, 422, 503, 504)
FILES: dict[int | str, dict[str, Any]] = {
    **READING,
    200: {
        "content": {
            name: {"schema": {"type": "string"}} for name in ("text/html", "application/pdf")
        }
    },
}

router = page_router("procedure")

Shop = Annotated[Handle, Query(description="Whose document")]
Said = Annotated[Language | None, Query(description="The shop's own when absent")]
Shape = Annotated[
    Format | None, Query(description="json, html or pdf; as Accept asks for when absent, else json")
]
Number = Annotated[int, Query(ge=1, le=VERSION_MAX)]


def _format(request: Request, asked: Format | None) -> Format:
    """Of the formats that there are, the one that Accept likes best; JSON where it does not say."""
    if asked is not None:
        return asked
    liked: list[tuple[float, Format]] = []
    for part in request.headers.get("accept", "").split(","):
        name, _, parameters = part.partition(";")
        known = MEDIA_TYPES.get(name.strip().lower())
        quality = _quality(parameters)
        if known is not None and quality > 0:
            liked.append((quality, known))
    return max(liked, key=lambda one: one[0], default=(0.0, "json"))[1]


def _quality(parameters: str) -> float:
    _, found, value = parameters.replace(" ", "").partition("q=")
    try:
        return float(value.partition(";")[0]) if found else 1.0
    except ValueError:
        return 0.0


async def _file(shown: ProcedureShown, shape: Format, at: datetime) -> Response:
    if shape == "html":
        return Response(page(shown), media_type="text/html", headers=HEADERS)
    made = await drawn(partial(_pdf, at=at), shown)
    return Response(made, media_type="application/pdf", headers={"Cache-Control": "no-store"})


def _pdf(shown: ProcedureShown, at: datetime) -> bytes:
    # Tenths of a second and tens of MB, which processes that never print need not spend.
    from api import procedure_pdf  # noqa: PLC0415

    return procedure_pdf.pdf(shown, at)


@router.get(
    "/v1/procedure",
    response_model=ProcedureText,
    responses=FILES,
    summary="The procedure document of a shop",
    **needs(Permission.PROCEDURE_READ),
)
async def show(
    reader: Reader,
    request: Request,
    shop: Shop = "main",
    language: Said = None,
    format: Shape = None,  # noqa: A002 - the parameter's name
    at: Annotated[
        Instant | None, Query(description="From the rules of that time; now when absent")
    ] = None,
    version: Annotated[
        int | None, Query(ge=1, le=VERSION_MAX, description="An issued version, word for word")
    ] = None,
    audience: Annotated[
        Audience, Query(description="customers: an extract of what concerns them")
    ] = "operators",
) -> Response:
    """Written from what is in force now, or at a time: the rules of the shop, and the rights of
    today. Or a version as it was issued. Says whether it is what was issued last.
    """
    if version is not None and at is not None:
        raise field_problem("at", "one_of", "give either version or at")
    found, now = await read(reader, shop), datetime.now(UTC)
    text = found.text(at or now) if version is None else as_issued(found.version(version))
    spoken = language or _language(found, now)
    document = text.document(spoken)
    if audience == "customers":
        document = for_customers(document, spoken)
    shape = _format(request, format)
    if shape == "json":
        return Answer(_shown(found, text, document, spoken, audience))
    references = [(word("shop", spoken), shop), (word("version", spoken), _said(text, spoken))]
    if audience == "operators":
        references += _origin(text, spoken)
    shown = ProcedureShown(spoken, document.title, references, marked(document, document))
    return await _file(shown, shape, text.version.issued.at if text.version else now)


def _language(found: Found, now: datetime) -> Language:
    return in_force(found.policy, now).rules.shop.language


def _shown(
    found: Found, text: Text, document: Document, language: Language, audience: Audience
) -> dict[str, Any]:
    newest = found.procedure.newest
    return {
        "shop": found.shop,
        "language": language,
        "audience": audience,
        "version": text.version.issued.version if text.version else None,
        "newest_version": newest.issued.version if newest else None,
        "is_newest": found.is_newest(text),
        "digest": text.digest,
        "policy_version": text.policy_version,
        "title": document.title,
        "chapters": chapters_json(document),
        "position": found.position,
    }


def _said(text: Text, language: Language) -> str:
    if text.version is None:
        return word("not_issued", language)
    issued = text.version.issued
    at = issued.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return word("issued", language, version=issued.version, at=at)


def _origin(text: Text, language: Language) -> list[tuple[str, str]]:
    return [
        (word("rules", language), str(text.policy_version)),
        (word("digest", language), text.digest[:DIGEST_SHOWN]),
    ]


@router.get(
    "/v1/procedure/versions",
    response_model=ProcedureVersions,
    responses=READING,
    summary="All issued versions of a shop's procedure document",
    **needs(Permission.PROCEDURE_READ),
)
async def versions(reader: Reader, shop: Shop = "main") -> Answer:
    """Newest first; who was to read each, who has acknowledged it, and who has not yet."""
    found = await read(reader, shop)
    text = found.text(datetime.now(UTC))
    actors = [one.actor for one in found.facts if one.topic == ProcedureIssued.TOPIC]
    listed = [
        version_json(one, actor)
        for one, actor in zip(found.procedure.versions, actors, strict=True)
    ]
    shown = {
        "shop": shop,
        "in_force_digest": text.digest,
        "is_newest": found.is_newest(text),
        "versions": listed[::-1],
        "position": found.position,
    }
    return Answer(shown)


@router.get(
    "/v1/procedure/compare",
    response_model=ProcedureCompared,
    responses=FILES,
    summary="What differs between two versions of the document",
    **needs(Permission.PROCEDURE_READ),
)
async def compare(
    reader: Reader,
    request: Request,
    former: Annotated[Number, Query(alias="from", examples=[1])],
    later: Annotated[
        Number | None, Query(alias="to", description="What is in force now when absent")
    ] = None,
    shop: Shop = "main",
    language: Said = None,
    format: Shape = None,  # noqa: A002 - the parameter's name
) -> Response:
    """Every line that came, went or changed; in HTML and PDF marked in the whole document."""
    found, now = await read(reader, shop), datetime.now(UTC)
    before = as_issued(found.version(former))
    after = found.text(now) if later is None else as_issued(found.version(later))
    spoken = language or _language(found, now)
    old, new = before.document(spoken), after.document(spoken)
    shape = _format(request, format)
    if shape == "json":
        shown = {
            "shop": shop,
            "from": former,
            "to": later,
            "language": spoken,
            "changes": changes_json(differences(old, new)),
            "position": found.position,
        }
        return Answer(shown)
    compared = f"{_said(before, spoken)} → {_said(after, spoken)}"
    references = [(word("shop", spoken), shop), (word("compared", spoken), compared)]
    return await _file(ProcedureShown(spoken, new.title, references, marked(old, new)), shape, now)
