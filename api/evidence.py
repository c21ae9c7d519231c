"""Files that customers show, over HTTP: uploaded as they are, read by who may read about people."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from api import attempts
from api.answers import Answer
from api.calls import read_body
from api.events import record_look
from api.permissions import Permission, needs
from api.problems import Problem, field_problem, responses
from api.reads import ReaderNow
from commands.evidence import FILE_BYTES_MAX, MEDIA_TYPES, media_type

router = APIRouter(tags=["refunds"])

FILES: dict[str, Any] = {
    kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES
}
_ADDING = needs(Permission.EVIDENCE_ADD)["openapi_extra"]
UPLOADING = {
    **_ADDING,
    "requestBody": {"required": True, "content": FILES},
}


class EvidenceKept(BaseModel):
    """`digest`: SHA-256 of the file, as hex. What refunds and returns name."""

    digest: str
    media_type: str
    bytes: int


@router.post(
    "/v1/evidence",
    status_code=201,
    response_model=EvidenceKept,
    responses=responses(400, 401, 403, 413, 415, 422, 503),
    summary="Upload a file that shows why",
    openapi_extra=UPLOADING,
)
async def upload(reader: ReaderNow, request: Request) -> Answer:
    """The body is the file itself: a picture, a PDF or a film of at most 10 MiB. It is kept once
    under the digest of its content, sealed, and never overwritten: sent again, it is the same.
    """
    headers = attempts.headers_of(request.scope)
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
    if kind not in MEDIA_TYPES:
        raise Problem(415, "media_type", f"Taken are {', '.join(MEDIA_TYPES)}.")
    content = await read_body(headers, request.receive, FILE_BYTES_MAX)
    if media_type(content) != kind:
        raise field_problem("body", "media_type", f"does not begin as {kind} does")
    digest = await reader.context.evidence.ask(lambda store: store.keep(content))
    return Answer({"digest": digest, "media_type": kind, "bytes": len(content)}, 201)


@router.get(
    "/v1/evidence/{digest}",
    response_class=Response,
    responses={**responses(401, 403, 404, 422, 503), 200: {"content": FILES}},
    summary="A file that was shown",
    **needs(Permission.CUSTOMER_READ_PERSONAL),
)
async def show(
    reader: ReaderNow, digest: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
) -> Response:
    """As it was uploaded. It may show people, so the look is recorded."""
    content = await reader.context.evidence.ask(lambda store: store.read(digest))
    if content is None:
        detail = "No file with this SHA-256 was uploaded."
        raise Problem(404, "evidence_not_found", detail, facts={"digest": digest})
    assert sha256(content).hexdigest() == digest
    async with reader.context.reading() as connection:
        await record_look(connection, reader.sender, "GET /v1/evidence/{digest}", digest, ["file"])
    safe = {"Content-Disposition": "attachment", "Content-Security-Policy": "sandbox"}
    return Response(content, media_type=media_type(content), headers=safe)
