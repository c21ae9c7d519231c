"""A paper as a page of its own: no script, no other file, ready to be printed or sent."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from markupsafe import Markup

from api.page import templates
from api.paper_view import PaperShown

STYLE = (resources.files("api") / "templates" / "paper.css").read_text(encoding="utf-8").strip()
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",  # It may name a person.
}


def page(shown: PaperShown) -> str:
    style = Markup(STYLE)  # noqa: S704 - our own file
    return templates.get_template("paper.html").render(shown=shown, style=style)
