"""The command line: `whydrift` and `python -m whydrift`.

Belongs here: commands, options and their help. Not here: what they do (`app`). Nothing else of ours is imported before a command
runs, so that help is there at once; importing this module does nothing.
"""

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(name="whydrift", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="WHYDRIFT_CONFIG",
        help="Settings as YAML. Environment variables win over it: WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS, WHYDRIFT_CORE__MARGIN.",
    ),
]
EventsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="EVENTS", help="Files of JSON lines, plain or gzip, read in this order; - for standard input."
    ),
]


class ImageChoice(StrEnum):
    """Kinds of image files."""

    SVG = "svg"
    PNG = "png"


def main() -> None:
    """The console script."""
    # Before numpy is imported: matrices are small here, so a second BLAS thread only spins, on a core somebody else needs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Panels and colours are for people; a pipe gets plain text.
    app.rich_markup_mode = "rich" if sys.stdout.isatty() and sys.stderr.isatty() else None
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        from whydrift import __version__

        typer.echo(f"whydrift {__version__}")
        raise typer.Exit


@app.callback()
def _whydrift(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Your model is failing. Since when, what broke, and how sure are we?

    whydrift reads the prediction events of your models and publishes
    diagnoses: what broke, since when, with which probability, what to do.

    \b
    See it at work, with nothing but Python:
      whydrift demo
    Try it on your own events:
      whydrift profile healthy.jsonl --output model.ref
      whydrift replay week.jsonl.gz --reference model.ref
    Install it beside your models:
      whydrift run --config whydrift.yaml

    Exit codes: 0 done; 1 somebody has to act, and stderr says what to do;
    2 the command line, a path to write to, or the configuration is wrong.
    """


@app.command()
def run(config: ConfigOption = None) -> None:
    """Watch the models of a Kafka topic, until SIGTERM or Ctrl-C.

    Diagnoses, rejected records, state and offsets are committed together,
    so a killed worker loses nothing and repeats nothing. /metrics, /healthz
    and /readyz are served on http.port (9108).

    \b
    Examples:
      whydrift run --config whydrift.yaml
      WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS=broker:9092 whydrift run
    """
    from whydrift import app as commands
    from whydrift.config import load

    _end(lambda: commands.run(load(config)))


@app.command()
def topics(
    config: ConfigOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the commands of Kafka's own tools that would create them.")
    ] = False,
) -> None:
    """Create the topics that are missing.

    The four of kafka.topics, the state topic compacted. Where the events
    topic exists the others get as many partitions, else all get
    kafka.new_topic_partitions. What is there is left as it is.

    \b
    Examples:
      whydrift topics --config whydrift.yaml
      whydrift topics --dry-run
    """
    from whydrift import app as commands
    from whydrift.config import load

    _end(lambda: commands.topics(load(config), dry_run=dry_run))


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Check the configuration against the real world.

    Reference files, ports, Alertmanager, webhooks, brokers, credentials,
    topics and their settings, permissions, clocks, and a sample of events:
    for each how it is, and the command or setting that mends it. Nothing is
    changed, and no group is joined: it may run beside workers.

    \b
    Examples:
      whydrift doctor --config whydrift.yaml
    """
    from whydrift import app as commands
    from whydrift.config import load

    _end(lambda: commands.doctor(load(config)))


@app.command()
def profile(
    events: EventsArgument,
    output: Annotated[Path, typer.Option("--output", metavar="REF", help="The reference file to write.")],
    no_sample: Annotated[
        bool,
        typer.Option(
            "--no-sample",
            help="Keep no rows at all, only quantiles and counts. Faults in the relation of features are then harder to name.",
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Learn from healthy events what health is.

    The reference file is for `run` (setting `references`) and `replay`.
    Without one, the first events of a model are taken for health, be they
    healthy or not. Several models in one file are fine.

    \b
    Examples:
      whydrift profile march.jsonl.gz --output credit.ref
      zcat archive/*.gz | whydrift profile - --output all.ref --no-sample
    """
    from whydrift import app as commands
    from whydrift.config import load

    _end(lambda: commands.profile(load(config), events, output, keep_sample=not no_sample))


@app.command()
def replay(
    events: EventsArgument,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference", metavar="REF", help="Made by `whydrift profile`; else the first events are taken for health."
        ),
    ] = None,
    config: ConfigOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIAGNOSES.jsonl", help="Write every diagnosis there, one a line."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Read on at the end of the one file until Ctrl-C, and tell news as they come."),
    ] = False,
) -> None:
    """Tell what a worker would have said of these files.

    The same files give the same bytes on every run. Lines are counted from 0
    over all files; `detected.offset` of a diagnosis is the line that
    completed the evidence. Lines that are no events never stop it.

    \b
    Examples:
      whydrift replay week.jsonl.gz --reference credit.ref --output out.jsonl
      kcat -C -e -t events | whydrift replay -
      whydrift replay events.log --follow
    """
    from whydrift import app as commands
    from whydrift.config import load

    _end(
        lambda: commands.replay(load(config), events, reference=reference, output=output, follow=follow),
    )


@app.command()
def report(
    events: EventsArgument,
    output: Annotated[Path, typer.Option("--output", metavar="REPORT.html", help="The page to write.")],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference", metavar="REF", help="Made by `whydrift profile`; else the first events are taken for health."
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="FOLDER", help="Write every figure there, too, as a file.")
    ] = None,
    image_format: Annotated[
        ImageChoice, typer.Option("--image-format", help="What these files are.")
    ] = ImageChoice.SVG,
    config: ConfigOption = None,
) -> None:
    """Replay these files, and write what was found as one page.

    The page stands alone: graphs and styles are in it, scripts and links
    to elsewhere are not. The same files give the same bytes on every run.
    Graphs need the extra `graphs`; without it the numbers are tables.

    \b
    Examples:
      whydrift report week.jsonl.gz --reference credit.ref --output week.html
      whydrift report week.jsonl.gz --output week.html --images figures --image-format png
    """
    from whydrift import app as commands
    from whydrift.config import load

    _end(
        lambda: commands.report(
            load(config), events, output, reference=reference, images=images, image_format=image_format.value
        ),
    )


@app.command()
def demo(
    bootstrap: Annotated[
        str | None, typer.Option("--bootstrap", metavar="HOST:PORT", help="Through this running Kafka.")
    ] = None,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Through a real Kafka started for it (extra `kafka-local`).")
    ] = False,
    serve: Annotated[
        Path | None,
        typer.Option(
            "--serve",
            metavar="FOLDER",
            help="Only serve, until Ctrl-C: events in real time; a file in FOLDER named as a fault switches it on.",
        ),
    ] = None,
) -> None:
    """Break a real model in three ways, and watch it being found out.

    It needs nothing but Python, and takes less than a minute.

    \b
    Examples:
      whydrift demo
      whydrift demo --kafka
      whydrift demo --bootstrap localhost:9092
      whydrift demo --bootstrap localhost:9092 --serve faults
    """
    from whydrift.demo.command import run_demo

    raise typer.Exit(run_demo(bootstrap, kafka, serve))


def _end(command: Callable[[], None]) -> NoReturn:
    from whydrift.app import exit_code

    raise typer.Exit(exit_code(command))


if __name__ == "__main__":
    main()
