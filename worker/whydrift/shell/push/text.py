"""What an alert says of an incident, for whoever is paged.

Belongs here: annotations and links. Not here: labels and delivery (`alertmanager`).
"""

from collections.abc import Mapping
from urllib.parse import quote

from whydrift.shell.labels import plain_text
from whydrift.shell.push.settings import Links
from whydrift_schemas import Diagnosis, write_time

LONGEST = 2_000
"""Characters of one annotation: pagers cut, and names come from anybody."""


def annotations(diagnosis: Diagnosis, links: Links) -> dict[str, str]:
    """Name → text; what there is nothing to say about is left out."""
    lead = diagnosis.causes[0]
    found = {
        "summary": f"{diagnosis.model_id}: {diagnosis.summary}",
        "since": write_time(diagnosis.onset_at),
        "fault": lead.fault.value,
        "probability": f"{lead.probability:.2f}",
        "action": lead.action,
        "causes": "\n".join(_causes(diagnosis)),
        "evidence": "\n".join(_evidence(diagnosis)),
        "ruled_out": "\n".join(f"{no.fault.value}: {no.because}" for no in diagnosis.ruled_out),
        "impact": _impact(diagnosis),
        **_links(diagnosis, links),
    }
    return {name: _lines(text) for name, text in found.items() if text}


def incident_url(diagnosis: Diagnosis, links: Links) -> str | None:
    if links.public_url is None:
        return None
    return f"{links.public_url.rstrip('/')}/incidents/{quote(diagnosis.incident_id, safe='', errors='replace')}"


def _causes(diagnosis: Diagnosis) -> list[str]:
    return [f"{cause.probability:.2f} {cause.fault.value}: {cause.explanation}" for cause in diagnosis.causes]


def _evidence(diagnosis: Diagnosis) -> list[str]:
    return [
        f"{one.signal}: {one.effect} (10^{one.log10_e:.0f}, alarm at 10^{one.threshold:.1f})"
        for one in diagnosis.evidence
    ]


def _impact(diagnosis: Diagnosis) -> str:
    found = diagnosis.impact
    if found is None:
        return ""
    how = "estimated without labels" if found.estimated else "by labels"
    return f"{found.metric} {found.reference:.3g} → {found.current:.3g} ({how})"


def _links(diagnosis: Diagnosis, links: Links) -> Mapping[str, str]:
    model = quote(diagnosis.model_id, safe="", errors="replace")
    dashboard = None if links.dashboard_url is None else links.dashboard_url.replace("{model_id}", model)
    fault = diagnosis.causes[0].fault.value
    found = {
        "status_page": incident_url(diagnosis, links),
        "dashboard": dashboard,
        "runbook_url": _chapter(links.runbook_url, fault),
    }
    return {name: url for name, url in found.items() if url is not None}


def _chapter(runbook: str | None, fault: str) -> str | None:
    if runbook is None:
        return None
    return runbook.replace("{fault}", fault) if "{fault}" in runbook else f"{runbook}#{fault}"


def _lines(text: str) -> str:
    """Our line breaks stay; whatever else could be taken for an order does not."""
    return "\n".join(plain_text(line, LONGEST) for line in text.split("\n"))[:LONGEST]
