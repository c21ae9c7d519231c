-- depends: 0002_tracking
-- Where the worker of a payment provider stands in the ledger, and what it has to look after. All
-- of it follows from the ledger: without these rows it would read from the start.

CREATE TABLE provider_place (
    provider text   PRIMARY KEY,
    position bigint NOT NULL
);

-- `kind`: notice, refund, capture or void; `id` its id; `order_ref` the order's id, or what a
-- notice calls it; `tries` so far.
CREATE TABLE provider_task (
    provider  text        NOT NULL,
    kind      text        NOT NULL,
    id        text        NOT NULL,
    order_ref text        NOT NULL,
    tries     int         NOT NULL DEFAULT 0,
    since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, kind, id)
);
CREATE INDEX provider_task_due ON provider_task (provider, due_at);
CREATE INDEX provider_task_order ON provider_task (provider, order_ref);
