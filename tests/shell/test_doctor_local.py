"""The doctor's look at this machine, and at a sample against references: files, ports."""

import json
import socket
from pathlib import Path

from whydrift import app
from whydrift.config import Config
from whydrift.core.records import Record
from whydrift.core.settings import Settings
from whydrift.shell.doctor.event_checks import check_events
from whydrift.shell.doctor.finding import Verdict
from whydrift.shell.doctor.local_checks import check_http, check_references
from whydrift.shell.telemetry_settings import HttpSettings

from .event_lines import START_MS, healthy


def reference(folder: Path, name: str) -> Path:
    events = folder / f"{name}.jsonl"
    events.write_text("".join(healthy(300, model_id=name)))
    app.profile(Config(core=Settings(baseline_events=300)), [str(events)], folder / f"{name}.ref")
    return folder / f"{name}.ref"


def test_references_are_told_one_by_one_with_what_is_wrong(tmp_path: Path) -> None:
    good = reference(tmp_path, "credit-risk")
    (tmp_path / "bad.ref").write_text("{}")
    found, known = check_references([good, tmp_path / "bad.ref", tmp_path / "no.ref", good], Settings())
    assert [one.verdict for one in found[:4]] == [Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.FAIL]
    assert found[0].told == f"{good}: 1 models (credit-risk)"
    assert f"{good}: credit-risk: hardly any labels among its events" in found[1].told
    assert "this is not a whydrift reference" in found[2].told
    assert "there is no such file: mend the path" in found[3].told
    assert f"{good} knows credit-risk, and so does a file before it" in [one.told for one in found]
    assert list(known) == ["credit-risk"]


def records(lines: list[str]) -> list[Record]:
    return [Record("e", 0, number, line.encode(), b"key") for number, line in enumerate(lines)]


def test_models_without_reference_and_features_that_events_lack_are_named(tmp_path: Path) -> None:
    _, known = check_references([reference(tmp_path, "credit-risk")], Settings())
    lines = [*healthy(5), *healthy(5, model_id="other")]
    for number, line in enumerate(lines):
        event = json.loads(line)
        del event["features"]["income"]
        lines[number] = json.dumps(event)
    found = check_events(records(lines), Settings(), known, START_MS)
    assert [one.told for one in found if one.verdict is Verdict.WARN] == [
        "no reference for other: the first events are taken for health",
        "the reference of credit-risk has features that no sampled event has: income",
    ]


def test_names_from_events_cannot_write_on_the_terminal() -> None:
    lines = list(healthy(3, model_id="a\x1b[31m"))
    spread = [Record("e", at, 0, line.encode(), None) for at, line in enumerate(lines)]
    told = [one.told + one.mend for one in check_events(spread, Settings(), {}, START_MS)]
    assert any("several partitions" in one for one in told)
    assert "\x1b" not in "".join(told)


def test_a_port_that_is_taken_is_to_know_of_and_a_host_that_is_not_ours_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        (one,) = check_http(HttpSettings(port=port))
        assert (one.verdict, f"127.0.0.1:{port} is taken" in one.told) == (Verdict.WARN, True)
    (one,) = check_http(HttpSettings(host="192.0.2.1", port=0))
    assert one.verdict is Verdict.FAIL
