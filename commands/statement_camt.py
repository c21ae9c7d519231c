"""camt.053 of ISO 20022, the bank's statement as XML, in all versions of camt.053.001.

An entry with several transactions is a line for each, and they must come to the entry; one without
amounts of its own is a single line. Entries that are not booked yet are passed over. What is left
out of a file shows in its balances: opening and entries must come to closing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from commands.statement_files import (
    BadRow,
    Bounded,
    Parsed,
    Unusable,
    amount,
    joined,
    minor,
    moment,
    said,
    start_of,
)
from domain.period import ZONE
from domain.statement_commands import StatementLine
from domain.statement_facts import LineKind

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
BOOKED = "BOOK"
FEES = frozenset({"CHRG", "COMM", "FEES"})  # ISO 20022 bank transaction sub-families
SIGNS = {"CRDT": 1, "DBIT": -1}
TRANSACTIONS_MAX = 10_000  # of one entry


@dataclass(slots=True)
class _Statement:
    """What a Stmt says before its entries, and what its entries come to."""

    zone: str
    currency: str | None = None
    opening: Decimal | None = None
    closing: Decimal | None = None
    entries_told: int | None = None
    entries: int = 0
    booked: Decimal = field(default_factory=lambda: Decimal(0))


def read(source: Bounded, name: str, zone: str = ZONE) -> Parsed:
    """`zone`: where a bare date or a time without offset is. Raises Unusable."""
    parsed = Parsed(name, "bank_transfer")
    statement: _Statement | None = None
    count = 0
    try:
        for place, element in _events(source):
            if place == "start":
                statement = _Statement(zone)
            elif statement is None:
                continue
            elif element.tag == "Ntry":
                count = _entry(count, element, statement, parsed)
            elif element.tag == "Stmt":
                _check(statement, parsed, count)
            else:
                _head(element, statement, parsed)
    except ParseError as error:
        line, _ = error.position
        raise Unusable("xml", f"line {line}: {error.msg}") from None
    except DefusedXmlException:
        raise Unusable("xml", "a document type or entity is not taken") from None
    if statement is None:
        raise Unusable("layout", "no camt.053: there is no Stmt in a BkToCstmrStmt")
    return parsed


def _events(source: Bounded) -> Iterator[tuple[str, Element]]:
    """("start", Stmt), then ("end", each child of Stmt) and ("end", Stmt); tags without namespace.

    Each child is dropped when it was read, so that memory stays flat.
    """
    parents: list[Element] = []
    for event, element in iterparse(source, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            _require_namespace(element, parents)
            element.tag = element.tag.rpartition("}")[2]
            parents.append(element)
            if element.tag == "Stmt":
                yield "start", element
            continue
        parents.pop()
        parent = parents[-1] if parents else None
        if element.tag == "Stmt" or (parent is not None and parent.tag == "Stmt"):
            yield "end", element
            if parent is not None:
                parent.remove(element)


def _require_namespace(element: Element, parents: list[Element]) -> None:
    if not parents and not element.tag.startswith(f"{{{NAMESPACE}"):
        raise Unusable("layout", f"the document is not of {NAMESPACE}…")


def _head(element: Element, statement: _Statement, parsed: Parsed) -> None:
    match element.tag:
        case "Acct":
            account = _text(element, "Id/IBAN") or _text(element, "Id/Othr/Id")
            parsed.account = parsed.account or account
            statement.currency = _text(element, "Ccy")
        case "Bal":
            code = _text(element, "Tp/CdOrPrtry/Cd")
            if code in {"OPBD", "PRCD"} and (statement.opening is None or code == "OPBD"):
                statement.opening = _signed(element)
            elif code == "CLBD":
                statement.closing = _signed(element)
        case "TxsSummry":
            told = _text(element, "TtlNtries/NbOfNtries")
            statement.entries_told = int(told) if told and told.isdecimal() else None
        case _:
            pass


def _entry(count: int, entry: Element, statement: _Statement, parsed: Parsed) -> int:
    """Lines of one entry; returns the number so far of what lines are named by."""
    statement.entries += 1
    if (_text(entry, "Sts/Cd") or _text(entry, "Sts")) not in {BOOKED, None}:
        parsed.ignored += 1
        return count + 1
    try:
        statement.booked += _signed(entry)
        parts = _parts(entry)
    except BadRow as bad:
        parsed.refuse(count + 1, bad.rule, bad.detail)
        return count + 1
    for number, part in enumerate(parts, count + 1):
        own = part if len(parts) > 1 else None
        parsed.add(number, lambda n=number, p=part, o=own: _line(n, entry, p, o, statement))  # type: ignore[misc]
    return count + len(parts)


def _parts(entry: Element) -> list[Element | None]:
    """The transactions of an entry that have amounts; [None] for the entry as a whole."""
    details = entry.findall("NtryDtls/TxDtls")
    if len(details) > TRANSACTIONS_MAX:
        raise BadRow("too_many_transactions", "NtryDtls")
    if len(details) == 1:
        return [details[0]]
    if len(details) < 2 or any(_own_amount(detail) is None for detail in details):
        return [None]
    own = sum((_signed(detail, entry) for detail in details), Decimal(0))
    if own != _signed(entry):
        raise BadRow("details_differ", "the transactions do not come to the entry")
    return [*details]


def _own_amount(detail: Element) -> Element | None:
    """`Amt` since version 4, in AmtDtls before."""
    found = detail.find("Amt")
    return found if found is not None else detail.find("AmtDtls/TxAmt/Amt")


def _signed(element: Element, entry: Element | None = None) -> Decimal:
    """The indicator says where the money went, also of a reversal."""
    told = element.find("Amt") if entry is None else _own_amount(element)
    indicator = _text(element, "CdtDbtInd")
    if indicator is None and entry is not None:
        indicator = _text(entry, "CdtDbtInd")
    if told is None or not told.text or indicator not in SIGNS:
        raise BadRow("amount_unreadable", "Amt and CdtDbtInd")
    value = amount(told.text.strip(), "Amt")
    if value < 0:
        raise BadRow("sign", "Amt")
    return SIGNS[indicator] * value


def _line(
    line_no: int,
    entry: Element,
    detail: Element | None,
    own: Element | None,
    statement: _Statement,
) -> StatementLine | None:
    """`own`: the transaction whose amount it is, where the entry has several. A single one is worth
    the entry: its own amount may be in another currency. What the bank booked as one sum is no
    batch of ours: nothing is paid out for it.
    """
    if own is None:
        told, money = _signed(entry), entry.find("Amt")
    else:
        told, money = _signed(own, entry), _own_amount(own)
    currency = (money.get("Ccy") if money is not None else None) or statement.currency or ""
    gross = minor(told, currency, "Amt")
    if not gross:
        return None
    at, day, timed = _moment(entry, statement.zone)
    places = [entry] if detail is None else [detail, entry]
    return StatementLine.model_validate(
        {
            "line_no": line_no,
            "kind": _kind(entry, detail, gross),
            "amount_minor": gross,
            "net_minor": gross,
            "currency": currency,
            "at": at,
            "value_on": day,
            "timed": timed,
            "reference": _reference(detail, entry),
            "counterparty": _counterparty(detail, gross),
            "text": _remittance(places),
            "verbatim": _verbatim(places),
        }
    )


def _kind(entry: Element, detail: Element | None, gross: int) -> LineKind:
    family = _text(entry, "BkTxCd/Domn/Fmly/SubFmlyCd")
    if detail is not None:
        family = _text(detail, "BkTxCd/Domn/Fmly/SubFmlyCd") or family
    if family in FEES:
        return "fee"
    reversed_ = (_text(entry, "RvslInd") or "false") in {"true", "1"}
    if reversed_:  # Of money that came in: it goes back to who had paid.
        return "refund" if gross < 0 else "transfer"
    return "charge" if gross > 0 else "unknown"


def _reference(detail: Element | None, entry: Element) -> str | None:
    """What the payer gave, where they gave something; else what the bank did."""
    paths = ("RmtInf/Strd/CdtrRefInf/Ref", "Refs/EndToEndId", "Refs/TxId", "Refs/AcctSvcrRef")
    if detail is not None:
        for path in paths:
            found = _given(detail, path)
            if found is not None:
                return found
    return _text(entry, "AcctSvcrRef") or _text(entry, "NtryRef")


def _given(detail: Element, path: str) -> str | None:
    """A reference that is none says so."""
    found = _text(detail, path)
    return None if found is None or found.upper() in {"NOTPROVIDED", "NOREF"} else found


def _counterparty(detail: Element | None, gross: int) -> str | None:
    if detail is None:
        return None
    role = "Dbtr" if gross > 0 else "Cdtr"  # The other side of the account.
    ultimate = _text(detail, f"RltdPties/Ultmt{role}/Nm")
    own = _text(detail, f"RltdPties/{role}/Nm")
    return own or _text(detail, f"RltdPties/{role}/Pty/Nm") or ultimate


def _remittance(places: list[Element]) -> str | None:
    told = [said(element.text) for place in places for element in place.findall("RmtInf/Ustrd")]
    told += [_text(place, "RmtInf/Strd/CdtrRefInf/Ref") for place in places]
    told += [_given(place, "Refs/EndToEndId") for place in places]
    told += [_text(place, "AddtlTxInf") for place in places]
    told += [_text(place, "AddtlNtryInf") for place in places]
    text = joined(*told)
    return text and text[:10_000]


def _moment(entry: Element, zone: str) -> tuple[datetime, str, bool]:
    """The value date, or the booking date where there is none."""
    for name in ("ValDt", "BookgDt"):
        exact, day = _text(entry, f"{name}/DtTm"), _text(entry, f"{name}/Dt")
        if exact is not None:
            at, local = _exact(exact, zone, name)
            return at, local, True
        if day is not None:
            return _start(day, zone, name)
    raise BadRow("time_unreadable", "ValDt and BookgDt")


def _exact(text: str, zone: str, column: str) -> tuple[datetime, str]:
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise BadRow("time_unreadable", column) from None
    return moment(told.isoformat(), _pattern(told), zone, column)


def _pattern(told: datetime) -> str:
    fraction = ".%f" if told.microsecond else ""
    return f"%Y-%m-%dT%H:%M:%S{fraction}{'%z' if told.tzinfo else ''}"


def _start(text: str, zone: str, column: str) -> tuple[datetime, str, bool]:
    try:
        day = date.fromisoformat(text[:10])  # A date may have an offset behind it.
    except ValueError:
        raise BadRow("time_unreadable", column) from None
    return start_of(day, zone, column), day.isoformat(), False


def _text(element: Element, path: str) -> str | None:
    found = element.find(path)
    return None if found is None else said(found.text)


def _verbatim(places: list[Element]) -> dict[str, str]:
    """Leaves by path: those of the transaction, and what the entry has beside its details."""
    found: dict[str, str] = {}
    for place in places:
        for path, text in _leaves(place, ""):
            if place.tag == "Ntry" and path.startswith("NtryDtls/TxDtls"):
                continue
            name = f"{place.tag}/{path}"
            found[name] = f"{found[name]} | {text}" if name in found else text
    return {name: text[:2_000] for name, text in list(found.items())[:100]}


def _leaves(element: Element, path: str) -> Iterator[tuple[str, str]]:
    waiting: list[tuple[Any, str]] = [(element, path)]
    while waiting:
        one, place = waiting.pop(0)
        for child in one:
            name = f"{place}/{child.tag}" if place else child.tag
            told = said(child.text)
            if len(child) == 0 and told is not None:
                yield name, f"{told} {child.get('Ccy')}" if child.get("Ccy") else told
            waiting.append((child, name))


def _check(statement: _Statement, parsed: Parsed, count: int) -> None:
    if statement.entries_told is not None and statement.entries_told != statement.entries:
        parsed.refuse(count, "entries_differ", "TtlNtries/NbOfNtries")
    if statement.opening is None or statement.closing is None:
        return
    if statement.opening + statement.booked != statement.closing:
        parsed.refuse(count, "balance_differs", "opening and entries are not closing")
