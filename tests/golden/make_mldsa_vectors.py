#!/usr/bin/env python3
"""Makes mldsa-v1.json: test vectors for docs/format.md section 6, cosignatures with ML-DSA-44.

Written from that page, c2sp.org/tlog-cosignature and FIPS 204 alone, with Python's standard library alone; keys, notes and trees are
those of make_ledger_vectors.py, and the Ed25519 witnesses those of make_witness_vectors.py.

    python3 make_mldsa_vectors.py            writes mldsa-v1.json beside this file
    python3 make_mldsa_vectors.py --check    exits 1 if the file differs from what would be written
"""


import mldsa
import vectors
from make_ledger_vectors import EM_DASH, NAME, SEED, b64, make_chain, public_key, root, sha256, sign_note, vkey_line
from make_witness_vectors import TIME, WITNESSES as ED25519
from make_witness_vectors import cosign as cosign_ed25519


def key_id(name, public, kind=6):
    return sha256(name.encode() + b"\n" + bytes([kind]) + public)[:4]


def key_line(name, public, kind=6, id_of=None):
    return f"{name}+{(id_of or key_id(name, public, kind)).hex()}+{b64(bytes([kind]) + public)}"


def witness(name, seed):
    public = mldsa.public_key(seed)
    private = f"PRIVATE+KEY+{name}+{key_id(name, public).hex()}+{b64(bytes([6]) + seed)}"
    return {"name": name, "seed": seed.hex(), "public": public.hex(), "vkey": key_line(name, public), "private": private}


# The first and the last have the names of witnesses with Ed25519 keys: they are these witnesses' second keys.
WITNESSES = [witness(ED25519[0]["name"], bytes(range(101, 133))), witness("witness.example/pq", bytes(range(102, 134))),
             witness(ED25519[2]["name"], bytes(range(103, 135)))]


def message(name, time, origin, size, tree_root, start=0):
    short = [bytes([len(text.encode())]) + text.encode() for text in (name, origin)]
    numbers = start.to_bytes(8, "big") + size.to_bytes(8, "big")
    return b"subtree/v1\n\x00" + short[0] + time.to_bytes(8, "big") + short[1] + numbers + tree_root


def line(of, time, signature):
    stamped = key_id(of["name"], bytes.fromhex(of["public"])) + time.to_bytes(8, "big") + signature
    return f"{EM_DASH} {of['name']} {b64(stamped)}\n"


def sign(of, signed, context=b""):
    return mldsa.sign(bytes.fromhex(of["seed"]), signed, context)


def refused_notes(note, size, tree_root):
    """Notes that are refused because a line claims to be of the first witness and is not."""
    w1, w2 = WITNESSES[:2]
    text = note.split("\n\n")[0] + "\n"

    def signed(**other):
        said = {"name": w1["name"], "time": TIME, "origin": NAME, "size": size, "tree_root": tree_root, **other}
        return sign(w1, message(**said))

    good = signed()
    yield "without a time", note + line(w1, 0, signed(time=0))
    yield "after the end of time", note + line(w1, 2**63, signed(time=2**63))
    yield "of another time", note + line(w1, TIME + 1, good)
    yield "of another size", note + line(w1, TIME, signed(size=size + 1))
    yield "of another root", note + line(w1, TIME, signed(tree_root=sha256(b"another")))
    yield "of another ledger", note + line(w1, TIME, signed(origin=NAME + "2"))
    yield "of another name", note + line(w1, TIME, signed(name=w2["name"]))
    yield "of a tree that begins later", note + line(w1, TIME, signed(start=1))
    yield "of another key", note + line(w1, TIME, sign(w2, message(w1["name"], TIME, NAME, size, tree_root)))
    yield "with a context", note + line(w1, TIME, sign(w1, message(w1["name"], TIME, NAME, size, tree_root), b"subtree/v1"))
    yield "over what Ed25519 signs", note + line(w1, TIME, sign(w1, f"cosignature/v1\ntime {TIME}\n{text}".encode()))
    for at, where in ((0, "the challenge"), (32, "the first number"), (2335, "the last number"), (2336, "the hints"), (2419, "their end")):
        flipped = bytes([*good[:at], good[at] ^ 1, *good[at + 1:]])
        yield f"a flipped bit in {where}", note + line(w1, TIME, flipped)
    last = good[2419]
    yield "a hint behind the last", note + line(w1, TIME, good[:2336 + last] + b"\1" + good[2337 + last:])
    swapped = good[:2336] + good[2337:2338] + good[2336:2337] + good[2338:]
    yield "two hints in another order", note + line(w1, TIME, swapped)
    yield "a byte short", note + line(w1, TIME, good[:-1])
    yield "a byte long", note + line(w1, TIME, good + b"\0")
    yield "a time alone", note + line(w1, TIME, b"")
    yield "as long as one of Ed25519", note + line(w1, TIME, good[:64])
    yield "a good one and a false one", note + line(w1, TIME, good) + line(w1, TIME + 1, good)
    longer = sign_note(NAME, SEED, text + "an extension\n")
    yield "of a checkpoint with a line more, which it does not sign", longer + line(w1, TIME, good)


def refused_keys():
    """Key lines that a reader must refuse."""
    name, public = WITNESSES[0]["name"], bytes.fromhex(WITNESSES[0]["public"])
    yield "a byte short", key_line(name, public[:-1])
    yield "a byte long", key_line(name, public + b"\0")
    yield "as long as one of Ed25519", key_line(name, public[:32])
    yield "the type of Ed25519", key_line(name, public, 4)
    yield "the type of a ledger's key", key_line(name, public, 1)
    yield "a type that is not known", key_line(name, public, 5)
    yield "the id of the type of Ed25519", key_line(name, public, 6, key_id(name, public, 4))
    yield "another name", key_line("witness.example/w9", public, 6, key_id(name, public))
    yield "without a name", key_line("", public)


def policies(note, lines):
    """Policies, notes, and what the policies make of them."""
    ed25519, both = ED25519[0]["vkey"], note + cosign_ed25519(ED25519[0], note.split("\n\n")[0] + "\n", TIME) + lines[0]
    alone = note + cosign_ed25519(ED25519[0], note.split("\n\n")[0] + "\n", TIME)
    two = f"witness a {ed25519}\nwitness b {WITNESSES[0]['vkey']} https://w1.example\n"
    name = WITNESSES[0]["name"]
    for policy, noted, count, met in [
        (two + "group w1 all a b\nquorum w1\n", both, 2, True), (two + "group w1 all a b\nquorum w1\n", alone, 1, False),
        (two + "group w1 any a b\nquorum w1\n", note + lines[0], 1, True), (two + "quorum b\n", alone, 1, False),
        (f"witness b {WITNESSES[0]['vkey']}\nquorum b\n", both, 1, True), (f"witness a {ed25519}\nquorum a\n", both, 1, True),
        (f"witness b {WITNESSES[0]['vkey']}\nquorum b\n", note + lines[1] + lines[2], 0, False),
        (two + f"witness c {ED25519[1]['vkey']}\ngroup w1 any a b\ngroup g 2 w1 c\nquorum g\n", both, 2, False),
        (two + f"witness c {ED25519[1]['vkey']}\ngroup g all a b c\nquorum g\n", both, 2, False),
    ]:
        yield {"policy": policy, "note": noted, "is_met": met, "cosigned": [{"name": name, "time": TIME}] * count}


def refused_policies():
    """Policies that a reader must refuse, each with the line that is wrong."""
    w1, both = WITNESSES[0]["vkey"], f"witness a {ED25519[0]['vkey']}\nwitness b {WITNESSES[0]['vkey']}\n"
    yield "one key twice", f"witness a {w1}\nwitness b {w1}\nquorum a\n", 2
    yield "a witness's key for a log", f"log {w1}\nquorum none\n", 1
    three = both + f"witness c {ED25519[1]['vkey']}\n"
    yield "a witness that counts twice", three + "group g 2 a b c\nquorum g\n", 4
    yield "a witness that counts twice, through groups of one", three + "group ga all a\ngroup gb all b\ngroup g 2 ga gb c\nquorum g\n", 6
    yield "a witness that counts twice, through a group that it alone can meet", three + "group ga any a c\ngroup g 2 ga b\nquorum g\n", 5
    yield "a witness that counts twice, deep down", three + "group ga all b\ngroup gb any c ga\ngroup g all a gb\nquorum g\n", 6


def make_vectors():
    vkey = vkey_line(NAME, public_key(SEED))
    _, chain = make_chain(vkey)
    hashes = [record["hash"] for record in chain]
    size, tree_root = len(hashes), root(hashes)
    note = sign_note(NAME, SEED, f"{NAME}\n{size}\n{b64(tree_root)}\n")
    cosignatures = []
    for at, of in enumerate(WITNESSES):
        signed = message(of["name"], TIME + at, NAME, size, tree_root)
        cosignatures.append({"witness": at, "time": TIME + at, "message": signed.hex(), "line": line(of, TIME + at, sign(of, signed))})
    lines = [cosignature["line"] for cosignature in cosignatures]
    return {
        "about": "Test vectors for docs/format.md, made by make_mldsa_vectors.py. The keys are public: never use them.",
        "vkey": vkey,
        "witnesses": WITNESSES,
        "checkpoint": note,
        "cosignatures": cosignatures,
        "witnessed": note + "".join(lines),
        "policies": list(policies(note, [line(WITNESSES[0], TIME, sign(WITNESSES[0], message(WITNESSES[0]["name"], TIME, NAME, size, tree_root))), *lines[1:]])),
        "refused_keys": [{"why": why, "vkey": bad} for why, bad in refused_keys()],
        "refused_policies": [{"why": why, "policy": policy, "line": at} for why, policy, at in refused_policies()],
        "refused_notes": [{"why": why, "note": bad} for why, bad in refused_notes(note, size, tree_root)],
    }


def main():
    vectors.write("mldsa-v1.json", make_vectors(), __doc__)


if __name__ == "__main__":
    main()
