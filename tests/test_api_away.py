"""The API without its database: it lives, says so, and asks to be called again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.main import create_app
from commands.settings import Settings
from tests.api_server import Api, order
from tests.servers import settings_of
from workers.local import ports


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    return settings_of(f"postgresql://nobody@127.0.0.1:{ports.choose()}/none", tmp_path)


def test_without_its_database_the_api_asks_to_come_again(away: Settings, tmp_path: Path) -> None:
    api = Api(away, tmp_path).start()
    try:
        with ThreadPoolExecutor(4) as pool:
            placing = pool.submit(api.post, "/v1/orders", order())
            reads = [pool.submit(api.get, path) for path in ("/v1/orders", "/v1/feed")]
            ready = pool.submit(api.get, "/readyz")
        answers: list[Any] = [placing.result(), *(read.result() for read in reads)]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (503, "busy")
            assert int(answer.headers["retry-after"]) > 0
        assert ready.result().status_code == 503
        assert ready.result().json()["failing"] == {"database": "does not answer"}
        assert api.get("/healthz").json()["status"] == "ok"
        assert "ledger_http_requests_total" in api.get("/metrics").text
    finally:
        api.client.close()
        api.stop()


def test_the_api_names_the_setting_that_is_missing(away: Settings) -> None:
    unset = Settings(postgres_url=away.postgres_url)
    with pytest.raises(ValueError, match="LEDGER_MASTER_KEY"):
        create_app(unset.model_copy(update={"master_key": type(away.master_key)("")}))


def test_an_error_of_ours_logs_no_word_that_a_customer_sent(
    settings: Settings, tmp_path: Path
) -> None:
    """Tracebacks with the values of local variables would show contact and address in clear."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as owner:
        owner.execute("DROP FUNCTION main.ledger_append")
    api = Api(settings, tmp_path).start()
    try:
        answer = api.post("/v1/orders", order(contact={"name": "王小明", "phone": "13800000000"}))
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    finally:
        api.client.close()
        api.stop()
    assert "request failed" in api.log
    assert "Traceback" in api.log, "what went wrong must be found"
    assert "王小明" not in api.log
    assert "13800000000" not in api.log
