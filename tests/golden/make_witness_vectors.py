#!/usr/bin/env python3
"""Makes witness-v1.json: test vectors for docs/format.md section 6, cosignatures, policies and add-checkpoint.

Written from that page and the C2SP pages that it names alone, with Python's standard library alone; keys, notes and trees are those of
make_ledger_vectors.py.

    python3 make_witness_vectors.py            writes witness-v1.json beside this file
    python3 make_witness_vectors.py --check    exits 1 if the file differs from what would be written
"""


import vectors
from make_ledger_vectors import (EM_DASH, NAME, SEED, b64, consistency, ed25519_sign, make_chain, public_key, root, sha256, sign_note,
                                 vkey_line)

TIME = 1_790_000_100


def key_id(name, public):
    return sha256(name.encode() + b"\n\x04" + public)[:4]


def witness(name, seed):
    public = public_key(seed)
    line = f"{name}+{key_id(name, public).hex()}+"
    return {"name": name, "seed": seed.hex(), "public": public.hex(), "vkey": line + b64(b"\x04" + public),
            "private": "PRIVATE+KEY+" + line + b64(b"\x04" + seed)}


WITNESSES = [witness("witness.example/w1", bytes(range(1, 33))), witness("witness.example/w2", bytes(range(2, 34))),
             witness("wächter.example/<\"3\">", bytes(range(3, 35)))]


def cosign(of, text, time):
    seed, public = bytes.fromhex(of["seed"]), bytes.fromhex(of["public"])
    message = f"cosignature/v1\ntime {time}\n{text}".encode()
    signature = key_id(of["name"], public) + time.to_bytes(8, "big") + ed25519_sign(seed, message)
    return f"{EM_DASH} {of['name']} {b64(signature)}\n"


def policies(note, text):
    """Policies, which witnesses cosigned a note, and whether that is enough."""
    w1, w2, w3 = WITNESSES
    lines = [cosign(w1, text, TIME), cosign(w2, text, TIME + 1), cosign(w3, text, TIME + 2)]
    few = "\n".join([f"log {vkey_line(NAME, public_key(SEED))} https://log.example", f"witness a {w1['vkey']} https://w1.example/x/",
                     f"witness b {w2['vkey']}", f"witness c {w3['vkey']}", ""])
    nested = few + "group some any a b\ngroup all-of all some c\nquorum all-of\n"
    two = few + "group few 2 a b c\nquorum few\n"
    spaced = "# who watches\n\n \t witness  a\t" + w1["vkey"] + " \n\t# more\nquorum a"
    for policy, signers, met in [
        (two, [], False), (two, [0], False), (two, [1, 2], True), (two, [2, 1, 0], True),
        (nested, [0, 1], False), (nested, [2], False), (nested, [1, 2], True),
        (few + "quorum b\n", [0, 2], False), (few + "quorum b\n", [1], True),
        (few + "quorum none\n", [], True), (spaced, [0], True),
        (f"witness b {w2['vkey']}\nquorum b\n", [0, 2], False),
        ("quorum none", [0], True),
    ]:
        known = [at for at in sorted(signers) if WITNESSES[at]["vkey"] in policy]
        yield {"policy": policy, "note": note + "".join(lines[at] for at in signers), "is_met": met,
               "cosigned": [{"name": WITNESSES[at]["name"], "time": TIME + at} for at in known]}


def refused_policies():
    """Policies that a reader must refuse, each with the line that is wrong; 0 where none is."""
    w1, w2, _ = [item["vkey"] for item in WITNESSES]
    ledger = vkey_line(NAME, public_key(SEED))
    one = f"witness a {w1}\nwitness b {w2}\n"
    yield "no quorum", one, 0
    yield "empty", "", 0
    yield "two quorums", one + "quorum a\nquorum a\n", 4
    yield "an unknown word", one + "quorums a\n", 3
    yield "an undefined quorum", "quorum a\n" + one, 1
    yield "an undefined member", one + "group g any a c\nquorum g\n", 3
    yield "a group in itself", one + "group g any a g\nquorum g\n", 3
    yield "a member twice", one + "group g any a a\nquorum g\n", 3
    yield "a member of two groups", one + "group g any a b\ngroup h all b\nquorum g\n", 4
    yield "none as a member", one + "group g any none\nquorum g\n", 3
    yield "none as a witness", f"witness none {w1}\nquorum none\n", 1
    yield "a name twice", one + "group a any b\nquorum a\n", 3
    yield "a group without members", one + "group g any\nquorum g\n", 3
    yield "a threshold of 0", one + "group g 0 a b\nquorum g\n", 3
    yield "a threshold of 3 of 2", one + "group g 3 a b\nquorum g\n", 3
    yield "a threshold in words", one + "group g two a b\nquorum g\n", 3
    yield "one witness twice", one + f"witness c {w1}\nquorum a\n", 3
    yield "one log twice", f"log {ledger}\nlog {ledger}\nquorum none\n", 2
    yield "a log's key for a witness", f"witness a {ledger}\nquorum a\n", 1
    yield "a witness's key for a log", f"log {w1}\nquorum none\n", 1
    yield "a damaged key", f"witness a {w1.replace('w1', 'w9')}\nquorum a\n", 1
    yield "a key too few", "witness a\nquorum a\n", 1
    yield "an item too many", f"witness a {w1} https://w.example x\nquorum a\n", 1
    yield "a carriage return", f"witness a {w1}\r\nquorum a\n", 1
    yield "another space", f"witness a\u00a0 {w1}\nquorum a\n", 2


def refused_notes(note, text):
    """Notes that are refused because a line claims to be of the first witness and is not."""
    w1, w2 = WITNESSES[:2]
    good, other = cosign(w1, text, TIME), cosign(w1, text.replace("\n", "x\n", 1), TIME)
    yield "of another text", note + other
    yield "a good one and one of another text", note + good + other
    yield "of another checkpoint", cosign_of_changed(note, text, good)
    yield "without a time", note + cosign(w1, text, 0)
    yield "after the end of time", note + cosign(w1, text, 2**63)
    yield "of another witness", note + cosign(w2 | {"name": w1["name"], "public": w1["public"]}, text, TIME)
    public = bytes.fromhex(w1["public"])
    plain = key_id(w1["name"], public) + ed25519_sign(bytes.fromhex(w1["seed"]), text.encode())
    yield "a plain signature", note + f"{EM_DASH} {w1['name']} {b64(plain)}\n"
    yield "a short one", note + f"{EM_DASH} {w1['name']} {b64(key_id(w1['name'], public) + bytes(7))}\n"


def cosign_of_changed(note, text, line):
    return note.replace(text, text.replace("\n11\n", "\n12\n")) + line


def make_vectors():
    vkey = vkey_line(NAME, public_key(SEED))
    _, chain = make_chain(vkey)
    hashes = [record["hash"] for record in chain]
    text = f"{NAME}\n11\n{b64(root(hashes))}\n"
    note = sign_note(NAME, SEED, text)
    lines = [cosign(item, text, TIME + at) for at, item in enumerate(WITNESSES)]
    requests = []
    for old in (0, 1, 4, 7, 11):
        proof = consistency(old, hashes) if 0 < old < 11 else []
        body = f"old {old}\n" + "".join(b64(node) + "\n" for node in proof) + "\n" + note
        requests.append({"old": old, "proof": [node.hex() for node in proof], "body": body})
    return {
        "about": "Test vectors for docs/format.md, made by make_witness_vectors.py. The keys are public: never use them.",
        "vkey": vkey,
        "witnesses": WITNESSES,
        "checkpoint": note,
        "cosignatures": [{"witness": at, "time": TIME + at, "line": line} for at, line in enumerate(lines)],
        "witnessed": note + "".join(lines),
        "requests": requests,
        "policies": list(policies(note, text)),
        "refused_policies": [{"why": why, "policy": policy, "line": line} for why, policy, line in refused_policies()],
        "refused_notes": [{"why": why, "note": bad} for why, bad in refused_notes(note, text)],
    }


def main():
    vectors.write("witness-v1.json", make_vectors(), __doc__)


if __name__ == "__main__":
    main()
