#!/usr/bin/env python3
"""Makes keys-v1.json: test vectors for links between a ledger's keys, docs/format.md section 6.

Written from that page alone, with Python's standard library alone; keys, notes and trees are those of make_ledger_vectors.py.

    python3 make_key_vectors.py            writes keys-v1.json beside this file
    python3 make_key_vectors.py --check    exits 1 if the file differs from what would be written
"""


import vectors
from make_ledger_vectors import NAME, SEED, b64, inclusion, leaf_hash, make_leaf, public_key, root, sha256, sign_note, vkey_line

OLD, NEW, OTHER = SEED, sha256(b"the new key"), sha256(b"another key")
RECORDER = "tachograph-collector"


TIME = "2026-09-21T14:13:20.00000000"  # and a digit for the nanosecond, which is the record's index


def say(action, seed, index, vkey=None, first=""):
    """Record `index`: what the recorder says of a key. `first` stands before its members."""
    prefix = f'{{"v":"1","salt":"{sha256(b"salt%d" % index)[:16].hex()}","observed_at":"{TIME}{index}Z",'
    said = f'"event_id":"01a0c450-6c7b-7000-8000-{index:012}","timestamp":"{TIME}{index}Z","kind":"lifecycle","action_type":"{action}",'
    vkey = vkey or vkey_line(NAME, public_key(seed))
    return (prefix + first + said + f'"details":{{"vkey":"{vkey}"}},"producer":"{RECORDER}"}}', RECORDER)


def make_leaves(said):
    """A ledger of 12 records, of which those in `said` are the recorder's."""
    genesis = sha256(b"tachograph/genesis/v1\n" + vkey_line(NAME, public_key(OLD)).encode() + b"\n")
    leaves, bodies, prev = [], [], genesis
    for index in range(12):
        body, producer = said.get(index, (f'{{"v":"1","golden":"{index}"}}', "svc"))
        members = {
            "body_len": len(body), "body_sha256": sha256(body.encode()).hex(), "event_time": 1_790_000_000_000_000_000 + index,
            "index": index, "kind": "lifecycle", "ledger": NAME, "prev": prev.hex(), "producer": producer,
            "sealed_at": 1_790_000_000_500_000_000 + index,
        }
        leaves.append(make_leaf(members))
        bodies.append(body)
        prev = leaf_hash(leaves[-1])
    return leaves, bodies


def sign(text, seeds):
    notes = [sign_note(NAME, seed, text) for seed in seeds]
    return notes[0] + "".join(note.rpartition("\n\n")[2] for note in notes[1:])


def checkpoint(leaves, size, seeds):
    return sign(f"{NAME}\n{size}\n{b64(root([leaf_hash(leaf) for leaf in leaves[:size]]))}\n", seeds)


def link(leaves, bodies, index, size, seeds):
    hashes = inclusion(index, [leaf_hash(leaf) for leaf in leaves[:size]])
    lines = ["c2sp.org/tlog-proof@v1", f"extra {b64(leaves[index].encode())}", f"index {index}", *map(b64, hashes)]
    note = checkpoint(leaves, size, seeds)
    return "\n".join(["tachograph.dev/key-link/v1", b64(bodies[index].encode()), *lines]) + "\n\n" + note


def make_vectors():
    leaves, bodies = make_leaves({3: say("key.announce", NEW, 3), 7: say("key.retire", OLD, 7)})
    good = [(3, link(leaves, bodies, 3, 5, [OLD])), (7, link(leaves, bodies, 7, 9, [OLD, NEW]))]
    notes = [(size, seeds) for size in (5, 6, 9, 10, 12) for seeds in ([OLD], [NEW], [OLD, NEW], [OTHER])]
    valid = {5: [OLD], 6: [OLD, NEW], 9: [OLD, NEW], 10: [NEW], 12: [NEW]}
    other_body = bodies.copy()
    other_body[3] = bodies[3].replace("announce", "announse")
    strange, strange_bodies = make_leaves({3: (say("key.announce", NEW, 3)[0], "svc")})

    def sealed(body):
        return link(*make_leaves({3: (body, RECORDER)}), 3, 5, [OLD])

    told, vkey = say("key.announce", NEW, 3)[0], vkey_line(NAME, public_key(NEW))
    bad = [
        ("signed by the new key alone", 3, link(leaves, bodies, 3, 5, [NEW])),
        ("signed by another key", 3, link(leaves, bodies, 3, 5, [OTHER])),
        ("of another record than its name says", 4, good[0][1]),
        ("another body than the leaf seals", 3, link(leaves, other_body, 3, 5, [OLD])),
        ("a record of another producer", 3, link(strange, strange_bodies, 3, 5, [OLD])),
        ("nothing about keys", 4, link(leaves, bodies, 4, 5, [OLD])),
        ("retired while there is no other", 7, link(leaves, bodies, 7, 9, [OLD])),
        ("a body without salt", 3, sealed("{" + told[told.index('"event_id"'):])),
        ("a body of another time than its leaf", 3, sealed(say("key.announce", NEW, 4)[0])),
        ("a body of another kind than its leaf", 3, sealed(told.replace('"lifecycle"', '"policy"'))),
        ("a body of another producer than its leaf", 3, sealed(told.replace(RECORDER, "svc"))),
        ("a body with a member twice", 3, sealed(say("key.announce", NEW, 3, first='"action_type":"hold.add",')[0])),
        ("a body with bytes behind it", 3, sealed(told + "{}")),
        ("a key line with a space", 3, sealed(say("key.announce", NEW, 3, vkey=" " + vkey)[0])),
        ("another version", 3, good[0][1].replace("key-link/v1", "key-link/v2")),
    ]
    return {
        "first": vkey_line(NAME, public_key(OLD)),
        "links": [{"index": index, "link": text} for index, text in good],
        "checkpoints": [
            {"size": size, "note": checkpoint(leaves, size, seeds), "good": set(valid[size]) <= set(seeds)} for size, seeds in notes
        ],
        "refused": [{"why": why, "index": index, "link": text} for why, index, text in bad],
    }


def main():
    vectors.write("keys-v1.json", make_vectors(), __doc__)


if __name__ == "__main__":
    main()
