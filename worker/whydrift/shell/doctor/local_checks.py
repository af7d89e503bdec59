"""The doctor's look at this machine: reference files, the port of the pages, what pages need to draw.

Belongs here: files, ports and packages. Not here: anything over the network.
"""

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from whydrift.core.profile import Profile
from whydrift.core.settings import Settings
from whydrift.shell.doctor.finding import Finding, fail, ok, warn
from whydrift.shell.pages.plates import can_draw
from whydrift.shell.references import ReferenceFileError, read_references
from whydrift.shell.telemetry_settings import HttpSettings
from whydrift.shell.terminal import printable_text

_MOST_BLIND = 5
"""Models whose blind spots are told one by one."""


def check_references(paths: Sequence[Path], core: Settings) -> tuple[list[Finding], Mapping[str, Profile]]:
    """One finding a file, and what the good ones hold together."""
    found: list[Finding] = []
    known: dict[str, Profile] = {}
    for path in paths:
        try:
            profiles = read_references([path])
        except ReferenceFileError as error:
            found.append(
                fail("references", str(error), f"`whydrift profile HEALTHY.jsonl --output {path}` makes it anew")
            )
            continue
        twice = sorted(profiles.keys() & known.keys())
        if twice:
            told = f"{path} knows {printable_text(twice[0])}, and so does a file before it"
            found.append(fail("references", told, "leave one of them out of `references`"))
        known |= profiles
        models = ", ".join(printable_text(model_id) for model_id in sorted(profiles)[:5])
        found.append(ok("references", f"{path}: {len(profiles)} models ({models}{' …' if len(profiles) > 5 else ''})"))
        found += _blind_spots(path, profiles, core)
    if not paths:
        found.append(ok("references", "none: the first events of each model are taken for health"))
    return found, known


def _blind_spots(path: Path, profiles: Mapping[str, Profile], core: Settings) -> Iterator[Finding]:
    blind = {model_id: spots for model_id, profile in sorted(profiles.items()) if (spots := profile.blind_spots(core))}
    mend = "`whydrift profile` on more healthy events, over whole weeks, with their labels"
    for model_id in list(blind)[:_MOST_BLIND]:
        for spot in blind[model_id]:
            yield warn("references", printable_text(f"{path}: {model_id}: {spot.text}"), mend)
    if len(blind) > _MOST_BLIND:
        yield warn("references", f"{path}: {len(blind) - _MOST_BLIND:,} more models have blind spots", mend)


def check_http(settings: HttpSettings) -> Iterator[Finding]:
    """Whether pages and metrics can be served where they are to be."""
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            told = f"{where} is taken: by a worker that runs here, or by somebody else"
            yield warn("http", told, "if no worker runs here, choose another http.port")
        else:
            yield fail("http", f"{where} cannot be used: {error.strerror or error}", "set http.host and http.port")
    else:
        yield ok("http", f"{where} is free")


def check_graphs() -> Iterator[Finding]:
    """Whether pages have graphs."""
    if can_draw():
        yield ok("graphs", "matplotlib is installed")
    else:
        yield warn("graphs", "pages show tables instead of graphs", "`pip install 'whydrift[graphs]'`")
