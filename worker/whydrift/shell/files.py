"""Files that are there in whole or not at all, and what to do about one that cannot be read or written.

Belongs here: writing them, finding out beforehand whether one can, and the words for what the system answers. Raises OSError; who
asked says what the file was for.
"""

import errno
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where to write what is to be at `path`: a file beside it until it is whole, or itself (a pipe)."""

    path: Path
    draft: Path

    def keep(self) -> None:
        """Whoever reads meanwhile reads the old file or the new one."""
        if self.draft != self.path:
            self.draft.replace(self.path)

    def drop(self) -> None:
        """As if nothing had been written."""
        if self.draft != self.path:
            self.draft.unlink(missing_ok=True)


def place(path: Path) -> Place:
    """For one file; a link is followed, so that it stays one."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        return Place(path, path)
    there = path.resolve()
    return Place(there, there.with_name(f"{there.name}.{os.getpid()}.part"))


def check_writable(path: Path) -> None:
    """Before hours of reading: whether `write_whole` could write here."""
    found = place(path)
    if found.draft != found.path:
        found.draft.touch()
        found.drop()


def write_whole(path: Path, content: bytes) -> None:
    """All of it, or nothing."""
    found = place(path)
    try:
        found.draft.write_bytes(content)
        found.keep()
    except BaseException:  # Ctrl-C leaves no half file either
        found.drop()
        raise


# --- words


def unreadable(path: Path, error: OSError) -> str:
    """What is wrong and what to do, for one line: `… cannot be read: ` goes before it."""
    known = {
        errno.ENOENT: f"there is no such file{_seen_from(path)}: mend the path (in a container: the mount)",
        errno.ENOTDIR: "a part of the path is a file, not a folder: mend the path",
        errno.EISDIR: "it is a folder: name a file (Docker makes one where a file to be mounted is missing)",
        errno.EACCES: f"user {os.geteuid()} may not read it: give it to that user, or `chmod a+r` it and `a+x` its folders",
        errno.ELOOP: "its links lead round in a circle: mend the path",
        errno.ENAMETOOLONG: "its name is too long for the system: mend the path",
    }
    return known.get(error.errno or 0, error.strerror or str(error))


def unwritable(path: Path, error: OSError) -> str:
    """What is wrong and what to do, for one line: `… cannot be written: ` goes before it."""
    folder = path.parent
    known = {
        errno.ENOENT: f"the folder {folder} does not exist: make it (`mkdir -p`), or name another path",
        errno.ENOTDIR: f"{folder} is no folder: name another path",
        errno.EISDIR: "it is a folder: name a file in it",
        errno.EACCES: f"user {os.geteuid()} may not write in {folder}: name a folder that this user may write in",
        errno.EROFS: f"{folder} is read-only: name a folder that can be written (in a container: a mounted volume)",
        errno.ENOSPC: f"the disk is full: make room where {folder} is (`df -h`), or name a path on another disk",
        errno.EDQUOT: f"the quota is used up: make room where {folder} is, or name a path on another disk",
        errno.EBUSY: "it is mounted as a single file: mount its folder, and name a file in it",
        errno.ENAMETOOLONG: "the name is too long for the file system: name a shorter one",
    }
    known[errno.EPERM] = known[errno.EACCES]
    return known.get(error.errno or 0, error.strerror or str(error))


def _seen_from(path: Path) -> str:
    return "" if path.is_absolute() else f" in {Path.cwd()}"
