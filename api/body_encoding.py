"""Says why a body is no JSON: above all, which encoding it is in when it is not UTF-8."""

from __future__ import annotations

import codecs
import re

_MARKS = {
    codecs.BOM_UTF8: "UTF-8 with a byte order mark",
    codecs.BOM_UTF32_LE: "UTF-32",  # Before UTF-16, whose mark it begins with.
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
# What decodes without a fault, the strictest first; GB18030 holds GBK and GB2312.
_GUESSES = {"gb18030": "GB18030 (GBK, GB2312)", "big5": "Big5", "cp1252": "Windows-1252 (Latin-1)"}
_CHARSET = re.compile(rb'charset\s*=\s*"?([A-Za-z0-9._:-]{1,40})', re.IGNORECASE)


def why_unreadable(raw: bytes, content_type: bytes, error: ValueError) -> str:
    """One sentence or two for whoever has sent it. `error`: what the parser said."""
    mark = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
    if mark is not None:
        return f"The body is in {mark}: send JSON in UTF-8 without one."
    try:
        raw.decode()
    except UnicodeDecodeError as fault:
        byte = f"0x{raw[fault.start]:02X}"
        return (
            f"The body is not in UTF-8 (byte {byte} at offset {fault.start}): "
            f"{_named(raw, content_type)}. Send JSON in UTF-8."
        )
    return f"The body is not JSON in UTF-8: {error}"


def _named(raw: bytes, content_type: bytes) -> str:
    announced = _CHARSET.search(content_type)
    if announced and announced[1].lower() not in {b"utf-8", b"utf8"}:
        return f"it is announced as {announced[1].decode()}"
    for codec, name in _GUESSES.items():
        try:
            raw.decode(codec)
        except UnicodeDecodeError:
            continue
        return f"it reads as {name}"
    return "it is in no encoding that is known here"
