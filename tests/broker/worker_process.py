"""A worker as a process of its own, so that it can be killed: `worker_process.py` and the settings as JSON.

Prints a line when it is ready and one for each commit, and stops on SIGTERM.
"""

import json
import signal
import sys
import threading
from pathlib import Path

from whydrift.shell.connect import connect
from whydrift.shell.kafka_settings import KafkaSettings, Topics
from whydrift.shell.worker import Worker

sys.path.insert(0, str(Path(__file__).parent))


def main(settings_json: str) -> None:
    from counting import CountingPipelines  # type: ignore[import-not-found]

    given = json.loads(settings_json)
    settings = KafkaSettings(**{**given, "topics": Topics(**given["topics"])})
    worker = Worker(settings, CountingPipelines(), connect)
    signal.signal(signal.SIGTERM, lambda number, frame: worker.stop())
    over = threading.Event()
    threading.Thread(target=_report, args=(worker, over), daemon=True).start()
    worker.run()
    over.set()
    print("stopped", flush=True)


def _report(worker: Worker, over: threading.Event) -> None:
    told = ""
    while not over.wait(0.01):
        status = worker.status()
        line = f"ready={status.ready} records={status.records} commits={status.commits}"
        if line != told:
            print(line, flush=True)
            told = line


if __name__ == "__main__":
    main(sys.argv[1])
