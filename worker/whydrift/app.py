"""Puts the parts together: what each command does, and with which code its process ends.

Belongs here: composition, signals, exit codes. Not here: command lines (`__main__`), settings (`config`), any part itself.
"""

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

import structlog

from whydrift import __version__
from whydrift.config import Config, ConfigError, printable
from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import Profile, ProfileError, read_profile
from whydrift.core.profiler import LEAST_EVENTS, Profiler
from whydrift.core.records import Emit, Output
from whydrift.core.settings import Settings
from whydrift.core.status import PartitionStatus
from whydrift.shell.clients import KafkaClientError
from whydrift.shell.connect import connect
from whydrift.shell.doctor.finding import Finding, Verdict
from whydrift.shell.doctor.kafka_checks import check_kafka
from whydrift.shell.doctor.local_checks import check_graphs, check_http, check_references
from whydrift.shell.doctor.push_checks import check_alertmanagers, check_webhooks
from whydrift.shell.files import Place, check_writable, place, unwritable, write_whole
from whydrift.shell.http_server import HttpServer, HttpServerError
from whydrift.shell.logs import configure_logs
from whydrift.shell.metrics_collector import registry
from whydrift.shell.pages.one_page import Replayed, in_full, one_page
from whydrift.shell.pages.one_page import images as image_files
from whydrift.shell.pages.plates import ImageFormat, can_draw
from whydrift.shell.pipelines import CorePipelines
from whydrift.shell.push.alertmanager import AlertmanagerSink
from whydrift.shell.push.delivery import PushError
from whydrift.shell.push.webhook import WebhookSink
from whydrift.shell.references import ReferenceFileError, read_references
from whydrift.shell.report import Report, counted, news, print_models, print_rejects
from whydrift.shell.sinks.jsonl import JsonlSink
from whydrift.shell.sources.jsonl_files import STDIN, TOPIC, JsonlFiles
from whydrift.shell.sources.source import SourceError
from whydrift.shell.terminal import output_console, printable_text, progress_bar, steps_bar
from whydrift.shell.topic_check import check_counts, create_command, create_missing, topic_uses
from whydrift.shell.worker import OPERATOR_ERRORS as WORKER_ERRORS
from whydrift.shell.worker import Worker

SIGNALS = (signal.SIGTERM, signal.SIGINT)
BATCH_RECORDS = 1_000
"""Results do not depend on it."""


class UsageError(Exception):
    """What was asked for makes no sense. The message says why."""


class UnwellError(Exception):
    """The operator must act: the doctor found something. The message counts; what it is was printed."""


class OutputError(Exception):
    """What was asked for cannot be written where it was asked for. The message names the path, and says what to do."""


OPERATOR_ERRORS = (
    *WORKER_ERRORS,
    KafkaClientError,  # only at start: later the worker deals with it
    HttpServerError,
    PushError,
    ReferenceFileError,
    ProfileError,
    SourceError,
    UnwellError,
)
"""Somebody has to act, and the message says what to do. Anything else is a bug, and shows its traceback."""

log = structlog.get_logger(__name__)


def exit_code(command: Callable[[], None]) -> int:
    """0: done. 1: an operator has to act. 2: the command line, a path to write to or the configuration is wrong.

    One line says it on stderr.
    """
    try:
        command()
    except (ConfigError, UsageError, OutputError) as error:
        print(f"whydrift: {error}", file=sys.stderr)
        return 2
    except OPERATOR_ERRORS as error:
        print(f"whydrift: {error}", file=sys.stderr)
        return 1
    return 0


# --- run


def run(config: Config) -> None:
    """The worker, until SIGTERM or SIGINT; then it commits what it has and leaves the group. Raises OPERATOR_ERRORS."""
    configure_logs(config.log)
    log.info("configuration", version=__version__, **printable(config))
    pipelines = CorePipelines(config.core, config.kafka.topics.events, read_references(config.references))
    alertmanager = AlertmanagerSink(config.alertmanager, config.links, time.time)
    webhook = WebhookSink(config.webhook, time.time)
    sinks = (alertmanager, webhook)
    worker = Worker(config.kafka, pipelines, connect, listeners=sinks)
    server = HttpServer(config.http, worker, registry(worker, config.metrics, __version__, sinks))
    server.start()
    log.info("listening", address=server.address)
    try:
        for sink in sinks:
            sink.start()
        with stopped_by_signals(worker.stop):
            worker.run()
    finally:
        for sink in sinks:
            sink.stop()
        server.stop()


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first signal asks to stop; the same one again ends the process at once, which costs nothing but a restore."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop()

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- topics and doctor


def topics(config: Config, *, dry_run: bool = False) -> None:
    """Create the topics that are missing; `dry_run`: print the commands that would. Raises OPERATOR_ERRORS."""
    client = connect(config.kafka)
    try:
        before = client.partition_counts([use.topic for use in topic_uses(config.kafka.topics)])
        after = before if dry_run else create_missing(client, config.kafka)
    finally:
        client.close()
    partitions = before.get(config.kafka.topics.events, config.kafka.new_topic_partitions)
    console = output_console()
    for use in topic_uses(config.kafka.topics):
        if use.topic in before:
            console.print(f"{use.topic}: there, {counted(before[use.topic], 'partition')}")
        elif dry_run:
            console.print(create_command(use.topic, partitions, config.kafka), soft_wrap=True)
        else:
            console.print(f"{use.topic}: created, {counted(after[use.topic], 'partition')}")
    if not dry_run:
        check_counts(after, config.kafka)


def doctor(config: Config, now_s: Callable[[], float] = time.time) -> None:
    """Look at everything the worker will count on, and print what is found as it is found. Raises UnwellError."""
    console = output_console()
    found: Counter[Verdict] = Counter()
    for finding in _findings(config, now_s):
        found[finding.verdict] += 1
        console.print(f"{finding.verdict:<5} {finding.subject:<16} {printable_text(finding.told)}", soft_wrap=True)
        if finding.mend:
            console.print(f"{'':<22} → {finding.mend}", soft_wrap=True)
    said = f"{found[Verdict.FAIL]} failed, {found[Verdict.WARN]} to know of, {found[Verdict.OK]} well"
    if found[Verdict.FAIL]:
        raise UnwellError(f"the doctor's findings: {said}; do what → says, and ask again")
    console.print(said)


def _findings(config: Config, now_s: Callable[[], float]) -> Iterator[Finding]:
    found, references = check_references(config.references, config.core)
    yield from found
    yield from check_http(config.http)
    yield from check_graphs()
    yield from check_alertmanagers(config.alertmanager, now_s)
    yield from check_webhooks(config.webhook)
    yield from check_kafka(config.kafka, config.core, references, now_s)


# --- replay


def replay(
    config: Config,
    events: Sequence[str],
    *,
    reference: Path | None = None,
    output: Path | None = None,
    follow: bool = False,
) -> None:
    """Files through the same pipeline a partition has, then a report. `reference` stands in for the configured ones.

    Raises OPERATOR_ERRORS and UsageError; what is rejected only counts.
    """
    if follow and (len(events) != 1 or events[0] == STDIN):
        raise UsageError("--follow needs exactly one file, and not standard input")
    _refuse_to_overwrite(events, output)
    profiles = read_references(config.references if reference is None else [reference])
    stop = threading.Event()
    source = JsonlFiles(events, max_line_bytes=config.core.max_record_bytes, follow=follow, stop=stop)
    pipeline = Pipeline(config.core, TOPIC, 0, profiles)
    report, console = Report(), output_console()

    def follow_news(outputs: Sequence[Output]) -> None:
        report.add(outputs)
        for one in outputs:
            if follow and isinstance(one, Emit):
                console.print(news(one.diagnosis))

    with _written(output, directly=follow) as write, stopped_by_signals(stop.set) if follow else nullcontext():
        for outputs in _processed(pipeline, source, follow):
            write(outputs)
            follow_news(outputs)
    report.print_replay(console, pipeline.status())


def _processed(pipeline: Pipeline, source: JsonlFiles, follow: bool) -> Iterator[list[Output]]:
    with progress_bar("replaying", source, wanted=not follow) as advance:
        for batch in source.batches(BATCH_RECORDS):
            yield pipeline.process(batch)
            advance(len(batch))
    yield pipeline.finish()


# --- report


def report(
    config: Config,
    events: Sequence[str],
    output: Path,
    *,
    reference: Path | None = None,
    images: Path | None = None,
    image_format: ImageFormat = "svg",
) -> None:
    """A replay as one page; `images`: a folder for its figures as files. Raises OPERATOR_ERRORS and UsageError."""
    _refuse_to_overwrite(events, output)
    if images is not None and not can_draw():
        raise UsageError("--images needs matplotlib: pip install 'whydrift[graphs]'")
    with _named(output):
        check_writable(output)
    if images is not None:
        with _named(images):
            images.mkdir(parents=True, exist_ok=True)
            check_writable(images / "figure")
    profiles = read_references(config.references if reference is None else [reference])
    source = JsonlFiles(events, max_line_bytes=config.core.max_record_bytes)
    pipeline, replayed, told = Pipeline(config.core, TOPIC, 0, profiles), Replayed(), Report()
    for outputs in _processed(pipeline, source, follow=False):
        told.add(outputs)
        replayed.add(outputs, pipeline)
    console = output_console()
    _write_report(pipeline.status(), replayed, [Path(path).name for path in events], output)
    if images is not None:
        _write_images(replayed, pipeline.status(), images, image_format)
    told.print_replay(console, pipeline.status())
    console.print(f"written to {printable_text(str(output))}")


def _write_report(status: PartitionStatus, replayed: Replayed, sources: Sequence[str], output: Path) -> None:
    views = replayed.views(status)
    with steps_bar("drawing", len(in_full(views))) as advance:
        html = one_page(views, status, sources, advance)
    with _named(output):
        write_whole(output, html.encode("utf-8", "replace"))


def _write_images(replayed: Replayed, status: PartitionStatus, folder: Path, kind: ImageFormat) -> None:
    views = in_full(replayed.views(status))
    with steps_bar("drawing files", len(views)) as advance:
        for view in views:
            for name, content in image_files(view, kind):
                with _named(folder / name):
                    write_whole(folder / name, content)
            advance()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Only this file's errors become OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"the output {path} cannot be written: {unwritable(path, error)}") from error


@contextmanager
def _written(path: Path | None, *, directly: bool) -> Iterator[Callable[[Sequence[Output]], None]]:
    """Only this file's errors become OutputError. It is there in whole or not at all; `directly`: line by line."""
    if path is None:
        yield lambda outputs: None
        return

    with _named(path):
        there = Place(path, path) if directly else place(path)
        sink = JsonlSink(there.draft)

    def write(outputs: Sequence[Output]) -> None:
        with _named(path):
            sink.write(outputs)

    try:
        yield write
        with _named(path):
            sink.close()
            there.keep()
    except BaseException:
        sink.abandon()
        there.drop()
        raise


def _refuse_to_overwrite(events: Sequence[str], output: Path | None) -> None:
    if output is None:
        return
    with _named(output):
        if not output.exists():
            return
    for path in events:
        if path != STDIN and Path(path).exists() and output.samefile(path):
            raise UsageError(f"--output is {output}, one of the inputs: it would be overwritten")


# --- profile


def profile(config: Config, events: Sequence[str], output: Path, *, keep_sample: bool = True) -> None:
    """A reference of healthy events. Raises OPERATOR_ERRORS and UsageError."""
    _refuse_to_overwrite(events, output)
    with _named(output):
        check_writable(output)
    source = JsonlFiles(events, max_line_bytes=config.core.max_record_bytes)
    profiler = Profiler(config.core, keep_sample=keep_sample)
    report, console = Report(), output_console()
    with progress_bar("profiling", source) as advance:
        for batch in source.batches(BATCH_RECORDS):
            report.add(profiler.add(batch))
            advance(len(batch))
    print_rejects(console, report.rejected)  # before anything fails: they may be why
    content = profiler.finish()
    with _named(output):
        write_whole(output, content)
    made = read_profile(content)
    print_models(console, profiler.models, {model_id: len(one.keys) for model_id, one in made.items()})
    for remark in (*_too_few(profiler, config.core.baseline_events), *_blind(made, config.core)):
        console.print(printable_text(remark), style="yellow")
    console.print(f"{counted(len(content), 'byte')} written to {printable_text(str(output))}")


def _too_few(profiler: Profiler, enough: int) -> Iterator[str]:
    left_out = profiler.too_few()
    for model_id, count in left_out.items():
        yield f"{model_id}: no reference from {counted(count, 'event')}; at least {LEAST_EVENTS} are needed"
    for model_id, count in profiler.models.items():
        if count < enough and model_id not in left_out:
            yield f"{model_id}: only {counted(count, 'event')}; with {enough:,} and more, smaller changes show"


def _blind(made: Mapping[str, Profile], settings: Settings) -> Iterator[str]:
    for model_id, one in made.items():
        for spot in one.blind_spots(settings):
            yield f"{model_id}: {spot.text}"
