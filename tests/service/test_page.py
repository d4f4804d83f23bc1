"""The page in real Chromium: by keyboard only, light, dark and on a phone, with no outside address and no error."""

import contextlib
import json
import re

import pytest
import standins
from playwright.sync_api import expect

from nbhelpers import serving

DIALOGUE = ["Mara: They cancelled the last ferry.", "Jonas: What? No!", "", "Mara: Because of the wind,", "they said."]
TURNS = (["They cancelled the last ferry.", "What? No!", "Because of the wind, they said."], ["Mara", "Jonas", "Mara"])


@pytest.fixture
def open_page(browser):
    """A function that opens an address; in the end there must have been no console error and no outside request."""
    with contextlib.ExitStack() as stack:
        errors, requests = [], []

        def open_page(address, *, expected_errors=0, width=1100, height=800, **options):
            context = stack.enter_context(
                contextlib.closing(browser.new_context(viewport={"width": width, "height": height}, **options))
            )
            page = context.new_page()
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            page.goto(address)
            expect(page.locator("#model")).to_contain_text("stand-in")
            stack.callback(lambda: check(address, expected_errors))
            return page

        def check(address, expected_errors):
            assert len(errors) == expected_errors, errors
            assert all(url.startswith((address, "data:")) for url in requests), requests

        yield open_page


def tab_to(page, name):
    """Press Tab until the element with this accessible name or id has the focus."""
    current = "() => { const e = document.activeElement; return [e.id, (e.labels?.[0] ?? e).textContent.trim()] }"
    for _ in range(30):
        page.keyboard.press("Tab")
        if name in page.evaluate(current):
            return
    raise AssertionError(f"{name} was not reached by Tab")


@pytest.mark.parametrize("future", [True, False])
def test_by_keyboard_only(open_page, service, future):
    page = open_page(service)
    tab_to(page, "dialogue")
    for line in DIALOGUE:
        page.keyboard.type(line)
        page.keyboard.press("Enter")
    tab_to(page, "the turns before and after it")
    if not future:
        page.keyboard.press("ArrowUp")
    tab_to(page, "send")
    page.keyboard.press("Enter")
    wanted = [standins.scores(text) for text in standins.seen(*TURNS, future)]
    best = [max(scores, key=scores.get) for scores in wanted]
    status = page.get_by_role("status")
    expect(status).to_contain_text(f"3 turns read {'with' if future else 'without'} later turns")
    for label in best:
        expect(status).to_contain_text(f"{label} {best.count(label)}")
    for i in range(3):
        turn = page.locator(f"#turn-{i + 1}")
        expect(turn).to_contain_text(f"{TURNS[1][i]}: {TURNS[0][i]}")
        expect(turn.locator(".chosen")).to_have_text(best[i])
        expect(turn.locator("dd").first).to_have_text(f"{round(100 * wanted[i][best[i]])} %")
        fill, track = (turn.locator(kind).first.bounding_box()["width"] for kind in (".fill", ".track"))
        assert fill / track == pytest.approx(wanted[i][best[i]], abs=0.02)
        row = page.get_by_role("row", name=re.compile(f"^{best[i]} "))
        assert row.locator("td").nth(i).locator(".dot.top").is_visible()
    tab_to(page, "2")  # from the timeline
    page.keyboard.press("Enter")
    assert page.url.endswith("#turn-2")
    tab_to(page, "4 more labels of turn 3")
    hidden = page.locator("#turn-3 details dt").first
    assert not hidden.is_visible()
    page.keyboard.press("Enter")
    assert hidden.is_visible()


def test_ctrl_enter_sends_and_an_example_loads(open_page, service):
    page = open_page(service)
    tab_to(page, "The letter")
    page.keyboard.press("Enter")
    tab_to(page, "dialogue")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_contain_text("6 turns read")
    assert page.locator("li.turn").count() == 6


@pytest.mark.parametrize(
    ("text", "sentence"), [("", "There is no dialogue yet"), ("\n at 10:30 it rained", "Line 2 does not say who")]
)
def test_what_is_missing_is_said_and_focused(open_page, service, text, sentence):
    page = open_page(service)
    page.get_by_label("Dialogue", exact=True).fill(text)
    page.get_by_role("button", name="Classify", exact=True).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    assert page.evaluate("document.activeElement.id") == "dialogue"
    assert page.get_by_label("Dialogue", exact=True).get_attribute("aria-invalid") == "true"


def test_markup_in_a_turn_is_text(open_page, service):
    page = open_page(service)
    page.get_by_label("Dialogue", exact=True).fill('<b>Eve</b>: <img src="x" onerror="document.title = 1"> & <script>')
    page.keyboard.press("Control+Enter")
    expect(page.locator("#turn-1")).to_contain_text('<b>Eve</b>: <img src="x" onerror="document.title = 1"> & <script>')
    assert page.title() == "Classify the turns of a dialogue"


def test_the_services_own_sentence_is_shown(open_page, service):
    page = open_page(service, expected_errors=1)  # the browser reports the 422
    page.get_by_label("Dialogue", exact=True).fill("Ann: " + "a" * 2001)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("turns.0.text: String should have at most 2000 characters")


def test_a_locked_service_asks_for_its_key(open_page, run_service):
    with run_service(standins.model(future=False), api_key="sesame") as address:
        page = open_page(address, expected_errors=1)  # the browser reports the 401
        expect(page.get_by_label("the turns before and after it")).to_be_disabled()
        page.get_by_label("Dialogue", exact=True).fill("Ann: Hi.")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("alert")).to_contain_text("asks for a key")
        tab_to(page, "key")
        page.keyboard.type("sesame")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("1 turn read without later turns")
        page.close()


def contrast(page, selector):
    """The ratio of an element's text to the page's background (WCAG)."""
    colors = page.evaluate(
        "s => [getComputedStyle(document.querySelector(s)).color, getComputedStyle(document.body).backgroundColor]",
        selector,
    )
    light = []
    for color in colors:
        linear = [
            v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
            for v in (int(n) / 255 for n in re.findall(r"\d+", color)[:3])
        ]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {"color_scheme": "light"}), ("dark", {"color_scheme": "dark"}),
        ("phone", {"width": 360, "height": 740}),
        ("phone_dark", {"width": 360, "height": 740, "color_scheme": "dark"}),
    ],
)  # fmt: skip
def test_it_is_legible_everywhere(open_page, service, name, options, screenshots):
    page = open_page(service, **options)
    page.get_by_role("button", name="The ferry").click()
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.locator("li.turn")).to_have_count(8)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # nothing to scroll sideways
    assert all(contrast(page, selector) >= 4.5 for selector in ("p", ".soft", "#error", "a", "summary", ".number"))
    for control in page.locator("button, textarea, input:visible").all():
        assert control.evaluate("e => (e.labels?.[0] ?? e).textContent.trim()")
    page.screenshot(path=screenshots / f"service_{name}.png", full_page=True)


def test_a_long_dialogue_and_long_words_stay_inside(open_page, service):
    page = open_page(service, width=360, height=740)
    page.get_by_label("Dialogue", exact=True).fill("\n".join(f"Speaker{i}: {'x' * 300}" for i in range(64)))
    page.keyboard.press("Control+Enter")
    expect(page.locator("li.turn")).to_have_count(64)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_docs_open(open_page, browser, service):
    page = open_page(service)
    page.get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="POST /classify/dialogue")).to_be_visible()
    page.get_by_role("link", name="openapi.json").click()
    assert json.loads(page.locator("body").inner_text())["info"]["title"] == "nbhelpers: stand-in"
    assert "script-src" not in serving.page("<p>no script</p>").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("reads", "lines", "sent", "title", "status"),
    [
        (
            "texts",
            ["What a day!", "", "Leave me alone."],
            ["What a day!", "Leave me alone."],
            "Classify texts",
            "2 texts: ",
        ),
        ("pairs", ["Is it far? | An hour."], ["Is it far?|An hour."], "Classify pairs of texts", "1 pair: "),
    ],
)
def test_texts_and_pairs_have_a_page_of_their_own(
    open_page, run_service, reads, lines, sent, title, status, screenshots
):
    def encode(texts):
        return standins.encode(["|".join(text) if isinstance(text, list) else text for text in texts])

    model = serving.Model(
        standins.LABELS, encode, lambda *turns: [], standins.answers, name="stand-in", reads=reads, thresholds=[0.2] * 7
    )
    with run_service(model) as address:
        page = open_page(address)
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page.get_by_text("A turn is read with")).to_be_hidden()
        expect(page.get_by_text("Load an example")).to_be_hidden()
        page.get_by_role("textbox").fill("\n".join(lines))
        page.get_by_role("button", name="Classify", exact=True).click()
        expect(page.locator("#status")).to_contain_text(status)
        for i, text in enumerate(sent, start=1):
            row = 1 / (1 + standins.np.exp(-standins.logits(text)))
            chosen = [
                label for label, p in sorted(zip(standins.LABELS, row, strict=True), key=lambda x: -x[1]) if p >= 0.2
            ]
            assert page.locator(f"#turn-{i}").locator(".chosen").all_inner_texts() == chosen
        page.screenshot(path=screenshots / f"page-{reads}.png", full_page=True)


def test_entities_are_marked_in_the_text(open_page, run_service, screenshots):
    """Also behind an emoji, which is one character for the service and two for a browser."""
    with run_service(standins.tagger()) as address:
        page = open_page(address)
        expect(page.get_by_role("heading", level=1)).to_have_text("Find entities")
        expect(page.get_by_text("A turn is read with")).to_be_hidden()
        page.get_by_role("textbox").fill("👩‍🚀 ANN left Rome.\n\nnothing <b>here</b>")
        page.get_by_role("button", name="Find", exact=True).click()
        expect(page.locator("#status")).to_have_text("2 texts: PER 1, LOC 1.")
        assert page.locator("#turn-1 mark").all_inner_texts() == ["ANNPER 93 %", "RomeLOC 93 %"]
        expect(page.locator("#turn-1 p")).to_have_text("1👩‍🚀 ANNPER 93 % left RomeLOC 93 %.")
        expect(page.locator("#turn-2 p")).to_have_text("2nothing <b>here</b>")
        expect(page.locator("#overview")).to_be_hidden()
        page.screenshot(path=screenshots / "page-tags.png", full_page=True)
