"""Reference files, read at start.

Belongs here: the files. Not here: their content (`whydrift.core.profile`), writing them (`whydrift.app`).
"""

from collections.abc import Iterable
from pathlib import Path

from whydrift.core.profile import Profile, read_profile
from whydrift.core.state import StateError
from whydrift.shell.files import unreadable


class ReferenceFileError(Exception):
    """The operator must act: a reference cannot be read. The message names it, and says what to do."""


def read_references(paths: Iterable[Path]) -> dict[str, Profile]:
    """Profiles by model id. Raises ReferenceFileError, also where two files know the same model."""
    profiles: dict[str, Profile] = {}
    origin: dict[str, Path] = {}
    for path in paths:
        for model_id, profile in _read(path).items():
            if model_id in profiles:
                raise ReferenceFileError(
                    f"the model {model_id!r} is in two references, {origin[model_id]} and {path}: leave one out"
                )
            profiles[model_id], origin[model_id] = profile, path
    return profiles


def _read(path: Path) -> dict[str, Profile]:
    try:
        return read_profile(path.read_bytes())
    except OSError as error:
        raise ReferenceFileError(f"the reference {path} cannot be read: {unreadable(path, error)}") from error
    except StateError as error:
        raise ReferenceFileError(f"the reference {path} cannot be used: {error}") from error
