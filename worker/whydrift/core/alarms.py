"""Alarms of single signals: raised where evidence crosses its threshold, over when no evidence comes any more.

Belongs here: how long an alarm lasts. Not here: evidence (`evidence`), what an alarm means (`incidents`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whydrift.core.evidence import EvidenceProcess

_BLOCK_ROWS = (200, 5_000)
"""Bounds of the block after which an alarmed signal is asked whether its change still lasts."""
_QUIET_BLOCKS = 2
"""Blocks in a row without renewed evidence after which a signal has recovered."""


@dataclass(slots=True)
class Alarm:
    """A signal that crossed its threshold, `took_rows` rows after its onset.

    A block of `block_rows` must renew the evidence, or counts as quiet.
    """

    signal: str
    onset_ms: int
    onset_offset: int
    took_rows: int
    block_rows: int
    block_start: int
    quiet_blocks: int = 0

    @classmethod
    def raised(cls, signal: str, number: int, evidence: EvidenceProcess, rows_seen: int) -> "Alarm":
        """The signal with this number in the evidence crossed its threshold after so many rows."""
        onset_ms, onset_offset = evidence.onset(number)
        took = rows_seen - evidence.onset_row(number)
        # The evidence of a lasting change comes in bursts: what took so long may next time take three times as long.
        block = int(np.clip(3 * took, *_BLOCK_ROWS))
        evidence.follow(number, rows_seen)
        return cls(signal, onset_ms, onset_offset, took, block, rows_seen)

    def is_over(self, number: int, evidence: EvidenceProcess, rows_seen: int, log10_threshold: float) -> bool:
        """Whether no evidence has come for long enough, which is then forgotten: the strongest bet fell as far as it had to rise
        for the alarm, or two blocks in a row brought nothing.
        """
        if not evidence.is_followed(number):  # it began anew under the alarm, with another release's bets
            evidence.follow(number, rows_seen)
        fall, since = evidence.fallen(number)
        if fall >= log10_threshold * np.log(10) and rows_seen - since >= _QUIET_BLOCKS * _BLOCK_ROWS[0]:
            evidence.reset(number)
            return True
        if rows_seen - self.block_start < self.block_rows:
            return False
        is_quiet = evidence.recent_log10(number) < log10_threshold / 2
        self.quiet_blocks = self.quiet_blocks + 1 if is_quiet else 0
        self.block_start = rows_seen
        evidence.forget_recent(number)
        if self.quiet_blocks < _QUIET_BLOCKS:
            return False
        evidence.reset(number)
        return True

    def snapshot(self) -> list[Any]:
        return [getattr(self, name) for name in _FIELDS]

    @classmethod
    def restore(cls, state: Sequence[Any]) -> "Alarm":
        return cls(*state)


_FIELDS = ("signal", "onset_ms", "onset_offset", "took_rows", "block_rows", "block_start", "quiet_blocks")
