"""Lists that are put together from several read models, while one of them is behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from projections import checkpoint, order_status, statement_lines, statements
from tests.api_server import Api
from tests.carrier import wait_until
from tests.test_api_statements import bring, paid

_PATH = sql.SQL("SET search_path TO {}")


@contextmanager
def behind(api: Api, name: str) -> Iterator[None]:
    """The read model stays where it is: its projector waits for the checkpoint's row."""
    with psycopg.connect(api.settings.postgres_url) as connection:
        connection.execute(_PATH.format(sql.Identifier(api.settings.read_schema)))
        assert connection.execute(checkpoint.LOCK, [name]).fetchone()
        yield


@pytest.mark.parametrize("name", [statements.NAME, statement_lines.NAME])
def test_open_lines_are_not_told_before_all_that_they_are_read_from_has_come(
    api: Api, name: str
) -> None:
    """covers: A25: a list that reflects a position holds what was written up to it."""
    reference = f"BEHIND-{uuid4().hex}"
    ask = "/v1/reconciliation/lines"
    with behind(api, name):
        brought = bring(api, f"2025-03-03,7.00,{reference},,")
        answer = api.get(ask, min_position=api.head(), limit=100)
        assert (answer.status_code, answer.json()["code"]) == (504, "position_not_reached")
    wait_until(lambda: api.get(ask, min_position=api.head()).is_success, 20)
    found = api.shown(ask, min_position=api.head(), limit=100)["items"]
    [line] = [one for one in found if one["statement_id"] == brought["statement_id"]]
    assert line["reference"] == reference


def test_open_movements_have_the_currency_of_their_order(api: Api) -> None:
    ask = "/v1/reconciliation/movements"
    with behind(api, order_status.NAME):
        payment = paid(api)
        answer = api.get(ask, min_position=api.head(), limit=100)
        assert (answer.status_code, answer.json()["code"]) == (504, "position_not_reached")
    wait_until(lambda: api.get(ask, min_position=api.head()).is_success, 20)
    found = api.shown(ask, min_position=api.head(), limit=100)["items"]
    [movement] = [one for one in found if one["reference"] == payment["reference"]]
    assert movement["currency"] == "CNY"
