#!/usr/bin/env python3
"""Makes bundle-v1/: an evidence bundle by docs/format.md section 9, three records out of a ledger of seven.

Written from that page alone, with Python's standard library alone, so that it shares no code with the Rust implementation.
Keys, hashes and trees come from make_ledger_vectors.py, which is written the same way. The programs and the page for people
that a bundle carries along are copied from exporters/src/bundle/assets. The keys are public: never use them.

    python3 make_bundle.py            writes bundle-v1/ beside this file
    python3 make_bundle.py --check    exits 1 if the folder differs from what would be written
"""

import datetime
import json
import pathlib
import shutil
import sys

import make_ledger_vectors as ledger_vectors
from make_ledger_vectors import EM_DASH, b64, ed25519_sign, inclusion, leaf_hash, make_leaf, public_key, root, sha256

HERE = pathlib.Path(__file__).resolve().parent
ASSETS = HERE.parent.parent / "exporters" / "src" / "bundle" / "assets"
COPIED = ["VERIFY.md", "verify.py", "verify.sh", "verify.sql"]

NAME, SEED = "acme.example/ai-audit", bytes(range(32))
WITNESS, WITNESS_SEED, WITNESSED_AT = "witness.example/w1", bytes(range(64, 96)), 1_790_000_100

CREATED_AT = "2026-11-27T06:00:00.000000000Z"
NOW = 1_790_000_000_000_000_000
TRACE, CASE = "4bf92f3577b34da6a3ce929d0e0e4736", "loan-A-17"
EVENTS = [f"01a0c450-6c7b-7000-8000-{number:012}" for number in range(20)]
SELECTION, SELECTED = {"kind": "chain", "id": CASE}, [2, 3, 5]


def write_time(nanos):
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=nanos // 10**9)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos % 10**9:09}Z"


def make_body(index, kind, **members):
    """Section 2. `members` stand in the order in which they are given."""
    content = {"event_id": EVENTS[index], "timestamp": write_time(NOW + index * 10**9 + 123), "kind": kind, **members}
    prefix = {"v": "1", "salt": sha256(b"salt%d" % index)[:16].hex(), "observed_at": write_time(NOW + index * 10**9 + 5_000_123)}
    return json.dumps({**prefix, **content}, separators=(",", ":"), ensure_ascii=False)


def make_bodies():
    """A loan is refused: a file is looked up, a model scores it, an agent decides. The other records are somebody else's."""
    service = {"service_name": "credit-api", "environment": "production"}
    actor = {"actor_type": "agent", "actor_id": "loan-bot", "session_id": "s-2026-09-21-1"}
    case = {"trace_id": TRACE, "correlation_id": CASE}
    numbered = lambda number: {"producer": "credit-api-1", "producer_epoch": "e1", "producer_seq": str(number)}
    return [
        make_body(0, "lifecycle", action_type="collector.start", producer="tachograph-collector", producer_epoch="c1", producer_seq="0"),
        make_body(1, "generation", **service, model="summary-2", prompt="Summarise the letter.", output="The customer moved."),
        make_body(2, "retrieval", **service, **actor, action_type="credit_file.read", outcome="success", trace_id=TRACE,
                  span_id="00f067aa0ba902b2", correlation_id=CASE, inputs={"customer": "C-204"},
                  outputs={"open_loans": 3, "late_payments": 2}, **numbered(0)),
        make_body(3, "generation", **service, **actor, outcome="success", trace_id=TRACE, span_id="00f067aa0ba902b3",
                  correlation_id=CASE, parent_id=EVENTS[2], provider="example", model="risk-7", model_version="risk-7-2026-08-01",
                  prompt="Score the application of “Łukasz” from 0 to 1.\nThree open loans, two late payments.",
                  output="0.41", parameters={"temperature": 0, "seed": 7}, tokens_in=412, tokens_out=6, cost=0.0012,
                  cost_currency="EUR", duration_ns="812000000", **numbered(1)),
        make_body(4, "audit_event", **service, action_type="report.read", actor_type="user", actor_id="u-7"),
        make_body(5, "agent_decision", **service, **actor, action_type="loan.decide", resource_type="application", resource_id="A-17",
                  outcome="success", outcome_reason="score below the threshold", **case, parent_id=EVENTS[3],
                  agent_id="loan-bot", agent_version="2.1", decision_type="LOAN_APPROVAL", inputs={"score": 0.41, "amount": 12000},
                  decision_steps=["read the credit file", "scored it with risk-7", "compared 0.41 with 0.62"],
                  threshold=0.62, confidence=0.41, raw_output="0.41", final_decision="refuse", **numbered(2)),
        make_body(6, "lifecycle", action_type="collector.stop", producer="tachograph-collector", producer_epoch="c1", producer_seq="1"),
    ]


def leaf_of(body, index, prev, name=NAME, stream=None):
    """Section 3: the leaf says of the body what the body says itself."""
    said = json.loads(body)
    nanos = NOW + index * 10**9 + 123
    assert said["timestamp"] == write_time(nanos)
    repeated = {key: said[key] for key in ("trace_id", "span_id", "producer", "producer_epoch", "producer_seq") if key in said}
    return make_leaf({
        "body_len": len(body.encode()), "body_sha256": sha256(body.encode()).hex(), "event_time": nanos, "index": index,
        "kind": said["kind"], "ledger": name, "prev": prev.hex(), "sealed_at": nanos + 6_000_000, **repeated, **(stream or {}),
    })


class Ledger:
    """Bodies sealed in order, and the key that signs."""

    def __init__(self, bodies, name=NAME, seed=SEED):
        self.name, self.seed, self.bodies = name, seed, bodies
        self.vkey = self.key_line()
        self.leaves, self.hashes = [], []
        prev = sha256(f"tachograph/genesis/v1\n{self.vkey}\n".encode())
        for index, body in enumerate(bodies):
            self.leaves.append(leaf_of(body, index, prev, name))
            prev = leaf_hash(self.leaves[-1])
            self.hashes.append(prev)

    def key_line(self):
        """Section 1."""
        return ledger_vectors.vkey_line(self.name, public_key(self.seed))

    def sign(self, text):
        """Section 6."""
        return ledger_vectors.sign_note(self.name, self.seed, text)

    def checkpoint(self, size):
        return self.sign(f"{self.name}\n{size}\n{b64(root(self.hashes[:size]))}\n")

    def proof(self, index, size, note):
        """Section 9, one record."""
        hashes = "".join(b64(node) + "\n" for node in inclusion(index, self.hashes[:size]))
        leaf = b64(self.leaves[index].encode())
        return f"c2sp.org/tlog-proof@v1\nextra {leaf}\nindex {index}\n{hashes}\n{note}"


def witness_vkey(name=WITNESS, seed=WITNESS_SEED):
    """A witness's key line: as a ledger's, with type 0x04 (c2sp.org/tlog-cosignature)."""
    key = b"\x04" + public_key(seed)
    return f"{name}+{sha256(name.encode() + bytes([10]) + key)[:4].hex()}+{b64(key)}"


def cosign(note, name=WITNESS, seed=WITNESS_SEED, at=WITNESSED_AT):
    """The note with a witness's line below: key id, 8 bytes of time, signature over time and text."""
    text = note.split("\n\n")[0] + "\n"
    signature = ed25519_sign(seed, f"cosignature/v1\ntime {at}\n{text}".encode())
    key_id = bytes.fromhex(witness_vkey(name, seed).split("+")[1])
    return f"{note}{EM_DASH} {name} {b64(key_id + at.to_bytes(8, 'big') + signature)}\n"


def make_line(body, index, leaf):
    line = {"body": body, "index": str(index), "leaf": leaf}
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n"


def make_page(ledger, indexes):
    """Stands in for the page that `tachograph prove` writes, which a bundle must have and nothing rests on."""
    rows = "".join(f"<li>Record {index}</li>" for index in indexes)
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Evidence from {ledger.name}</title></head>'
            f"<body><h1>Evidence from {ledger.name}</h1><ul>{rows}</ul></body></html>\n")


def make_bundle(ledger=None, selection=SELECTION, selected=SELECTED, anchor=None, witnessed=True, extra=None):
    """All files of a bundle but the manifest: path → bytes. `extra` are further files."""
    ledger = ledger or Ledger(make_bodies())
    size = len(ledger.hashes)
    indexes = sorted({*selected, *([] if anchor is None else [anchor])})
    checkpoint = ledger.checkpoint(size)
    note = cosign(checkpoint) if witnessed else checkpoint
    about = {"bundle": "1", "created_at": CREATED_AT, "ledger": ledger.name, "vkey": ledger.vkey, "size": str(size),
             "root": root(ledger.hashes).hex(), "selection": selection, "records": [str(index) for index in selected]}
    if anchor is not None:
        about["anchor"] = str(anchor)
    files = {
        "bundle.json": json.dumps(about, separators=(",", ":"), ensure_ascii=False) + "\n",
        "ledger.vkey": ledger.vkey + "\n",
        "checkpoint": checkpoint,
        "records.jsonl": "".join(make_line(ledger.bodies[index], index, ledger.leaves[index]) for index in indexes),
        "index.html": make_page(ledger, indexes),
    }
    if witnessed:
        files["witnessed"] = note
    for index in indexes:
        files[f"proofs/{index:020}.tlog-proof"] = ledger.proof(index, size, note)
    files = {path: text.encode() for path, text in files.items()}
    return {**files, **{path: (ASSETS / path).read_bytes() for path in COPIED}, **(extra or {})}


def with_manifest(files):
    """The same files with their MANIFEST.sha256."""
    files = {path: data for path, data in files.items() if path != "MANIFEST.sha256"}
    lines = "".join(f"{sha256(data).hex()}  {path}\n" for path, data in sorted(files.items()))
    return {**files, "MANIFEST.sha256": lines.encode()}


def write(files, folder):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def read(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_or_check(name, files, usage):
    """The bundle `name` in this folder, written, or with --check compared; `usage` is told to whoever gives other arguments."""
    folder, files = HERE / name, with_manifest(files)
    if sys.argv[1:] == ["--check"]:
        there = read(folder)
        if differ := sorted(path for path in {*there, *files} if there.get(path) != files.get(path)):
            sys.exit(f"{folder.name} differs from what this script makes: {', '.join(differ)}")
    elif sys.argv[1:]:
        sys.exit(usage)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        write(files, folder)


def main():
    write_or_check("bundle-v1", make_bundle(), __doc__)


if __name__ == "__main__":
    main()
