"""Yes-or-no signals of whole events, which belong to no column: how often each is yes in health, and how its yeses hang together.

A share is learnt from the first events that are seen, as columns are. Of those that a file tells as a stream does (INSTALLED) a
reference file knows one, too: then health is that, unless the stream's is clearly more. That a flag is yes less often is no news.

Belongs here: their shares, learnt and current. Not here: bets and alarms (`signals`, `monitor`), what is yes (`inputs`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whydrift.core.autocorrelation import flag_times
from whydrift.core.columns import Floats
from whydrift.core.settings import Settings

INSTALLED = ("duplicates",)
"""Training data need not lie in order of time, and have no keys that their own reference does not know."""
_CLEARLY = 3.0
"""Standard errors by which a stream's share must be more than that of the file."""
Yes = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FlagShare:
    """What a flag is in health: `yes` of `n` events.

    time: where yeses come together, so many events tell as much as one (`autocorrelation`).
    """

    yes: int
    n: int
    time: float = 1.0

    @property
    def share(self) -> float:
        return self.yes / self.n

    def limit(self, other: "FlagShare") -> float:
        """The greatest share that as many other events may have by chance."""
        variance = max(self.share, 1 / self.n) * (1 - self.share)
        return self.share + _CLEARLY * float(np.sqrt(variance * (other.time / other.n + self.time / self.n)))


def share_of(yes: Yes) -> FlagShare:
    """Of one event at least, in stream order: (events,)."""
    return FlagShare(int(yes.sum()), len(yes), flag_times({"yes": yes}).get("yes", 1.0))


class FreeFlags:
    """Flags by name. `known`: their shares in health, of those that have been learnt."""

    def __init__(self, names: Sequence[str], settings: Settings) -> None:
        self.names = tuple(names)
        self.known: dict[str, FlagShare] = {}
        self._settings = settings
        self._installed: dict[str, FlagShare] = {}
        """What a reference file says."""
        self._seen: dict[str, list[Yes]] = {name: [] for name in self.names}
        """Of the flags that are being learnt, what they were so far, by chunks."""
        self._targets = dict.fromkeys(self.names, settings.first_stage_events)
        """Events of which the next share is learnt."""
        self._recent: list[tuple[int, Floats]] = []
        """The latest chunks: offset of the first event, (no, yes) of each flag."""

    def install(self, shares: Mapping[str, FlagShare]) -> None:
        """Take what a reference file says beside what is learnt here."""
        self._installed = {name: shares[name] for name in self.names if name in shares and name in INSTALLED}

    def learn(self, yes: Yes) -> bool:
        """Take a chunk of health, (events, flags); returns whether a share was learnt."""
        has_learnt, most = False, self._settings.baseline_events
        for name, seen in self._seen.items():
            seen.append(yes[:, self.names.index(name)])
        for name in list(self._seen):
            events = sum(map(len, self._seen[name]))
            if events < min(self._targets[name], most):
                continue
            self._learn(name)
            has_learnt = True
            self._targets[name] *= 2
            if events >= most:
                del self._seen[name]
        return has_learnt

    def learn_now(self) -> None:
        """Learn from what was seen so far, however little."""
        for name, seen in self._seen.items():
            if any(map(len, seen)):
                self._learn(name)

    def _learn(self, name: str) -> None:
        learnt = share_of(np.concatenate(self._seen[name]))
        installed = self._installed.get(name)
        is_as_ever = installed is not None and learnt.share <= installed.limit(learnt)
        self.known[name] = installed if installed is not None and is_as_ever else learnt

    def thin(self) -> None:
        """Forget every other chunk of what was seen so far."""
        for seen in self._seen.values():
            del seen[1::2]

    def forget(self, names: Iterable[str]) -> set[str]:
        """Learn these anew, from the events to come alone; returns those that there are."""
        chosen = set(names) & set(self.names)
        for name in chosen:
            self.known.pop(name, None)
            self._installed.pop(name, None)
            self._seen[name], self._targets[name] = [], self._settings.first_stage_events
        return chosen

    def retain(self, offset: int, counts: Floats, chunks: int) -> None:
        """Keep a chunk's (no, yes) of each flag, with the offset of its first event, of the latest chunks so many."""
        self._recent.append((offset, counts))
        del self._recent[:-chunks]

    def counts_since(self, offset: int) -> Floats:
        """(no, yes) of each flag over the retained chunks that begin there or later: (flags, 2)."""
        return sum((counts for at, counts in self._recent if at >= offset), np.zeros((len(self.names), 2)))

    def snapshot(self) -> dict[str, Any]:
        return {
            "known": shares_state(self.known),
            "installed": shares_state(self._installed),
            "seen": {name: np.concatenate([np.zeros(0, bool), *seen]) for name, seen in self._seen.items()},
            "targets": self._targets,
            "recent": [list(one) for one in self._recent],
        }

    @classmethod
    def restore(cls, names: Sequence[str], settings: Settings, state: Mapping[str, Any] | list[Any]) -> "FreeFlags":
        flags = cls(names, settings)
        if isinstance(state, list):  # states from before yeses could come together have counts: (no, yes), and targets
            _, counts, targets = state
            shares = [FlagShare(int(yes), int(no + yes)) for no, yes in counts.tolist()]
            flags.known = {name: one for name, one in zip(names, shares, strict=True) if one.n}
            flags._targets = {name: target for name, target in zip(names, targets.tolist(), strict=True) if target}
            flags._seen = {name: [] for name in flags._targets}
            return flags
        flags.known, flags._installed = restored_shares(state["known"]), restored_shares(state["installed"])
        flags._seen = {name: [seen] for name, seen in state["seen"].items()}
        flags._targets = dict(state["targets"])
        flags._recent = [(offset, counts) for offset, counts in state["recent"]]
        return flags


def shares_state(shares: Mapping[str, FlagShare]) -> dict[str, Any]:
    return {name: [one.yes, one.n, one.time] for name, one in shares.items()}


def restored_shares(state: Mapping[str, Any]) -> dict[str, FlagShare]:
    return {name: FlagShare(*one) for name, one in state.items()}
