"""A small honest pipeline for tests of the worker: its whole truth is how many records it saw and what they summed up to.

Every `every`-th record it says so in a diagnosis; a record that is not a number is rejected. Its state has a section that changes
with every record, one that never changes, and one as large as asked for.
"""

import json
from collections.abc import Mapping, Sequence

from whydrift.core.records import Emit, Output, Record, Reject
from whydrift.core.state import StateError, pack, unpack
from whydrift.core.status import OpenIncident, PartitionStatus
from whydrift_schemas import Diagnosis, RejectReason, encode

REASON = next(iter(RejectReason))


class CountingPipeline:
    def __init__(self, partition: int, every: int, ballast: bytes, seen: int = 0, total: int = 0) -> None:
        self.partition, self.every, self.ballast = partition, every, ballast
        self.seen, self.total = seen, total

    def process(self, records: Sequence[Record]) -> list[Output]:
        return [output for record in records for output in self._one(record)]

    def _one(self, record: Record) -> list[Output]:
        if record.value is None or not record.value.isdigit():
            return [Reject(record, REASON, f"not a number: {record.value!r:.20}")]
        self.seen += 1
        self.total += int(record.value)
        if self.seen % self.every:
            return []
        return [Emit(record.offset, counted(self.partition, record.offset, self.seen, self.total))]

    def snapshot(self) -> dict[str, bytes]:
        sums = pack("sums", {"seen": self.seen, "total": self.total})
        return {"partition": sums, "constant": pack("constant", {"every": self.every}), "ballast": self.ballast}

    def open_incidents(self) -> tuple[OpenIncident, ...]:
        return ()

    def status(self) -> PartitionStatus:
        return PartitionStatus("events", self.partition, None, None, self.seen)


class CountingPipelines:
    def __init__(self, every: int = 3, ballast: bytes = b"") -> None:
        self._every, self._ballast = every, ballast

    def create(self, partition: int) -> CountingPipeline:
        return CountingPipeline(partition, self._every, self._ballast)

    def restore(self, partition: int, sections: Mapping[str, bytes]) -> CountingPipeline:
        if sections["ballast"] != self._ballast:
            raise StateError("the ballast was damaged")
        sums = unpack("sums", sections["partition"])
        return CountingPipeline(partition, self._every, self._ballast, sums["seen"], sums["total"])


def counted(partition: int, offset: int, seen: int, total: int) -> Diagnosis:
    """A diagnosis that carries these numbers in its summary."""
    return Diagnosis.model_validate(
        {
            "kind": "diagnosis",
            "incident_id": f"incident-{partition}",
            "sequence": seen,
            "status": "opened",
            "model_id": f"model-{partition}",
            "model_versions": ["1"],
            "severity": "warning",
            "onset_at": "2026-11-23T16:45:00Z",
            "detected_at": "2026-11-23T16:46:00Z",
            "resolved_at": None,
            "detected": {"partition": partition, "offset": offset},
            "summary": json.dumps([partition, offset, seen, total]),
            "causes": [],
            "ruled_out": [],
            "evidence": [],
            "impact": None,
        }
    )


def expected(values: Sequence[tuple[int, bytes]], partition: int = 0, every: int = 3) -> list[bytes]:
    """What an undisturbed pipeline says of these (offset, value) pairs, encoded."""
    pipeline = CountingPipeline(partition, every, b"")
    outputs = pipeline.process([Record("events", partition, offset, value) for offset, value in values])
    return [encode(output.diagnosis) for output in outputs if isinstance(output, Emit)]
