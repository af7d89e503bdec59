"""The paths of the status pages and of the JSON beside them, with their headers and errors.

Belongs here: from a request to a response. Not here: what a page shows (`views`), how it looks (`render`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from whydrift import __version__
from whydrift.core.status import PartitionStatus
from whydrift.shell.pages import render, views
from whydrift.shell.pages.addresses import address
from whydrift.shell.pages.views import Health, IncidentView, ModelView
from whydrift.shell.worker_status import Phase, ReportsStatus, WorkerStatus
from whydrift_schemas import Diagnosis, encode

POLICY = "; ".join((
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_FOR_EVER = {**HEADERS, "cache-control": "public, max-age=31536000, immutable"}
_TITLES = {400: "That makes no sense", 404: "Not here", 405: "Not allowed", 500: "An error of whydrift's"}
API = "api/v1"


def routes(worker: ReportsStatus) -> list[Route]:
    """Plain functions: they run in Starlette's threads, so a figure that is being drawn keeps nobody waiting but its reader."""
    site = _Site(worker)
    paths: dict[str, Callable[[Request], Response]] = {
        "/": site.fleet,
        "/models/{path:path}": site.model,
        "/incidents/{path:path}": site.incident,
        "/static/{name}": static,
        f"/{API}/fleet": site.fleet_json,
        f"/{API}/models/{{path:path}}": site.model_json,
        f"/{API}/incidents/{{path:path}}": site.incident_json,
    }
    return [Route(path, endpoint) for path, endpoint in paths.items()]


def static(request: Request) -> Response:
    name = request.path_params["name"]
    if name == render.stylesheet_name():
        return Response(render.stylesheet(), media_type="text/css", headers=_FOR_EVER)
    if name == "icon.svg":
        return Response(render.icon(), media_type="image/svg+xml", headers=HEADERS)
    raise HTTPException(404, "there is no such file")


def error_response(request: Request, error: Exception) -> Response:
    """An error as a page, or as JSON below the API."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = error.detail if isinstance(error, HTTPException) else "the page could not be made; the log has more"
    allowed = getattr(error, "headers", None) or {}
    if request.url.path.startswith(f"/{API}/"):
        return _json({"error": text}, status, allowed)
    title = _TITLES.get(status, f"Error {status}")
    html = render.page("error.html", title=title, text=text, **_frame(request, "error", None))
    return HTMLResponse(html, status, {**HEADERS, **allowed})


class _Site:
    def __init__(self, worker: ReportsStatus) -> None:
        self._worker = worker

    # -- pages

    def fleet(self, request: Request) -> Response:
        view, query = self._fleet(request), request.url.query
        status = self._worker.status()
        ill = sum(count for health, count in view.counts if health in (Health.CRITICAL, Health.WARNING, Health.INFO))
        return self._page(
            request,
            "fleet.html",
            f"{API}/fleet" + (f"?{query}" if query else ""),
            here="fleet",
            view=view,
            ill=ill,
            total=sum(count for _, count in view.counts),
            topic=status.topic,
            partitions=[one.partition for one in status.partitions],
        )

    def model(self, request: Request) -> Response:
        found = self._models(request)
        path = f"{API}/models/{address(found[0].model_id)}"
        return self._page(request, "model.html", path, views=found)

    def incident(self, request: Request) -> Response:
        view = self._incident(request)
        path = f"{API}/incidents/{address(view.diagnosis.incident_id)}"
        return self._page(request, "incident.html", path, view=view)

    def _page(self, request: Request, template: str, json_path: str, here: str = "", **values: Any) -> Response:
        frame = _frame(request, here, json_path, why_incomplete(self._worker.status()))
        return HTMLResponse(render.page(template, **frame, **values), headers=HEADERS)

    # -- JSON

    def fleet_json(self, request: Request) -> Response:
        view, status = self._fleet(request), self._worker.status()
        partitions = [
            {"partition": one.partition, "phase": one.phase.value, "lag": one.lag} for one in status.partitions
        ]
        return _json({
            "topic": status.topic,
            "ready": status.ready,
            "partitions": partitions,
            "counts": {health.value: count for health, count in view.counts},
            "found": view.found,
            "page": view.page,
            "pages": view.pages,
            "models": [_model_summary(one) for one in view.models],
        })  # fmt: skip

    def model_json(self, request: Request) -> Response:
        return _json({"models": [_model_in_full(one) for one in self._models(request)]})

    def incident_json(self, request: Request) -> Response:
        view = self._incident(request)
        return _json({"incident": _plain(view.diagnosis), "graphs": view.graphs})

    # -- looking up

    def _partitions(self) -> Sequence[PartitionStatus]:
        return self._worker.pipelines_status()

    def _fleet(self, request: Request) -> views.FleetView:
        page = request.query_params.get("page", "1")
        if not (page.isascii() and page.isdigit() and int(page[:9]) > 0 and len(page) < 9):
            raise HTTPException(400, f"page is {page[:60]!r}: must be a number from 1")
        return views.fleet(self._partitions(), request.query_params.get("q", "")[:300], int(page))

    def _models(self, request: Request) -> list[ModelView]:
        found = views.models_at(self._partitions(), request.path_params["path"])
        if not found:
            raise HTTPException(404, "no such model here: " + self._why_absent("model"))
        return found

    def _incident(self, request: Request) -> IncidentView:
        found = views.incident_at(self._partitions(), request.path_params["path"])
        if found is None:
            raise HTTPException(404, "no such incident here: " + self._why_absent("incident"))
        return found

    def _why_absent(self, what: str) -> str:
        incomplete = why_incomplete(self._worker.status())
        if incomplete is not None:
            return incomplete
        if what == "model":
            return "this worker has seen no event of it; other partitions may be with other workers"
        return "it may be over for long, or belong to a partition that another worker has; the diagnoses topic has all"


def why_incomplete(status: WorkerStatus) -> str | None:
    """Why pages do not show everything now; None when they do."""
    if not status.running:
        return f"the worker is not running: {status.last_error or 'it is starting, or has stopped'}"
    if not status.joined:
        return "the worker has not been given its partitions yet"
    waiting = [one for one in status.partitions if one.phase is not Phase.RUNNING]
    if not waiting:
        return None
    told = ", ".join(f"partition {one.partition} ({one.restored_fraction:.0%})" for one in waiting[:8])
    more = f" and {len(waiting) - 8} more" if len(waiting) > 8 else ""
    return f"state is being restored: {told}{more}; its models are shown when that is done"


def _frame(request: Request, here: str, json_path: str | None, notice: str | None = None) -> dict[str, Any]:
    # Relative, as a proxy may serve all of it below a path of its own.
    root = "../" * (request.url.path.count("/") - 1) or "./"
    return {"root": root, "here": here, "json": json_path, "notice": notice, "version": __version__}


def _json(body: Any, status: int = 200, more: Mapping[str, str] | None = None) -> Response:
    headers = {**HEADERS, **(more or {})}
    # Halves of surrogate pairs, which names may hold, are no UTF-8: written as JSON escapes they are.
    plain = json.dumps(msgspec.to_builtins(body), ensure_ascii=True, allow_nan=False)
    return Response(plain, status, headers, media_type="application/json")


def _plain(diagnosis: Diagnosis) -> Any:
    return json.loads(encode(diagnosis))


def _model_summary(view: ModelView) -> dict[str, Any]:
    return {
        "model_id": view.model_id,
        "partition": view.partition,
        "health": view.health.value,
        "events": view.model.events,
        "stream_time_ms": view.now_ms,
        "incidents": [
            {
                "incident_id": one.incident_id,
                "severity": one.severity.value,
                "onset_at": one.model_dump(mode="json")["onset_at"],
                "summary": one.summary,
                "fault": one.causes[0].fault.value,
                "probability": one.causes[0].probability,
            }
            for one in view.incidents
        ],
    }


def _model_in_full(view: ModelView) -> dict[str, Any]:
    model = {
        name: getattr(view.model, name)
        for name in view.model.__dataclass_fields__
        if name not in ("model_id", "events", "incidents", "resolved", "graphs")
    }
    incidents = {
        "incidents": [_plain(one) for one in view.incidents],
        "resolved": [_plain(one) for one in view.model.resolved],
    }
    return {**_model_summary(view), **model, **incidents}
