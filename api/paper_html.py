"""A paper as a page of its own: no script, no other file, ready to be printed or sent."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from markupsafe import Markup

from api.page import templates
from api.paper_view import PaperShown


def style_of(name: str) -> Markup:
    """One of our style sheets, as it stands inside a page."""
    text = (resources.files("api") / "templates" / name).read_text(encoding="utf-8").strip()
    return Markup(text)  # noqa: S704 - our own file


def headers(style: str) -> dict[str, str]:
    """Of a page that loads nothing, and runs and shows nothing but this style."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",  # It may name a person.
    }


STYLE = style_of("paper.css")
HEADERS = headers(STYLE)


def page(shown: PaperShown) -> str:
    return templates.get_template("paper.html").render(shown=shown, style=STYLE)
