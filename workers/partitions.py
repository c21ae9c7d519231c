"""The partitions of one Kafka topic that are ours: where each stands, and which stand still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import LogTruncationError, OffsetOutOfRangeError
from prometheus_client import Gauge

from workers.ingest import Record, Topic

LAG = Gauge("ledger_tracking_lag_records", "Records behind the partition's end", ["partition"])
OUT_OF_RANGE = Gauge(
    "ledger_tracking_out_of_range", "1: stopped, its offset is not in Kafka any more", ["partition"]
)

log = structlog.get_logger()


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Keeps new partitions still until they stand where the ledger's offsets say.

    Called within `poll`; the place itself is not read here, on Kafka's own event loop.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self.changed = False

    def on_partitions_revoked(self, _revoked: Iterable[TopicPartition]) -> None:
        self.changed = True

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        for partition in assigned:
            self._consumer.seek(partition, 0)
            self._consumer.pause(partition)
        self.changed = True


class Partitions:
    """What a consumer group gave us of a topic. The group shares out; it remembers nothing.

    `poll` answers None when the places have to be read anew from the ledger (`place`).
    """

    def __init__(self, topic: Topic, **options: Any) -> None:
        """`options` are those of KafkaConsumer, which connects. Raises KafkaError."""
        self._topic = topic
        self._consumer = KafkaConsumer(**options)
        self._assignment = _Assignment(self._consumer)
        self._consumer.subscribe([topic.name], listener=self._assignment)
        self._alarms: dict[int, int | None] = {}  # partition -> offset that is out of range
        self.next: dict[int, int | None] = {}  # partition -> offset in the ledger, None: no row

    @property
    def alarming(self) -> bool:
        return bool(self._alarms)

    def close(self, timeout_ms: int) -> None:
        """Leave the group, so that others take over at once. Raises KafkaError."""
        self._consumer.close(autocommit=False, timeout_ms=timeout_ms)

    def poll(self, timeout_ms: int, records_max: int) -> list[Record] | None:
        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=records_max)
        except OffsetOutOfRangeError as error:
            self._alarm(error.args[0])
            return None
        except LogTruncationError as error:
            self._alarm(error.divergent_offsets)
            return None
        if self._assignment.changed:
            return None  # What was polled is read again from its place.
        return [
            Record(place.partition, one.offset, one.key, one.value, one.headers)
            for place, found in polled.items()
            for one in found
        ]

    def advance(self, records: Iterable[Record]) -> None:
        """These are in the ledger, and the offsets behind them."""
        self.next |= {record.partition: record.offset + 1 for record in records}

    def place(self, offsets: Mapping[int, int]) -> None:
        """Go on from where the ledger's offsets say; a partition that is not there, from its
        beginning; one that alarms, not at all.
        """
        self._assignment.changed = False
        LAG.clear()
        ours = {place.partition: place for place in self._consumer.assignment()}
        self.next = {partition: offsets.get(partition) for partition in ours}
        self._alarms = {p: offset for p, offset in self._alarms.items() if p in ours}
        for partition, place in ours.items():
            if partition not in self._alarms:
                self._go_on(place)

    def look_again(self, offsets: Mapping[int, int]) -> None:
        """Alarms whose offset somebody has set anew are over; the others are cried out again."""
        decided = [p for p, offset in self._alarms.items() if offsets.get(p) != offset]
        for partition in decided:
            del self._alarms[partition]
        for partition in self._alarms:
            self._cry(partition)
        if decided:
            self.place(offsets)

    def measure(self) -> None:
        for place in self._consumer.assignment():
            end, offset = self._consumer.highwater(place), self.next.get(place.partition)
            if end is not None and offset is not None:
                LAG.labels(place.partition).set(max(0, end - offset))

    def _go_on(self, place: TopicPartition) -> None:
        offset = self.next[place.partition]
        if offset is None:
            self._consumer.seek_to_beginning(place)
        else:
            self._consumer.seek(place, offset)
        self._consumer.resume(place)
        OUT_OF_RANGE.labels(place.partition).set(0)

    def _alarm(self, places: Iterable[TopicPartition]) -> None:
        """Stop these partitions: records are missing in Kafka, and somebody has to decide."""
        for place in places:
            self._consumer.pause(place)
            self._alarms[place.partition] = self.next.get(place.partition)
            self._cry(place.partition)

    def _cry(self, partition: int) -> None:
        OUT_OF_RANGE.labels(partition).set(1)
        log.error(
            "KAFKA DOES NOT HAVE THE RECORDS THAT COME NEXT: this partition stands still until "
            "next_offset in ingest_offset is set by hand to a record that there is",
            topic=self._topic.name,
            topic_id=self._topic.topic_id,
            partition=partition,
            next_offset=self._alarms[partition],
        )
