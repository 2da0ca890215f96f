-- Checks this evidence bundle with DuckDB 1.1 or newer, and with nothing of ours. In the bundle's folder:
--
--     duckdb < verify.sql            or, within DuckDB:  .read verify.sql
--
-- The last line of what it prints must say good = true, and the list above it must be empty. Any error means that the bundle is not
-- as it must be. Signatures and time stamps are not checked here: verify.py and verify.sh do that. VERIFY.md says what all this proves.
-- Run verify.py first: it refuses links and pipes in the folder, which DuckDB would follow. Nothing is written.

-- == What is there ==

-- What the bundle says of itself.
CREATE OR REPLACE VIEW about AS
SELECT b ->> '$.bundle' AS version, b ->> '$.ledger' AS ledger, b ->> '$.vkey' AS vkey, (b ->> '$.size')::UBIGINT AS size, b ->> '$.root' AS root,
       (b -> '$.records')::VARCHAR[] AS records, b ->> '$.anchor' AS anchor, b -> '$.selection' AS selection
FROM (SELECT content::JSON AS b FROM read_text('bundle.json'));

-- The records: the body (NULL if it was destroyed) and the leaf, as they were sealed.
CREATE OR REPLACE VIEW records AS
SELECT index::UBIGINT AS index, leaf, body
FROM read_json('records.jsonl', format = 'newline_delimited', maximum_object_size = 268435456,
               columns = {body: 'VARCHAR', index: 'VARCHAR', leaf: 'VARCHAR'});

-- The checkpoint: name of the ledger, number of records, root of the tree over them.
CREATE OR REPLACE VIEW checkpoint AS
SELECT content, split_part(content, chr(10), 1) AS ledger, split_part(content, chr(10), 2)::UBIGINT AS size,
       lower(hex(from_base64(split_part(content, chr(10), 3)))) AS root
FROM read_text('checkpoint');

-- The checkpoint that proofs end with: that with the cosignatures of witnesses, if there is one.
CREATE OR REPLACE VIEW proven AS
SELECT content FROM read_text(['checkpoint', 'witnesse[d]']) ORDER BY parse_filename(filename) = 'witnessed' DESC LIMIT 1;

-- The proofs (c2sp.org/tlog-proof@v1): a head of `extra`, `index` and hashes, an empty line, the checkpoint.
CREATE OR REPLACE VIEW proofs AS
WITH parts AS (
        SELECT parse_filename(filename) AS name, content, string_split(split_part(content, chr(10) || chr(10), 1), chr(10)) AS head
        FROM read_text('proofs/*.tlog-proof'))
SELECT name, head[1] AS version, decode(from_base64(substr(head[2], 7))) AS leaf, substr(head[3], 7)::UBIGINT AS index,
       [from_base64(line) for line in head[4:]] AS hashes,
       substr(content, strpos(content, chr(10) || chr(10)) + 2) AS checkpoint
FROM parts;

-- == The checks: each view lists what is wrong, and is empty on a good bundle ==

-- Every file has the hash that MANIFEST.sha256 says, and there is no other.
CREATE OR REPLACE VIEW check_manifest AS
WITH lines AS (SELECT unnest(string_split(rtrim(content, chr(10)), chr(10))) AS line FROM read_text('MANIFEST.sha256')),
    listed AS (SELECT substr(line, 67) AS path, left(line, 64) AS hash FROM lines),
    files AS (
        SELECT regexp_replace(replace(filename, '\', '/'), '^[.]/', '') AS path, sha256(content) AS hash FROM read_blob('**')
        WHERE path <> 'MANIFEST.sha256')
SELECT NULL::UBIGINT AS index, path || CASE
        WHEN files.hash IS NULL THEN ': the file is missing'
        WHEN listed.hash IS NULL THEN ': MANIFEST.sha256 does not name the file'
        WHEN files.hash IS DISTINCT FROM listed.hash THEN ': not the file that MANIFEST.sha256 names'
    END AS what
FROM listed FULL JOIN files USING (path) WHERE what IS NOT NULL;

-- The records are those that bundle.json names, in order; each leaf is its record's; the body is the one that the leaf seals, and
-- both say the same of kind, time, ids and producer.
CREATE OR REPLACE VIEW check_records AS
WITH numbered AS (SELECT *, row_number() OVER () AS row FROM records),
    told AS (
        SELECT *, lag(index) OVER (ORDER BY row) AS before, leaf::JSON AS l, body::JSON AS b,
               [key for key in ['kind', 'trace_id', 'span_id', 'producer', 'producer_epoch', 'producer_seq']
                if (leaf::JSON ->> ('$.' || key)) IS DISTINCT FROM (body::JSON ->> ('$.' || key))] AS differ
        FROM numbered),
    named AS (SELECT DISTINCT unnest(records || CASE WHEN anchor IS NULL THEN [] ELSE [anchor] END)::UBIGINT AS index FROM about)
SELECT coalesce(told.index, named.index) AS index, CASE
        WHEN told.index IS NULL THEN 'the record is missing, though bundle.json names it'
        WHEN named.index IS NULL THEN 'the record is here, though bundle.json does not name it'
        WHEN before >= told.index THEN 'the record stands behind record ' || before
        WHEN (l ->> '$.index') IS DISTINCT FROM told.index::VARCHAR THEN 'the leaf is another record''s'
        WHEN (l ->> '$.ledger') IS DISTINCT FROM (SELECT ledger FROM about) THEN 'the leaf is another ledger''s'
        WHEN body IS NULL THEN NULL
        WHEN (l ->> '$.body_len') IS DISTINCT FROM octet_length(encode(body))::VARCHAR THEN 'the body has not the length that was sealed'
        WHEN (l ->> '$.body_sha256') IS DISTINCT FROM sha256(body) THEN 'the body is not the one that was sealed'
        WHEN len(differ) > 0 THEN 'leaf and body differ in ' || differ[1]
        WHEN (l ->> '$.event_time') IS DISTINCT FROM
            epoch_us((left(b ->> '$.timestamp', 26) || 'Z')::TIMESTAMPTZ)::VARCHAR || substr(b ->> '$.timestamp', 27, 3)
            THEN 'leaf and body differ in event_time'
    END AS what
FROM told FULL JOIN named USING (index) WHERE what IS NOT NULL;

-- What bundle.json, ledger.vkey and the checkpoints say of one another. Of the kinds of selection only `indexes` shows by itself
-- that nothing was left out; of a session or an agent check_streams tells.
CREATE OR REPLACE VIEW check_about AS
SELECT NULL::UBIGINT AS index, CASE
        WHEN about.version IS NULL OR about.version NOT IN ('1', '2') THEN 'bundle.json is of another version'
        WHEN about.vkey || chr(10) IS DISTINCT FROM (SELECT content FROM read_text('ledger.vkey')) THEN 'ledger.vkey is not the key of bundle.json'
        WHEN split_part(about.vkey, '+', 1) IS DISTINCT FROM about.ledger THEN 'the key is another ledger''s'
        WHEN checkpoint.ledger IS DISTINCT FROM about.ledger THEN 'the checkpoint is another ledger''s'
        WHEN checkpoint.size IS DISTINCT FROM about.size OR checkpoint.root IS DISTINCT FROM about.root
            THEN 'the checkpoint is not the one of bundle.json'
        WHEN NOT starts_with(proven.content, checkpoint.content) THEN 'witnessed is not the checkpoint with further signatures'
        WHEN (selection ->> '$.kind') = 'indexes' AND records::UBIGINT[] IS DISTINCT FROM
            range((selection ->> '$.first')::BIGINT, (selection ->> '$.last')::BIGINT + 1)::UBIGINT[] THEN 'of the indexes asked for some are missing'
    END AS what
FROM about, checkpoint, proven WHERE what IS NOT NULL;

-- The root that each proof leads to. On each level of the tree a node is hashed with its neighbour, which the proof supplies: one
-- on the left if the position is odd, else one on the right; the last node of a level with an odd number goes up as it is.
CREATE OR REPLACE VIEW proven_roots AS
WITH RECURSIVE level(index, hashes, position, width, hash, taken) AS (
        SELECT index, hashes, index, (SELECT size FROM about), unhex(sha256('\x00'::BLOB || encode(leaf))), 0 FROM proofs
        UNION ALL
        SELECT index, hashes, position // 2, (width + 1) // 2,
               CASE WHEN position % 2 = 1 THEN unhex(sha256('\x01'::BLOB || hashes[taken + 1] || hash))
                    WHEN position + 1 < width THEN unhex(sha256('\x01'::BLOB || hash || hashes[taken + 1]))
                    ELSE hash END,
               CASE WHEN position % 2 = 1 OR position + 1 < width THEN taken + 1 ELSE taken END
        FROM level WHERE width > 1)
SELECT index, lower(hex(hash)) AS root, taken = len(hashes) AS all_taken FROM level WHERE width = 1;

-- Each record has a proof that it is under the checkpoint, of its own leaf, at its own index; and no proof is there beyond.
CREATE OR REPLACE VIEW check_proofs AS
SELECT coalesce(records.index, proofs.index) AS index, CASE
        WHEN proofs.index IS NULL THEN 'the record has no proof'
        WHEN records.index IS NULL THEN 'a proof of no record of this bundle'
        WHEN name IS DISTINCT FROM lpad(index::VARCHAR, 20, '0') || '.tlog-proof' THEN 'the proof is of another record than its name says'
        WHEN proofs.version IS DISTINCT FROM 'c2sp.org/tlog-proof@v1' THEN 'the proof is of another version'
        WHEN proofs.leaf IS DISTINCT FROM records.leaf THEN 'the proof is of another leaf'
        WHEN proofs.checkpoint IS DISTINCT FROM (SELECT content FROM proven) THEN 'the proof ends with another checkpoint, or is for another size'
        WHEN index >= (SELECT size FROM about) THEN 'the checkpoint does not cover the record'
        WHEN NOT coalesce(all_taken, false) THEN 'the proof has not as many hashes as it must'
        WHEN proven_roots.root IS DISTINCT FROM (SELECT root FROM checkpoint) THEN 'the proof leads to another root'
    END AS what
FROM records FULL JOIN proofs USING (index) LEFT JOIN proven_roots USING (index) WHERE what IS NOT NULL;

-- What the recorder stated of this session or agent, if that is here: id of the stream in a generation, number of its records there, hash of
-- the last one's leaf. That it did state this verify.py checks (it needs an HMAC), and that no generation is left out.
CREATE OR REPLACE VIEW stated AS
WITH generations AS (
        SELECT unnest((content::JSON -> '$.generations')::JSON[]) AS generation FROM read_text(['checkpoint', 'streams.jso[n]'])
        WHERE parse_filename(filename) = 'streams.json'),
    entries AS (SELECT string_split(unnest((generation -> '$.entries')::JSON[]) ->> '$.entry', ' ') AS entry FROM generations)
SELECT entry[1] AS stream, entry[2]::UBIGINT AS count, entry[3] AS last FROM entries;

-- The records of each stream that is stated are as many as stated, and linked one to the other.
CREATE OR REPLACE VIEW check_streams AS
WITH placed AS (
        SELECT index, leaf::JSON ->> '$.stream' AS stream, leaf::JSON ->> '$.stream_seq' AS seq, leaf::JSON ->> '$.stream_prev' AS prev,
               sha256('\x00'::BLOB || encode(leaf)) AS hash
        FROM records WHERE (leaf::JSON ->> '$.stream') IN (SELECT stream FROM stated)),
    counted AS (
        SELECT *, row_number() OVER stream - 1 AS due, lag(hash) OVER stream AS before, count(*) OVER (PARTITION BY stream) AS here,
               last_value(hash) OVER (PARTITION BY stream ORDER BY index ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS newest
        FROM placed WINDOW stream AS (PARTITION BY stream ORDER BY index))
SELECT index, CASE
        WHEN seq IS DISTINCT FROM due::VARCHAR OR prev IS DISTINCT FROM before THEN 'a record of its stream was left out before it, or put in'
        WHEN here IS DISTINCT FROM stated.count OR newest IS DISTINCT FROM stated.last THEN 'the recorder stated another number of records of its stream'
    END AS what
FROM counted JOIN stated USING (stream) WHERE what IS NOT NULL;

-- All findings, the first record first.
CREATE OR REPLACE VIEW verify_findings AS
SELECT 'manifest' AS part, index, what FROM check_manifest
UNION ALL SELECT 'about', index, what FROM check_about
UNION ALL SELECT 'records', index, what FROM check_records
UNION ALL SELECT 'proofs', index, what FROM check_proofs
UNION ALL SELECT 'streams', index, what FROM check_streams
ORDER BY index NULLS FIRST, part, what;

-- One line: how much was checked, and whether all is good.
CREATE OR REPLACE VIEW verify AS
SELECT (SELECT ledger FROM about) AS ledger, (SELECT count(*) FROM records) AS records,
       (SELECT count(*) FROM records WHERE body IS NULL) AS destroyed, (SELECT count(*) FROM proofs) AS proofs,
       (SELECT size FROM checkpoint) AS checkpoint, (SELECT root FROM checkpoint) AS root, findings, findings = 0 AS good
FROM (SELECT count(*) AS findings FROM verify_findings);

FROM verify_findings;
FROM verify;
