#!/usr/bin/env python3
"""Makes continues-v1.json: test vectors for the first record of a ledger that continues another, docs/format.md section 8.

Written from that page alone, with Python's standard library alone; keys and notes are those of make_ledger_vectors.py.

    python3 make_continues_vectors.py            writes continues-v1.json beside this file
    python3 make_continues_vectors.py --check    exits 1 if the file differs from what would be written
"""

import json

import vectors
from make_ledger_vectors import NAME, SEED, b64, public_key, sha256, sign_note, vkey_line

OTHER = "acme.example/other"


def checkpoint(name, size, seeds):
    text = f"{name}\n{size}\n{b64(sha256(b'a root'))}\n"
    notes = [sign_note(name, seed, text) for seed in seeds]
    return notes[0] + "".join(note.rpartition("\n\n")[2] for note in notes[1:])


def details(**members):
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def make_vectors():
    vkey, other_vkey = vkey_line(NAME, public_key(SEED)), vkey_line(OTHER, public_key(SEED))
    note = checkpoint(NAME, 41, [SEED])
    good = details(checkpoint=note, ledger=NAME, vkey=vkey)
    both = checkpoint(NAME, 4_611_686_018_427_387_904, [SEED, sha256(b"the new key")])
    bad = [
        ("no JSON", ""),
        ("a member is missing", details(checkpoint=note, ledger=NAME)),
        ("a member more", details(checkpoint=note, ledger=NAME, vkey=vkey, why="new year")),
        ("a member twice", good.replace("{", f'{{"ledger":"{NAME}",', 1)),
        ("a number for a string", details(checkpoint=41, ledger=NAME, vkey=vkey)),
        ("not sorted", json.dumps({"ledger": NAME, "checkpoint": note, "vkey": vkey}, ensure_ascii=False, separators=(",", ":"))),
        ("white space", json.dumps({"checkpoint": note, "ledger": NAME, "vkey": vkey}, ensure_ascii=False)),
        ("another escape", good.replace("\\n", "\\u000a")),
        ("escapes beyond ASCII", json.dumps({"checkpoint": note, "ledger": NAME, "vkey": vkey}, separators=(",", ":"))),
        ("something behind it", good + "\n"),
        ("the key is another ledger's", details(checkpoint=note, ledger=NAME, vkey=other_vkey)),
        ("the checkpoint is another ledger's", details(checkpoint=checkpoint(OTHER, 41, [SEED]), ledger=NAME, vkey=vkey)),
        ("the key is none", details(checkpoint=note, ledger=NAME, vkey=vkey[:-1])),
        ("white space around the key", details(checkpoint=note, ledger=NAME, vkey=vkey + "\n")),
        ("the checkpoint is no note", details(checkpoint="41", ledger=NAME, vkey=vkey)),
        ("the size has a leading zero", details(checkpoint=note.replace("\n41\n", "\n041\n"), ledger=NAME, vkey=vkey)),
        ("too long", details(checkpoint=note + "— x AAAAAAAA\n" * 1200, ledger=NAME, vkey=vkey)),
    ]
    return {
        "good": [
            {"details": good, "ledger": NAME, "vkey": vkey, "size": "41", "checkpoint": note},
            {
                "details": details(checkpoint=both, ledger=NAME, vkey=vkey), "ledger": NAME, "vkey": vkey,
                "size": "4611686018427387904", "checkpoint": both,
            },
        ],
        "refused": [{"why": why, "details": text} for why, text in bad],
    }


def main():
    vectors.write("continues-v1.json", make_vectors(), __doc__)


if __name__ == "__main__":
    main()
