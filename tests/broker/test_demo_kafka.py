"""The demo through a real Kafka says what it says in memory. Faster than for people, which must change nothing."""

import subprocess
import sys

import pytest
from rich.console import Console

from whydrift.demo.play import play

DAY_TAKES_S = 12.5


def test_the_demo_names_all_faults_through_a_real_kafka(kafka: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(Console(width=200, force_terminal=False), kafka, False, DAY_TAKES_S), capsys.readouterr().out
    printed = capsys.readouterr().out
    assert f"Kafka at {kafka} (topics whydrift-demo-" in printed
    assert "stood still" not in printed


def test_a_broker_that_is_not_there_is_one_line_and_code_1(closed_port: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "whydrift", "demo", "--bootstrap", f"127.0.0.1:{closed_port}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"127.0.0.1:{closed_port}" in done.stderr
    assert "Traceback" not in done.stderr
