"""Ways to cheat with an evidence bundle, for test_bundle.py: each takes the files of a good one and gives those of a false one.

    bundle_attacks.py DIR    writes each into a folder of its own, for other programs, and the axes that must fail into DIR/expected.json;
                             also bundles of which only `completeness` is asked, with that verdict
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "golden"))

import make_bundle
import make_stream_bundle
from make_bundle import EVENTS, Ledger, cosign, make_bodies
from make_ledger_vectors import b64, public_key, root, sha256, sign_note, vkey_line
from make_stream_bundle import AGENT, StreamLedger
from make_stream_vectors import STREAM_KEY, secret

LEDGER = Ledger(make_bodies())
ROGUE = Ledger(make_bodies(), seed=bytes(range(1, 33)))  # the same name, another key
OTHER = Ledger(make_bodies(), name="acme.example/other")  # another ledger with the same key
PROOF = "proofs/{:020}.tlog-proof".format
CLOSED = "closed/{:020}.tlog-proof".format
DASH = make_bundle.EM_DASH


def edit_about(files, **members):
    about = json.loads(files["bundle.json"]) | members
    return {**files, "bundle.json": (json.dumps(about, separators=(",", ":")) + "\n").encode()}


def edit_lines(files, change):
    """`change` gets the lines of records.jsonl as objects and gives those that shall stand there."""
    lines = change([json.loads(line) for line in files["records.jsonl"].splitlines()])
    return {**files, "records.jsonl": "".join(make_bundle.make_line(line["body"], line["index"], line["leaf"]) for line in lines).encode()}


def replaced(files, name, *pairs):
    data = files[name]
    for old, new in pairs:
        assert old in data, old
        data = data.replace(old, new)
    return {**files, name: data}


def noted(files, checkpoint, note):
    """With another checkpoint everywhere."""
    old, new = files["witnessed"], note.encode()
    return {name: data.replace(old, new) for name, data in files.items()} | {"checkpoint": checkpoint.encode(), "witnessed": new}


def without(files, *names):
    return {name: data for name, data in files.items() if name not in names}


class Rotated(Ledger):
    """A ledger of `size` records with the first key of LEDGER. Record 6 announces a second key, which signs trees of more than `above`."""

    SECOND = sha256(b"the second key")

    def __init__(self, size=10, above=8):
        told = {"details": {"vkey": vkey_line(make_bundle.NAME, public_key(self.SECOND))}, "producer": "tachograph-collector", "producer_epoch": "c1"}
        said = [make_bundle.make_body(6, "lifecycle", action_type="key.announce", **told, producer_seq="1")]
        said += [make_bundle.make_body(index, "audit_event", action_type="report.read") for index in range(7, size)]
        self.above = above
        super().__init__((make_bodies()[:6] + said)[:size])

    def checkpoint(self, size):
        text = f"{self.name}\n{size}\n{b64(root(self.hashes[:size]))}\n"
        note = self.sign(text)
        return note if size <= self.above else note + sign_note(self.name, self.SECOND, text).rpartition("\n\n")[2]

    def link(self):
        """That of record 6, over `above` records."""
        proof = self.proof(6, self.above, self.checkpoint(self.above))
        return f"tachograph.dev/key-link/v1\n{b64(self.bodies[6].encode())}\n{proof}".encode()


def of_rotated(size=10, above=8, link=None):
    """A bundle of a ledger that changed its key."""
    ledger = Rotated(size, above)
    link = (link or Rotated(20, above)).link()
    return make_bundle.make_bundle(ledger, extra={"keys/00000000000000000006": link})


def swap_bodies(lines):
    lines[0]["body"], lines[1]["body"] = lines[1]["body"], lines[0]["body"]
    return lines


def respell_leaf(lines):
    lines[1]["leaf"] = lines[1]["leaf"].replace(',"kind"', ', "kind"')
    return lines


def change_leaf_and_body(files):
    """A consistent lie: body, leaf and the proof's `extra` say that the loan was granted."""
    lines = [json.loads(line) for line in files["records.jsonl"].splitlines()]
    body = lines[2]["body"].replace('"refuse"', '"granted"')
    old, leaf = lines[2]["leaf"], json.loads(lines[2]["leaf"])
    leaf |= {"body_len": str(len(body.encode())), "body_sha256": sha256(body.encode()).hex()}
    leaf = json.dumps(leaf, sort_keys=True, separators=(",", ":"))
    lines[2] |= {"body": body, "leaf": leaf}
    files = replaced(files, PROOF(5), (b64(old.encode()).encode(), b64(leaf.encode()).encode()))
    return edit_lines(files, lambda _: lines)


def false_cosignature(files):
    """The line of the right witness, over another text."""
    line = cosign(LEDGER.checkpoint(6)).split("\n")[-2]
    return noted(files, LEDGER.checkpoint(7), f"{LEDGER.checkpoint(7)}{line}\n")


def key_in_bundle(files, vkey):
    return {**edit_about(files, vkey=vkey), "ledger.vkey": (vkey + "\n").encode()}


def of_rogue(bundle=make_bundle.make_bundle):
    return bundle(ROGUE)


def of_session(**changed):
    return make_stream_bundle.make(**changed)


def edit_streams(files, change):
    """`change` gets the generations of streams.json and changes them."""
    streams = json.loads(files["streams.json"])
    change(streams["generations"])
    return {**files, "streams.json": json.dumps(streams).encode()}


def doctor_entry(generations):
    """As if the session had had one record less."""
    name, count, last = generations[0]["entries"][0]["entry"].split()
    generations[0]["entries"][0]["entry"] = f"{name} {int(count) - 1} {last}"


def other_generations_entry(generations):
    generations[1]["entries"] = generations[0]["entries"]


def statement_of_a_sender():
    """A sender says of itself what only the recorder may say."""
    ledger = StreamLedger()
    ledger.generations.append((len(ledger.leaves), ledger.streams))
    body = make_bundle.make_body(len(ledger.leaves), "lifecycle", action_type="streams.closed", producer="desk", producer_epoch="e", producer_seq="0")
    ledger.seal(body, {"stream": ledger.streams.statement()})
    return make_stream_bundle.make(ledger)


def false_statement():
    """The recorder states one record less than the session has: the record is in the bundle all the same."""
    ledger = StreamLedger()
    closed, streams = ledger.generations[2]
    name = next(iter(streams.tails))
    streams.tails[name] = (1, ledger.hashes[10])
    ledger.own("streams.closed", streams.statement())
    ledger.generations[2] = (len(ledger.leaves) - 1, streams)
    return make_stream_bundle.make(ledger)


def switched(by="session,agent", key=STREAM_KEY):
    """The second generation of three was sealed with another order of preference or another key, and what it has of s-1 is left out."""
    return make_stream_bundle.make(StreamLedger(second=(by, key)), selected=(1, 3, 6, 13, 14))


def of_agent(by, selected, **changed):
    return make_stream_bundle.make(StreamLedger(by=by), kind="agent", name=AGENT, selected=selected, **changed)


OTHER_KEY = bytes(range(32))

# Bundles of sessions and agents, what all programs must make of their completeness, and words that Python says then.
SHOWN = {
    "whole session": (of_session, "pass", "of the stream no record is missing there, and 5 are here; of what lies behind record 11 nothing is shown"),
    "later part of a session": (lambda: of_session(selected=(10, 11), generations=(2,)), "pass", "of what lies before record 10 or behind record 11 nothing"),
    "whole agent": (lambda: of_agent("agent,session", (2, 3, 5)), "pass", "and 3 are here"),
    "agent with its records in sessions": (lambda: of_agent("session,agent", (2, 3, 5)), "incomplete", "3 generations, the first from record 0 on, in which records of this agent may be in other streams"),
    "agent without its records in sessions": (lambda: of_agent("session,agent", (5,)), "incomplete", "records of this agent may be in other streams"),
    "agent where streams are those of sessions": (
        lambda: of_agent("session", (2,), generations=(0, 1)), "incomplete", "2 generations, the first from record 0 on, in which records of this agent"),
    "session where agents came first for a while": (
        lambda: switched(by="agent,session"), "incomplete", "1 generations, the first from record 8 on, in which records of this session may be in other streams"),
    "session with another stream key for a while": (
        lambda: switched(key=OTHER_KEY), "incomplete", "1 generations, the first from record 8 on, under a stream key that none of the stream's"),
    "session without an ended generation": (
        lambda: make_stream_bundle.make(StreamLedger(second=("session,agent", OTHER_KEY)), selected=(1, 3, 6, 13, 14), generations=(0, 2)),
        "incomplete", "records 8 to 11, of which nothing is shown here"),
    "session with a changed body": (lambda: edit_lines(of_session(), change_first_body), "incomplete", "body is missing or wrong"),
    "session by another key": (lambda: make_stream_bundle.make(StreamLedger(seed=bytes(range(1, 33)))), "incomplete", "there is no good checkpoint"),
    "session with a false checkpoint": (
        lambda: edit_about(of_session(), root="00" * 32), "incomplete", "there is no good checkpoint"),
}


def change_first_body(lines):
    lines[0]["body"] = lines[0]["body"].replace("desk", "dusk")
    return lines


# What is done to a good bundle (its manifest is made anew afterwards), on which axes that fails and with what words, and whether
# verify.sql and verify.sh must find it too: neither reads everything.
ATTACKS = {
    "missing page": (lambda f: without(f, "index.html"), {"integrity": "missing"}, False, False),
    "missing proof": (lambda f: without(f, PROOF(3)), {"coverage": "missing"}, True, False),
    "missing records": (lambda f: without(f, "records.jsonl"), {"integrity": "missing", "completeness": "missing"}, True, True),
    "extra file": (lambda f: {**f, "notes.txt": b"trust me"}, {"integrity": "no part of a bundle"}, False, False),
    "extra proof": (lambda f: {**f, PROOF(4): LEDGER.proof(4, 7, f["witnessed"].decode()).encode()}, {"integrity": "no record of this bundle"}, True, False),
    "proof for another size": (
        lambda f: {**f, PROOF(3): LEDGER.proof(3, 6, cosign(LEDGER.checkpoint(6))).encode()},
        {"coverage": "tree of 6 records, the bundle's checkpoint for one of 7"}, True, False),
    "proof for another size under this checkpoint": (
        lambda f: {**f, PROOF(5): LEDGER.proof(5, 6, f["witnessed"].decode()).encode()}, {"coverage": "too few hashes"}, True, False),
    "another index's proof": (lambda f: {**f, PROOF(3): f[PROOF(2)]}, {"coverage": "proof is of record 2"}, True, False),
    "another index's hashes": (
        lambda f: replaced(f, PROOF(3), (b"index 3\n" + f[PROOF(3)].split(b"index 3\n")[1], b"index 3\n" + f[PROOF(2)].split(b"index 2\n")[1])),
        {"coverage": "another root"}, True, False),
    "proof of another ledger": (
        lambda f: {**f, PROOF(3): OTHER.proof(3, 7, OTHER.checkpoint(7)).replace(b64(OTHER.leaves[3].encode()), b64(LEDGER.leaves[3].encode())).encode()},
        {"coverage": "for ledger acme.example/other"}, True, False),
    "whole bundle by another key": (lambda f: of_rogue(), {"authenticity": "unknown key: the bundle brings"}, False, True),
    "signature by another key": (
        lambda f: key_in_bundle(of_rogue(), LEDGER.vkey), {"authenticity": "unknown key: there is no signature of"}, False, True),
    "signature over another text": (
        lambda f: noted(f, *[LEDGER.checkpoint(7).split(DASH)[0] + DASH + LEDGER.checkpoint(6).split(DASH)[1]] * 2),
        {"authenticity": "the signature of acme.example/ai-audit+affa7b35 is false"}, False, True),
    "checkpoint of another ledger": (
        lambda f: noted(f, OTHER.checkpoint(7), cosign(OTHER.checkpoint(7))), {"authenticity": "a checkpoint of ledger acme.example/other"}, True, True),
    "older checkpoint": (
        lambda f: noted(f, LEDGER.checkpoint(6), cosign(LEDGER.checkpoint(6))), {"coverage": "another size or root"}, True, False),
    "checkpoint and witnessed differ": (
        lambda f: {**f, "checkpoint": LEDGER.checkpoint(6).encode()},
        {"integrity": "witnessed", "coverage": "another size or root"}, True, True),
    "other root in bundle.json": (lambda f: edit_about(f, root="00" * 32), {"coverage": "another size or root"}, True, False),
    "other key in bundle.json": (lambda f: edit_about(f, vkey=ROGUE.vkey), {"authenticity": "names another key"}, True, False),
    "leaf re-spelled": (lambda f: edit_lines(f, respell_leaf), {"integrity": "one spelling", "coverage": "another leaf"}, True, False),
    "bodies swapped": (lambda f: edit_lines(f, swap_bodies), {"integrity": "not the one that the leaf seals"}, True, False),
    "body changed": (lambda f: replaced(f, "records.jsonl", (b"refuse", b"accept")), {"integrity": "not the one that the leaf seals"}, True, False),
    "body, leaf and extra changed": (change_leaf_and_body, {"coverage": "another root"}, True, False),
    "records reordered": (lambda f: edit_lines(f, lambda lines: [lines[1], lines[0], lines[2]]), {"integrity": "out of order"}, True, False),
    "record twice": (lambda f: edit_lines(f, lambda lines: [lines[0], *lines]), {"integrity": "twice"}, True, False),
    "line with white space": (lambda f: replaced(f, "records.jsonl", (b',"index":"3"', b', "index":"3"')), {"integrity": "not a line", "completeness": "missing"}, False, False),
    "false cosignature": (false_cosignature, {"non_equivocation": "cosignature of witness.example/w1 is false"}, False, False),
    "record left out": (lambda f: without(edit_lines(f, lambda lines: lines[:2]), PROOF(5)), {"completeness": "record 5 is missing"}, True, False),
    "record that is not named": (lambda f: edit_about(f, records=["2", "3"]), {"integrity": "no record of this bundle", "completeness": "does not name it"}, True, False),
    "index left out of a range": (
        lambda f: edit_about(f, selection={"kind": "indexes", "first": "2", "last": "5"}), {"completeness": "some were left out"}, True, False),
    "records beyond the range": (
        lambda f: edit_about(f, selection={"kind": "indexes", "first": "2", "last": "4"}), {"completeness": "record 5 is not what was asked for"}, True, False),
    "another event's record": (
        lambda f: edit_about(f, selection={"kind": "event", "id": EVENTS[2]}), {"completeness": "record 3 is not what was asked for"}, False, False),
    "another session's record": (
        lambda f: edit_about(f, selection={"kind": "session", "session_id": "s-2"}), {"completeness": "record 2 is not what was asked for"}, False, False),
    "records of another time": (
        lambda f: edit_about(f, selection={"kind": "time", "from": make_bundle.write_time(make_bundle.NOW), "to": make_bundle.write_time(make_bundle.NOW + 3 * 10**9)}),
        {"completeness": "record 3 is not what was asked for"}, False, False),
    "chain of something else": (
        lambda f: edit_about(f, selection={"kind": "chain", "id": "loan-B-1"}), {"completeness": "none of the chain of loan-B-1"}, False, False),
    "foreign record in a chain": (
        lambda f: make_bundle.make_bundle(LEDGER, selected=[2, 3, 4, 5]), {"completeness": "record 4 is none of the chain of loan-A-17"}, False, False),
    "anchor without its token": (lambda f: edit_about(f, anchor="3"), {"time": "belong together"}, False, False),
    "token that no record holds": (lambda f: {**f, "not-before.tsr": b"0", "not-before.checkpoint": LEDGER.checkpoint(1).encode()}, {"time": "belong together"}, False, True),
    "another version": (lambda f: edit_about(f, bundle="3"), {"integrity": "another version"}, True, False),
    "unknown member": (lambda f: edit_about(f, note="x"), {"integrity": "not the members"}, False, False),
    "member twice": (lambda f: replaced(f, "bundle.json", (b'{"bundle":"1",', b'{"bundle":"1","bundle":"1",')), {"integrity": "twice"}, False, False),
    "nested beyond measure": (lambda f: {**f, "bundle.json": b"[" * 200_000}, {"integrity": "can't be read"}, True, False),
    "nested within a record": (lambda f: {**f, "records.jsonl": b'{"body":' + b"[" * 200_000}, {"integrity": "", "completeness": "missing"}, True, False),
    "endless number": (lambda f: replaced(f, "bundle.json", (b'"size":"7"', b'"size":' + b"7" * 10_000)), {"integrity": ""}, True, False),
    "no text": (lambda f: {**f, "records.jsonl": b"\xff\xfe" * 100}, {"integrity": "can't be read", "completeness": "missing"}, True, False),
    "not a note": (lambda f: {**f, "checkpoint": b"\n\n", "witnessed": b"\n\n"}, {"integrity": "", "authenticity": "", "coverage": "", "non_equivocation": ""}, True, True),
    "session without its middle": (lambda f: of_session(selected=(1, 6, 10, 11)), {"completeness": "where 1 is due"}, True, False),
    "session without its last record": (lambda f: of_session(selected=(1, 3, 6, 10)), {"completeness": "the recorder states 2"}, True, False),
    "session without its first record": (lambda f: of_session(selected=(3, 6, 10, 11)), {"completeness": "where 0 is due"}, True, False),
    "session without the records of a generation": (lambda f: of_session(selected=(1, 3, 6)), {"completeness": "the recorder states 2"}, False, False),
    "session without a generation": (lambda f: of_session(generations=(0, 2)), {"completeness": "does not join"}, False, False),
    "session with another's record": (
        lambda f: of_session(selected=(1, 3, 6, 8, 10, 11)), {"completeness": "record 8 is not what was asked for"}, False, False),
    "session with a false secret": (
        lambda f: of_session(secret=secret("session", "s-9")), {"completeness": "the secret is not the stream's"}, False, False),
    "session with an agent's secret": (
        lambda f: of_session(secret=secret("agent", "s-1")), {"completeness": "the secret is not the stream's"}, False, False),
    "session with the statement of another generation": (
        lambda f: (lambda files: {**files, CLOSED(9): files[CLOSED(7)]})(of_session()), {"completeness": "the proof is of record 7"}, False, False),
    "session with a record that states nothing": (
        lambda f: (lambda files: {**edit_streams(files, lambda g: g[2].update(closed="13")), CLOSED(13): StreamLedger().proof(13, 14, files["witnessed"].decode()).encode()})(
            without(of_session(), CLOSED(12))), {"completeness": "no statement of the recorder"}, False, False),
    "session with a sender's statement": (lambda f: statement_of_a_sender(), {"completeness": "no statement of the recorder"}, False, False),
    "session with a false statement": (lambda f: false_statement(), {"completeness": ""}, True, False),
    "session with a missing statement": (lambda f: without(of_session(), CLOSED(9)), {"completeness": "missing"}, False, False),
    "session with a statement beyond": (
        lambda f: (lambda files: {**files, CLOSED(12): of_session()[CLOSED(12)]})(of_session(generations=(0, 1))), {"integrity": "no generation"}, False, False),
    "session with a doctored entry": (lambda f: edit_streams(of_session(), doctor_entry), {"completeness": "not in the recorder's statement"}, True, False),
    "session with another generation's entry": (
        lambda f: edit_streams(of_session(), other_generations_entry), {"completeness": "too many hashes"}, False, False),
    "session that no entry tells of": (
        lambda f: edit_streams(of_session(), lambda generations: generations[1].update(entries=[])), {"completeness": "neither are the stream's"}, False, False),
    "session with generations out of order": (
        lambda f: edit_streams(of_session(), lambda generations: generations.reverse()), {"completeness": "not in order"}, False, False),
    "session whose streams are none": (lambda f: {**of_session(), "streams.json": b"[]"}, {"completeness": "not the members"}, False, False),
    "session's streams for an agent": (
        lambda f: edit_about(make_stream_bundle.make(selected=(2, 3, 5)), selection={"kind": "agent", "agent_id": AGENT}),
        {"completeness": "the stream of something else"}, True, False),
    "streams in version 1": (lambda f: edit_about(of_session(), bundle="1"), {"integrity": "no part of a bundle of this version"}, False, False),
    "streams of a chain": (
        lambda f: {**f, "streams.json": of_session()["streams.json"]}, {"integrity": "no part of a bundle of this version"}, False, False),
    "agent in version 1": (
        lambda f: edit_about(f, selection={"kind": "agent", "agent_id": "loan-bot"}), {"integrity": "another version"}, False, False),
    "link beside the checkpoint that it is over": (
        lambda f: of_rotated(above=10), {"authenticity": "none but those before it belong here"}, False, False),
    "link over more records than the checkpoint": (
        lambda f: of_rotated(above=12), {"authenticity": "none but those before it belong here"}, False, False),
    "link of another version": (
        lambda f: replaced(of_rotated(), "keys/00000000000000000006", (b"key-link/v1", b"key-link/v2")), {"authenticity": "not a link between keys"}, False, False),
    "link of another record": (
        lambda f: (lambda files: without(files, "keys/00000000000000000006") | {"keys/00000000000000000005": files["keys/00000000000000000006"]})(of_rotated()),
        {"authenticity": "the link is of another record"}, False, False),
    "manifest in another form": (None, {"integrity": "not as sha256sum writes it"}, True, True),
}


def forge(name):
    """All files of the false bundle, with a manifest over them where the attack is not on the manifest itself."""
    attack, good = ATTACKS[name][0], make_bundle.make_bundle(LEDGER)
    if attack is None:
        return {**make_bundle.with_manifest(good), "MANIFEST.sha256": b"no manifest\n"}
    return make_bundle.with_manifest(attack(good))


def main():
    folder = pathlib.Path(sys.argv[1])
    for name in ATTACKS:
        make_bundle.write(forge(name), folder / name.replace(" ", "-"))
    for name, (shown, _, _) in SHOWN.items():
        make_bundle.write(make_bundle.with_manifest(shown()), folder / name.replace(" ", "-"))
    expected = {name.replace(" ", "-"): sorted(axes) for name, (_, axes, _, _) in ATTACKS.items()}
    completeness = {name.replace(" ", "-"): verdict for name, (_, verdict, _) in SHOWN.items()}
    (folder / "expected.json").write_text(json.dumps({"key": LEDGER.vkey, "fails": expected, "completeness": completeness}, indent=1) + "\n")


if __name__ == "__main__":
    main()
