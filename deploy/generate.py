"""Writes what is made from code: `python deploy/generate.py` in an environment with `.[dev]`; a test holds the files equal.

RUNBOOK.md from the faults' own lines and the alerts of Prometheus, prometheus/METRICS.md from the catalogue of metrics, and
grafana/dashboards/*.json.
Belongs here: the documents, and the alerts' further words. Not here: dashboards (`grafana/dashboards.py`).
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "grafana"))

from dashboards import DASHBOARDS  # noqa: E402  # found by the line above

from whydrift.core.faults import rules  # noqa: E402
from whydrift.shell.metrics import Metric  # noqa: E402
from whydrift_schemas import FAMILY_OF  # noqa: E402

Words = tuple[str, str, str]
"""How to confirm it, what to do, what if it is wrong."""

ALERTS: Mapping[str, Words] = {
    "WhydriftWorkerDown": (
        "Open the worker's /healthz. No answer: look whether the process or pod is there, and at its last lines of log.",
        "Start it again; it goes on where it was. If it ends at once, its last line says what to mend.",
        "If it answers, Prometheus cannot reach it: look at network policy and service discovery.",
    ),
    "WhydriftAllWorkersGone": (
        "As above, for every worker; then look at what they share: the broker, the configuration, the image.",
        "Run `whydrift doctor` with their configuration, and do what it says.",
        "If they run, the scrape job is not called `whydrift`: the rule looks for that name.",
    ),
    "WhydriftWorkerStuck": (
        "/healthz says how long the loop has not come round (`whydrift_turn_age_seconds`); the log has the last error.",
        "Look at the broker first. Then restart the worker: it loses nothing.",
        "If records are rare, the threshold of 300 s may be too short for your commit interval.",
    ),
    "WhydriftTransactionsFail": (
        "The worker's log has a line for each with the broker's error.",
        "Look at the brokers and at the transaction time-out. Two workers with one `kafka.instance_id` fence each other.",
        "If it was a rolling restart of the brokers, it ends by itself.",
    ),
    "WhydriftLagGrows": (
        "Compare `rate(whydrift_records_total[5m])` with what is produced, and CPU with its limit.",
        "Start more workers, up to the number of partitions; or give them a whole core: "
        "one does 15,000 to 20,000 records a second.",
        "If a backlog is being worked off, the lag falls and the alert ends.",
    ),
    "WhydriftEverythingRejected": (
        "Read one record of the rejected topic: its headers `whydrift.reason` and `whydrift.message` say what is wrong with it.",
        "Tell the producer. Rejected records can be sent again when they are right.",
        "If another topic's records are read, mend `kafka.topics.events`.",
    ),
    "WhydriftRestoreSlow": (
        "`whydrift_partition_restored_ratio` says which partition, and whether it moves.",
        "If it moves, wait. If not, look at the broker and the state topic; `kafka.restore_timeout_s` ends it at last.",
        "A large state after a long pause may take minutes: raise the rule's `for`.",
    ),
    "WhydriftNoRecords": (
        "Is anything produced to the events topic? (`kcat -C -o -1 -e -t whydrift.events`)",
        "If not, the producers or their network have stopped. If so, run `whydrift doctor`.",
        "Where silence is usual, raise the threshold.",
    ),
    "WhydriftLabelsStopped": (
        "Look for labels of the model in the events topic; was the join or its key changed?",
        "Tell who runs the label job. Until then performance is estimated at best.",
        "If the model's labels come by the month, the rule's day is too short: exclude the model.",
    ),
    "WhydriftAlertsNotDelivered": (
        "`whydrift_sink_failed_total` has the reason: timeout, unreachable, credentials, refused, failing.",
        "Mend what it says. Nothing is lost: open incidents are sent until they are taken. Meanwhile read the pages.",
        "If the receiver is gone on purpose, take it out of `alertmanager.urls` or `webhook.urls`.",
    ),
    "WhydriftCardinalityCut": (
        "`whydrift_models` against the setting `metrics.max_models`.",
        "Raise the setting if Prometheus can bear it: some 130 series a model.",
        "Models without series are diagnosed and alerted all the same.",
    ),
    "WhydriftIncident": (
        "Only from `rules/incidents.yaml`. Open the worker's page of the model; the fault's own chapter is above.",
        "What that chapter says.",
        "Answer the incident with a command event (README). It stays for five minutes after its incident is over.",
    ),
}


def entry(title: str, means: str, words: Words) -> Iterator[str]:
    confirm, do, if_wrong = words
    yield from (f"### {title}", "", means, "")
    yield from (f"- **Confirm it**: {confirm}", f"- **Do**: {do}", f"- **If it is wrong**: {if_wrong}", "")


def runbook() -> str:
    lines = [
        "# Runbook",
        "",
        "What each fault and each alert means, how to confirm it in two minutes, what to do, and what if it is wrong. Made by",
        "`deploy/generate.py`: the words of a fault are in its file under `worker/whydrift/core/faults/`.",
        "",
        "## Incidents of models",
        "",
        "The diagnosis, its page and its alert name the input, the numbers and the action; this is what does not depend on them.",
        "A diagnosis that is wrong is answered by a command event (`accept`, `relearn`, `snooze`; see README).",
        "",
    ]
    for rule in rules():
        book = rule.runbook
        means = f"*{FAMILY_OF[rule.fault].value.replace('_', ' ')}.* {book.means}"
        lines += entry(rule.fault.value, means, (book.confirm, book.do, book.if_wrong))
    lines += ["## Alerts about workers", ""]
    for alert in alerts():
        lines += entry(alert["alert"], meaning(alert["annotations"]["description"]), ALERTS[alert["alert"]])
    return "\n".join(lines).rstrip() + "\n"


def meaning(description: str) -> str:
    """The sentences of an annotation in front of the one with a number of its own in it."""
    return description[: description.split("{{")[0].rindex(".") + 1]


def alerts() -> list[dict[str, dict[str, str]]]:
    """Every alert of the rule files, in their order."""
    found = []
    for name in ("worker", "incidents"):
        groups = yaml.safe_load((HERE / f"prometheus/rules/{name}.yaml").read_text("utf-8"))["groups"]
        found += [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return found


def metrics() -> str:
    lines = [
        "# Metrics",
        "",
        "Made by `deploy/generate.py` from `worker/whydrift/shell/metrics.py`. Memory, CPU and open files are `process_…`.",
        "",
        "| metric | type | labels | what it says |",
        "|---|---|---|---|",
    ]
    for metric in Metric:
        one = metric.value
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind.value} | {labels} | {one.help} |")
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    """Content by path."""
    made = {HERE / "RUNBOOK.md": runbook(), HERE / "prometheus/METRICS.md": metrics()}
    return made | {HERE / f"grafana/dashboards/{name}.json": make() for name, make in DASHBOARDS.items()}


if __name__ == "__main__":
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(path)
