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


def say(action, seed):
    vkey = vkey_line(NAME, public_key(seed))
    return (f'{{"v":"1","kind":"lifecycle","action_type":"{action}","producer":"{RECORDER}","details":{{"vkey":"{vkey}"}}}}', RECORDER)


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
    leaves, bodies = make_leaves({3: say("key.announce", NEW), 7: say("key.retire", OLD)})
    good = [(3, link(leaves, bodies, 3, 5, [OLD])), (7, link(leaves, bodies, 7, 9, [OLD, NEW]))]
    notes = [(size, seeds) for size in (5, 6, 9, 10, 12) for seeds in ([OLD], [NEW], [OLD, NEW], [OTHER])]
    valid = {5: [OLD], 6: [OLD, NEW], 9: [OLD, NEW], 10: [NEW], 12: [NEW]}
    other_body = bodies.copy()
    other_body[3] = bodies[3].replace("announce", "announse")
    strange, strange_bodies = make_leaves({3: (say("key.announce", NEW)[0], "svc")})
    bad = [
        ("signed by the new key alone", 3, link(leaves, bodies, 3, 5, [NEW])),
        ("signed by another key", 3, link(leaves, bodies, 3, 5, [OTHER])),
        ("of another record than its name says", 4, good[0][1]),
        ("another body than the leaf seals", 3, link(leaves, other_body, 3, 5, [OLD])),
        ("a record of another producer", 3, link(strange, strange_bodies, 3, 5, [OLD])),
        ("nothing about keys", 4, link(leaves, bodies, 4, 5, [OLD])),
        ("retired while there is no other", 7, link(leaves, bodies, 7, 9, [OLD])),
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
