"""The command line as people meet it: help, what replay and profile print, and what every mistake is answered with."""

import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whydrift import __main__ as command_line
from whydrift import app
from whydrift.config import Config, ConfigError
from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit
from whydrift.core.settings import Settings
from whydrift.core.state import StateError
from whydrift.shell.clients import KafkaClientError, KafkaSetupError
from whydrift.shell.kafka_settings import KafkaSettings, Security
from whydrift.shell.references import read_references
from whydrift.shell.reject_limit import TooManyRejects
from whydrift.shell.sources.jsonl_files import JsonlFiles
from whydrift.shell.telemetry_settings import HttpSettings
from whydrift.shell.terminal import progress_bar
from whydrift_schemas import encode

from .event_lines import healthy, in_thousands

TIMEOUT_S = 120.0
COMMANDS = ("run", "topics", "doctor", "profile", "replay", "report", "demo")
QUICK = Config(core=Settings(baseline_events=400, first_stage_events=100))


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("WHYDRIFT_"):
            monkeypatch.delenv(name)


def written(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Healthy for 1,200 events, then income arrives in thousands; two lines are no events."""
    lines = [*healthy(1_200), "oops\n", "\n", '{"kind": "\\u001b[31m"}\n', *in_thousands(405, first=1_200)]
    return written(tmp_path_factory.mktemp("events") / "broken.jsonl", lines)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("events") / "good.jsonl", healthy(2_100))


def ended(command: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = app.exit_code(command)
    out, err = capsys.readouterr()
    return code, out, err


def process(*arguments: str, stdin: bytes = b"", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "whydrift", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False, env={**os.environ, **environment}
    )


# --- help


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("run", ["--config FILE", "WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS", "/metrics"]),
        ("profile", ["EVENTS", "--output REF", "--no-sample", "--config FILE"]),
        ("replay", ["EVENTS", "--reference REF", "--config FILE", "--output DIAGNOSES.jsonl", "--follow"]),
        ("demo", ["--bootstrap HOST:PORT", "--kafka"]),
    ],
)
def test_help_names_every_option_and_shows_examples(
    command: str, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line.app, "rich_markup_mode", None)
    shown = CliRunner().invoke(command_line.app, [command, "--help"])
    assert shown.exit_code == 0
    for text in [*wanted, "Examples:", f"whydrift {command}"]:
        assert text in shown.output


def test_the_first_help_tells_what_it_is_and_names_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line.app, "rich_markup_mode", None)
    shown = CliRunner().invoke(command_line.app, ["--help"]).output
    assert "Since when, what broke, and how sure are we?" in shown
    assert all(re.search(rf"^  {command} +\w", shown, re.MULTILINE) for command in COMMANDS)
    assert "..." not in shown.partition("Commands:")[2], "no summary is cut off"


def test_help_in_a_pipe_is_plain() -> None:
    shown = process("replay", "--help")
    assert shown.returncode == 0
    assert not re.search("[\x1b│╭]", shown.stdout.decode())


def test_version_is_that_of_the_package() -> None:
    from whydrift import __version__

    assert CliRunner().invoke(command_line.app, ["--version"]).output == f"whydrift {__version__}\n"


def test_importing_the_command_line_loads_nothing_heavy_and_prints_nothing() -> None:
    heavy = ("numpy", "scipy", "river", "kafka", "pydantic", "rich", "uvicorn", "structlog")
    code = f"import sys, whydrift.__main__; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# --- exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (app.UsageError("x"), 2),
        (KafkaSetupError("x"), 1),
        (KafkaClientError("x"), 1),
        (StateError("x"), 1),
        (TooManyRejects("x"), 1),
    ],
)
def test_an_error_somebody_must_act_on_is_one_line_and_an_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert ended(fail, capsys) == (code, "", "whydrift: x\n")


def test_a_bug_is_not_dressed_up_as_an_operator_s_error() -> None:
    with pytest.raises(ZeroDivisionError):
        app.exit_code(lambda: [1 // 0].clear())


@pytest.mark.parametrize("arguments", [["replay"], ["profile", "a.jsonl"], ["run", "--no-such"], ["nothing"]])
def test_a_wrong_command_line_ends_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(command_line.app, arguments).exit_code == 2


def test_a_configuration_that_is_wrong_ends_every_command_with_2_before_it_begins(tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.yaml", ["kafka: {clinet: a}\nhttp: {port: x}\n"])
    for arguments in (["run"], ["replay", "no.jsonl"], ["profile", "no.jsonl", "--output", "a.ref"]):
        ended_with = CliRunner().invoke(command_line.app, [*arguments, "--config", str(bad)])
        assert ended_with.exit_code == 2
        assert ended_with.stderr == (
            f"whydrift: 2 errors in the configuration ({bad} and the environment):\n"
            "  kafka.clinet: unknown key; did you mean kafka.client?\n"
            "  http.port is 'x': must be a whole number from 0 to 65,535\n"
        )


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: there is no such file"), ("a: [", "is not valid YAML, line 1")]
)
def test_a_configuration_that_is_none_ends_with_2(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "whydrift.yaml"
    if content is not None:
        path.write_text(content)
    done = process("run", WHYDRIFT_CONFIG=str(path))
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert line.startswith(f"whydrift: the configuration {path} {said}")


# --- run


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so nobody else gets it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def test_a_broker_that_cannot_be_reached_ends_with_1_and_one_line_that_names_it(closed_port: int) -> None:
    done = process(
        "run",
        WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{closed_port}",
        WHYDRIFT_KAFKA__REQUEST_TIMEOUT_MS="200",
        WHYDRIFT_HTTP__PORT="0",
        WHYDRIFT_LOG__FORMAT="json",
    )
    *logged, line = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert line.startswith(
        f"whydrift: no broker answered at 127.0.0.1:{closed_port} within 600 ms: check kafka.bootstrap_s"
    )
    assert all(json.loads(one)["message"] for one in logged), (
        "the client's own complaints are log lines like all others"
    )


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield int(taken.getsockname()[1])


def test_a_taken_http_port_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with listening() as port:
        config = replace(QUICK, http=HttpSettings(port=port))
        code, _, err = ended(lambda: app.run(config), capsys)
    assert code == 1
    assert err.splitlines()[-1].startswith(f"whydrift: http.port {port} on 127.0.0.1 is taken")


def test_a_missing_reference_ends_the_worker_with_1_before_it_reaches_for_kafka(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(QUICK, references=(tmp_path / "no.ref",), http=HttpSettings(port=0))
    code, _, err = ended(lambda: app.run(config), capsys)
    assert code == 1
    assert (
        err.splitlines()[-1] == f"whydrift: the reference {tmp_path}/no.ref cannot be read: "
        "there is no such file: mend the path (in a container: the mount)"
    )


def test_the_configuration_is_logged_without_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    security = Security(protocol="SASL_SSL", username="me", password="hunter2")
    config = replace(QUICK, references=(tmp_path / "no.ref",), kafka=KafkaSettings(security=security))
    _, _, err = ended(lambda: app.run(config), capsys)
    assert "(secret)" in err
    assert "hunter2" not in err


def test_the_first_signal_asks_to_stop_and_the_second_would_end_the_process() -> None:
    asked = []
    before = signal.getsignal(signal.SIGTERM)
    with app.stopped_by_signals(lambda: asked.append(True)):
        signal.raise_signal(signal.SIGTERM)
        assert asked == [True]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.raise_signal(signal.SIGINT)
        assert asked == [True, True]
    assert signal.getsignal(signal.SIGTERM) is before


# --- replay


def test_replay_tells_what_broke_since_when_and_where_it_was_found(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ended(lambda: app.replay(QUICK, [str(broken)]), capsys)
    assert (code, err) == (0, "")
    (incident,) = [line for line in out.splitlines() if line.startswith("credit-risk")]
    assert re.search(r"unit_change \d+% .*income.* open, (warning|critical) +\d+$", incident)
    at_line = int(incident.split()[-1])
    assert 1_203 < at_line < 1_203 + 405, "between the change and the end"
    assert re.search(r"^invalid_json +1 +1201 .*oops", out, re.MULTILINE)
    assert re.search(r"^unknown_kind +1 +1203 ", out, re.MULTILINE), "the blank line counts"
    assert "\x1b" not in out
    assert out.splitlines()[-1] == "1,607 lines, 1,605 events of 1 model: 1 incident (1 still open), 2 lines rejected"


def test_replay_writes_the_pipeline_s_diagnoses_and_the_same_bytes_every_time(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    prints = [ended(lambda: app.replay(QUICK, [str(broken)], output=one), capsys) for one in (first, second)]  # noqa: B023
    assert prints[0] == prints[1]
    assert first.read_bytes() == second.read_bytes()
    pipeline = Pipeline(QUICK.core, "files", 0)
    source = JsonlFiles([str(broken)], max_line_bytes=QUICK.core.max_record_bytes)
    outputs = [output for batch in source.batches(77) for output in pipeline.process(batch)] + pipeline.finish()
    said = [encode(output.diagnosis) + b"\n" for output in outputs if isinstance(output, Emit)]
    assert said
    assert first.read_bytes() == b"".join(said)


def test_replay_reads_gzip_and_standard_input_and_counts_lines_over_all_files(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = broken.read_bytes().splitlines(keepends=True)
    packed, rest, output = tmp_path / "1.gz", tmp_path / "2.jsonl", tmp_path / "out.jsonl"
    packed.write_bytes(gzip.compress(b"".join(lines[:700])))
    rest.write_bytes(b"".join(lines[700:]))
    whole = ended(lambda: app.replay(QUICK, [str(broken)]), capsys)
    assert ended(lambda: app.replay(QUICK, [str(packed), str(rest)]), capsys) == whole
    config = written(tmp_path / "quick.yaml", ["core: {baseline_events: 400, first_stage_events: 100}\n"])
    piped = process("replay", "-", "--config", str(config), "--output", str(output), stdin=broken.read_bytes())
    assert (piped.returncode, piped.stdout.decode(), piped.stderr) == (*whole[:2], b"")
    assert output.read_bytes()


def test_replay_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = written(tmp_path / "empty.jsonl", [])
    code, out, _ = ended(lambda: app.replay(QUICK, [str(empty)]), capsys)
    assert (code, out) == (0, "0 lines, 0 events of 0 models: 0 incidents (0 still open), 0 lines rejected\n")


def test_replay_of_rejects_alone_never_stops_and_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = written(tmp_path / "bad.jsonl", ["x\n"] * 12_000)
    code, out, _ = ended(lambda: app.replay(QUICK, [str(bad)]), capsys)
    assert code == 0
    assert re.search(r"^invalid_json +12,000 +1 ", out, re.MULTILINE)


def test_replay_says_when_it_saw_too_little_to_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [line for number in range(7) for line in healthy(3, f"small-{number}")]
    few = written(tmp_path / "few.jsonl", models)
    _, out, _ = ended(lambda: app.replay(QUICK, [str(few)]), capsys)
    assert "small-0: its reference rests on 3 of 400 events, so only gross changes show" in out
    assert "... and so it is for 2 more" in out


def test_replay_follows_a_file_and_tells_news_as_they_come_until_it_is_stopped(broken: Path, tmp_path: Path) -> None:
    lines = broken.read_text().splitlines(keepends=True)
    followed = written(tmp_path / "followed.jsonl", lines[:1_000])
    config = written(tmp_path / "quick.yaml", ["core: {baseline_events: 400, first_stage_events: 100}\n"])
    command = [sys.executable, "-m", "whydrift", "replay", str(followed), "--follow", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            with followed.open("a") as more:
                more.writelines(lines[1_000:])
            news = running.stdout.readline()
            assert re.search(r"^2026-\S+ \S+  opened +credit-risk  .*income", news)
            running.send_signal(signal.SIGINT)
            rest = running.stdout.read()
            assert running.wait(TIMEOUT_S) == 0
        finally:
            running.kill()
    assert "unit_change" in rest
    assert rest.splitlines()[-1].startswith("1,607 lines, ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.jsonl"], "no.jsonl cannot be read: there is no such file in "),
        (["."], ". is a directory, not a file of events"),
        (["cut.gz"], "cut.gz is not a complete gzip file"),
        (["good.jsonl", "--reference", "no.ref"], "the reference no.ref cannot be read: there is no such file in "),
        (
            ["good.jsonl", "--reference", "good.jsonl"],
            "the reference good.jsonl cannot be used: this is not a whydrift reference",
        ),
        (["good.jsonl", "--reference", "."], "the reference . cannot be read: it is a folder: name a file"),
    ],
)
def test_replay_answers_each_trouble_with_an_input_with_one_line_and_1(
    arguments: list[str], said: str, broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHYDRIFT_CORE__BASELINE_EVENTS", "400")
    written(tmp_path / "good.jsonl", [broken.read_text()])
    (tmp_path / "cut.gz").write_bytes(gzip.compress(broken.read_bytes())[:-20])
    ended_with = CliRunner().invoke(command_line.app, ["replay", *arguments])
    assert ended_with.exit_code == 1
    (line,) = ended_with.stderr.splitlines()
    assert line.startswith(f"whydrift: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["replay", "a.jsonl", "--output", "a.jsonl"],
            "--output is a.jsonl, one of the inputs: it would be overwritten",
        ),
        (
            ["profile", "a.jsonl", "--output", "./a.jsonl"],
            "--output is a.jsonl, one of the inputs: it would be overwritten",
        ),
        (["replay", "a.jsonl", "b.jsonl", "--follow"], "--follow needs exactly one file, and not standard input"),
        (["replay", "-", "--follow"], "--follow needs exactly one file, and not standard input"),
    ],
)
def test_what_makes_no_sense_is_refused_with_2_and_harms_nothing(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.jsonl", ["precious\n"])
    ended_with = CliRunner().invoke(command_line.app, arguments)
    assert (ended_with.exit_code, ended_with.stderr) == (2, f"whydrift: {said}\n")
    assert (tmp_path / "a.jsonl").read_text() == "precious\n"


# --- profile


def test_a_profile_lets_a_replay_judge_from_the_first_event_on(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = tmp_path / "credit.ref"
    code, out, err = ended(lambda: app.profile(Config(), [str(good)], reference), capsys)
    assert (code, err) == (0, "")
    assert re.search(r"^credit-risk +2,100 +3$", out, re.MULTILINE), "events and features of each model"
    assert out.splitlines()[-1] == f"{reference.stat().st_size:,} bytes written to {reference}"
    assert "smaller changes show" not in out
    assert "credit-risk: hardly any labels among its events" in out
    assert [entry.name for entry in tmp_path.iterdir()] == ["credit.ref"], "nothing is left lying about"
    bad = written(tmp_path / "bad.jsonl", in_thousands(300, first=5_000))
    _, out, _ = ended(lambda: app.replay(Config(), [str(bad)], reference=reference), capsys)
    assert re.search(r"^credit-risk .*income", out, re.MULTILINE)


def test_a_profile_without_sample_is_smaller(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = []
    for keep_sample in (True, False):
        reference = tmp_path / f"{keep_sample}.ref"
        assert ended(lambda: app.profile(Config(), [str(good)], reference, keep_sample=keep_sample), capsys)[0] == 0  # noqa: B023
        assert "credit-risk" in read_references([reference])
        sizes.append(reference.stat().st_size)
    assert sizes[1] < sizes[0] < 1_000_000


def test_a_profile_warns_of_rejects_and_of_few_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = written(tmp_path / "few.jsonl", [*healthy(300), "oops\n", *healthy(30, "tiny")])
    code, out, _ = ended(lambda: app.profile(Config(), [str(few)], tmp_path / "a.ref"), capsys)
    assert code == 0
    assert re.search(r"^invalid_json +1 +301 ", out, re.MULTILINE)
    assert "credit-risk: only 300 events; with 2,000 and more, smaller changes show\n" in out
    assert "tiny: no reference from 30 events; at least 100 are needed\n" in out
    assert set(read_references([tmp_path / "a.ref"])) == {"credit-risk"}


@pytest.mark.parametrize(
    ("content", "output", "wanted"), [("x\n", "a.ref", 1), ("", "a.ref", 1), ("x\n", "no/a.ref", 2), ("x\n", ".", 2)]
)
def test_a_profile_that_cannot_be_made_ends_with_1_or_written_with_2_and_leaves_no_file(
    content: str,
    output: str,
    wanted: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.jsonl", [content])
    code, out, err = ended(lambda: app.profile(Config(), ["a.jsonl"], Path(output)), capsys)
    assert code == wanted
    assert ("invalid_json" in out) is (content == "x\n" and wanted == 1), "why there are no events"
    assert len(err.splitlines()) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]


def test_one_model_in_two_references_is_an_error_that_names_both(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "1.ref", tmp_path / "2.ref"
    app.profile(Config(), [str(good)], first)
    second.write_bytes(first.read_bytes())
    capsys.readouterr()
    code, _, err = ended(lambda: app.replay(replace(QUICK, references=(first, second)), [str(good)]), capsys)
    assert code == 1
    assert f"the model 'credit-risk' is in two references, {first} and {second}" in err


# --- the bar


def test_a_bar_is_for_terminals_only(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    for stderr, shown in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stderr)
        source = JsonlFiles([str(broken)], max_line_bytes=1_000)
        with progress_bar("replaying", source) as advance:
            for batch in source.batches(500):
                advance(len(batch))
        assert ("events/s" in stderr.getvalue()) is shown
