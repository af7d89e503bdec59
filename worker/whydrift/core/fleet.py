"""Incidents of several models that began together: one source broke, and each of its models tells of it.

A model's incident stays its own (each has its own owner, severity and end); what is added is the note that others coincide, so
that whoever is paged looks for what they share. Models that coincide are in one partition here: what is said of a model may
depend on no other partition's records, or a replay would read otherwise.
Belongs here: which incidents coincide, and the words for it. Not here: the life of incidents (`incidents`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from whydrift.core.settings import MINUTE_MS
from whydrift_schemas import Diagnosis

TOGETHER_MS = 10 * MINUTE_MS
"""Onsets at most so far apart are of one time. They are estimates, and a model may be asked once in some minutes."""
_MAX_NAMED = 5


class Onset(Protocol):
    """What of an incident tells whether another coincides."""

    @property
    def onset_ms(self) -> int: ...

    @property
    def diagnosis(self) -> Diagnosis: ...

    @property
    def is_published(self) -> bool: ...


@dataclass(slots=True)
class Fleet:
    """The open incidents of a partition's models: `members` gives each model's, in the order in which they were opened.

    It holds no state of its own: who restores the models has restored it.
    """

    members: dict[str, Mapping[str, Onset]] = field(default_factory=dict)

    def coinciding(self, model_id: str, incident: Onset) -> tuple[str, ...]:
        """Other models with a published incident that looks like the same one, by name."""
        return tuple(
            sorted(
                other
                for other, incidents in self.members.items()
                if other != model_id and any(_coincide(incident, one) for one in incidents.values())
            )
        )


def _coincide(one: Onset, other: Onset) -> bool:
    """Whether they began together, and have the fault or a broken input in common."""
    if not other.is_published or abs(one.onset_ms - other.onset_ms) > TOGETHER_MS:
        return False
    mine, its = one.diagnosis.causes[0], other.diagnosis.causes[0]
    return mine.fault == its.fault or not set(mine.features).isdisjoint(its.features)


def with_others(diagnosis: Diagnosis, others: Sequence[str], max_summary: int) -> Diagnosis:
    """The diagnosis with the note that these models tell of the same; the summary gets it where it fits."""
    if not others:
        return diagnosis
    count = len(others)
    models = f"{count} other model{'s' if count > 1 else ''}"
    named = ", ".join(others[:_MAX_NAMED]) + (f" and {count - _MAX_NAMED} more" if count > _MAX_NAMED else "")
    first, *rest = diagnosis.causes
    note = (
        f"At the same time the like began in {models} ({named}): look for what they share, such as a source of inputs."
    )
    causes = (first.model_copy(update={"explanation": f"{first.explanation} {note}"}), *rest)
    summary = f"{diagnosis.summary}; also in {models}"
    fitting = summary if len(summary) <= max_summary else diagnosis.summary
    return diagnosis.model_copy(update={"causes": causes, "summary": fitting})
