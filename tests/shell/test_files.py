"""Paths that cannot be written or read: one line with the path and what to do, code 2 for outputs, nothing left."""

import gzip
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whydrift import __main__ as command_line
from whydrift.shell.files import unreadable, unwritable, write_whole

from .event_lines import healthy, in_thousands

TIMEOUT_S = 120.0
DISK_BYTES = 1 << 16
PAGE_BYTES = resource.getpagesize()
CORE = {"WHYDRIFT_CORE__BASELINE_EVENTS": "400", "WHYDRIFT_CORE__FIRST_STAGE_EVENTS": "100"}
COMMANDS = ("profile", "replay", "report")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "week.jsonl"
    path.write_text("".join([*healthy(1_200), *in_thousands(200, first=1_200)]), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("WHYDRIFT_"):
            monkeypatch.delenv(name)
    for name, value in CORE.items():
        monkeypatch.setenv(name, value)


def whydrift(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and standard error of the command."""
    done = CliRunner().invoke(command_line.app, [*map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


def told(command: str, events: Path, output: Path, *more: str | Path) -> str:
    """The one line that says what is wrong."""
    code, said = whydrift(command, events, "--output", output, *more)
    assert (code, said.count("\n")) == (2, 1), said
    return said


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own. Needs root, and a system that lets root mount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here (it takes root): {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB, taken by another file."""
    with mounted(tmp_path / "full", "size=64k") as folder:
        (folder / "other").write_bytes(b"x" * DISK_BYTES)
        yield folder


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "read-only", "ro") as folder:
        yield folder


# --- outputs


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_told_with_what_to_do_and_leaves_nothing(command: str, events: Path, full: Path) -> None:
    output = full / "made"
    said = told(command, events, output)
    assert said.startswith(f"whydrift: the output {output} cannot be written: the disk is full: make room where {full}")
    assert [one.name for one in full.iterdir()] == ["other"]


def test_a_full_disk_keeps_the_report_that_was_there(events: Path, full: Path) -> None:
    (full / "other").write_bytes(b"x" * (DISK_BYTES - PAGE_BYTES))
    (full / "made").write_bytes(b"last week's")
    told("report", events, full / "made")
    assert (full / "made").read_bytes() == b"last week's"


def test_a_disk_that_fills_while_figures_are_written_holds_whole_ones_only(
    events: Path, full: Path, tmp_path: Path
) -> None:
    (full / "other").write_bytes(b"x" * 30_000)
    said = told("report", events, tmp_path / "week.html", "--images", full / "figures", "--image-format", "svg")
    assert "the disk is full" in said
    assert f"the output {full}/figures/" in said
    assert [one for one in (full / "figures").iterdir() if not one.read_bytes().rstrip().endswith(b"</svg>")] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_disk_is_told_before_anything_is_read(command: str, read_only: Path) -> None:
    said = told(command, read_only / "no such events" if command == "report" else Path(os.devnull), read_only / "made")
    assert f"cannot be written: {read_only} is read-only: name a folder that can be written" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_folders_that_are_missing_or_none_and_files_that_are_folders_are_told(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output, said in (
        (tmp_path / "no" / "made", f"the folder {tmp_path}/no does not exist: make it (`mkdir -p`)"),
        (tmp_path / "file" / "made", f"{tmp_path}/file is no folder: name another path"),
        (tmp_path, "it is a folder: name a file in it"),
        (tmp_path / ("n" * 300), "the name is too long"),
    ):
        assert f"the output {output} cannot be written: {said}" in told(command, Path(os.devnull), output)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_replay_to_a_full_device_is_told(events: Path) -> None:
    assert "the output /dev/full cannot be written: the disk is full" in told("replay", events, Path("/dev/full"))
    assert Path("/dev/full").is_char_device()


def test_a_folder_of_another_user_is_told_with_the_user(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        error = PermissionError(13, "Permission denied")
    else:
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError) as caught:
            write_whole(tmp_path / "made", b"x")
        error = caught.value
    assert unwritable(tmp_path / "made", error).startswith(f"user {os.geteuid()} may not write in {tmp_path}")


def test_a_replay_that_is_stopped_by_a_bad_input_leaves_no_half_output(events: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(events.read_bytes())[:-20])
    code, said = whydrift("replay", cut, "--output", tmp_path / "made")
    assert (code, said.count("\n"), "fetch it again" in said) == (1, 1, True)
    assert [one.name for one in tmp_path.iterdir()] == ["cut.gz"]


def test_a_write_that_the_system_cuts_off_leaves_nothing(tmp_path: Path) -> None:
    """By the limit of file sizes, which needs no root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[0][1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(tmp_path / "made", b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link_and_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        write_whole(tmp_path / "pipe", b"through")
        assert reader.communicate(timeout=TIMEOUT_S)[0] == b"through"
    assert (tmp_path / "pipe").is_fifo()


# --- inputs


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no.ref", "there is no such file in {folder}: mend the path (in a container: the mount)"),
        ("file/no.ref", "a part of the path is a file, not a folder"),
        (".", "it is a folder: name a file"),
        ("round", "its links lead round in a circle"),
        ("n" * 300, "its name is too long"),
    ],
)
def test_a_reference_that_cannot_be_read_is_told_with_what_to_do(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to("round")
    code, line = whydrift("replay", os.devnull, "--reference", name)
    assert (code, line.count("\n")) == (1, 1)
    assert line.startswith(f"whydrift: the reference {name} cannot be read: {said.format(folder=tmp_path)}")


def test_a_file_that_another_user_keeps_to_himself_is_told_with_the_user() -> None:
    said = unreadable(Path("/run/secrets/token"), PermissionError(13, "Permission denied"))
    assert said.startswith(f"user {os.geteuid()} may not read it: give it to that user")
