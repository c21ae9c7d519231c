"""The live page in a real browser: what it shows, that it follows, and that it trusts nothing."""

import html
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from domain.order_status import LABELS
from tests.api_server import Api
from workers.importing import import_file

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
LOST = "net::ERR_"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert shutil.which(CHROMIUM), "the page is tested in Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, api: Api) -> Iterator[Page]:
    """The page, which must not complain, ask other hosts, or be wider than the screen."""
    context = browser.new_context(viewport=request.param)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(api.url)
    expect(page.locator("#connection")).to_contain_text("live")
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= request.param["width"]
    # While the server is away, the browser says so too.
    assert [text for text in complaints if LOST not in text] == []
    assert [url for url in asked if not url.startswith(api.url)] == []
    context.close()


def test_orders_arrive_by_themselves_and_counts_and_lag_follow(page: Page, api: Api) -> None:
    awaiting = page.locator('#counts [data-status="awaiting_payment"]')
    expect(page.locator("#counts li")).to_have_count(len(LABELS) - 1)
    expect(awaiting).to_contain_text("待支付")
    expect(awaiting).to_contain_text("awaiting payment")
    before = int(awaiting.locator("b").inner_text())
    placed = api.place()
    row = page.locator("#orders tr", has_text=placed["number"])
    expect(row).to_contain_text("210.00 CNY")
    expect(row).to_contain_text("待支付")
    expect(awaiting.locator("b")).to_have_text(str(before + 1))

    paid = {"method": "alipay", "amount_minor": 21_000, "reference": "A"}
    position = api.made(f"/v1/orders/{placed['order_id']}/payments", paid)["position"]
    expect(row).to_contain_text("已支付")
    expect(page.locator("#head")).to_have_text(re.compile(f"{position:,}"))
    projections = page.locator("#projections")
    for name in ("order_status", "customer_history", "stock_levels", "analytics"):
        expect(projections).to_contain_text(name)


def test_what_comes_from_outside_is_shown_as_text(page: Page, api: Api) -> None:
    placed = api.place(customer_id=HOSTILE)
    row = page.locator("#orders tr", has_text=placed["number"])
    expect(row).to_contain_text(HOSTILE)
    expect(page.locator("#orders img")).to_have_count(0)
    assert "王小明" not in page.content()


def test_an_imported_order_in_an_unknown_currency_is_shown_too(api: Api, tmp_path: Path) -> None:
    found = {"external_ref": "M-1", "placed_at": "2099-01-01T00:00:00Z", "currency": "ZZZ"}
    record = {"order": {**found, "lines": [{"sku": "A", "unit_price_minor": 1234}]}}
    path = tmp_path / "orders.jsonl"
    path.write_text(json.dumps(record))
    import_file(api.settings, path, lambda _progress: None)
    api.shown("/v1/orders", min_position=api.head())
    with api.client.stream("GET", "/live") as stream:
        told = (line.removeprefix("data: ") for line in stream.iter_lines() if "data" in line)
        newest = (json.loads(picture)["orders"][0]["total"] for picture in told)
        assert "1234 ZZZ" in newest  # The first picture may be a second old.


def test_the_page_says_when_the_connection_is_lost_and_finds_it_again(page: Page, api: Api) -> None:
    api.stop()  # An open stream does not hold the stop up.
    try:
        expect(page.locator("#connection")).to_contain_text("connection lost")
    finally:
        api.start()
    expect(page.locator("#connection")).to_contain_text("live", timeout=20_000)


def test_the_page_loads_only_its_own_files(api: Api) -> None:
    answer = api.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|https?://", answer.text)
    for name in re.findall(r'(?:src|href)="(/[^"]*)"', answer.text):
        assert api.get(name).is_success, name
    for name in ("/static/page.py", "/static/..%2fmain.py", "/static/%00"):
        assert api.get(name).status_code == 404


def test_the_documentation_shows_every_operation_with_a_command(api: Api) -> None:
    text = api.get("/docs").text
    for path, methods in api.shown("/openapi.json")["paths"].items():
        for method in methods:
            assert f'<b class="method">{method.upper()}</b> <code>{path}</code>' in text
    assert "curl -X POST" in text
    assert not re.search(r"<script|\son\w+=|\sstyle=", text)


def test_the_printed_commands_run_as_they_stand(api: Api) -> None:
    """Once the shell knows what the path names. curl takes braces for a choice."""
    text = html.unescape(api.get("/docs").text)
    commands = re.findall(r"<pre>(curl .*?)</pre>", text, re.DOTALL)
    urls = [shlex.split(command)[1] for command in commands if command.startswith('curl "')]
    assert not [url for url in urls if re.search(r"[{}\[\]]", url)]
    assert any(url.endswith("/v1/orders/$ORDER_ID") for url in urls)
    analytics = [url for url in urls if "/analytics/" in url]
    assert len(analytics) == 3
    for url in analytics:
        answer = api.client.get(url)
        assert answer.is_success, answer.text


def test_the_served_files_are_part_of_the_package() -> None:
    """A file that the build leaves out would only be missed once installed."""
    root = Path(__file__).parents[1]
    declared = (root / "pyproject.toml").read_text()
    for folder in ("templates", "static"):
        for file in (root / "api" / folder).iterdir():
            assert f'"{folder}/*{file.suffix}"' in declared
