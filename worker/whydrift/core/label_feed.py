"""Whether labels come: by their rate, and by how many of the predictions that are due have one.

The rate of labels alone cannot tell half of them missing from a quiet day. So predictions are counted by when they were made,
in spans of time, and so are those among them whose labels came. A span is due when as much time has passed as 99 of 100 labels
take in health (the learnt delays say how much). The part of it that has labels is bet against the part that the first due spans
had: binomial likelihood ratios at the edge of health, divided by the measured dispersion of spans, as with rates.

Limits: nothing is said before delays are learnt and the first spans are due; a feed that is slow by design shows as slowly. What
those spans do not show (no labels on Sundays) is told when it comes, until somebody accepts it.
Labels that come after their span was due count as missing; what late ones mean is for `label_delays` and the faults to say.
Failed calls get no label and are not counted.
Belongs here: that evidence, and the alarm of both together. Not here: joining (`labels`), what missing labels mean (`faults`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, inf, log, log10
from typing import Any

from scipy.special import betaincinv

from whydrift.core.detectors.rate import RateGuard

_LEAST_SPAN_MS = 60_000
_SPANS_A_DELAY = 64
_MOST_SPANS = 512
"""Kept while nobody knows yet how long labels take."""
_LEARNT, _LEARNT_LABELS, _LEARNT_SPANS = 500, 50, 20
"""Due predictions, labels among them, and spans that the usual part is learnt from, at least."""
_CHANCE = 1e-5
"""That the usual part is lower than taken for, by the sampling error of what was learnt."""
_EDGE = 0.9
"""A part this much of the usual one is health: labels of one source more or less."""
_PARTS = (0.8, 0.4, 0.1)
"""Alternatives, as parts of the edge of health."""
_STEP = 5.0
"""One span moves the evidence by at most this: a lost batch is no stopped feed."""
_CAP = 1e100
_LATEST = 5
"""Spans by which an alarm is over."""
_HOUR_MS = 3_600_000


@dataclass(slots=True)
class LabelShare:
    """Alarm on the part of due predictions that have labels. `predicted` and `labelled` count, `advance` judges."""

    span_ms: int = 0
    """0 until delays are known: until then spans are as short as may be."""
    spans: dict[int, list[int]] = field(default_factory=dict)
    """By number since 1970: predictions made then, and how many of them have labels."""
    over_ms: int = -1
    """End of the latest span that was judged."""
    learnt: list[list[int]] = field(default_factory=list)
    """Due spans that the usual part is learnt from."""
    usual: float = -1.0
    """−1 while it is not known."""
    edge: float = 0.0
    dispersion: float = 1.0
    evidence: list[float] = field(default_factory=lambda: [0.0] * len(_PARTS))
    latest: list[list[int]] = field(default_factory=list)
    is_alarmed: bool = False
    onset_ms: int = -1

    @property
    def is_ready(self) -> bool:
        """Whether the usual part is known."""
        return self.usual >= 0

    def predicted(self, at_ms: int, stream_ms: int) -> None:
        """A prediction whose label will be recognised was made."""
        span_ms = self.span_ms or _LEAST_SPAN_MS
        # From the future, or of a span that is over: the clock of its producer is wrong.
        if self.over_ms <= at_ms // span_ms * span_ms and at_ms <= stream_ms + span_ms:
            self.spans.setdefault(at_ms // span_ms, [0, 0])[0] += 1
            if len(self.spans) > _MOST_SPANS:
                del self.spans[min(self.spans)]

    def labelled(self, prediction_ms: int) -> None:
        """The label of a prediction that was made then has come."""
        span = self.spans.get(prediction_ms // (self.span_ms or _LEAST_SPAN_MS))
        if span is not None and span[1] < span[0]:
            span[1] += 1

    def forget(self) -> None:
        """Labels of what was counted may be recognised no more: begin with the predictions to come."""
        self.spans = {}

    def advance(self, stream_ms: int, delay_ms: float | None, log10_threshold: float) -> None:
        """Judge the spans that are due by now. delay_ms: how long all but the slowest labels take, None while not known."""
        if delay_ms is None:
            return
        if not self.span_ms:
            self._set_span(int(delay_ms / _SPANS_A_DELAY))
        due = [number for number in self.spans if (number + 1) * self.span_ms + delay_ms <= stream_ms]
        for number in sorted(due):
            span = self.spans.pop(number)
            self.over_ms = (number + 1) * self.span_ms
            self._judge(span, log10_threshold)

    def _set_span(self, span_ms: int) -> None:
        self.span_ms = max(span_ms // _LEAST_SPAN_MS, 1) * _LEAST_SPAN_MS
        spans, self.spans = self.spans, {}
        for number, (made, labelled) in spans.items():
            whole = self.spans.setdefault(number * _LEAST_SPAN_MS // self.span_ms, [0, 0])
            whole[0] += made
            whole[1] += labelled

    def _judge(self, span: list[int], log10_threshold: float) -> None:
        if not self.is_ready:
            self._learn(span)
            return
        if not self.is_alarmed and sum(self.evidence) < len(self.evidence):
            self.onset_ms = self.over_ms - self.span_ms
        self.evidence = [
            min((m + 1) * self._factor(span, part), _CAP) for m, part in zip(self.evidence, _PARTS, strict=True)
        ]
        self.latest = [*self.latest, span][-_LATEST:]
        if not self.is_alarmed:
            self.is_alarmed = self.log10_e >= log10_threshold
        elif len(self.latest) == _LATEST and self._now() >= self.edge:
            self.is_alarmed, self.evidence = False, [0.0] * len(_PARTS)

    def _learn(self, span: list[int]) -> None:
        self.learnt.append(span)
        made, labelled = _totals(self.learnt)
        if made < _LEARNT or labelled < _LEARNT_LABELS or len(self.learnt) < _LEARNT_SPANS:
            if len(self.learnt) > _MOST_SPANS:
                del self.learnt[0]
            return
        self.usual = labelled / made
        chance = self.usual * (1 - self.usual)
        if chance > 0:
            surplus = sum((one[1] - one[0] * self.usual) ** 2 / (one[0] * chance) for one in self.learnt)
            self.dispersion = max(surplus / (len(self.learnt) - 1), 1.0)
        # Of so many spans that hang together, fewer independent predictions are left.
        least = float(betaincinv(labelled / self.dispersion, (made - labelled) / self.dispersion + 1, _CHANCE))
        self.edge, self.learnt = _EDGE * least, []

    def _factor(self, span: list[int], part: float) -> float:
        made, labelled = span
        alternative = part * self.edge
        step = labelled * log(part) + (made - labelled) * log((1 - alternative) / (1 - self.edge))
        return exp(min(max(step / self.dispersion, -_STEP), _STEP))

    @property
    def log10_e(self) -> float:
        """Evidence that fewer are labelled than in health."""
        mean = sum(self.evidence) / len(self.evidence)
        return log10(mean) if mean > 0 else -inf

    def _now(self) -> float:
        made, labelled = _totals(self.latest)
        return labelled / max(made, 1)

    def per_hour(self) -> tuple[float, float]:
        """Labels that the latest due predictions would have in health, and those they have, an hour."""
        made, labelled = _totals(self.latest)
        hours = max(len(self.latest), 1) * self.span_ms / _HOUR_MS
        return made * self.usual / hours, labelled / hours

    def snapshot(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self.__slots__}
        state["spans"] = [[number, *span] for number, span in sorted(self.spans.items())]
        return {name: list(value) if isinstance(value, list) else value for name, value in state.items()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "LabelShare":
        fields: dict[str, Any] = {name: list(v) if isinstance(v, list) else v for name, v in state.items()}
        fields["spans"] = {number: span for number, *span in fields["spans"]}
        return cls(**fields)


def _totals(spans: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Predictions made in these spans, and how many of them have labels."""
    return sum(span[0] for span in spans), sum(span[1] for span in spans)


class LabelFeed:
    """Alarm on labels: on their rate, or on the part of the due predictions that have one; of the evidence each has a half."""

    def __init__(self) -> None:
        self.rate = RateGuard(downward_only=True)
        self.share = LabelShare()
        self._sample_share = 1.0

    def predicted(self, at_ms: int, stream_ms: int) -> None:
        """See `LabelShare.predicted`."""
        self.share.predicted(at_ms, stream_ms)

    def count(self) -> None:
        """A label came, of whatever prediction."""
        self.rate.count()

    def labelled(self, prediction_ms: int) -> None:
        """See `LabelShare.labelled`."""
        self.share.labelled(prediction_ms)

    def advance(self, stream_ms: int, log10_threshold: float, delay_ms: float | None, sample_share: float) -> None:
        """Judge what is over by now. sample_share: part of the event ids that the join follows."""
        if sample_share != self._sample_share:
            self._sample_share = sample_share
            self.share.forget()
        own = log10_threshold + log10(2)
        self.rate.advance(stream_ms, own)
        self.share.advance(stream_ms, delay_ms, own)

    @property
    def boundary_ms(self) -> int:
        """When there is something to do next."""
        return self.rate.boundary_ms

    @property
    def is_ready(self) -> bool:
        return self.rate.is_ready or self.share.is_ready

    @property
    def is_alarmed(self) -> bool:
        return self.rate.is_alarmed or self.share.is_alarmed

    @property
    def onset_ms(self) -> int:
        alarmed = [one.onset_ms for one in (self.rate, self.share) if one.is_alarmed]
        return min(alarmed, default=self.rate.onset_ms)

    @property
    def log10_e(self) -> float:
        """Evidence that labels are lacking, either way."""
        both = [min(one.log10_e, 300.0) for one in (self.rate, self.share)]
        return log10(max(sum(10**level for level in both) / 2, 1e-300))

    def expected_per_hour(self) -> float | None:
        """Labels an hour in health: by their rate, or, where only the part is alarmed, by that."""
        return self.share.per_hour()[0] if self._is_by_share() else self.rate.expected_per_hour()

    def observed_per_hour(self) -> float | None:
        """Labels an hour now."""
        return self.share.per_hour()[1] if self._is_by_share() else self.rate.observed_per_hour()

    def _is_by_share(self) -> bool:
        return self.share.is_alarmed and not self.rate.is_alarmed

    def accept(self) -> None:
        """Take what is now for health: learn it anew."""
        self.rate.accept()
        self.share = LabelShare(span_ms=self.share.span_ms, over_ms=self.share.over_ms)

    def snapshot(self) -> dict[str, Any]:
        return {"rate": self.rate.snapshot(), "share": self.share.snapshot(), "sample_share": self._sample_share}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "LabelFeed":
        """What was written before shares were watched is a rate alone."""
        feed = cls()
        feed.rate = RateGuard.restore(state.get("rate", state))
        if "share" in state:
            feed.share, feed._sample_share = LabelShare.restore(state["share"]), state["sample_share"]
        return feed
