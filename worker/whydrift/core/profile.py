"""The reference as a file: what a model's healthy events taught, to be used by every worker from the first event on.

MessagePack with a header (`state`), compressed; no pickle. It holds quantiles, shares and counts; rows only as a bounded sample,
which may be left out (diagnosis can then not use relations between features).

Belongs here: the file's content, and making it from events. Not here: reading or writing files (`whydrift.app`).
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from whydrift.core.monitor import MonitorProfile
from whydrift.core.state import StateError, pack, unpack
from whydrift.core.surrogate import Surrogate

KIND = "profile"
_PARTS = ("inputs", "outputs", "losses", "labels", "delays")
MAX_BYTES = 64 * 1024 * 1024
"""A file said to be larger when decompressed was not written by us."""


class ProfileError(Exception):
    """The operator must act: these events make no reference. The message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One model in health. `keys`: feature keys in the order of `inputs.columns`; the outputs are those of `version`."""

    model_id: str
    version: str
    task: str | None
    events: int
    keys: tuple[str, ...]
    inputs: MonitorProfile
    outputs: MonitorProfile
    losses: MonitorProfile
    labels: MonitorProfile
    delays: MonitorProfile
    surrogate: Surrogate | None

    def snapshot(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).snapshot() for name in _PARTS}
        return {
            "model_id": self.model_id,
            "version": self.version,
            "task": self.task,
            "events": self.events,
            "keys": list(self.keys),
            "surrogate": None if self.surrogate is None else self.surrogate.snapshot(),
            **parts,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Profile":
        parts = {name: MonitorProfile.restore(state[name]) for name in _PARTS}
        surrogate = None if state["surrogate"] is None else Surrogate.restore(state["surrogate"])
        return cls(
            model_id=state["model_id"],
            version=state["version"],
            task=state["task"],
            events=state["events"],
            keys=tuple(state["keys"]),
            surrogate=surrogate,
            **parts,
        )


def write_profile(profiles: Mapping[str, Profile]) -> bytes:
    """A reference file's content."""
    body = {model_id: profile.snapshot() for model_id, profile in sorted(profiles.items())}
    return zlib.compress(pack(KIND, {"models": body}), 9)


def read_profile(data: bytes) -> dict[str, Profile]:
    """Profiles by model id. Raises StateError: no reference file, damaged, or written by a newer whydrift."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise StateError(
            f"this is not a whydrift reference file ({error}); make one with `whydrift profile`"
        ) from error
    if not stream.eof:
        raise StateError("this reference file is cut off; make it anew with `whydrift profile`")
    body = unpack(KIND, raw)
    try:
        return {model_id: Profile.restore(state) for model_id, state in body["models"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StateError(f"this reference file is damaged ({error!r}); make it anew with `whydrift profile`") from error
