"""The monitor's page in real Chromium: it renews itself, by keyboard, light, dark and on a phone, and loads nothing."""

import contextlib
import re
from pathlib import Path

import axe_playwright_python
import pandas as pd
import pytest
from playwright.sync_api import expect

from nbhelpers import alerts
from nbhelpers.course import paths
from nbhelpers.course.monitor.app import create_app, served

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = {"negative": alerts.make_rule(0.2, 0.6, 400), "positive": alerts.make_rule(0.25, 0.6, 400)}
USUAL = {"negative": 0.2, "positive": 0.25}
LAST = "2041-12-15"  # what came until this day is there when the page opens


@pytest.fixture(scope="module")
def rows():
    table = pd.concat([pd.read_csv(paths.DATA / "finance" / f"{split}.csv", dtype=str) for split in ("train", "dev")])
    return table[["date", "company", "topic", "label", "text"]].to_dict("records")


@pytest.fixture
def watch(tmp_path, rows):
    watch = alerts.Watch(tmp_path / "state.db", RULES)
    watch.add([row for row in rows if row["date"] <= LAST])
    return watch


@pytest.fixture
def open_page(browser, watch):
    """A function that opens the page; in the end there must have been no console error and no outside request."""
    with served(create_app(watch, USUAL), "127.0.0.1", 0) as address, contextlib.ExitStack() as stack:
        errors, requests = [], []

        def open_page(*, width=1100, height=800, script=True, **options):
            options |= {"viewport": {"width": width, "height": height}, "java_script_enabled": script}
            context = stack.enter_context(contextlib.closing(browser.new_context(**options)))
            page = context.new_page()
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            if script:
                page.clock.install()  # so that nobody waits for the next renewal
            page.goto(address)
            return page

        yield open_page
        assert not errors
        assert all(url.startswith((address, "data:")) for url in requests), requests


def worsen(watch, company="Aeroquena"):
    """Four bad stories about a company."""
    for week in range(4):
        date = (pd.Timestamp("2041-12-20") + pd.Timedelta(days=7 * week)).date().isoformat()
        watch.add([{"date": date, "company": company, "label": "negative", "text": f"Bad news, part {week}."}])


def test_it_says_what_the_state_contains(open_page, watch):
    page = open_page()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sentiment monitor")
    expect(page.locator("#live > p").first).to_contain_text(
        f"{len(watch.store.sentences()):,} sentences about 30 companies"
    )
    for alert in watch.store.alerts():
        expect(page.get_by_role("heading", name=f"{alert.company}: {alert.label}, {alert.day}")).to_be_visible()
    table = page.get_by_role("region", name="Companies: negative, last 30 days")
    assert table.get_by_role("row").count() == 31
    first = table.get_by_role("row").nth(1)
    expect(first).to_contain_text("Skerrywing")  # in its bad phase, so its sum is the highest
    expect(first.get_by_role("img")).to_have_accessible_name(re.compile("Skerrywing, negative: the sum is .* of 45"))
    chart = page.get_by_role("img", name=re.compile("Share of negative stories in each of 50 weeks"))
    expect(chart).to_be_visible()


def test_a_new_alert_appears_by_itself_and_is_announced(open_page, watch):
    page = open_page()
    before = page.locator("ol.alerts > li").count()
    worsen(watch)
    page.clock.run_for(5000)
    expect(page.locator("ol.alerts > li")).to_have_count(before + 1)
    expect(page.get_by_role("status")).to_contain_text("New: Aeroquena: ")
    expect(page.get_by_role("status")).to_contain_text("stories are negative")
    page.clock.run_for(5000)
    expect(page.get_by_role("status")).to_contain_text("New: Aeroquena")  # until something else is new


def test_what_is_open_and_focused_stays_so_when_the_page_renews_itself(open_page, watch):
    page = open_page()
    summary = page.locator("ol.alerts details summary").first
    for _ in range(30):
        page.keyboard.press("Tab")
        if summary.evaluate("item => item === document.activeElement"):
            break
    page.keyboard.press("Enter")
    quote = page.locator("ol.alerts details li").first
    text = quote.inner_text()
    key = page.locator("ol.alerts > li").first.get_attribute("data-key")
    worsen(watch)
    page.clock.run_for(5000)
    expect(page.get_by_role("status")).to_contain_text("New:")
    same = page.locator(f"[data-key='{key}']")
    expect(same.get_by_text(text)).to_be_visible()
    assert same.locator("summary").evaluate("item => item === document.activeElement")


def test_tables_scroll_by_keyboard_and_numbers_stand_beside_the_chart(open_page):
    page = open_page(width=360, height=740)
    region = page.locator("#companies-negative")
    region.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.clock.run_for(1000)
    page.wait_for_function("document.getElementById('companies-negative').scrollLeft > 0")
    page.get_by_text("The same in numbers").first.click()
    rows = page.get_by_role("region", name="negative, by week").get_by_role("row")
    assert rows.count() == 51
    expect(rows.nth(1)).to_contain_text(re.compile(r"2041-12-\d\d.*\d+ of \d+.*\d+ %"))


def test_it_says_when_the_monitor_does_not_answer(open_page):
    page = open_page()
    # in braces, because Playwright calls the value of an expression that is a function
    page.evaluate(
        "() => { const ask = window.fetch;"
        " window.fetch = (...all) => window.lost ? Promise.reject(new Error()) : ask(...all) }"
    )
    page.evaluate("window.lost = true")
    page.clock.run_for(5000)
    expect(page.get_by_role("status")).to_have_text("The monitor does not answer. What you see may be old.")
    page.evaluate("window.lost = false")
    page.clock.run_for(5000)
    expect(page.get_by_role("status")).to_have_text("The monitor answers again.")


def test_it_can_be_read_without_javascript(open_page):
    page = open_page(script=False)
    expect(page.locator("ol.alerts > li").first).to_be_visible()
    assert "Without JavaScript this page does not renew itself." in page.request.get(page.url).text()


def test_the_alerts_are_there_for_programs(open_page, watch):
    page = open_page()
    answer = page.request.get(f"{page.url}alerts")
    assert [entry["key"] for entry in answer.json()] == [alert.key for alert in watch.store.alerts()]
    assert "script-src 'sha256-" in page.request.get(page.url).headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {"color_scheme": "light"}), ("dark", {"color_scheme": "dark"}),
        ("phone", {"width": 360, "height": 740}),
        ("phone_dark", {"width": 360, "height": 740, "color_scheme": "dark"}),
    ],
)  # fmt: skip
def test_it_is_legible_everywhere(open_page, watch, name, options, screenshots):
    worsen(watch, company="<b>Bold & Söhne</b> " + "x" * 60)
    page = open_page(**options)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # nothing to scroll sideways
    page.screenshot(path=screenshots / f"monitor_{name}.png", full_page=True)
    # axe reads the whole page; the policy forbids scripts from elsewhere, but not those of the browser itself
    page.evaluate(AXE)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    assert not [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found]
