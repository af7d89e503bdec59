"""A replay as one page that stands alone: the same templates and figures, with the stylesheet inside and no links to elsewhere.

Made from outputs and pictures alone, without a clock: the same input gives the same bytes.

Belongs here: collecting what a replay says and draws, and the page of it. Not here: replaying (`whydrift.app`).
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from whydrift import __version__
from whydrift.core.graphs import NO_GRAPHS, IncidentGraphs
from whydrift.core.pipeline import Pipeline
from whydrift.core.records import Emit, Output
from whydrift.core.status import PartitionStatus
from whydrift.shell.pages import plates, render
from whydrift.shell.pages.plates import ImageFormat
from whydrift.shell.pages.views import IncidentView, model_views, withdrawn
from whydrift_schemas import Diagnosis, Severity

MOST_IN_FULL = 100
"""Incidents shown in full, the most severe; the others are a line each."""
_SEVERITIES = tuple(Severity)


@dataclass(slots=True)
class Replayed:
    """What a replay has said and drawn so far: the latest of each incident."""

    said: dict[str, Diagnosis] = field(default_factory=dict)
    drawn: dict[str, IncidentGraphs] = field(default_factory=dict)

    def add(self, outputs: Sequence[Output], pipeline: Pipeline) -> None:
        """Call after each batch: figures of incidents that are over are kept by the pipeline for a while only."""
        news = [output.diagnosis for output in outputs if isinstance(output, Emit)]
        self.said |= {one.incident_id: one for one in news}
        if news:
            self.drawn |= pipeline.drawn(dict.fromkeys(one.model_id for one in news))

    def views(self, status: PartitionStatus) -> list[IncidentView]:
        """Every incident in the order in which it was first told; `status`: at the end."""
        models = {model.model_id: model for model in status.models}
        end_ms = status.stream_time_ms or 0
        return [
            IncidentView(
                one,
                self.drawn.get(one.incident_id, NO_GRAPHS),
                0,
                end_ms,
                siblings=(),
                withdrawn=withdrawn(one, models[one.model_id]),
            )
            for one in self.said.values()
        ]


def in_full(views: Sequence[IncidentView]) -> list[IncidentView]:
    """Those that are shown in full, in their order."""
    ranked = sorted(views, key=lambda view: -_SEVERITIES.index(view.diagnosis.severity))
    chosen = {view.diagnosis.incident_id for view in ranked[:MOST_IN_FULL]}
    return [view for view in views if view.diagnosis.incident_id in chosen]


def one_page(
    views: Sequence[IncidentView], status: PartitionStatus, sources: Sequence[str], advance: Callable[[], None]
) -> str:
    """The page. sources: names of the files replayed. advance: called after each incident that was drawn."""
    shown = in_full(views)
    for view in shown:  # drawn here, one by one, so that progress can be told; the template takes what was kept
        for number, plate in enumerate(render.plates_of(view), 1):
            plates.inline(plate, f"{render.incident_key(view)}-{number}")
        advance()
    style = render.stylesheet()
    policy = (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'; img-src data:"
    )
    return render.page(
        "report.html",
        views=views,
        shown=shown,
        models=model_views([status]),
        status=status,
        sources=sources,
        style=style,
        policy=policy,
        version=__version__,
        root="",
        linked=False,
        level=2,
    )


def images(view: IncidentView, kind: ImageFormat) -> Iterator[tuple[str, bytes]]:
    """File name and content of each figure of an incident."""
    for number, plate in enumerate(render.plates_of(view), 1):
        yield f"{view.diagnosis.incident_id}-{number}-{plate.kind}.{kind}", plates.image(plate, kind)
