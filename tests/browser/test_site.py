"""The site as readers see it: complete, without outside addresses, readable on a phone and by a screen reader."""

import functools
import http.server
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import axe_playwright_python
import pytest
from playwright.sync_api import expect

from nbhelpers.course import lessons

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
# Links to servers that a reader starts, and to pages that others publish
OUTSIDE = ("http://localhost:8888/", "https://", "mailto:")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, and the address where a server shows it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    done = subprocess.run(
        [*command, str(lessons.ROOT / "docs"), str(folder)], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def seen(site, browser):
    """Name of each page -> what a browser found in it; each is opened once, because lessons are long."""
    folder, address = site
    found = {}
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in sorted(folder.rglob("*.html")):
        name = str(path.relative_to(folder))
        asked.clear()
        page.set_viewport_size({"width": 1200, "height": 900})
        page.goto(address + name)
        found[name] = {
            "outside": [url for url in asked if not url.startswith((address, "data:"))],
            "ids": set(page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")),
            "links": page.evaluate("[...document.querySelectorAll('a[href]')].map(each => each.getAttribute('href'))"),
            "described": page.locator("meta[name=description], meta[property='og:description']").count(),
            "violations": violations(page),  # after the links, because it changes the page
        }
        page.set_viewport_size({"width": 360, "height": 800})
        found[name]["width on a phone"] = page.evaluate("document.documentElement.scrollWidth")
    assert len(found) > 25
    return found


# Of colored code, one word in each color stays: thousands with the same color would take axe most of its time.
ONE_OF_EACH_COLOR = """() => {
    const seen = new Set();
    for (const word of document.querySelectorAll('.highlight pre span')) {
        if (seen.has(word.className)) word.replaceWith(...word.childNodes);
        seen.add(word.className);
    }
}"""


def violations(page):
    """What axe-core finds wrong: (rule, the first element)."""
    page.evaluate(ONE_OF_EACH_COLOR)
    page.evaluate(AXE)
    result = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in result["violations"]]


def test_every_link_leads_to_a_page_and_its_part(site, seen):
    folder, address = site
    dead = []
    for name, page in seen.items():
        for link in page["links"]:
            if link.startswith(OUTSIDE):
                continue
            target, anchor = urldefrag(urljoin(address + name, link))
            file = unquote(target.removeprefix(address)) or "index.html"
            if not (folder / file).is_file() or (anchor and file in seen and unquote(anchor) not in seen[file]["ids"]):
                dead.append((name, link))
    assert not dead


def test_no_outside_address_is_needed_to_read(seen):
    assert not [url for page in seen.values() for url in page["outside"]]


def test_axe_finds_nothing_on_any_page(seen):
    assert not [(name, page["violations"]) for name, page in seen.items() if page["violations"]]


def test_axe_finds_nothing_in_dark_colors(site, browser):
    _, address = site
    page = browser.new_page(color_scheme="dark")
    for name in ("index.html", "lessons/02_eda.html", "reference/metrics.html", "glossary.html"):
        page.goto(address + name)
        assert not violations(page), name


def test_pages_fit_a_phone(seen):
    assert not [name for name, page in seen.items() if page["width on a phone"] > 360]


def test_each_page_has_a_description(seen):
    assert not [name for name, page in seen.items() if not page["described"] and name != "search.html"]


def test_a_lesson_can_be_printed(site, browser, screenshots):
    _, address = site
    page = browser.new_page()
    page.goto(f"{address}lessons/03_baseline.html")
    page.emulate_media(media="print")
    expect(page.locator(".sidebar-drawer")).to_be_hidden()
    page.pdf(path=screenshots / "lesson_3.pdf")
    assert (screenshots / "lesson_3.pdf").stat().st_size > 50_000


def test_search_finds_a_word_and_lessons_lead_to_the_next(site, browser):
    _, address = site
    page = browser.new_page()
    page.goto(f"{address}search.html?q=dropout")
    expect(page.locator("#search-results li a").first).to_be_visible(timeout=30_000)
    assert page.locator("#search-results li a", has_text="R-Drop").count()
    page.goto(f"{address}lessons/03_baseline.html")
    page.locator(".next-page").click()
    expect(page.locator("h1")).to_contain_text("LoRA")
    with page.expect_download() as download:
        page.get_by_text("Download the notebook").click()
    assert download.value.suggested_filename == "04_lora.ipynb"


def test_each_lesson_has_a_picture_for_links_to_it(site):
    folder, _ = site
    for lesson in lessons.all_lessons():
        text = (folder / "lessons" / f"{lesson.path.stem}.html").read_text(encoding="utf-8")
        assert 'property="og:image"' in text
