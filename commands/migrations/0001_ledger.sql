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
-- The arguments are six tables, each as the arrays of its columns (commands/append.py). `unit` groups
-- what is accepted or missed as a whole; commands and streams are named by their place, from 1.
-- streams:  version that each must still have, and whether the unit writes it; 0 for a stream without
--           events, -1 where versions begin at 0
-- commands: outcome null: answered but not kept
-- events:   command, stream, topic, state, when it was true; in order
-- claims, keys (of persons), audits: what is stored beside
--
-- Answers rows: per accepted command its last position (null without events); for a missed unit
-- why: repeated (with the first outcome), stale (with the version there is), claimed (with the
-- owner), key_taken. A missed unit leaves nothing behind.
CREATE FUNCTION ledger_append(
    stream_units int[], stream_ids uuid[], stream_categories text[], stream_keys text[],
        stream_versions int[], stream_written bool[],
    command_units int[], actors text[], origins text[], command_keys text[], digests bytea[],
        command_ids uuid[], correlation_ids uuid[], causation_ids uuid[], outcomes text[],
    event_commands int[], event_streams int[], topics text[], states bytea[], event_times timestamptz[],
    claim_units int[], claim_kinds text[], claim_keys text[], claim_owners text[],
    key_units int[], persons text[], key_versions int[], wrapped_keys bytea[],
    audit_commands int[], audit_kinds text[], audit_names text[], audit_targets text[],
        audit_codes text[], audit_facts text[])
RETURNS TABLE (unit int, status text, command bigint, at_position bigint, name text, digest bytea, outcome text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
-- Else every call is planned anew, for arrays of just that length: half a millisecond.
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    head    bigint;
    last_at timestamptz;
    stamp   timestamptz;
    missed  int[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- Under a snapshot taken before the lock, the last position would be an old one.
        RAISE EXCEPTION 'ledger_append needs READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger_append.' || current_schema(), 0));
    SELECT e.position, e.recorded_at INTO head, last_at
        FROM ledger_event e ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    stamp := greatest(clock_timestamp(), last_at);

    -- What is there already is looked up by scalar subqueries: a join would be planned once, on an
    -- empty table, and scan for ever after. Joined is only what missed, which is little.
    SELECT array_agg(m.unit) INTO missed FROM (
        SELECT s.unit FROM unnest(stream_units, stream_ids, stream_versions) AS s(unit, id, version)
        WHERE s.version <> coalesce(
            (SELECT max(e.version) FROM ledger_event e WHERE e.stream_id = s.id), least(s.version, 0))
        UNION ALL
        SELECT c.unit FROM unnest(command_units, actors, command_keys) AS c(unit, actor, key)
        WHERE (SELECT true FROM ledger_command k WHERE k.actor = c.actor AND k.key = c.key)
        UNION ALL
        SELECT c.unit FROM unnest(claim_units, claim_kinds, claim_keys) AS c(unit, kind, key)
        WHERE (SELECT true FROM ledger_claim k WHERE k.kind = c.kind AND k.key = c.key)
        UNION ALL
        SELECT p.unit FROM unnest(key_units, persons, key_versions) AS p(unit, person, version)
        WHERE (SELECT true FROM ledger_person_key k WHERE k.person = p.person AND k.version = p.version)
        UNION ALL
        SELECT ledger_raise('a stream stands in two units of one call: ' || s.id)
        FROM unnest(stream_ids, stream_written) AS s(id, written)
        GROUP BY s.id HAVING bool_or(s.written) AND count(*) > 1
    ) AS m;

    IF missed IS NULL THEN
        missed := '{}';
    ELSE
        RETURN QUERY
        SELECT c.unit, 'repeated', c.command, k.position, NULL, k.digest, k.outcome
        FROM unnest(command_units, actors, command_keys) WITH ORDINALITY AS c(unit, actor, key, command)
        JOIN ledger_command k ON k.actor = c.actor AND k.key = c.key
        UNION ALL
        SELECT s.unit, 'stale', NULL, s.found, s.id::text, NULL, NULL
        FROM (
            SELECT s.*, coalesce((SELECT max(e.version) FROM ledger_event e WHERE e.stream_id = s.id),
                                 least(s.version, 0)) AS found
            FROM unnest(stream_units, stream_ids, stream_versions) AS s(unit, id, version)
        ) AS s WHERE s.found <> s.version
        UNION ALL
        SELECT c.unit, 'claimed', NULL, NULL, c.kind || ' ' || c.key, NULL, k.owner
        FROM unnest(claim_units, claim_kinds, claim_keys) AS c(unit, kind, key)
        JOIN ledger_claim k ON k.kind = c.kind AND k.key = c.key
        UNION ALL
        SELECT p.unit, 'key_taken', NULL, NULL, p.person, NULL, NULL
        FROM unnest(key_units, persons, key_versions) AS p(unit, person, version)
        JOIN ledger_person_key k ON k.person = p.person AND k.version = p.version;
    END IF;

    IF claim_units <> '{}' THEN
        INSERT INTO ledger_claim
        SELECT c.kind, c.key, c.owner
        FROM unnest(claim_units, claim_kinds, claim_keys, claim_owners) AS c(unit, kind, key, owner)
        WHERE c.unit <> ALL (missed);
    END IF;
    IF key_units <> '{}' THEN
        INSERT INTO ledger_person_key
        SELECT p.person, p.version, p.wrapped
        FROM unnest(key_units, persons, key_versions, wrapped_keys) AS p(unit, person, version, wrapped)
        WHERE p.unit <> ALL (missed);
    END IF;
    IF audit_commands <> '{}' THEN
        INSERT INTO ledger_audit
        SELECT coalesce((SELECT max(a.position) FROM ledger_audit a), 0) + row_number() OVER (ORDER BY a.nth),
               stamp, a.kind, c.actor, c.origin, c.command_id, c.correlation_id, a.name, a.target, a.code, a.facts
        FROM unnest(audit_commands, audit_kinds, audit_names, audit_targets, audit_codes, audit_facts)
             WITH ORDINALITY AS a(command, kind, name, target, code, facts, nth)
        JOIN unnest(command_units, actors, origins, command_ids, correlation_ids)
             WITH ORDINALITY AS c(unit, actor, origin, command_id, correlation_id, command)
             ON c.command = a.command
        WHERE c.unit <> ALL (missed);
    END IF;

    RETURN QUERY
    WITH cmd AS MATERIALIZED (
        SELECT c.* FROM unnest(command_units, actors, origins, command_keys, digests, command_ids,
                               correlation_ids, causation_ids, outcomes)
             WITH ORDINALITY AS c(unit, actor, origin, key, digest, command_id, correlation_id,
                                  causation_id, outcome, command)
    ), placed AS MATERIALIZED (
        -- LEFT: an event without its stream or command fails as null, leaving no gap.
        SELECT head + row_number() OVER (ORDER BY e.nth) AS position,
               row_number() OVER (PARTITION BY e.stream ORDER BY e.nth) AS nth_of_stream,
               e.stream, e.topic, e.state, e.at, c.unit, c.command, c.actor, c.origin, c.command_id,
               c.correlation_id, c.causation_id
        FROM unnest(event_commands, event_streams, topics, states, event_times)
             WITH ORDINALITY AS e(command, stream, topic, state, at, nth)
        LEFT JOIN cmd c ON c.command = e.command
        WHERE c.unit IS NULL OR c.unit <> ALL (missed)
    ), new_event AS (
        INSERT INTO ledger_event
        SELECT p.position, s.id, s.version + p.nth_of_stream, s.category, s.key, p.topic, p.state, p.at,
               stamp, p.actor, p.origin, p.command_id, p.correlation_id, p.causation_id
        FROM placed p
        LEFT JOIN unnest(stream_units, stream_ids, stream_categories, stream_keys, stream_versions,
                         stream_written)
                  WITH ORDINALITY AS s(unit, id, category, key, version, written, stream)
             ON s.stream = p.stream AND s.unit = p.unit AND s.written
    ), reached AS (
        SELECT p.command, max(p.position) AS last_position FROM placed p GROUP BY p.command
    ), answered AS MATERIALIZED (
        SELECT c.*, r.last_position FROM cmd c LEFT JOIN reached r ON r.command = c.command
        WHERE c.unit <> ALL (missed)
    ), new_command AS (
        INSERT INTO ledger_command
        SELECT a.actor, a.key, a.digest, a.command_id, a.outcome, a.last_position, stamp
        FROM answered a WHERE a.outcome IS NOT NULL
    )
    SELECT a.unit, 'accepted', a.command, a.last_position, NULL, NULL::bytea, NULL FROM answered a;
END $$;

CREATE FUNCTION ledger_raise(message text) RETURNS int LANGUAGE plpgsql AS $$
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

REVOKE ALL ON FUNCTION ledger_append, ledger_audit_append FROM PUBLIC;
