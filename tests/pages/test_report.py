"""`whydrift report`: one page that stands alone, the same on every run, and mistakes told before the replay."""

import re
import sys
from pathlib import Path

import pytest
from tests.shell.event_lines import healthy, in_thousands

from whydrift import app
from whydrift.config import Config
from whydrift.core.settings import Settings

QUICK = Config(core=Settings(baseline_events=400, first_stage_events=100))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Healthy for 1,200 events, then income arrives in thousands; one line is no event."""
    path = tmp_path_factory.mktemp("events") / "week<1>.jsonl"
    path.write_text("".join([*healthy(1_200), "oops\n", *in_thousands(405, first=1_200)]), encoding="utf-8")
    return path


def test_a_report_is_one_page_that_needs_nothing_else(broken: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    app.report(QUICK, [str(broken)], output)
    html = output.read_text("utf-8")
    assert "1 incident in 1,606 lines" in html
    assert "week&lt;1&gt;.jsonl" in html
    assert html.count('<svg class="figure"') >= 3
    assert re.findall(r"<dt[^>]*>([^<]*)</dt>", html)[:2] == ["What broke", "Since when"]
    assert "<script" not in html
    assert not re.search(r'(href|src)="(?!#|data:)', html)
    assert "style-src &#39;sha256-" in html
    assert list(tmp_path.iterdir()) == [output]


def test_the_same_lines_give_the_same_report(broken: Path, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        app.report(QUICK, [str(broken)], tmp_path / name, images=tmp_path / name[:3])
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    images = [sorted((tmp_path / name).iterdir()) for name in ("one", "two")]
    assert [one.read_bytes() for one in images[0]] == [one.read_bytes() for one in images[1]]
    assert len(images[0]) >= 3


@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG\r\n")])
def test_figures_come_as_files_where_wanted(broken: Path, tmp_path: Path, kind: str, begins: bytes) -> None:
    app.report(QUICK, [str(broken)], tmp_path / "r.html", images=tmp_path / "a" / "b", image_format=kind)  # type: ignore[arg-type]
    files = sorted((tmp_path / "a" / "b").iterdir())
    assert {one.suffix for one in files} == {f".{kind}"}
    assert all(one.read_bytes().startswith(begins) and b"var(--" not in one.read_bytes() for one in files)


def test_a_healthy_file_has_a_report_too(tmp_path: Path) -> None:
    events, output = tmp_path / "e.jsonl", tmp_path / "r.html"
    events.write_text("".join(healthy(800)), encoding="utf-8")
    app.report(QUICK, [str(events)], output)
    assert "No incident in 800 lines" in output.read_text("utf-8")


def test_a_path_that_cannot_be_written_is_told_before_the_replay(broken: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = (tmp_path, tmp_path / "none" / "r.html", tmp_path / "file" / "r.html")
    for output in wrong:
        with pytest.raises(app.OutputError, match=re.escape(f"the output {output} cannot be written")):
            app.report(QUICK, ["these events do not exist"], output)
    with pytest.raises(app.OutputError, match="file"):
        app.report(QUICK, ["these events do not exist"], tmp_path / "r.html", images=tmp_path / "file")
    with pytest.raises(app.UsageError, match="would be overwritten"):
        app.report(QUICK, [str(broken)], broken)


def test_files_of_figures_need_matplotlib_and_it_is_told_before_the_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(app.UsageError, match=r"whydrift\[graphs\]"):
        app.report(QUICK, ["none"], tmp_path / "r.html", images=tmp_path)
