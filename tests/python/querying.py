"""What docs/querying.md and docs/views.sql promise, on a real archive.

    querying.py send ADDRESS                  odd records that no example program sends
    querying.py queries ARCHIVE DOCS          every block of the page, on a directory
    querying.py queries_s3 ENDPOINT DOCS      the same on a bucket, and what is different there
    querying.py shell_s3 ENDPOINT DOCS        what the page has a person type for a bucket, in the command line
    querying.py hidden_s3 ENDPOINT DOCS       what DuckDB sees, and what it does not, of an object that somebody hid

The bucket is the page's own, with the credentials in the environment.

Every block has a name behind its language, and an expectation here: a new block without one fails.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import urllib.request

import duckdb

BLOCK = re.compile(r"^```(\w+) (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    """The blocks of a page that have a name, in their order."""
    text = page.read_text(encoding="utf-8")
    found = [(name, code) for found, name, code in BLOCK.findall(text) if found == language]
    unnamed = re.findall(rf"^```{language}$", text, re.MULTILINE)
    assert found, f"{page} has no blocks of {language}"
    assert language != "sql" or not unnamed, f"{page} has {len(unnamed)} blocks of {language} without a name"
    assert len(dict(found)) == len(found), f"{page}: two blocks have one name"
    return dict(found)


# As the page writes it.
ARCHIVE = "s3://acme-ai-audit/prod"
PACKAGES = sysconfig.get_path("purelib")


def extension(name):
    return f"LOAD '{PACKAGES}/duckdb_extension_{name}/extensions/v{duckdb.__version__}/{name}.duckdb_extension'"


def connect(archive, docs, endpoint=None):
    """DuckDB with views.sql read as it is; nothing may be fetched behind the test's back."""
    db = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    if endpoint:
        db.execute(extension("httpfs"))
        key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        host = endpoint.removeprefix("http://")
        db.execute(f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{secret}', ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)")
    db.execute("SET VARIABLE archive = ?", [str(archive)])
    db.execute((docs / "views.sql").read_text(encoding="utf-8"))
    return db


def ask(db, code):
    """Runs a block; gives the rows of its last statement as dicts of text, so that no time zone database is needed."""
    *before, last = duckdb.extract_statements(code)
    for statement in before:
        db.execute(statement)
    if last.type != duckdb.StatementType.SELECT:
        return db.execute(last).fetchall()
    query = last.query.strip().rstrip(";")
    answer = db.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({query})")
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row)) for row in answer.fetchall()]


def column(rows, name):
    return [row[name] for row in rows]


# == What is sent besides the examples ==


def send(address):
    event = "0190c8a2-5b1e-7d4f-9a3b-2f6e1d0c4b5a"
    same = "sha256:" + "ab" * 32

    def span(number, start, attributes):
        return {
            "traceId": f"{0xA0000000 + number:032x}",
            "spanId": f"{number:016x}",
            "name": "odd",
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + 1_000),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
        }

    decision = {"tachograph.kind": "agent_decision", "tachograph.decision.type": "ODD", "tachograph.input.hash": same}
    now = 1_790_000_000_000_000_000
    requests = [
        # The same inputs, another decision.
        [span(1, now, decision | {"tachograph.decision.final": "yes"}), span(2, now, decision | {"tachograph.decision.final": "no"})],
        # One event id, two contents.
        [span(3, now, {"tachograph.event.id": event, "tachograph.details": '{"take": 1}'})],
        [span(3, now, {"tachograph.event.id": event, "tachograph.details": '{"take": 2}'})],
        # A time that the format can't hold.
        [span(4, 2**64 - 5_000, {})],
        # Two events that name each other as their cause, and one that names itself.
        [
            span(number, now, {"tachograph.event.id": own, "tachograph.parent.id": cause, "tachograph.correlation.id": "circle"})
            for number, own, cause in [
                (5, "0190c8a2-0000-7000-8000-000000000005", "0190c8a2-0000-7000-8000-000000000006"),
                (6, "0190c8a2-0000-7000-8000-000000000006", "0190c8a2-0000-7000-8000-000000000005"),
                (7, "0190c8a2-0000-7000-8000-000000000007", "0190c8a2-0000-7000-8000-000000000007"),
            ]
        ],
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "odd"}}]}
    for spans in requests:
        body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).encode()
        request = urllib.request.Request(f"http://{address}/v1/traces", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200, answer.status


# == querying.md ==


# Records that a collector adds of itself, depending on where the archive is.
PROBES = "archive.probe"
# What it states of the streams of sessions and agents.
STREAMS = "streams.closed"


def sent(rows):
    """Without those, and without what the producers say of their own lives."""
    return [row for row in rows if row["action_type"] not in (PROBES, STREAMS) and not (row["action_type"] or "").startswith("producer.")]


def expect_timeline(rows):
    assert [int(index) for index in column(rows, "index")] == list(range(len(rows))), "indexes have gaps"
    # 4 images and 3 files, 4 loans and 4 scores, 3 x 4 stages, 6 prompts, 8 odd ones, start and stop.
    rows = sent(rows)
    assert len(rows) == 7 + 8 + 12 + 6 + 8 + 2, len(rows)
    assert rows[0]["action_type"] == "collector.start" and rows[-1]["action_type"] == "collector.stop"


def expect_generations(rows):
    assert len(rows) == 4
    # The blocked one has no file; a child's span may arrive before its parent's, but requests are in order.
    by_seed = {row["seed"]: row for row in rows}
    assert by_seed["42"]["prompt"] == "a red fox in the snow" and by_seed["42"]["outcome"] == "success"
    assert by_seed["7"]["outcome"] == "blocked" and by_seed["7"]["output_path"] is None
    assert all(row["model"] == "smooth-noise" for row in rows)


def expect_body(rows):
    body = json.loads(rows[0]["body"])
    assert body["kind"] == "agent_decision" and list(body)[:3] == ["v", "salt", "observed_at"]


def expect_metadata(rows):
    assert {"save", "score"} <= set(column(rows, "span_name"))
    assert all(row["instrumented_with"] for row in rows)


def expect_refused(rows):
    assert column(rows, "resource_id") == ["loan-2026-0002", "loan-2026-0003"], rows
    assert all(float(row["raw_output"]) < float(row["threshold"]) for row in rows)
    assert rows[0]["actor_id"] == "customer-0077" and rows[0]["outcome_reason"] == "missed payments"
    assert all(row["model"] == "logit-credit" and row["input_hash"].startswith("sha256:") for row in rows)


def expect_steps(rows):
    assert column(rows, "step") == ["FEATURES", "SCORE", "THRESHOLD"], rows
    assert column(rows, "at") == ["1", "2", "3"]
    assert rows[2]["result"] == "false" and "0.7" in rows[2]["reason"]


def expect_unstable(rows):
    assert len(rows) == 1 and rows[0]["input_hash"] == "sha256:" + "ab" * 32, rows
    assert rows[0]["decisions"] == "2" and "yes" in rows[0]["outcomes"] and "no" in rows[0]["outcomes"]


def expect_chain(rows):
    assert column(rows, "service_name") == ["market-data", "analysis", "decision", "execution"], rows
    assert column(rows, "depth") == ["0", "1", "2", "3"]
    assert rows[1]["agent_id"] == "analyst" and rows[2]["agent_id"] == "alpha-trader"
    assert rows[3]["action_type"] == "execute_order"


def expect_causes(rows):
    assert column(rows, "service_name") == ["execution", "decision", "analysis", "market-data"], rows
    assert column(rows, "steps_back") == ["0", "1", "2", "3"]


def expect_trace_back(rows):
    assert len(rows) == 1, rows
    assert rows[0]["actor_id"] == "anna@example.com" and rows[0]["session_id"] == "studio-4711"
    assert rows[0]["prompt"].startswith("a red fox") and rows[0]["output_hash"].startswith("sha256:")
    assert json.loads(rows[0]["parameters"])["width"] == 64


def expect_by_hash(rows):
    assert len(rows) == 1 and rows[0]["actor_id"] == "anna@example.com", rows


def expect_failures(rows):
    assert sorted(column(rows, "outcome")) == ["blocked", "failure", "failure"], rows
    by_service = {row["service_name"]: row for row in rows}
    assert by_service["image-service"]["reason"] == "content filter"
    assert by_service["image-service"]["content_flags"] == "[violence.weapon]"
    assert "more than the window" in by_service["prompt-gateway"]["error"]


def expect_cost(rows):
    cost = {(row["team"], row["model"]): row for row in rows}
    assert len(cost) == 6, rows
    assert abs(float(cost["research", "summary-large"]["cost"]) - 0.000180) < 1e-12
    assert cost["support", "summary-large"]["tokens_in"] == "17"
    assert cost["research", "summary-small"]["cost"] is None and cost["research", "summary-small"]["without_cost"] == "1"
    assert float(rows[0]["cost"]) == max(float(row["cost"] or 0) for row in rows)


def expect_flags(rows):
    assert set(column(rows, "flag")) == {"person.portrait", "pii.email", "secret.credential", "violence.weapon"}, rows
    assert [row["by_whom"] for row in rows if row["flag"] == "pii.email"] == ["[emil]"]


def expect_latency(rows):
    assert column(rows, "model") == ["smooth-noise", "summary-large", "summary-small", "topics-1"], rows
    assert all(0 < float(row["p50_ms"]) <= float(row["p99_ms"]) for row in rows)


def expect_lifecycle(rows):
    rows = sent(rows)
    assert column(rows, "action_type") == ["collector.start", "collector.stop"], rows
    assert json.loads(rows[0]["details"])["next_index"] == "0"


def expect_rejected(rows):
    assert len(rows) == 1 and "time" in rows[0]["outcome_reason"], rows
    assert rows[0]["input_hash"].startswith("sha256:") and json.loads(rows[0]["details"])["bytes"] > 0


def expect_gaps(rows, total):
    # The odd ones have no numbers.
    assert len(rows) == 8, rows  # image, credit, four stages, prompts, and the collector itself
    assert all(row["missing"] == "0" and row["arrived"] == row["numbered"] for row in rows), rows
    assert sum(int(row["arrived"]) for row in rows) == total - 8


def expect_conflicts(rows):
    assert len(rows) == 1 and int(rows[0]["first_index"]) < int(rows[0]["index"]), rows


def expect_verify(rows, total):
    assert len(rows) == 1, rows
    row = rows[0]
    assert row["good"] == "true" and row["findings"] == "0", row
    assert row["leaves"] == row["bodies"] == row["checkpoint"] == str(total) and int(row["commits"]) >= 4, row
    assert re.fullmatch(r"[0-9a-f]{64}", row["root"])


def expect_findings(rows):
    assert rows == [], rows


def expect_by_hand_chain(rows, total):
    assert rows == [{"leaves": str(total), "wrong_hashes": "0", "wrong_links": "0"}], rows


def expect_by_hand_bodies(rows, total):
    assert rows == [{"bodies": str(total), "wrong_hashes": "0", "wrong_lengths": "0"}], rows


def expect_by_hand_root(rows, total):
    assert len(rows) == 1 and rows[0]["same"] == "true" and rows[0]["leaves"] == str(total), rows


def expect_by_id(rows):
    assert len(rows) == 2 and set(column(rows, "service_name")) == {"image-service"}, rows


def expect_by_event(rows):
    assert len(rows) == 1 and rows[0]["service_name"] == "execution", rows


def check(name, rows, total):
    expectation = globals().get(f"expect_{name}")
    assert expectation, f"the block {name!r} has no expectation; write expect_{name} in {__file__}"
    expectation(*[rows, total][: expectation.__code__.co_argcount])


def queries(archive, docs, endpoint=None):
    db = connect(archive, docs, endpoint)
    more = "SELECT count(*) FROM records WHERE action_type IN (?, ?) OR starts_with(action_type, 'producer.')"
    (more,) = db.execute(more, [PROBES, STREAMS]).fetchone()
    page = blocks(docs / "querying.md", "sql")
    for name, code in page.items():
        try:
            check(name, ask(db, code), 43 + more)
        except Exception as error:
            raise AssertionError(f"querying.md, block {name}:\n{code}") from error
    every_view_answers(db, docs)
    circles_end(db)
    roots_of_all_sizes(db)
    print(f"{len(page)} blocks")
    return db


# == The same in a bucket ==


def queries_s3(endpoint, docs):
    # As a person might write it.
    db = queries(f"{ARCHIVE}/", docs, endpoint)
    classes = db.execute("SELECT class, list(DISTINCT kind ORDER BY kind) FROM records GROUP BY class ORDER BY class").fetchall()
    kinds = dict(classes)
    assert {"decisions", "default", "prompts"} <= set(kinds), kinds
    assert kinds["prompts"] == ["generation"] and kinds["decisions"] == ["agent_decision"], kinds
    assert "tool_call" in kinds["default"], kinds


def typed(text):
    """The lines that the page has a person type, by block."""
    return ["\n".join(re.findall(r"^D (.*)$", block, re.MULTILINE)) for block in re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def exchange(text, *pairs):
    for old, new in pairs:
        assert old in text, f"{old!r} is not in {text!r}"
        text = text.replace(old, new)
    return text


def shell_s3(endpoint, docs):
    page = (docs / "querying.md").read_text(encoding="utf-8")
    amazon, own, packaged = typed(page.split("\n## On S3\n")[1].split("\n## ")[0])
    first, secret, *rest = amazon.splitlines()
    assert first.startswith("INSTALL ") and secret.startswith("CREATE SECRET "), amazon
    # There is no registry of extensions to install from, and the store is not Amazon's; all else stays.
    packaged = exchange(packaged, ("<site-packages>", PACKAGES))
    place = ("REGION 'eu-central-1'", f"REGION 'eu-central-1', ENDPOINT '{endpoint.removeprefix('http://')}', URL_STYLE 'path', USE_SSL false")
    own = exchange(
        own,
        ("KEY_ID '…'", f"KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}'"),
        ("SECRET '…'", f"SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}'"),
        ("minio.example:9000", endpoint.removeprefix("http://")),
        ("USE_SSL true", "USE_SSL false"),
    )
    for way in (exchange(secret, place), own):
        lines = "\n".join([packaged, way, *rest])
        shell = [pathlib.Path(sys.executable).with_name("duckdb"), "-init", os.devnull, "-bail", "-jsonlines"]
        said = subprocess.run(shell, input=lines, cwd=docs.parent, capture_output=True, text=True, timeout=120)
        assert said.returncode == 0 and not said.stderr, f"{lines}\n{said}"
        last = json.loads(said.stdout.splitlines()[-1])
        assert last["good"] is True and last["leaves"] > 40, said
    print("2 ways")


def hidden_s3(endpoint, docs):
    import boto3
    from botocore.config import Config

    style = Config(s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=endpoint, region_name=os.environ["AWS_REGION"], config=style)
    bucket, prefix = ARCHIVE.removeprefix("s3://").split("/")
    db = connect(ARCHIVE, docs, endpoint)
    count = lambda: db.execute("SELECT count(*) FROM records").fetchone()[0]
    before = count()
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/records/class=prompts/")["Contents"]
    key = listed[0]["Key"]
    (rows,) = db.execute("SELECT count(*) FROM read_parquet(?)", [f"s3://{bucket}/{key}"]).fetchone()
    assert 0 < rows < before, (rows, before)
    marker = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
    try:
        assert count() == before - rows, "a query sees what a plain reader sees"
        found = {(part, what) for part, _, what in db.execute("FROM verify_findings").fetchall()}
        path = key.removeprefix(f"{prefix}/")
        assert found == {("bodies", "a leaf without its record"), ("objects", f"{path}: missing, though a commit names it")}, found
        print(path)
        sys.stdout.flush()
        # Until the caller has looked at it too.
        sys.stdin.readline()
    finally:
        s3.delete_object(Bucket=bucket, Key=key, VersionId=marker)
    assert count() == before and db.execute("FROM verify_findings").fetchall() == []


# == Beyond the page ==


def every_view_answers(db, docs):
    """Nothing in views.sql is there unread: each view gives rows, but for those that list what is wrong."""
    views = re.findall(r"^CREATE OR REPLACE VIEW (\w+)", (docs / "views.sql").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(views) > 10, views
    for view in views:
        (count,) = db.execute(f"SELECT count(*) FROM {view}").fetchone()
        empty = view.startswith("check_") or view == "verify_findings"
        # These have rows where retention has left some: verifying.py asks them there.
        assert view in ("statements", "destroyed", "orphans") or (count == 0) == empty, f"{view} has {count} rows"


def circles_end(db):
    """Causes that run in a circle are a sender's mistake; queries must end, and leave none of the events out."""
    rows = ask(db, "SELECT depth, index FROM chain('circle')")
    assert len(rows) == 3 and sorted(str(depth) for depth in column(rows, "depth")) == ["0", "None", "None"], rows
    for last, steps in [("5", 2), ("6", 2), ("7", 1)]:
        rows = ask(db, f"SELECT index FROM causes_of('0190c8a2-0000-7000-8000-00000000000{last}'::UUID)")
        assert len(rows) == steps, rows


def roots_of_all_sizes(db):
    """The tree in SQL is the tree of the checkpoints, at every size that one has."""
    for size, root in db.execute("SELECT size, root FROM checkpoints").fetchall():
        assert ask(db, f"FROM tree_root({size})") == [{"size": str(size), "root": root}], size


def main():
    match sys.argv[1:]:
        case ["send", address]:
            send(address)
        case ["queries", archive, docs]:
            queries(pathlib.Path(archive), pathlib.Path(docs))
        case ["queries_s3" | "shell_s3" | "hidden_s3" as what, endpoint, docs]:
            {"queries_s3": queries_s3, "shell_s3": shell_s3, "hidden_s3": hidden_s3}[what](endpoint, pathlib.Path(docs))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
