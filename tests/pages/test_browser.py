"""Pages in a real Chromium: on a phone, in the dark, by keyboard, with hostile names, and nothing asked of anybody else."""

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright
from tests.broker.conftest import Cluster, name, until
from tests.run_command import configuration, run_command
from tests.servers import program
from tests.shell.event_lines import healthy, in_thousands

from whydrift import app
from whydrift.config import Config
from whydrift.core.settings import Settings
from whydrift.shell.http_server import HttpServer
from whydrift.shell.metrics_collector import registry
from whydrift.shell.telemetry_settings import HttpSettings, MetricsSettings

from .fleet import HOSTILE, Pictured, partition

__all__ = ["name"]
PHONE, DESK = 360, 1_200
LEAST_CONTRAST = 4.5
CONTRAST = """() => {
  const channel = c => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4 };
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const back = e => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c.length == 3 || c[3] > 0) return c } return [255, 255, 255] };
  const found = [];
  for (const e of document.querySelectorAll("main *, footer *, header *")) {
    const own = [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim());
    if (!own || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), drawn = e instanceof SVGElement;
    const [a, b] = [light(parse(drawn ? style.fill : style.color)), light(back(e))].sort().reverse();
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.tagName + " " + e.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = program("chromium", "chromium")
    with sync_playwright() as started:
        # No sandbox: tests may run as root, where Chromium has none; it sees our own pages only.
        made = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    worker = Pictured(partition())
    server = HttpServer(HttpSettings(port=0), worker, registry(worker, MetricsSettings(), "1"))
    server.start()
    yield server.address
    server.stop()


@dataclass
class Seen:
    """A page, what it asked for, and what it complained of."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def note(self, request: Request) -> None:
        self.asked.append(request.url)


def seen(browser: Browser, width: int = DESK, scheme: str = "light") -> Seen:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    found = Seen(context.new_page())
    found.page.on("request", found.note)
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
    return found


def links(page: Page, address: str) -> list[str]:
    """Every model's and incident's page."""
    page.goto(address)
    found = page.eval_on_selector_all("main table a", "all => all.map(a => a.href)")
    assert len([one for one in found if "/incidents/" in one]) == 4
    assert len([one for one in found if "/models/" in one]) == 7
    return [address + "/", *found]


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_no_page_asks_outside_complains_or_is_wider_than_its_screen_and_all_text_can_be_read(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    one = seen(browser, width, scheme)
    for link in links(one.page, address):
        answer = one.page.goto(link)
        assert answer is not None
        assert answer.status == 200
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width, link
        faint = [found for found in one.page.evaluate(CONTRAST) if found[0] < LEAST_CONTRAST]
        assert faint == [], link
    assert one.complaints == []
    assert all(url.startswith(address) for url in one.asked)
    assert one.page.evaluate("document.scripts.length") == 0
    one.page.context.close()


def test_on_a_phone_names_of_signals_are_not_broken_and_measures_are_seen_at_once(
    browser: Browser, address: str
) -> None:
    one = seen(browser, PHONE)
    one.page.goto(f"{address}/models/well")
    heights = one.page.eval_on_selector_all(".signals th code", "all => all.map(e => e.getClientRects().length)")
    assert len(heights) > 20
    assert set(heights) == {1}
    hidden = "all => all.map(e => e.scrollWidth - e.clientWidth)"
    assert set(one.page.eval_on_selector_all(".scroll:has(.narrow)", hidden)) == {0}, "no number is out of sight"
    one.page.context.close()


def test_figures_take_their_colours_from_the_theme(browser: Browser, address: str) -> None:
    (risk,) = [one for one in partition().models if one.model_id == "risk"]
    broken, colours = f"/incidents/{risk.incidents[0].diagnosis.incident_id}", []
    for scheme in ("light", "dark"):
        one = seen(browser, scheme=scheme)
        one.page.goto(address + broken)
        assert one.page.locator("svg.figure").count() >= 4
        colours.append(one.page.eval_on_selector("svg.figure text", "text => getComputedStyle(text).fill"))
        colours.append(one.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        one.page.context.close()
    assert len(set(colours)) == 4


def test_the_keyboard_reaches_everything_and_one_sees_where_it_is(browser: Browser, address: str) -> None:
    one = seen(browser)
    link = next(found for found in links(one.page, address) if "/incidents/" in found)
    one.page.goto(link)
    reachable = "all => all.filter(e => e.checkVisibility()).length"
    wanted = one.page.eval_on_selector_all("a[href], summary, [tabindex='0']", reachable)
    reached = []
    for _ in range(wanted):
        one.page.keyboard.press("Tab")
        outline = (
            "document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle"
        )
        assert one.page.evaluate(outline) not in (False, "none")
        reached.append(one.page.evaluate("document.activeElement.outerHTML.slice(0, 200)"))
    assert "Skip to the content" in reached[0]
    assert len(reached) > 10
    one.page.goto(link)
    one.page.keyboard.press("Tab")
    one.page.keyboard.press("Enter")
    assert one.page.evaluate("document.activeElement.id") == "main"
    one.page.context.close()


def test_headings_go_down_step_by_step(browser: Browser, address: str) -> None:
    one = seen(browser)
    for link in links(one.page, address):
        one.page.goto(link)
        levels = one.page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => Number(h.tagName[1]))")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    one.page.context.close()


def test_a_search_works_without_scripts(browser: Browser) -> None:
    from .test_site import many

    worker = many(1_000)
    server = HttpServer(HttpSettings(port=0), worker, registry(worker, MetricsSettings(), "1"))
    server.start()
    try:
        one = seen(browser, PHONE)
        one.page.goto(server.address)
        assert one.page.evaluate("document.documentElement.scrollWidth") <= PHONE
        one.page.get_by_label("Find models").fill('0123 "<')
        one.page.keyboard.press("Enter")
        one.page.wait_for_url("**/?q=*")
        assert "No model has" in one.page.inner_text("main")
        one.page.get_by_label("Find models").fill("0123")
        one.page.keyboard.press("Enter")
        one.page.get_by_role("link", name="model-0123").click()
        assert one.page.inner_text("h1") == "model-0123"
        assert one.complaints == []
        one.page.context.close()
    finally:
        server.stop()


def test_a_report_is_read_from_a_file_without_asking_for_anything(browser: Browser, tmp_path: Path) -> None:
    events, output = tmp_path / "e.jsonl", tmp_path / "r.html"
    events.write_text("".join([*healthy(1_200), *in_thousands(405, first=1_200)]), encoding="utf-8")
    app.report(Config(core=Settings(baseline_events=400, first_stage_events=100)), [str(events)], output)
    for width, scheme in ((PHONE, "light"), (DESK, "dark")):
        one = seen(browser, width, scheme)
        one.page.goto(output.as_uri())
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width
        assert (
            one.page.evaluate("getComputedStyle(document.querySelector('.badge')).borderRadius") != "0px"
        )  # style applies
        assert [found for found in one.page.evaluate(CONTRAST) if found[0] < LEAST_CONTRAST] == []
        assert one.complaints == []
        assert all(re.match(r"file:|data:", url) for url in one.asked)
        one.page.context.close()


@pytest.fixture
def cluster(kafka: str, name: str) -> Iterator[Cluster]:  # a fixture by its name
    made = Cluster(name, "kafka-python", kafka)
    yield made
    made.close()


def test_a_fault_in_a_real_topic_is_on_the_pages_of_the_running_worker_also_after_a_restart(
    browser: Browser, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.create(1)
    lines = (*healthy(1_200, HOSTILE), *in_thousands(300, HOSTILE, first=1_200))
    cluster.send(cluster.settings.topics.events, [line.encode() for line in lines])
    config = configuration(cluster, tmp_path)
    shown = []
    for _ in range(2):
        with run_command(config) as running:
            until(lambda: '"incident_id"' in running.get("/api/v1/fleet")[1], "the incident")
            until(lambda: running.metric("whydrift_partition_lag_records", partition="0") == 0, "all events")
            one = seen(browser, PHONE)
            one.page.goto(f"http://{running.address}/")
            one.page.get_by_role("link", name="income arrives in thousands").click()
            assert one.page.locator("svg.figure").count() >= 3
            shown.append(one.page.inner_text(".glance"))
            one.page.get_by_role("navigation").get_by_role("link").nth(1).click()
            assert "<script>alert(1)</script>" in one.page.inner_text("h1")
            assert one.complaints == []
            one.page.context.close()
            assert running.end(signal.SIGTERM) == 0
    assert shown[0] == shown[1]
