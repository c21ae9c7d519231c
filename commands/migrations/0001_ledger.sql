-- The ledger itself. Run with search_path = <ledger>, pg_temp by the owner; see commands/migrate.py.

CREATE TABLE ledger_event (
    position       bigint      PRIMARY KEY,
    stream_id      uuid        NOT NULL,
    version        int         NOT NULL CHECK (version >= 0),  -- from 1; 0 only where others number so
    category       text        NOT NULL,
    key            text        NOT NULL,
    topic          text        NOT NULL,
    state          bytea       NOT NULL,
    -- In microseconds these are integers that JSON holds exactly, as the Merkle leaf needs them.
    occurred_at    timestamptz NOT NULL CHECK (occurred_at BETWEEN '1700-01-01 UTC' AND '2250-01-01 UTC'),
    recorded_at    timestamptz NOT NULL,
    actor          text        NOT NULL,
    origin         text        NOT NULL,
    command_id     uuid        NOT NULL,
    correlation_id uuid        NOT NULL,
    causation_id   uuid,
    UNIQUE (stream_id, version)
);

-- What was answered to whom, for ever. `position` is that of the command's last event.
CREATE TABLE ledger_command (
    actor       text        NOT NULL,
    key         text        NOT NULL,
    digest      bytea       NOT NULL,
    command_id  uuid        NOT NULL,
    outcome     text        NOT NULL,
    position    bigint,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);

-- Natural keys that belong to one owner for ever: order numbers, external references, tracking numbers.
CREATE TABLE ledger_claim (
    kind  text NOT NULL,
    key   text NOT NULL,
    owner text NOT NULL,
    PRIMARY KEY (kind, key)
);

-- Keys of personal data, wrapped by the master key. A destroyed key keeps its row without `wrapped`.
CREATE TABLE ledger_person_key (
    person  text  NOT NULL,
    version int   NOT NULL,
    wrapped bytea,
    PRIMARY KEY (person, version)
);

-- Refusals, and looks at personal data: facts beside the ledger, with their own gap-free position.
CREATE TABLE ledger_audit (
    position       bigint      PRIMARY KEY,
    recorded_at    timestamptz NOT NULL,
    kind           text        NOT NULL,
    actor          text        NOT NULL,
    origin         text        NOT NULL,
    command_id     uuid        NOT NULL,
    correlation_id uuid        NOT NULL,
    command        text        NOT NULL,
    target         text        NOT NULL,
    code           text        NOT NULL,
    facts          text        NOT NULL
);

CREATE VIEW ledger_event_json AS
SELECT position, stream_id, version, category, key, topic, convert_from(state, 'UTF8')::jsonb AS state,
       occurred_at, recorded_at, actor, origin, command_id, correlation_id, causation_id
FROM ledger_event;

CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: what is recorded stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_event
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_command
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_claim
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_audit
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Appends units of events. The lock falls only after the commit is visible, so whoever has seen
-- position n has seen everything below n (ADR 0003).
--
-- streams:  [{unit, stream_id, expected, written, empty?}]  version that each must still have;
--           `empty` is what a stream without events counts as, 0 by default
-- events:   [{unit, command, stream_id, category, key, topic, state or state_hex, occurred_at}]
--           in order
-- commands: [{unit, command, actor, origin, key, digest, command_id, correlation_id, causation_id,
--             outcome, audit?}]  outcome null: not kept; audit: {kind, command, target, code, facts}
-- claims:   [{unit, kind, key, owner}]
-- keys:     [{unit, person, version, wrapped}]
--
-- Answers rows: per accepted command its last position (null without events); for a missed unit
-- why: repeated (with the first outcome), stale (with the version there is), claimed (with the
-- owner), key_taken. A missed unit leaves nothing behind.
CREATE FUNCTION ledger_append(streams json, events json, commands json, claims json, keys json)
RETURNS TABLE (unit int, status text, command int, at_position bigint, name text, digest bytea, outcome text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    head    bigint;
    last_at timestamptz;
    stamp   timestamptz;
    audited bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- Under a snapshot taken before the lock, max(position) would be an old one.
        RAISE EXCEPTION 'ledger_append needs READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger_append.' || current_schema(), 0));
    SELECT e.position, e.recorded_at INTO head, last_at
        FROM ledger_event e ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    stamp := greatest(clock_timestamp(), last_at);
    SELECT max(a.position) INTO audited FROM ledger_audit a;

    -- Versions and first outcomes are looked up by scalar subqueries: a join would be planned once,
    -- on an empty table, and scan for ever after.
    RETURN QUERY
    WITH strm AS MATERIALIZED (
        SELECT s.*,
               coalesce((SELECT max(e.version) FROM ledger_event e WHERE e.stream_id = s.stream_id),
                        s.empty, 0) AS found
        FROM json_to_recordset(streams) AS s(
            unit int, stream_id uuid, expected int, written bool, empty int)
    ), cmd AS MATERIALIZED (
        SELECT c.*, decode(c.digest, 'hex') AS digest_bytes,
               (SELECT k FROM ledger_command k WHERE k.actor = c.actor AND k.key = c.key) AS first
        FROM json_to_recordset(commands) AS c(
            unit int, command int, actor text, origin text, key text, digest text, command_id uuid,
            correlation_id uuid, causation_id uuid, outcome text, audit json)
    ), claim AS MATERIALIZED (
        SELECT c.*,
               (SELECT k.owner FROM ledger_claim k WHERE k.kind = c.kind AND k.key = c.key) AS found
        FROM json_to_recordset(claims) AS c(unit int, kind text, key text, owner text)
    ), person AS MATERIALIZED (
        SELECT c.*,
               (SELECT k.version FROM ledger_person_key k
                WHERE k.person = c.person AND k.version = c.version) AS found
        FROM json_to_recordset(keys) AS c(unit int, person text, version int, wrapped text)
    ), missed AS MATERIALIZED (
        SELECT c.unit, 'repeated' AS status, c.command, (c.first).position AS at_position,
               NULL AS name, (c.first).digest AS digest, (c.first).outcome AS outcome
        FROM cmd c WHERE (c.first).actor IS NOT NULL
        UNION ALL
        SELECT s.unit, 'stale', NULL, s.found, s.stream_id::text, NULL, NULL
        FROM strm s WHERE s.found <> s.expected
        UNION ALL
        SELECT c.unit, 'claimed', NULL, NULL, c.kind || ' ' || c.key, NULL, c.found
        FROM claim c WHERE c.found IS NOT NULL
        UNION ALL
        SELECT p.unit, 'key_taken', NULL, NULL, p.person, NULL, NULL FROM person p WHERE p.found IS NOT NULL
        UNION ALL
        SELECT NULL, ledger_raise('a stream stands in two units of one call: ' || s.stream_id),
               NULL, NULL, NULL, NULL, NULL
        FROM strm s GROUP BY s.stream_id HAVING bool_or(s.written) AND count(*) > 1
    ), placed AS MATERIALIZED (
        SELECT head + row_number() OVER (ORDER BY e.ordinality) AS position,
               row_number() OVER (PARTITION BY e.stream_id ORDER BY e.ordinality) AS nth, e.*
        FROM ROWS FROM (json_to_recordset(events) AS (
            unit int, command int, stream_id uuid, category text, key text, topic text, state text,
            state_hex text, occurred_at timestamptz)) WITH ORDINALITY AS e
        WHERE NOT EXISTS (SELECT FROM missed m WHERE m.unit = e.unit)
    ), new_event AS (
        INSERT INTO ledger_event
        SELECT p.position, p.stream_id, s.expected + p.nth, p.category, p.key, p.topic,
               coalesce(convert_to(p.state, 'UTF8'), decode(p.state_hex, 'hex')), p.occurred_at, stamp, c.actor, c.origin,
               c.command_id, c.correlation_id, c.causation_id
        FROM placed p  -- LEFT: an event without its stream or command fails as null, leaving no gap
        LEFT JOIN strm s ON s.stream_id = p.stream_id AND s.unit = p.unit AND s.written
        LEFT JOIN cmd c ON c.unit = p.unit AND c.command = p.command
    ), reached AS (
        SELECT p.unit, p.command, max(p.position) AS last_position FROM placed p GROUP BY p.unit, p.command
    ), answered AS MATERIALIZED (
        SELECT c.*, r.last_position
        FROM cmd c LEFT JOIN reached r ON r.unit = c.unit AND r.command = c.command
        WHERE NOT EXISTS (SELECT FROM missed m WHERE m.unit = c.unit)
    ), new_command AS (
        INSERT INTO ledger_command
        SELECT a.actor, a.key, a.digest_bytes, a.command_id, a.outcome, a.last_position, stamp
        FROM answered a WHERE a.outcome IS NOT NULL
    ), new_claim AS (
        INSERT INTO ledger_claim
        SELECT c.kind, c.key, c.owner FROM claim c
        WHERE NOT EXISTS (SELECT FROM missed m WHERE m.unit = c.unit)
    ), new_key AS (
        INSERT INTO ledger_person_key
        SELECT p.person, p.version, decode(p.wrapped, 'hex') FROM person p
        WHERE NOT EXISTS (SELECT FROM missed m WHERE m.unit = p.unit)
    ), new_audit AS (
        INSERT INTO ledger_audit
        SELECT coalesce(audited, 0) + row_number() OVER (ORDER BY a.unit, a.command), stamp,
               a.audit->>'kind', a.actor, a.origin, a.command_id, a.correlation_id,
               a.audit->>'command', a.audit->>'target', a.audit->>'code', a.audit->>'facts'
        FROM answered a WHERE a.audit IS NOT NULL
    )
    SELECT a.unit, 'accepted', a.command, a.last_position, NULL, NULL, NULL FROM answered a
    UNION ALL
    SELECT m.unit, m.status, m.command, m.at_position, m.name, m.digest, m.outcome FROM missed m;
END $$;

CREATE FUNCTION ledger_raise(message text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', message USING ERRCODE = 'invalid_parameter_value';
END $$;

-- A look at personal data, recorded before the answer leaves.
CREATE FUNCTION ledger_audit_append(entries json) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    last  bigint;
    stamp timestamptz;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'ledger_audit_append needs READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger_append.' || current_schema(), 0));
    SELECT a.position, a.recorded_at INTO last, stamp
        FROM ledger_audit a ORDER BY a.position DESC LIMIT 1;
    stamp := greatest(clock_timestamp(), stamp);
    INSERT INTO ledger_audit
    SELECT coalesce(last, 0) + row_number() OVER (ORDER BY e.ordinality), stamp,
           e.kind, e.actor, e.origin, e.command_id, e.correlation_id, e.command, e.target, e.code, e.facts
    FROM ROWS FROM (json_to_recordset(entries) AS (
        kind text, actor text, origin text, command_id uuid, correlation_id uuid, command text,
        target text, code text, facts text)) WITH ORDINALITY AS e;
    SELECT max(a.position) INTO last FROM ledger_audit a;
    RETURN last;
END $$;

REVOKE ALL ON FUNCTION ledger_append(json, json, json, json, json), ledger_audit_append(json) FROM PUBLIC;
