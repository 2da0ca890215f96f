-- Views and macros over an archive, for DuckDB 1.4 or newer. docs/querying.md says how to use them.
--
--     SET VARIABLE archive = 'audit/archive';    -- without this: tachograph-data/archive
--     .read docs/views.sql
--
-- Everything here reads the archive as it lies, each time it is asked, and writes nothing.

SET VARIABLE archive = rtrim(coalesce(getvariable('archive'), 'tachograph-data/archive'), '/');

-- == The records ==

-- Every record: the typed columns, the body, and of the path `class` and `day`.
-- DuckDB has microseconds; the nanoseconds are in the body and in the leaf.
CREATE OR REPLACE VIEW records AS
SELECT * FROM read_parquet(getvariable('archive') || '/records/**/*.parquet', hive_partitioning = true);

-- What a model made of what.
CREATE OR REPLACE VIEW generations AS
SELECT index, timestamp, event_id, service_name, actor_id, session_id, team, provider, model, model_version,
       body ->> '$.prompt' AS prompt, body ->> '$.negative_prompt' AS negative_prompt, body ->> '$.output' AS output,
       body -> '$.parameters' AS parameters, output_path, output_hash, input_hash, tokens_in, tokens_out, cost, cost_currency,
       duration_ns / 1e6 AS duration_ms, outcome, outcome_reason,
       coalesce((body -> '$.content_flags')::VARCHAR[], []) AS content_flags, correlation_id, trace_id, day
FROM records WHERE kind = 'generation';

-- What an agent decided, why, and how sure it was.
CREATE OR REPLACE VIEW decisions AS
SELECT index, timestamp, event_id, service_name, agent_id, agent_version, decision_type, actor_id, resource_type, resource_id,
       model, model_version, threshold, confidence, body ->> '$.raw_output' AS raw_output, final_decision,
       outcome, outcome_reason, body -> '$.inputs' AS inputs, input_hash, body -> '$.decision_steps' AS decision_steps,
       body -> '$.outputs' AS outputs, body -> '$.state_before' AS state_before, body -> '$.state_after' AS state_after,
       correlation_id, parent_id, day
FROM records WHERE kind = 'agent_decision';

-- What failed, or was blocked or cancelled.
CREATE OR REPLACE VIEW failures AS
SELECT index, timestamp, event_id, kind, service_name, actor_id, team, action_type, provider, model, outcome, outcome_reason,
       error_type, body ->> '$.error' AS error, coalesce((body -> '$.content_flags')::VARCHAR[], []) AS content_flags,
       correlation_id, day
FROM records WHERE outcome IN ('failure', 'blocked', 'cancelled');

-- Money and tokens. Calls without a cost are counted, so that a sum over half of them does not look like all.
CREATE OR REPLACE VIEW cost_by_model_and_team AS
SELECT team, provider, model, cost_currency, count(*) AS calls, count(*) FILTER (outcome = 'failure') AS failed,
       count(*) FILTER (cost IS NULL) AS without_cost, sum(tokens_in)::BIGINT AS tokens_in, sum(tokens_out)::BIGINT AS tokens_out,
       sum(cost) AS cost
FROM records WHERE kind = 'generation' GROUP BY ALL ORDER BY cost DESC NULLS LAST, calls DESC;

-- == Retention (docs/format.md, sections 6 and 8) ==

-- The commits, in order, without their signatures.
CREATE OR REPLACE VIEW commits AS
SELECT (c ->> '$.first')::BIGINT AS first, (c ->> '$.count')::BIGINT AS count, c ->> '$.root' AS root, c ->> '$.last_hash' AS last_hash,
       c ->> '$.prev_commit_sha256' AS prev_commit_sha256, sha256(content) AS commit_sha256, c ->> '$.ledger' AS ledger,
       c -> '$.objects' AS objects, c ->> '$.lock' AS lock, c ->> '$.writer' AS writer, parse_filename(filename) AS name
FROM (SELECT split_part(content, chr(10), 2)::JSON AS c, content, filename FROM read_text(getvariable('archive') || '/commit/*'))
ORDER BY first;

-- The objects that commits name, and until when each is kept at least (UTC); no date where none is signed.
CREATE OR REPLACE VIEW objects AS
SELECT first, object ->> '$.path' AS path, object ->> '$.type' AS type, object ->> '$.class' AS class, (object ->> '$.rows')::BIGINT AS rows,
       (object ->> '$.size')::BIGINT AS size, object ->> '$.sha256' AS sha256, lock,
       make_timestamp((object ->> '$.retain_until')::BIGINT * 1000000) AS kept_until
FROM (SELECT first, lock, unnest(objects::JSON[]) AS object FROM commits);

-- What the recorder itself says of holds, destruction and leftovers. Only the files of its own class are read, and of those only what a
-- commit names: a file that was slipped in can't speak for the recorder, nor excuse itself.
CREATE OR REPLACE VIEW statements AS
SELECT index, event_id, observed_at AS said_at, actor_id AS said_by, action_type, body -> '$.details' AS details
FROM read_parquet(getvariable('archive') || '/records/**/*.parquet', hive_partitioning = true)
WHERE class = 'recorder' AND kind = 'lifecycle' AND (body ->> '$.producer') = 'tachograph-collector'
    AND filename IN (SELECT getvariable('archive') || '/' || path FROM objects WHERE type = 'records' AND class = 'recorder');

-- Objects of which the recorder said, once their date was past, that they are destroyed: `event_id` is that of the intent.
CREATE OR REPLACE VIEW destroyed AS
SELECT objects.first, objects.path, objects.class, objects.rows, objects.kept_until, said_at, said_by, event_id
FROM objects JOIN (
        SELECT *, unnest((details -> '$.objects')::JSON[]) AS named FROM statements WHERE action_type = 'retention.destroy') intent
    ON objects.path = (named ->> '$.path') AND objects.sha256 = (named ->> '$.sha256')
        AND epoch_us(said_at) // 1000000 >= epoch_us(kept_until) // 1000000
WHERE objects.type = 'records';

-- Files that no commit names and that the recorder reported as leftovers: a locked bucket keeps them. It says that they were found, not who
-- made them: they are evidence of nothing.
CREATE OR REPLACE VIEW orphans AS
SELECT DISTINCT path FROM (SELECT unnest((details -> '$.objects')::VARCHAR[]) AS path FROM statements WHERE action_type = 'archive.orphans')
WHERE path NOT IN (SELECT path FROM objects);

-- The records without those of orphans, which are here a second time. It reads all commits.
CREATE OR REPLACE VIEW committed_records AS
SELECT * FROM read_parquet(getvariable('archive') || '/records/**/*.parquet', hive_partitioning = true)
WHERE filename NOT IN (SELECT getvariable('archive') || '/' || path FROM orphans);

-- == Causes and effects ==
--
-- The cause of an event is the one that its parent_id names, or else the one of its parent span in the same trace.

-- The events of one correlation id, causes before effects, each with its depth below its first cause. What leads in a circle
-- comes last, without a depth.
CREATE OR REPLACE MACRO chain(wanted_correlation_id) AS TABLE
WITH RECURSIVE
    events AS MATERIALIZED (SELECT * FROM records WHERE correlation_id = wanted_correlation_id),
    causes AS MATERIALIZED (
        SELECT e.index AS effect, coalesce(min(by_id.index), min(by_span.index)) AS cause
        FROM events e
        LEFT JOIN events by_id ON by_id.event_id = e.parent_id AND by_id.index <> e.index
        LEFT JOIN events by_span ON by_span.trace_id = e.trace_id AND by_span.span_id = e.parent_span_id AND by_span.index <> e.index
        GROUP BY e.index),
    walk(index, depth, path) AS (
        SELECT effect, 0, [effect] FROM causes WHERE cause IS NULL
        UNION ALL
        SELECT causes.effect, walk.depth + 1, walk.path || [causes.effect]
        FROM walk JOIN causes ON causes.cause = walk.index)
SELECT walk.depth, e.timestamp, e.kind, e.service_name, e.actor_id, e.agent_id, e.action_type, e.model, e.decision_type,
       e.final_decision, e.outcome, e.event_id, e.index
FROM events e LEFT JOIN walk USING (index) ORDER BY walk.path NULLS LAST, e.index;

-- An event and what caused it, step by step back to the first cause.
CREATE OR REPLACE MACRO causes_of(wanted_event_id) AS TABLE
WITH RECURSIVE back(steps_back, index, path) AS (
        SELECT 0, min(index), [min(index)] FROM records WHERE event_id = wanted_event_id HAVING count(*) > 0
        UNION ALL
        SELECT back.steps_back + 1, min(cause.index), any_value(back.path) || [min(cause.index)]
        FROM back
        JOIN records e ON e.index = back.index
        JOIN records cause ON NOT list_contains(back.path, cause.index) AND (cause.event_id = e.parent_id
            OR (e.parent_id IS NULL AND cause.trace_id = e.trace_id AND cause.span_id = e.parent_span_id))
        GROUP BY back.steps_back)
SELECT back.steps_back, r.timestamp, r.kind, r.service_name, r.actor_id, r.session_id, r.agent_id, r.action_type,
       r.final_decision, r.outcome, r.event_id, r.index
FROM back JOIN records r USING (index) ORDER BY back.steps_back;

-- From a file or URL to who had it made: the record that names it as its output, and the nearest of it and its causes that
-- names a user, and a session.
CREATE OR REPLACE MACRO trace_back(wanted_output_path) AS TABLE
WITH RECURSIVE
    made AS MATERIALIZED (SELECT * FROM records WHERE output_path = wanted_output_path),
    back(made_index, steps_back, index, path) AS (
        SELECT index, 0, index, [index] FROM made
        UNION ALL
        SELECT back.made_index, back.steps_back + 1, min(cause.index), any_value(back.path) || [min(cause.index)]
        FROM back
        JOIN records e ON e.index = back.index
        JOIN records cause ON NOT list_contains(back.path, cause.index) AND (cause.event_id = e.parent_id
            OR (e.parent_id IS NULL AND cause.trace_id = e.trace_id AND cause.span_id = e.parent_span_id))
        GROUP BY back.made_index, back.steps_back),
    named AS (
        SELECT back.made_index, min_by(r.actor_id, steps_back) FILTER (r.actor_id IS NOT NULL) AS actor_id,
               min_by(r.session_id, steps_back) FILTER (r.session_id IS NOT NULL) AS session_id, max(steps_back) AS causes
        FROM back JOIN records r USING (index) GROUP BY back.made_index)
SELECT made.timestamp, named.actor_id, named.session_id, made.service_name, made.model, made.model_version,
       made.body ->> '$.prompt' AS prompt, made.body -> '$.parameters' AS parameters, made.output_path, made.output_hash,
       named.causes, made.correlation_id, made.event_id, made.index
FROM made JOIN named ON named.made_index = made.index ORDER BY made.index;

-- == Verification in plain SQL (docs/format.md) ==
--
-- Each check_… view lists what is wrong and is empty on a good archive. Signatures are not checked here: docs/verifying.md.

-- The leaves as they lie, without orphans.
CREATE OR REPLACE VIEW leaves AS
SELECT * FROM read_parquet(getvariable('archive') || '/leaves/**/*.parquet', hive_partitioning = true)
WHERE filename NOT IN (SELECT getvariable('archive') || '/' || path FROM orphans);

-- The ledger's name and public key. A key from elsewhere is better: SET VARIABLE vkey = '…' before this file is read.
CREATE OR REPLACE VIEW ledger AS
SELECT content::JSON ->> '$.ledger' AS name, coalesce(getvariable('vkey'), content::JSON ->> '$.vkey') AS vkey
FROM read_text(getvariable('archive') || '/ledger.json');

-- The checkpoints: number of records, and root of the tree over them.
CREATE OR REPLACE VIEW checkpoints AS
SELECT split_part(content, chr(10), 2)::BIGINT AS size, lower(hex(from_base64(split_part(content, chr(10), 3)))) AS root,
       split_part(content, chr(10), 1) AS ledger, parse_filename(filename) AS name
FROM read_text(getvariable('archive') || '/checkpoint/*') ORDER BY size;

-- hash(i) = SHA-256(0x00 || leaf), prev = hash of the leaf before, and indexes without a gap.
CREATE OR REPLACE VIEW check_chain AS
WITH hashed AS (
        SELECT index, leaf, lower(hex(hash)) AS stored, sha256('\x00'::BLOB || encode(leaf)) AS computed FROM leaves),
    linked AS (
        SELECT *, lag(index) OVER in_order AS index_before, lag(computed) OVER in_order AS hash_before
        FROM hashed WINDOW in_order AS (ORDER BY index)),
    genesis AS (SELECT sha256('tachograph/genesis/v1' || chr(10) || vkey || chr(10)) AS hash FROM ledger)
SELECT linked.index, CASE
        WHEN index IS DISTINCT FROM coalesce(index_before + 1, 0) THEN 'the record before it is missing, or it is there twice'
        WHEN computed IS DISTINCT FROM stored THEN 'the leaf is not the one that was hashed'
        WHEN leaf ->> '$.index' IS DISTINCT FROM index::VARCHAR THEN 'the leaf is another record''s'
        WHEN leaf ->> '$.ledger' IS DISTINCT FROM (SELECT name FROM ledger) THEN 'the leaf is another ledger''s'
        WHEN leaf ->> '$.prev' IS DISTINCT FROM coalesce(hash_before, genesis.hash) THEN 'the leaf does not follow the one before it'
    END AS what
FROM linked, genesis WHERE what IS NOT NULL;

-- body_sha256 and body_len in the leaf against the stored bytes of the body. Where bodies are destroyed, as many leaves of that
-- commit have none as the recorder says.
CREATE OR REPLACE VIEW check_bodies AS
WITH bodies AS (
        SELECT index, octet_length(encode(body))::VARCHAR AS len, sha256(body) AS hash, count(*) OVER (PARTITION BY index) AS copies
        FROM committed_records),
    gone AS (
        SELECT first, sum(rows) AS rows FROM (SELECT DISTINCT first, path, rows FROM destroyed)
        WHERE getvariable('archive') || '/' || path NOT IN (SELECT file FROM glob(getvariable('archive') || '/records/**/*.parquet'))
        GROUP BY first),
    bare AS (
        SELECT leaves.index, commits.first, count(*) OVER (PARTITION BY commits.first) AS leaves
        FROM leaves ASOF JOIN commits ON leaves.index >= commits.first WHERE leaves.index NOT IN (SELECT index FROM bodies)),
    explained AS (SELECT index FROM bare JOIN gone USING (first) WHERE leaves = rows)
SELECT coalesce(leaves.index, bodies.index) AS index, CASE
        WHEN leaves.index IS NULL THEN 'a record without a leaf'
        WHEN bodies.index IS NULL AND leaves.index IN (FROM explained) THEN NULL
        WHEN bodies.index IS NULL THEN 'a leaf without its record'
        WHEN copies > 1 THEN 'the record is there ' || copies || ' times'
        WHEN leaf ->> '$.body_len' IS DISTINCT FROM len THEN 'the body has not the length that was sealed'
        WHEN leaf ->> '$.body_sha256' IS DISTINCT FROM bodies.hash THEN 'the body is not the one that was sealed'
    END AS what
FROM leaves FULL JOIN bodies USING (index) WHERE what IS NOT NULL;

-- Every typed column against the member of the body that it repeats.
CREATE OR REPLACE VIEW check_columns AS
WITH cells AS (
        SELECT index, unnest([
            {name: 'event_id', stored: event_id::VARCHAR, sealed: body ->> '$.event_id'},
            {name: 'parent_id', stored: parent_id::VARCHAR, sealed: body ->> '$.parent_id'},
            {name: 'trace_id', stored: lower(hex(trace_id)), sealed: body ->> '$.trace_id'},
            {name: 'span_id', stored: lower(hex(span_id)), sealed: body ->> '$.span_id'},
            {name: 'parent_span_id', stored: lower(hex(parent_span_id)), sealed: body ->> '$.parent_span_id'},
            {name: 'timestamp', stored: epoch_us(timestamp)::VARCHAR,
             sealed: epoch_us((left(body ->> '$.timestamp', 26) || 'Z')::TIMESTAMPTZ)::VARCHAR},
            {name: 'observed_at', stored: epoch_us(observed_at)::VARCHAR,
             sealed: epoch_us((left(body ->> '$.observed_at', 26) || 'Z')::TIMESTAMPTZ)::VARCHAR},
            {name: 'tokens_in', stored: tokens_in::VARCHAR, sealed: body ->> '$.tokens_in'},
            {name: 'tokens_out', stored: tokens_out::VARCHAR, sealed: body ->> '$.tokens_out'},
            {name: 'duration_ns', stored: duration_ns::VARCHAR, sealed: body ->> '$.duration_ns'},
            {name: 'conflicts_with', stored: conflicts_with::VARCHAR, sealed: body ->> '$.conflicts_with'},
            {name: 'cost', stored: cost::VARCHAR, sealed: (body ->> '$.cost')::DOUBLE::VARCHAR},
            {name: 'threshold', stored: threshold::VARCHAR, sealed: (body ->> '$.threshold')::DOUBLE::VARCHAR},
            {name: 'confidence', stored: confidence::VARCHAR, sealed: (body ->> '$.confidence')::DOUBLE::VARCHAR},
            {name: 'kind', stored: kind, sealed: body ->> '$.kind'},
            {name: 'service_name', stored: service_name, sealed: body ->> '$.service_name'},
            {name: 'environment', stored: environment, sealed: body ->> '$.environment'},
            {name: 'tenant', stored: tenant, sealed: body ->> '$.tenant'},
            {name: 'actor_type', stored: actor_type, sealed: body ->> '$.actor_type'},
            {name: 'actor_id', stored: actor_id, sealed: body ->> '$.actor_id'},
            {name: 'session_id', stored: session_id, sealed: body ->> '$.session_id'},
            {name: 'team', stored: team, sealed: body ->> '$.team'},
            {name: 'client_ip', stored: client_ip, sealed: body ->> '$.client_ip'},
            {name: 'action_type', stored: action_type, sealed: body ->> '$.action_type'},
            {name: 'resource_type', stored: resource_type, sealed: body ->> '$.resource_type'},
            {name: 'resource_id', stored: resource_id, sealed: body ->> '$.resource_id'},
            {name: 'outcome', stored: outcome, sealed: body ->> '$.outcome'},
            {name: 'outcome_reason', stored: outcome_reason, sealed: body ->> '$.outcome_reason'},
            {name: 'correlation_id', stored: correlation_id, sealed: body ->> '$.correlation_id'},
            {name: 'provider', stored: provider, sealed: body ->> '$.provider'},
            {name: 'model', stored: model, sealed: body ->> '$.model'},
            {name: 'model_version', stored: model_version, sealed: body ->> '$.model_version'},
            {name: 'response_id', stored: response_id, sealed: body ->> '$.response_id'},
            {name: 'input_hash', stored: input_hash, sealed: body ->> '$.input_hash'},
            {name: 'output_hash', stored: output_hash, sealed: body ->> '$.output_hash'},
            {name: 'output_path', stored: output_path, sealed: body ->> '$.output_path'},
            {name: 'cost_currency', stored: cost_currency, sealed: body ->> '$.cost_currency'},
            {name: 'status', stored: status, sealed: body ->> '$.status'},
            {name: 'error_type', stored: error_type, sealed: body ->> '$.error_type'},
            {name: 'agent_id', stored: agent_id, sealed: body ->> '$.agent_id'},
            {name: 'agent_version', stored: agent_version, sealed: body ->> '$.agent_version'},
            {name: 'decision_type', stored: decision_type, sealed: body ->> '$.decision_type'},
            {name: 'final_decision', stored: final_decision, sealed: body ->> '$.final_decision'}
        ]) AS cell
        FROM committed_records)
SELECT index, 'the column ' || cell.name || ' says ' || coalesce(cell.stored, 'nothing') || ', the body '
    || coalesce(cell.sealed, 'nothing') AS what
-- A string of more than 4,096 bytes is not repeated in its column.
FROM cells WHERE cell.stored IS DISTINCT FROM cell.sealed
    AND NOT (cell.stored IS NULL AND octet_length(encode(cell.sealed)) > 4096);

-- The objects that the commits name, against the files that are there.
CREATE OR REPLACE VIEW check_objects AS
WITH named AS (SELECT first, path, size, sha256 FROM objects),
    files AS (
        SELECT substr(filename, length(getvariable('archive')) + 2) AS path, size, sha256(content) AS sha256
        FROM read_blob([getvariable('archive') || '/leaves/**/*.parquet', getvariable('archive') || '/records/**/*.parquet']))
SELECT first AS index, path || CASE
        WHEN files.size IS NULL AND path IN (SELECT path FROM destroyed) THEN NULL
        WHEN files.size IS NULL THEN ': missing, though a commit names it'
        WHEN named.size IS NULL AND path IN (FROM orphans) AND path LIKE '%-' || left(files.sha256, 16) || '.parquet' THEN NULL
        WHEN named.size IS NULL AND path IN (FROM orphans) THEN ': reported as a leftover, but its name says other content'
        WHEN named.size IS NULL THEN ': no commit names this object'
        WHEN files.size IS DISTINCT FROM named.size OR files.sha256 IS DISTINCT FROM named.sha256 THEN ': not the object that was committed'
    END AS what
FROM named FULL JOIN files USING (path) WHERE what IS NOT NULL;

-- Each commit begins where the one before ends, carries its hash, and says of the last leaf what the leaves say.
CREATE OR REPLACE VIEW check_commits AS
WITH ordered AS (
        SELECT *, lag(first + count) OVER in_order AS end_before, lag(commit_sha256) OVER in_order AS sha256_before
        FROM commits WINDOW in_order AS (ORDER BY first))
SELECT ordered.first AS index, 'commit/' || name || CASE
        WHEN name IS DISTINCT FROM lpad(ordered.first::VARCHAR, 20, '0') THEN ': it is of another record than its name says'
        WHEN ordered.first IS DISTINCT FROM coalesce(end_before, 0) THEN ': it does not begin where the commit before ends'
        WHEN prev_commit_sha256 IS DISTINCT FROM coalesce(sha256_before, repeat('0', 64)) THEN ': the commit before it is another'
        WHEN ledger IS DISTINCT FROM (SELECT ledger.name FROM ledger) THEN ': it is another ledger''s'
        WHEN leaves.hash IS NULL THEN ': its last leaf is missing'
        WHEN last_hash IS DISTINCT FROM lower(hex(leaves.hash)) THEN ': its last leaf is another'
    END AS what
FROM ordered LEFT JOIN leaves ON leaves.index = ordered.first + ordered.count - 1 WHERE what IS NOT NULL;

-- The root of the RFC 6962 tree over the first records, computed from the leaves alone: neighbours are hashed in pairs, level by
-- level, and a node without a neighbour goes up as it is.
CREATE OR REPLACE MACRO tree_root(wanted_size) AS TABLE
WITH RECURSIVE level(width, position, hash) AS (
        SELECT wanted_size::BIGINT, index, unhex(sha256('\x00'::BLOB || encode(leaf))) FROM leaves WHERE index < wanted_size
        UNION ALL
        SELECT (any_value(width) + 1) // 2, position // 2,
               CASE WHEN count(*) = 1 THEN any_value(hash)
                    ELSE unhex(sha256('\x01'::BLOB || min_by(hash, position) || max_by(hash, position))) END
        FROM level WHERE width > 1 GROUP BY position // 2)
SELECT wanted_size::BIGINT AS size, lower(hex(hash)) AS root FROM level WHERE width = 1;

-- Every checkpoint against the commit that ends there, and the newest against the tree itself.
CREATE OR REPLACE VIEW check_tree AS
WITH newest AS (SELECT max(index) + 1 AS size FROM leaves),
    computed AS (SELECT * FROM tree_root((SELECT size FROM newest))),
    ends AS (SELECT first + count AS size, root FROM commits)
SELECT size - 1 AS index, CASE
        WHEN checkpoints.root IS NULL THEN 'no checkpoint of ' || size || ' records, where a commit ends'
        WHEN ends.root IS NULL THEN 'a checkpoint of ' || size || ' records, where no commit ends'
        WHEN checkpoints.root IS DISTINCT FROM ends.root THEN 'checkpoint and commit of ' || size || ' records have different roots'
        WHEN checkpoints.ledger IS DISTINCT FROM (SELECT name FROM ledger) THEN 'a checkpoint of another ledger'
        WHEN checkpoints.name IS DISTINCT FROM lpad(size::VARCHAR, 20, '0') THEN 'the checkpoint of ' || size || ' records has another''s name'
        WHEN computed.root IS NULL AND size = (SELECT max(first + count) FROM commits)
            THEN 'the leaves are not the ' || size || ' that were committed'
        WHEN computed.root <> checkpoints.root THEN 'the leaves'' tree has root ' || computed.root || ', the checkpoint ' || checkpoints.root
    END AS what
FROM ends FULL JOIN checkpoints USING (size) LEFT JOIN computed USING (size) WHERE what IS NOT NULL;

-- All findings, the first record first.
CREATE OR REPLACE VIEW verify_findings AS
SELECT 'chain' AS part, index, what FROM check_chain
UNION ALL SELECT 'bodies', index, what FROM check_bodies
UNION ALL SELECT 'columns', index, what FROM check_columns
UNION ALL SELECT 'objects', index, what FROM check_objects
UNION ALL SELECT 'commits', index, what FROM check_commits
UNION ALL SELECT 'tree', index, what FROM check_tree
ORDER BY index, part;

-- One line: how much was checked, and whether all is good.
CREATE OR REPLACE VIEW verify AS
WITH found AS (SELECT count(*) AS findings FROM verify_findings)
SELECT (SELECT count(*) FROM leaves) AS leaves, (SELECT count(*) FROM committed_records) AS bodies,
       (SELECT count(*) FROM commits) AS commits, (SELECT max(size) FROM checkpoints) AS checkpoint,
       (SELECT root FROM checkpoints ORDER BY size DESC LIMIT 1) AS root, findings, findings = 0 AS good
FROM found;
