"""A drift that lasts becomes the reference: what the last week looks like is health from then on.

Against a reference of long ago, a season or growth is an incident without an end, which holds the very signals that a fault
would raise. So an incident that is nothing but drift of the inputs is told once, and when it has lasted for TRAILING_MS its
inputs, and what follows from them, are learnt anew from what was seen since its onset and from what comes. It is resolved with
these words.

Only what leads with a fault of the family data_drift is followed. What is broken (a unit, a fill, missing values, weights)
stays an incident for as long as it lasts; so does a skew between training and serving, which time does not mend. What jumps from
row to row as it never did may be other rows' values, or the same seasons of a larger world; what was told to be broken at first
may be so though it looks like drift by now: LONG_MS are waited for.

Limits: the loss is learnt anew too: how good the model was on its training data is no measure of it any more (metrics go on).
Until enough rows are learnt the new reference is insensitive. A fault that is taken for drift is followed as well.

Source: detection.md, "Season and dependence" (a training and a trailing reference, 7 or 28 days).
Belongs here: when. Not here: how (`commands.settle`).
"""

from whydrift.core.commands import settle
from whydrift.core.dependence import PREFIX as DEPENDENCE
from whydrift.core.incidents import Incident, Moment, plain
from whydrift.core.model import ModelWatch
from whydrift.core.settings import DAY_MS
from whydrift.core.signals import Aspect
from whydrift_schemas import Diagnosis
from whydrift_schemas.names import FAMILY_OF, Family, Fault

TRAILING_MS, LONG_MS = 7 * DAY_MS, 28 * DAY_MS
"""Stream time since it was detected; the same of what jumps, or was told to be broken."""


def follow(model: ModelWatch, now: Moment) -> list[Diagnosis]:
    """Take up the drifts that have lasted; returns what is to be published."""
    said: list[Diagnosis] = []
    for incident in list(model.incidents.open.values()):
        if _is_due(model, incident, now):
            signals = {plain(name) for name in incident.signals}
            because = f"it has lasted for {_wait_ms(incident) // DAY_MS} days and is the reference from now on"
            said += settle(model, signals, now, because, keeps_seen=True)
    return said


def _is_due(model: ModelWatch, incident: Incident, now: Moment) -> bool:
    lasted_ms = now.stream_ms - incident.diagnosis.detected_at
    fault = incident.diagnosis.causes[0].fault
    is_drift = FAMILY_OF[fault] is Family.DATA_DRIFT and fault is not Fault.TRAINING_SERVING_SKEW
    if incident.is_over or not is_drift or lasted_ms < _wait_ms(incident):
        return False
    seen = int((model.inputs.monitor.recent().times_ms >= incident.onset_ms).sum())
    return seen >= model.settings.first_stage_events


def _wait_ms(incident: Incident) -> int:
    steps = {plain(name) for name in incident.own | incident.signals if plain(name).endswith(f".{Aspect.STEP}")}
    jumps = any(name in incident.own or not name.startswith(DEPENDENCE) for name in steps)
    opened_as = incident.opened_as
    was_broken = opened_as is not None and FAMILY_OF[opened_as] not in (Family.DATA_DRIFT, Family.UNKNOWN)
    return LONG_MS if jumps or was_broken else TRAILING_MS
