"""Personal values of an answer: opened for who may see them and the look recorded, or masked."""

from __future__ import annotations

from typing import Any

from api.events import mask, opener, record_look
from api.reads import ReadCall, revealed, sealed_fields


async def shown_to(reader: ReadCall, answer: Any, what: str, target: str) -> Any:
    """The answer as the caller may see it; `what` and `target` name the look in the audit."""
    fields = sealed_fields(answer)
    if not fields or not reader.sees_personal:
        return revealed(answer, mask)
    async with reader.context.reading() as connection:
        opened = await opener(connection, reader.context, set(fields.values()))
        await record_look(connection, reader.sender, what, target, [*fields])
    return revealed(answer, opened)
