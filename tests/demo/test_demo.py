"""`whydrift demo` as people start it: a process without a terminal, one with, and what it says when it cannot.

Not here: through a real Kafka (`tests/broker/test_demo_kafka.py`).
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from whydrift.demo.command import CANNOT, INTERRUPTED, NAMED, run_demo
from whydrift.demo.scenario import DAY

COMMAND = [sys.executable, "-m", "whydrift", "demo"]
LONGEST_S = 60


def test_it_names_all_three_faults_within_a_minute_and_ends_with_code_0() -> None:
    begun_s = time.monotonic()
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=2 * LONGEST_S, check=False)
    assert done.returncode == NAMED, done.stdout + done.stderr
    assert time.monotonic() - begun_s < LONGEST_S
    assert done.stderr == ""
    for breakage in DAY:
        assert re.search(rf"^\d\d:\d\d  BROKEN    {re.escape(breakage.story)}$", done.stdout, re.MULTILINE)
        line = rf"^{re.escape(breakage.what)} +\d\d:\d\d – \d\d:\d\d +{breakage.fault.value} .* right *$"
        assert re.search(line, done.stdout, re.MULTILINE)
    assert len(re.findall(r"^\d\d:\d\d  opened ", done.stdout, re.MULTILINE)) >= len(DAY)
    assert len(re.findall(r"^\d\d:\d\d  resolved ", done.stdout, re.MULTILINE)) >= len(DAY)
    assert re.search(r"[\d,]+ events in \d+ s \([\d,]+ events/s, paced\).* 0 records rejected", done.stdout)
    assert "\x1b" not in done.stdout


def test_on_a_terminal_it_serves_metrics_and_ctrl_c_ends_it_at_once() -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm-256color"
        # A suite that runs in the background of a shell has inherited that Ctrl-C is ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(sys.executable, COMMAND)
    try:
        shown = _read_until(terminal, r"BROKEN.*broken now: total_cholesterol", 40)
        url = re.search(r"http://127\.0\.0\.1:\d+/metrics", shown)
        assert url is not None
        with urllib.request.urlopen(url.group(), timeout=10) as answer:
            assert 'model_id="ldl-estimate"' in answer.read().decode()
        pressed_s = time.monotonic()
        os.write(terminal, b"\x03")
        shown += _read_until(terminal, "interrupted", 15)
        _, status = os.waitpid(process, 0)
        process = 0
    finally:
        os.close(terminal)
        if process:
            os.kill(process, 9)
            os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == INTERRUPTED
    assert time.monotonic() - pressed_s < 10
    assert "Traceback" not in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is back"


def _read_until(terminal: int, pattern: str, timeout_s: float) -> str:
    shown, deadline_s = "", time.monotonic() + timeout_s
    while not re.search(pattern, shown, re.DOTALL):
        assert time.monotonic() < deadline_s, shown
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            shown += os.read(terminal, 65_536).decode(errors="replace")
        except OSError:  # Linux's way to say that the other side is closed
            pytest.fail(f"it ended early: {shown}")
    return shown


def test_without_scikit_learn_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert run_demo(None, False) == CANNOT
    assert "pip install 'whydrift[demo]'" in capsys.readouterr().err


def test_without_a_local_kafka_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)
    assert run_demo(None, True) == CANNOT
    assert "pip install 'whydrift[kafka-local]'" in capsys.readouterr().err


def test_it_goes_through_one_kafka_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo("localhost:9092", True) == CANNOT
    assert "one of them" in capsys.readouterr().err
