"""Files that are there in whole or not at all.

Belongs here: writing them, and finding out beforehand whether one can. Raises OSError; who asked says what the file was for.
"""

import os
from pathlib import Path


def check_writable(path: Path) -> None:
    """Before hours of reading: whether `write_whole` could write here."""
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory")
    beside = _beside(path)
    beside.touch()
    beside.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Whoever reads meanwhile reads the old file or the new one."""
    beside = _beside(path)
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.part")
