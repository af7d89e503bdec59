"""Views as HTML: templates, their filters, and the texts around them. Everything is escaped; what is not is made here.

Belongs here: the template environment. Not here: which paths there are (`site`), the one-page report (`one_page`).
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from whydrift.core.faults import rules
from whydrift.core.faults.rule import Runbook
from whydrift.shell.pages import addresses, plates, words
from whydrift.shell.pages.views import IncidentView
from whydrift_schemas import write_time

SNOOZE_MS = 12 * words.HOUR_MS
SEVERITY_WORDS: Mapping[str, str] = {
    "critical": "Critical: answers are wrong or missing for those who use them now.",
    "warning": "Warning: somebody should look today.",
    "info": "For information: nothing to do about at night.",
}
_TEMPLATES = files("whydrift.shell.pages") / "templates"


@cache
def stylesheet() -> str:
    return (_TEMPLATES / "whydrift.css").read_text("utf-8")


@cache
def icon() -> str:
    return (_TEMPLATES / "icon.svg").read_text("utf-8")


@cache
def stylesheet_name() -> str:
    """Named after its content, so that it can be kept for ever and never be an old one."""
    return f"{_digest(stylesheet())}.css"


@cache
def runbooks() -> Mapping[str, Runbook]:
    return {rule.fault.value: rule.runbook for rule in rules()}


def page(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("whydrift.shell.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "address": addresses.address,
        "brief": words.brief,
        "clock": words.clock,
        "command": _command,
        "inline": plates.inline,
        "iso": words.iso,
        "number": words.number,
        "percent": words.percent,
        "plates": plates_of,
        "incident_key": incident_key,
        "trusted": Markup,
        "power": words.power,
        "query": _query,
        "quoted": lambda text: quote(text, safe="", errors="replace"),
        "shown": words.shown,
        "span": words.span,
        "words": words.words,
    }
    environment.globals |= {
        "severity_words": SEVERITY_WORDS,
        "runbooks": runbooks(),
        "can_draw": plates.can_draw,
        "stylesheet": stylesheet_name(),
    }
    return environment


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _query(values: Mapping[str, Any]) -> str:
    return urlencode({name: value for name, value in values.items() if value not in ("", 1)}, errors="replace")


def incident_key(view: IncidentView) -> str:
    """Begins the ids of an incident's elements in a page."""
    return f"i{_digest(view.diagnosis.incident_id)}"


def plates_of(view: IncidentView) -> Sequence[plates.Plate]:
    return plates.plates(view.graphs, view.diagnosis)


def _command(view: IncidentView, action: str) -> str:
    """What people send to answer the incident; `author` and `reason` are theirs to fill in."""
    said = view.diagnosis
    record = {"kind": "command", "model_id": said.model_id, "timestamp": write_time(view.now_ms), "action": action}
    if action == "snooze":
        record["until"] = write_time(view.now_ms + SNOOZE_MS)
    else:
        record["incident_id"] = said.incident_id
    return json.dumps(record | {"author": "you", "reason": "why"})
