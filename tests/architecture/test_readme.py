"""What README claims is so: its table of faults, options, settings, events, metrics and paths are held against the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from whydrift.__main__ import app
from whydrift.config import PREFIX, Config, load
from whydrift.core.decode import Refusal, decode
from whydrift.core.faults import rules
from whydrift.core.settings import Settings
from whydrift.shell.metrics import Metric
from whydrift_schemas import FAMILY_OF, Fault

from .test_architecture import missing_paths

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def options(command: str) -> set[str]:
    return {"--help"} | {name for parameter in COMMANDS[command].params for name in parameter.opts}


def unknown_options(text: str) -> Iterator[str]:
    """`whydrift COMMAND … --option` with an option that the command lacks; and options that no command of ours has."""
    everywhere = {name for command in COMMANDS for name in options(command)} | {"--kafka"}
    for line in text.splitlines():
        for command, rest in re.findall(r"whydrift (run|profile|replay|demo)\b([^`]*)", line):
            yield from (f"{command} {name}" for name in re.findall(r"--[a-z-]+", rest) if name not in options(command))
        yield from (name for name in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line) if name not in everywhere)


def test_the_table_of_faults_is_the_rules() -> None:
    wanted = [f"| `{rule.fault}` | {FAMILY_OF[rule.fault]} | {rule.runbook.means} |" for rule in rules()]
    assert re.findall(r"^\| `[a-z_]+` \| [a-z_]+ \| .* \|$", README, re.MULTILINE) == wanted


def test_every_fault_of_the_contract_has_a_rule() -> None:
    assert {rule.fault for rule in rules()} == set(Fault)


def test_every_option_exists() -> None:
    assert list(unknown_options(README)) == []


def test_an_option_that_does_not_exist_is_seen() -> None:
    text = "`whydrift replay x --output y` and `whydrift run --output y`, or `--out-put`"
    assert list(unknown_options(text)) == ["run --output", "--out-put"]


def test_the_tests_take_kafka_as_said(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("--kafka")


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    for number, content in enumerate(blocks("yaml")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(content, encoding="utf-8")
        assert load(path) != Config()
    assert number == 0


def test_every_variable_and_setting_exists() -> None:
    variables = re.findall(rf"`{PREFIX}(\w+)`", README)
    named = {name.lower().replace("__", ".") for name in variables} | set(
        re.findall(r"`((?:core|kafka)\.\w+)`", README)
    )
    assert len(named) > 5
    for path in named:
        section, name = path.split(".")
        assert hasattr(getattr(Config(), section), name), path


def test_every_event_is_one() -> None:
    lines = [line for block in blocks("json") for line in block.splitlines()]
    assert len(lines) == 6
    assert [said for line in lines if isinstance(said := decode(line.encode(), Settings()), Refusal)] == []


def test_every_metric_exists() -> None:
    named = set(re.findall(r"`(whydrift_\w+)`", README)) - {"whydrift_schemas"}
    assert named
    assert named <= {metric.value.name for metric in Metric}


def test_the_commands_are_those_that_a_new_user_is_told() -> None:
    start = "python3 -m venv .venv && .venv/bin/pip install -q"
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("python3 -m venv")]
    assert commands == [f"{start} '.[demo]' && .venv/bin/whydrift demo", f"{start} '.[dev]' && .venv/bin/pytest"]
    assert f"{start} '.[dev]'" in (ROOT / ".ci/run").read_text("utf-8")


def test_every_path_that_the_bench_s_document_names_exists() -> None:
    assert missing_paths((ROOT / "tests/bench/README.md").read_text("utf-8"), ROOT) == []
