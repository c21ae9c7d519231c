-- Where the tracking worker stands in Kafka, and what it could not apply. Each is written in the
-- transaction of the append that belongs to it.

-- A topic made anew has another id, and another cluster another one: their offsets start afresh.
CREATE TABLE ingest_offset (
    cluster_id  text   NOT NULL,
    topic_id    text   NOT NULL,
    "partition" int    NOT NULL,
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    PRIMARY KEY (cluster_id, topic_id, "partition")
);

-- Updates of parcels that the ledger does not know yet; taken when the parcel is dispatched.
-- `source` is cluster/topic id/partition/offset, `tracking` the claim `carrier/number`, `record` is
-- sealed.
CREATE TABLE waiting_update (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text        NOT NULL UNIQUE,
    tracking    text        NOT NULL,
    record      bytea       NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX waiting_update_tracking ON waiting_update (tracking);

-- Records that nobody could read, with the reason. `sent_at`: copied to the dead-letter topic;
-- `resent_at`: given back to the topic it came from. Key, record and headers are sealed; `headers`
-- is JSON [[name, base64]].
CREATE TABLE dead_letter (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text        NOT NULL UNIQUE,
    reason      text        NOT NULL,
    record_key  bytea,
    record      bytea,
    headers     bytea,
    received_at timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz,
    resent_at   timestamptz
);
CREATE INDEX dead_letter_unsent ON dead_letter (id) WHERE sent_at IS NULL;
