"""One assigned partition while the worker has it: its pipeline, what waits for the next commit, and what was saved last.

Belongs here: bookkeeping of one partition, without any Kafka. Not here: when to commit (`worker`), how state is encoded
(`changelog`).
"""

from collections.abc import Sequence

from whydrift.core.records import Output, Record
from whydrift.shell.changelog import KeyValue, Manifest, Origin, snapshot_records
from whydrift.shell.kafka_settings import RejectLimits
from whydrift.shell.pipelines import PartitionPipeline
from whydrift.shell.reject_limit import RejectLimit
from whydrift.shell.resume import Resume
from whydrift.shell.worker_status import PartitionProgress, Phase


class PartitionTask:
    """`manifest` is that of the snapshot the pipeline was restored from, None for a new one."""

    def __init__(
        self,
        origin: Origin,
        pipeline: PartitionPipeline,
        resume: Resume,
        manifest: Manifest | None,
        limits: RejectLimits,
    ) -> None:
        self.pipeline = pipeline
        self.outputs: list[Output] = []
        self.records = 0
        """Records since the last commit, outputs of which are in `outputs`."""
        self.next_offset = resume.read_from
        self.last_snapshot_s: float | None = None
        self._origin = origin
        self._resume = resume
        self._manifest = manifest
        self._saved_offset = None if manifest is None else manifest.next_offset
        self._limit = RejectLimit(limits)

    @property
    def phase(self) -> Phase:
        return Phase.CATCHING_UP if self.next_offset < self._resume.publish_from else Phase.RUNNING

    @property
    def unsaved(self) -> bool:
        """Its state is not what the last snapshot says, and may be saved: not while it catches up."""
        return self.phase is Phase.RUNNING and self._saved_offset != self.next_offset

    def process(self, records: Sequence[Record]) -> None:
        """Records before `publish_from` only bring the pipeline's state to where it was. Raises TooManyRejects."""
        publish_from = self._resume.publish_from
        if records[0].offset < publish_from:
            again = [record for record in records if record.offset < publish_from]
            records = records[len(again) :]
            self.pipeline.process(again)
            self.next_offset = again[-1].offset + 1
        if records:
            outputs = self.pipeline.process(records)
            self._limit.check(records, outputs)
            self.outputs += outputs
            self.records += len(records)
            self.next_offset = records[-1].offset + 1

    def caught_up_at(self, position: int | None) -> None:
        """The client says that nothing is left before `position`: only transaction markers, or records that are gone."""
        if position is not None and self.next_offset < self._resume.publish_from <= position:
            self.next_offset = self._resume.publish_from

    def snapshot(self) -> tuple[Manifest, list[KeyValue]]:
        return snapshot_records(self._origin, self.next_offset, self.pipeline.snapshot(), self._manifest)

    def committed(self) -> None:
        self.outputs, self.records = [], 0

    def saved(self, manifest: Manifest, now_s: float) -> None:
        self._manifest, self._saved_offset, self.last_snapshot_s = manifest, manifest.next_offset, now_s

    def progress(self, end: int | None, position: int | None) -> PartitionProgress:
        behind = None if end is None else max(0, end - max(self.next_offset, position or 0))
        span = self._resume.publish_from - self._resume.read_from
        done = 1.0 if span <= 0 else min(1.0, (self.next_offset - self._resume.read_from) / span)
        return PartitionProgress(self._origin.partition, self.phase, self.next_offset, behind, 0.5 + done / 2)
