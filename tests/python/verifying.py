"""What docs/verifying.md promises, on a real archive and on forged copies of it.

    verifying.py visit LEDGER DOCS WORK     every block of the page
    verifying.py forged LEDGER DOCS WORK    that the same blocks find what was changed
    verifying.py retained LEDGER DOCS WORK  the same on tests/golden/archive-v2, of which bodies were destroyed

LEDGER is a data directory (of which archive, public key and escrowed key will do), WORK a directory that is made anew.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import duckdb
import tokens
from querying import ask, blocks, column, connect, expect_findings, expect_verify


class Visit:
    """An auditor's working directory: a copy of the archive, the key, and a checkpoint kept from before."""

    def __init__(self, ledger, docs, work):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        shutil.copytree(ledger / "archive", work / "archive", copy_function=shutil.copyfile)
        shutil.copyfile(ledger / "ledger.vkey", work / "ledger.vkey")
        shutil.copyfile(sorted((ledger / "archive" / "checkpoint").iterdir())[1], work / "kept")
        self.escrow, self.docs, self.work, self.page = ledger / "mac-escrow.key", docs, work, docs / "verifying.md"
        (work / "proof.py").write_text(blocks(self.page, "python")["proof"], encoding="utf-8")

    def sql(self):
        """The SQL blocks, in their order, as in a DuckDB that was started here."""
        before = os.getcwd()
        os.chdir(self.work)
        try:
            db = connect("archive", self.docs)
            return {name: ask(db, code) for name, code in blocks(self.page, "sql").items()}
        finally:
            os.chdir(before)

    def sh(self, name):
        """Exit code and output of a shell block; `python3` in it is this interpreter."""
        tools = self.work / "tools"
        tools.mkdir(exist_ok=True)
        if not (tools / "python3").exists():
            (tools / "python3").symlink_to(sys.executable)
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        code = blocks(self.page, "sh")[name]
        return self.run(["sh", "-c", code], path)

    def macs(self):
        return self.run([sys.executable, "proof.py", "archive", "ledger.vkey", "proof.jsonl", str(self.escrow)], os.environ["PATH"])

    def run(self, command, path):
        environment = os.environ | {"PATH": path}
        done = subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr



def on_p256(visit):
    """The same two blocks on notes that a key on the curve P-256 signed."""
    vectors = json.loads((visit.docs.parent / "tests" / "golden" / "p256-v1.json").read_text(encoding="utf-8"))
    other = Visit.__new__(Visit)
    other.docs, other.page, other.work = visit.docs, visit.page, visit.work / "p256"
    for number, note in enumerate([vectors["deterministic"], *vectors["other_signatures_of_it"], vectors["commits"][0]["note"]]):
        path = other.work / "archive" / ("commit" if "commit/v1" in note else "checkpoint") / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(note, encoding="utf-8")
    (other.work / "ledger.vkey").write_text(vectors["key"]["vkey"] + "\n", encoding="utf-8")
    code, output = other.sh("signature")
    assert code == 0 and "all signatures are good" in output, output
    assert other.sh("key_id") == (0, vectors["key"]["vkey"].split("+")[1] + "\n")
    (other.work / "archive" / "checkpoint" / "1").write_text(vectors["refused_notes"][0]["note"], encoding="utf-8")
    assert other.sh("signature")[0] != 0


def visit_all(ledger, docs, work):
    visit = Visit(ledger, docs, work)
    answers = visit.sql()
    # Seven producers say that they open and close; the recorder states the sessions' and agents' streams.
    total = 43 + 2 * 7 + 1
    expect_verify(answers.pop("verify"), total)
    expect_findings(answers.pop("findings"))
    assert answers.pop("export") == [(total,)]
    (kept,) = answers.pop("kept")
    assert kept["same"] == "true" and 0 < int(kept["size"]) < total, kept
    # Without retention configured: one class, no dates, nothing destroyed.
    (retention,) = answers.pop("retention")
    assert (retention["class"], retention["records"], retention["lock"], retention["last_date"]) == ("default", str(total), None, None), retention
    assert [answers.pop(name) for name in ("destroyed", "orphans", "statements")] == [[], [], []]
    # Nobody signs here: the blocks about sources are tried by sources.py.
    assert answers.pop("sources") == [(0,)]
    assert not answers, f"blocks without an expectation: {list(answers)}"

    newest = (sorted((work / "archive" / "checkpoint").iterdir())[-1]).read_text(encoding="utf-8").split("\n")
    code, output = visit.sh("proof")
    assert code == 0 and output.startswith(f"{newest[1]} records, root "), output
    code, output = visit.macs()
    assert code == 0 and output.strip().endswith("MACs good"), output
    code, output = visit.sh("signature")
    assert code == 0 and "all signatures are good" in output, output
    code, output = visit.sh("key_id")
    assert code == 0 and output.strip() == (work / "ledger.vkey").read_text().split("+")[1], output
    time_stamp(visit)
    on_p256(visit)
    known = {"proof", "signature", "source", "timestamp", "key_id"}
    assert set(blocks(visit.page, "sh")) == known, "a shell block without an expectation"


def time_stamp(visit):
    """A token over the newest checkpoint, by an authority made here: good as it lies, and not when a byte of either is another."""
    openssl = lambda *arguments: subprocess.run(["openssl", *arguments], cwd=visit.work, check=True, capture_output=True)
    (visit.work / "tsa.cnf").write_text(TSA)
    (visit.work / "serial").write_text("01\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", "ca.key", "-out", "tsa-ca.pem", "-days", "9", "-subj", "/CN=root")
    openssl("req", "-new", "-newkey", "rsa:2048", "-noenc", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=tsa")
    openssl("x509", "-req", "-in", "tsa.csr", "-CA", "tsa-ca.pem", "-CAkey", "ca.key", "-days", "9", "-extfile", "tsa.cnf", "-extensions", "tsa", "-out", "tsa.pem")
    newest = sorted((visit.work / "archive" / "checkpoint").iterdir())[-1]
    openssl("ts", "-query", "-data", str(newest), "-sha256", "-cert", "-out", "query")
    openssl("ts", "-reply", "-config", "tsa.cnf", "-section", "stamp", "-queryfile", "query", "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "reply")
    token = (visit.work / "reply").read_bytes()
    file = visit.work / "archive" / "timestamp" / f"{newest.name}-{hashlib.sha256(token).hexdigest()[:16]}.tsr"
    file.parent.mkdir()
    file.write_bytes(token)
    code, output = visit.sh("timestamp")
    assert code == 0 and "all time stamps are good" in output and f"{newest.name} records, " in output, output
    for path in (file, newest):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        code, output = visit.sh("timestamp")
        assert code != 0 and "bad time stamp" in output, f"{path.name}: {output}"
        path.write_bytes(whole)
    # The response may say what it likes beside the token.
    file.unlink()
    token = tokens.with_status_text(token, "x\nTime stamp: Nov 21 00:00:00 2030 GMT")
    file = file.with_name(f"{newest.name}-{hashlib.sha256(token).hexdigest()[:16]}.tsr")
    file.write_bytes(token)
    code, output = visit.sh("timestamp")
    assert code == 0 and f"{newest.name} records, " in output and "2030" not in output, output
    # What was stored beside the checkpoints is no stranger to the queries of the page.
    expect_verify(visit.sql()["verify"], 58)


TSA = """
[tsa]
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[stamp]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
"""


# == The same, on forged archives ==


def rewrite(file, change):
    """Writes a Parquet file anew with DuckDB, with some of it changed; the name stays."""
    new = file.with_suffix(".new")
    db = duckdb.connect()
    db.execute(f"COPY (SELECT * REPLACE ({change}) FROM read_parquet('{file}', hive_partitioning = false)) TO '{new}' (FORMAT parquet)")
    new.replace(file)


def of_loans(archive, folder):
    """The object in `folder` of the segment that holds a loan decision."""
    for file in sorted(archive.glob("records/*/*/*.parquet")):
        query = f"SELECT count(*) FROM read_parquet('{file}') WHERE decision_type = 'LOAN_APPROVAL'"
        if duckdb.connect().execute(query).fetchone()[0]:
            segment = file.name.rsplit("-", 1)[0]
            return next(archive.glob(f"{folder}/**/{segment}-*.parquet"))
    raise AssertionError("no loan decision in the archive")


def change_body(archive):
    rewrite(of_loans(archive, "records"), "replace(body, 'loan', 'lean') AS body")


def change_column(archive):
    rewrite(of_loans(archive, "records"), "'approve' AS final_decision")


def change_leaf(archive):
    rewrite(of_loans(archive, "leaves"), "replace(leaf, '\"kind\":\"agent_decision\"', '\"kind\":\"tool_call\"') AS leaf")


def change_mac(archive):
    rewrite(of_loans(archive, "leaves"), "'\\x00'::BLOB || mac[2:] AS mac")


def change_checkpoint(archive):
    """Another root, with the signature left as it was."""
    note = sorted(archive.glob("checkpoint/*"))[-1]
    lines = note.read_text(encoding="utf-8").split("\n")
    lines[2] = ("B" if lines[2][0] == "A" else "A") + lines[2][1:]
    note.write_text("\n".join(lines), encoding="utf-8")


def change_commit(archive):
    """Another retention class: no leaf contradicts that, but the next commit carries the hash of this one."""
    note = sorted(archive.glob("commit/*"))[0]
    note.write_text(note.read_text(encoding="utf-8").replace('"class":"default"', '"class":"defaults"'), encoding="utf-8")


def remove_records(archive):
    of_loans(archive, "records").unlink()


def add_records(archive):
    file = of_loans(archive, "records")
    shutil.copyfile(file, file.with_name("0" * 20 + "-1-0000000000000000.parquet"))


def roll_back(archive):
    """The archive as it was after its first segment: whole in itself."""
    (end,) = {int(sorted(archive.glob("checkpoint/*"))[0].name)}
    for path in archive.rglob("*"):
        number = re.match(r"\d{20}", path.name)
        if path.is_file() and number:
            beyond = int(number[0]) > end if path.parent.name == "checkpoint" else int(number[0]) >= end
            if beyond:
                path.unlink()


# What is done, and which steps must find it: parts of verify_findings, proof.py, the signatures, the kept checkpoint.
FORGERIES = [
    (change_body, {"bodies", "columns", "objects"}, True, False, False),
    (change_column, {"columns", "objects"}, True, False, False),
    (change_leaf, {"chain", "objects", "tree"}, True, False, True),
    (change_mac, {"objects"}, True, False, False),
    (change_checkpoint, {"tree"}, True, True, False),
    (change_commit, {"commits"}, True, True, False),
    (remove_records, {"bodies", "objects"}, True, False, False),
    (add_records, {"bodies", "objects"}, None, False, False),
    (roll_back, set(), False, False, True),
]


def forged(ledger, docs, work):
    for forge, parts, by_proof, by_signature, by_kept in FORGERIES:
        visit = Visit(ledger, docs, work)
        forge(work / "archive")
        answers = visit.sql()
        found = set(column(answers["findings"], "part"))
        assert parts <= found and bool(parts) == bool(found), f"{forge.__name__}: {found}, not {parts}: {answers['findings']}"
        good = answers["verify"][0]["good"]
        assert good == ("false" if parts else "true"), f"{forge.__name__}: good = {good}"
        # By `None` the exported rows are doubled, which the script need not get to see.
        code, output = visit.sh("proof")
        assert by_proof is None or (code != 0) == by_proof, f"{forge.__name__}: proof.py says {code}: {output}"
        code, output = visit.sh("signature")
        assert (code != 0) == by_signature, f"{forge.__name__}: the signatures say {code}: {output}"
        same = answers["kept"][0]["same"]
        assert (same != "true") == by_kept, f"{forge.__name__}: the kept checkpoint says {same}"
    wrong_escrow(ledger, docs, work)
    print(f"{len(FORGERIES) + 1} forgeries found")


def wrong_escrow(ledger, docs, work):
    """MACs are really compared: with another key they are wrong."""
    visit = Visit(ledger, docs, work)
    visit.sql()
    lines = visit.escrow.read_text().split("\n")
    visit.escrow = work / "escrow"
    visit.escrow.write_text("\n".join([lines[0], lines[1], "0" * 64, ""]))
    code, output = visit.macs()
    assert code != 0 and "MAC is wrong" in output, output


# == Retention ==


def forget_intent(archive):
    """Without the statement that it was to be destroyed, an object is just missing. The file keeps its name and its rows."""
    (file,) = [file for file in archive.glob("records/class=recorder/*/*.parquet") if b"retention.destroy\0" in statements_of(file)]
    rewrite(file, "replace(body, 'retention.destroy', 'retention.destroi') AS body")


def statements_of(file):
    rows = duckdb.connect().execute(f"SELECT action_type FROM read_parquet('{file}')").fetchall()
    return b"".join(action.encode() + b"\0" for (action,) in rows)


def destroy_more(archive):
    """A second object goes without a word."""
    next(archive.glob("records/class=default/*/*.parquet")).unlink()


def forge_destruction(archive):
    """An object goes, and a file that no commit names says that it was destroyed, and that itself is a leftover."""
    db = duckdb.connect()
    gone = next(archive.glob("records/class=default/*/*.parquet"))
    path, sha256 = gone.relative_to(archive).as_posix(), hashlib.sha256(gone.read_bytes()).hexdigest()
    gone.unlink()
    statements = [file for file in archive.glob("records/class=recorder/*/*.parquet")]
    forged = statements[0].with_name("0" * 20 + "-2-0123456789abcdef.parquet")
    says = lambda action, *objects: json.dumps(
        {"observed_at": "2099-01-01T00:00:00.000000000Z", "producer": "tachograph-collector", "action_type": action, "details": {"objects": objects}}
    )
    bodies = [
        ("retention.destroy", says("retention.destroy", {"path": path, "sha256": sha256})),
        ("archive.orphans", says("archive.orphans", forged.relative_to(archive).as_posix())),
    ]
    rows = " UNION ALL ".join(
        f"(SELECT * REPLACE ('{action}' AS action_type, '{body}' AS body, TIMESTAMPTZ '2099-01-01 00:00:00+00' AS observed_at)"
        f" FROM read_parquet('{statements[0]}', hive_partitioning = false) LIMIT 1)"
        for action, body in bodies
    )
    db.execute(f"COPY ({rows}) TO '{forged}' (FORMAT parquet)")


def change_orphan(archive):
    """Another content for a leftover that the ledger reports."""
    (file,) = archive.glob("records/class=prompts/*/*7-1-*.parquet")
    rewrite(file, "'somebody else' AS actor_id")


def bring_orphan(archive):
    """A leftover of which the ledger says nothing."""
    file = next(archive.glob("records/class=prompts/*/*.parquet"))
    shutil.copyfile(file, file.with_name("0" * 20 + "-1-0000000000000000.parquet"))


def retained(ledger, docs, work):
    visit = Visit(ledger, docs, work)
    answers = visit.sql()
    (verified,) = answers["verify"]
    assert verified["good"] == "true" and (verified["leaves"], verified["bodies"]) == ("15", "12"), (verified, answers["findings"])
    assert [(row["class"], row["lock"], row["records"]) for row in answers["retention"]] == [
        ("default", "none", "5"), ("prompts", "none", "5"), ("recorder", "none", "5")], answers["retention"]
    assert [row["last_date"][:10] for row in answers["retention"]] == ["2028-11-21", "2026-11-23", "2028-12-21"], answers["retention"]
    (destroyed,) = answers["destroyed"]
    assert destroyed["rows"] == "3" and "class=prompts" in destroyed["path"] and destroyed["said_by"] == "uid:1000", destroyed
    assert len(answers["orphans"]) == 2 and len(answers["statements"]) == 5, answers
    code, output = visit.macs()
    assert code == 0 and "3 bodies destroyed, MACs good" in output, output
    forgeries = [
        (forget_intent, {"bodies", "objects"}),
        (destroy_more, {"bodies", "objects"}),
        (forge_destruction, {"bodies", "objects"}),
        (bring_orphan, {"objects"}),
        (change_orphan, {"objects"}),
    ]
    for forge, parts in forgeries:
        visit = Visit(ledger, docs, work)
        forge(work / "archive")
        answers = visit.sql()
        found = set(column(answers["findings"], "part"))
        assert parts <= found and answers["verify"][0]["good"] == "false", f"{forge.__name__}: {found}"
        code, output = visit.sh("proof")
        # The script looks at no file that no commit names; where the rows of one come twice it notices.
        assert (code != 0) == (forge is not change_orphan), f"{forge.__name__}: proof.py says {output}"
    print("retention holds")


def main():
    match sys.argv[1:]:
        case ["visit", ledger, docs, work]:
            visit_all(pathlib.Path(ledger), pathlib.Path(docs), pathlib.Path(work))
        case ["forged", ledger, docs, work]:
            forged(pathlib.Path(ledger), pathlib.Path(docs), pathlib.Path(work))
        case ["retained", ledger, docs, work]:
            retained(pathlib.Path(ledger), pathlib.Path(docs), pathlib.Path(work))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
