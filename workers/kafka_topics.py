"""Kafka topics by the ledger's names: made where they are missing, and known by their ids."""

from __future__ import annotations

from kafka import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

from commands.settings import Settings
from workers.ingest import Topic

TRACKING = "logistics.tracking.v1"
DEAD = "logistics.tracking.dead"
PARTITIONS = {TRACKING: 6, DEAD: 1}  # at most so many tracking workers have something to do
REQUEST_MS = 10_000


def ensure(settings: Settings) -> None:
    """Make the topics that are missing, replicated as the cluster does by default."""
    with admin(settings) as client:
        wanted = {settings.kafka_topic(name): count for name, count in PARTITIONS.items()}
        missing = wanted.keys() - set(client.list_topics())
        if not missing:
            return
        try:
            client.create_topics(
                {name: {"num_partitions": wanted[name]} for name in missing},
                wait_for_metadata=True,
            )
        except TopicAlreadyExistsError:  # Another process was first.
            client.wait_for_topics([*missing])


def identify(settings: Settings, name: str) -> Topic:
    """Raises UnknownTopicOrPartitionError (retriable) while there is no such topic."""
    with admin(settings) as client:
        cluster = client.describe_cluster()["cluster_id"]
        topics = [t for t in client.describe_topics([name]) if t["name"] == name]
    if not topics or topics[0]["error_code"]:
        raise UnknownTopicOrPartitionError(name)
    return Topic(name, str(cluster), str(topics[0]["topic_id"]))


def admin(settings: Settings) -> KafkaAdminClient:
    return KafkaAdminClient(
        bootstrap_servers=servers(settings),
        request_timeout_ms=REQUEST_MS,
        bootstrap_timeout_ms=REQUEST_MS,
    )


def servers(settings: Settings) -> list[str]:
    return [server.strip() for server in settings.kafka_bootstrap.split(",")]
