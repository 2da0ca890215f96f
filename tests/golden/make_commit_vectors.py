#!/usr/bin/env python3
"""Makes commit-v2.json: test vectors for commits of both versions, docs/format.md section 6.

Written from that page alone, with Python's standard library alone; keys, notes and trees are those of make_ledger_vectors.py.

    python3 make_commit_vectors.py            writes commit-v2.json beside this file
    python3 make_commit_vectors.py --check    exits 1 if the file differs from what would be written
"""

import copy
import json

import vectors
from make_ledger_vectors import NAME, SEED, compact, edge, make_chain, public_key, root, sha256, sign_note, vkey_line

SEALED = 1_790_000_001  # the second after the chain's times
YEAR = 31_557_600


def make_object(first, rows, name=None, keep=None):
    digest = sha256(f"{first} {name} {rows}".encode()).hex()
    folder = f"records/class={name}" if name else "leaves"
    members = {"path": f"{folder}/day=2026-09-21/{first:020}-{rows}-{digest[:16]}.parquet", "rows": str(rows),
               "sha256": digest, "size": str(1000 + rows), "type": "records" if name else "leaves"}
    if name:
        members["class"] = name
    if keep is not None:
        members["retain_until"] = str(SEALED + keep)
    return members


def make_commit(first, count, hashes, previous, classes, lock=None, proofs=None, writer=None):
    """`classes` are name, rows and seconds to keep; without `lock` the commit is of version 1."""
    total = hashes[: first + count]
    members = {
        "count": str(count), "edge": [h.hex() for h in edge(total)], "first": str(first), "last_hash": total[-1].hex(),
        "ledger": NAME, "prev_commit_sha256": previous.hex(), "root": root(total).hex(), "v": "1",
        "objects": [make_object(first, count, keep=proofs)] + [make_object(first, rows, name, keep) for name, rows, keep in classes],
    }
    if lock:
        members |= {"v": "2", "lock": lock, "retain_until": str(SEALED + proofs), "writer": writer}
    return members


def sign(line):
    return sign_note(NAME, SEED, f"tachograph.dev/commit/v1\n{line}\n")


def refused(good):
    """Changes of a good commit of version 2, each of which a reader must refuse."""

    def changed(why, change):
        members = copy.deepcopy(good)
        change(members)
        return why, compact(members)

    def of_object(at, **members):
        return lambda commit: commit["objects"][at].update(members)

    def without(key):
        return lambda commit: commit.pop(key)

    latest = str(2**63 // 10**9)
    yield changed("version 3", lambda c: c.update(v="3"))
    yield changed("version 1 with the keys of version 2", lambda c: c.update(v="1"))
    for key in ("lock", "retain_until", "writer"):
        yield changed(f"no {key}", without(key))
    yield changed("an object without a date", lambda c: c["objects"][1].pop("retain_until"))
    yield changed("leaves without a date", lambda c: c["objects"][0].pop("retain_until"))
    yield changed("an object kept longer than its commit", of_object(2, retain_until=str(int(good["retain_until"]) + 1)))
    yield changed("a date beyond the year 2262", lambda c: c.update(retain_until=str(int(latest) + 1)))
    yield changed("a date with a leading zero", lambda c: c.update(retain_until="0" + good["retain_until"]))
    yield changed("a date that is a number", lambda c: c.update(retain_until=int(good["retain_until"])))
    yield changed("a lock of another name", lambda c: c.update(lock="Compliance"))
    for writer in ("", "a b", "a/b", "x" * 129):
        yield changed(f"writer {writer!r}", lambda c, writer=writer: c.update(writer=writer))
    yield changed("two objects of one class", of_object(2, **{"class": "default"}))
    yield changed("rows that do not add up", of_object(1, rows="2"))
    yield changed("an unknown key", lambda c: c.update(note="x"))
    line = compact(good)
    yield "white space", line.replace('","', '", "', 1)
    ordered = dict(sorted(good.items(), key=lambda item: (item[0] == "lock", item[0])))
    yield "keys out of order", json.dumps(ordered, separators=(",", ":"))
    yield "a key twice", line.replace('"lock":"compliance",', '"lock":"compliance","lock":"compliance",')


def make_vectors():
    vkey = vkey_line(NAME, public_key(SEED))
    _, chain = make_chain(vkey)
    hashes = [record["hash"] for record in chain]
    commits, previous, members = [], bytes(32), None
    for first, count, classes, terms in [
        (0, 3, [("default", 3, None)], {}),
        (3, 5, [("default", 2, 730 * 86_400), ("prompts", 3, 365 * 86_400)], {"lock": "none", "proofs": 760 * 86_400, "writer": "host-1:4711:0011223344556677"}),
        (8, 3, [("default", 1, 2 * YEAR), ("high-risk", 1, 10 * YEAR), ("recorder", 1, 11 * YEAR)],
         {"lock": "compliance", "proofs": 11 * YEAR, "writer": "x" * 128}),
    ]:
        members = make_commit(first, count, hashes, previous, classes, **terms)
        note = sign(compact(members))
        previous = sha256(note.encode())
        commits.append({"note": note, "sha256": previous.hex()})
    latest = str((2**63 - 1) // 10**9)
    extreme = members | {"retain_until": latest, "lock": "governance", "writer": "-"}
    extreme["objects"] = [item | {"retain_until": latest} for item in members["objects"]]
    return {
        "about": "Test vectors for docs/format.md, made by make_commit_vectors.py. The key is public: never use it.",
        "vkey": vkey,
        "root": root(hashes).hex(),
        "commits": commits,
        "latest_date": sign(compact(extreme)),
        "refused": [{"why": why, "note": sign(line)} for why, line in refused(members)],
    }


def main():
    vectors.write("commit-v2.json", make_vectors(), __doc__)


if __name__ == "__main__":
    main()
