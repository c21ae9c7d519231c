"""The worked month, happened: told to a ledger, its statements matched, its months closed.

The story is told with its own times by the runner of all workers; what is told late, the
statements, the matching and the closing come over HTTP.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.api_server import Api
from tests.worked_month import FOLDER, Month, Step, Teller, major, minor, order_id
from tests.worked_month_commands import commands

Json = dict[str, Any]
STATEMENTS = {"bank": "csv", "alipay": "alipay", "wechat": "wechat", "stripe": "stripe"}
FILES = {"camt053": "bank.camt053.xml"}  # the others are called as their bank
SHOPS = ("main", "depot")


@dataclass
class Told:
    """The month over, its statements matched, March and April closed."""

    api: Api
    bank: str = "csv"  # the layout of the bank's statement
    month: Month = field(default_factory=Month)
    statements: dict[str, str] = field(default_factory=dict)  # bank -> statement id
    march: Json = field(default_factory=dict)  # both lists when March is closed

    def happens(self) -> None:
        Teller(self.api.settings).tell([*commands(self.month)])
        for name, layout in {**STATEMENTS, "bank": self.bank}.items():
            self._import(name, layout, FILES.get(layout, f"{name}.csv"))
        self._match_by_hand()
        self.match()
        self._close("2025-03")
        self.march = self.open()
        for step in self.month.late():
            self._tell_late(step)
        self.match()
        self._close("2025-04")

    def _import(self, name: str, layout: str, file_name: str) -> None:
        content = base64.b64encode((FOLDER / file_name).read_bytes()).decode()
        body: Json = {"layout": layout, "file_name": file_name, "content": content}
        if layout == "csv":
            body["mapping"] = json.loads((FOLDER / "bank.mapping.json").read_text("utf-8"))
        self.statements[name] = self.api.made("/v1/statements", body)["statement_id"]

    def match(self) -> None:
        """Providers first: what they pay out is what the bank tells of."""
        for name in reversed(STATEMENTS):
            at = f"/v1/statements/{self.statements[name]}"
            self.api.shown(at, min_position=self.api.head())
            self.api.made(f"{at}/auto-match")

    def _match_by_hand(self) -> None:
        expected = self.month.expected["reconciliation"]
        for match in expected["by_hand"]:
            found = [self.line(text) for text in match["lines"]]
            movements = [self._movement(text) for text in match["movements"]]
            body = {"lines": [{"line_no": no} for _, no in found], "movements": movements}
            self.api.made(f"/v1/statements/{found[0][0]}/matches", body)
        for text in expected["unallocated"]["lines"]:
            statement, no = self.line(text)
            self.api.made(f"/v1/statements/{statement}/lines/{no}/unallocated", {})

    def _movement(self, text: str) -> Json:
        kind, order, name = text.split()
        return {"kind": kind, "owner": order_id(order), "id": name}

    def line(self, text: str) -> tuple[str, int]:
        """`bank 03-20 -28.00`: statement id and number of the line."""
        name, day, amount = text.split()
        at = f"/v1/statements/{self.statements[name]}/lines"
        items = self.api.shown(at, limit=200, min_position=self.api.head())["items"]
        wanted = (f"2025-{day}", minor(amount, "CNY"))
        (found,) = [x for x in items if (x["value_on"], x["amount_minor"]) == wanted]
        return self.statements[name], int(found["line_no"])

    def _tell_late(self, step: Step) -> None:
        name, amount, method = step.words
        body: Json = {"amount_minor": minor(amount, "CNY"), "method": method}
        body |= {"reference": f"{step.of}-{name}", "payer": step.options.get("payer")}
        body["occurred_at"] = step.at.isoformat()
        self.api.made(f"/v1/orders/{order_id(step.of)}/payments", body)

    def _close(self, month: str) -> None:
        for shop in SHOPS:
            closed = self.api.made(f"/v1/periods/{month}/close", {"shop": shop})
            assert closed["status"] == "closed"

    def open(self) -> Json:
        """Both lists of what is not matched, in the fixture's words."""
        head = self.api.head()
        query = {"shop": "main", "limit": 200, "min_position": head}
        lines = self.api.shown("/v1/reconciliation/lines", **query)["items"]
        ours = self.api.shown("/v1/reconciliation/movements", **query)["items"]
        return {
            "lines": sorted(self._line_told(one) for one in lines),
            "movements": sorted(self._movement_told(one) for one in ours),
        }

    def _line_told(self, line: Json) -> str:
        names = {statement: name for name, statement in self.statements.items()}
        name, day = names[line["statement_id"]], line["value_on"].removeprefix("2025-")
        return f"{name} {day} {major(line['amount_minor'], line['currency'])}"

    def _movement_told(self, one: Json) -> str:
        owners = {order_id(name): name for name in self.month.orders}
        owners |= {statement: name for name, statement in self.statements.items()}
        amount = major(one["amount_minor"], one["currency"])
        return f"{one['kind']} {owners[one['owner']]} {one['id']} {amount}"

    # -- reading

    def shown(self, name: str) -> Json:
        return self.api.shown(f"/v1/orders/{order_id(name)}", min_position=self.api.head())

    def real_orders(self) -> Iterator[str]:
        for name in self.month.orders:
            if self.month.placing(name).refused is None:
                yield name
