"""The servers of the embedded default: PostgreSQL, Kafka and a mail catcher, on loopback only."""
