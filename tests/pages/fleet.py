"""Pictures of real pipelines for tests of pages: models that are ill in known ways, healthy, learning, and over it.

Belongs here: making them once. Not here: any check.
"""

from functools import cache

from tests.core.small_world import Change, Event, Feed, events
from tests.shell.status_fakes import RUNNING

from whydrift.core.status import PartitionStatus
from whydrift.shell.worker_status import WorkerStatus

ONSET = 1_500
HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}{% x %}\n\r\x00\u202e🎉 $\\frac{a}$ %2e%2e %00 ]]>"
)
"""A name with everything that HTML, templates, URLs, SVG and mathematics would take for an order."""


class Pictured:
    """A worker that shows these pictures."""

    def __init__(self, *partitions: PartitionStatus, status: WorkerStatus = RUNNING) -> None:
        self.shown, self.pictures = status, partitions

    def status(self) -> WorkerStatus:
        return self.shown

    def pipelines_status(self) -> tuple[PartitionStatus, ...]:
        return self.pictures


def thousandth(until: int = 10**9) -> Change:
    """income in thousands since the onset."""

    def change(features: Event, i: int) -> None:
        if ONSET <= i < until:
            features["income"] = round(features["income"] / 1_000, 5)

    return change


def _missing(features: Event, i: int) -> None:
    if i >= ONSET and i % 3 == 0:
        features["age"] = None


def _recoded(features: Event, i: int) -> None:
    if i >= ONSET:
        features["region"] = f"<b>{features['region']}</b>"


def _who(event: Event, i: int) -> None:
    event["segment"] = {"country": ("de", "fr", "us")[i % 3]}
    event["replica"] = f"pod-{i % 2}"


def _french(event: Event, i: int) -> None:
    """In one of three countries the classes are exchanged."""
    _who(event, i)
    if i >= ONSET and i % 3 == 1:
        score = 1 - event["prediction"]["score"]
        event["prediction"] = {"label": "bad" if score >= 0.5 else "good", "score": score}


@cache
def partition() -> PartitionStatus:
    """income in thousands (`risk`); `churn` without age in a third of the rows; `half` permuted in one country; a hostile name
    with recoded regions; `was-ill`, whose incident is over; `well`; and `young`, which still learns."""
    feed = Feed()
    feed(events(0, 1_700, inputs=thousandth(), answers=_who))
    feed(events(0, 2_000, inputs=_missing, model_id="churn"))
    feed(events(0, 2_600, answers=_french, model_id="half"))
    feed(events(0, 1_900, inputs=_recoded, model_id=HOSTILE))
    feed(events(0, 3_500, inputs=thousandth(2_000), model_id="was-ill"))
    feed(events(0, 1_700, model_id="well"))
    feed(events(0, 200, model_id="young"))
    return feed.pipeline.status()
