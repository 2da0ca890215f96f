#!/usr/bin/env python3
"""Makes ledger-v1.json: test vectors for docs/format.md sections 1, 3, 4, 5 and 6.

Written from that page alone, with Python's standard library alone, so that it shares no code and no
dependency with the Rust implementation. Ed25519 is RFC 8032's own formulas: slow, and never to be used
with a real key.

    python3 make_ledger_vectors.py            writes ledger-v1.json beside this file
    python3 make_ledger_vectors.py --check    exits 1 if the file differs from what would be written
"""

import base64
import hashlib
import hmac
import json

import vectors

NAME = "acme.example/ai-audit"
SEED = bytes(range(32))
MAC_KEY_0 = bytes(range(100, 132))
EM_DASH = "\u2014"


def sha256(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


# Ed25519, RFC 8032 section 5.1

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    assert (x * x - x2) % P == 0
    return P - x if x & 1 != sign else x


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def point_add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_mul(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def compress(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def expand(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    scalar &= (1 << 254) - 8
    scalar |= 1 << 254
    return scalar, digest[32:]


def public_key(seed):
    return compress(point_mul(expand(seed)[0], BASE))


def ed25519_sign(seed, message):
    scalar, prefix = expand(seed)
    public = public_key(seed)
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    big_r = compress(point_mul(r, BASE))
    k = int.from_bytes(hashlib.sha512(big_r + public + message).digest(), "little") % L
    return big_r + ((r + k * scalar) % L).to_bytes(32, "little")


# Section 1: key lines. Section 6: notes.


def key_id(name, public):
    return sha256(name.encode() + b"\n\x01" + public)[:4]


def vkey_line(name, public):
    return f"{name}+{key_id(name, public).hex()}+{b64(bytes([1]) + public)}"


def sign_note(name, seed, text):
    public = public_key(seed)
    signature = key_id(name, public) + ed25519_sign(seed, text.encode())
    return f"{text}\n{EM_DASH} {name} {b64(signature)}\n"


# Section 3: leaf


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def make_leaf(members):
    return compact({key: str(value) for key, value in members.items()} | {"v": "1"})


def leaf_hash(leaf):
    return sha256(b"\0" + leaf.encode())


# Section 4: tree, by RFC 6962's recursive definitions


def split(count):
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def root(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\1" + root(leaves[:k]) + root(leaves[k:]))


def inclusion(index, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return inclusion(index, leaves[:k]) + [root(leaves[k:])]
    return inclusion(index - k, leaves[k:]) + [root(leaves[:k])]


def consistency(old, leaves, complete=True):
    if old == len(leaves):
        return [] if complete else [root(leaves)]
    k = split(len(leaves))
    if old <= k:
        return consistency(old, leaves[:k], complete) + [root(leaves[k:])]
    return consistency(old - k, leaves[k:], False) + [root(leaves[:k])]


def edge(leaves):
    hashes, begin = [], 0
    for bit in range(len(leaves).bit_length() - 1, -1, -1):
        if len(leaves) >> bit & 1:
            hashes.append(root(leaves[begin : begin + (1 << bit)]))
            begin += 1 << bit
    return hashes


# Section 5: MAC


def mac_key(epoch):
    key = MAC_KEY_0
    for _ in range(epoch):
        key = hmac.new(key, b"tachograph/mac/evolve/v1", "sha256").digest()
    return key


def mac(index, record_hash):
    message = b"tachograph/mac/v1\0" + NAME.encode() + b"\0" + index.to_bytes(8, "big") + record_hash
    return hmac.new(mac_key(index >> 16), message, "sha256").digest()


def make_chain(vkey):
    genesis = sha256(b"tachograph/genesis/v1\n" + vkey.encode() + b"\n")
    kinds = [
        "generation", "agent_decision", "tool_call", "retrieval", "policy", "approval",
        "audit_event", "access", "lifecycle", "generation", "agent_decision",
    ]
    prev, chain = genesis, []
    for index, kind in enumerate(kinds):
        body = f'{{"v":"1","golden":"{index}"}}'
        members = {
            "body_len": len(body),
            "body_sha256": sha256(body.encode()).hex(),
            "event_time": 1_790_000_000_000_000_123 + index,
            "index": index,
            "kind": kind,
            "ledger": NAME,
            "prev": prev.hex(),
            "sealed_at": 1_790_000_000_500_000_456 + index,
        }
        if index % 2:
            members["trace_id"] = sha256(b"trace%d" % index)[:16].hex()
            members["span_id"] = sha256(b"span%d" % index)[:8].hex()
        if index % 3:
            members["producer"] = "image-service:eu.1"
            members["producer_epoch"] = f"01J_{index}-a"
            members["producer_seq"] = 2**64 - 1 if index == 4 else index
        leaf = make_leaf(members)
        prev = leaf_hash(leaf)
        chain.append({"body": body, "leaf": leaf, "hash": prev, "mac": mac(index, prev)})
    return genesis, chain


def make_commit(first, count, hashes, previous, classes):
    total = hashes[: first + count]
    digest = sha256(b"leaves%d" % first)
    path = f"leaves/day=2026-09-21/{first:020}-{count}-{digest.hex()[:16]}.parquet"
    objects = [{"path": path, "rows": str(count), "sha256": digest.hex(), "size": "4096", "type": "leaves"}]
    for name, rows in classes:
        digest = sha256(f"records{first}{name}".encode())
        path = f"records/class={name}/day=2026-09-21/{first:020}-{count}-{digest.hex()[:16]}.parquet"
        objects.append({"class": name, "path": path, "rows": str(rows), "sha256": digest.hex(),
                        "size": "18446744073709551615", "type": "records"})
    line = compact({
        "count": str(count), "edge": [h.hex() for h in edge(total)], "first": str(first),
        "last_hash": total[-1].hex(), "ledger": NAME, "objects": objects,
        "prev_commit_sha256": previous.hex(), "root": root(total).hex(), "v": "1",
    })
    return f"tachograph.dev/commit/v1\n{line}\n"


def make_vectors():
    public = public_key(SEED)
    vkey = vkey_line(NAME, public)
    genesis, chain = make_chain(vkey)
    hashes = [record["hash"] for record in chain]
    total = len(hashes)

    reserved = make_leaf({
        "body_len": 0, "body_sha256": "00" * 32, "cipher_sha256": "11" * 32, "dek_id": "key 1/{a}",
        "event_time": 0, "index": 2**62 - 1, "kind": "access", "ledger": NAME, "prev": "ff" * 32,
        "sealed_at": 2**63 - 1, "stream": "s", "stream_prev": "22" * 32, "stream_seq": 7,
    })
    checkpoints = [
        f"{NAME}\n{size}\n{b64(root(hashes[:size]))}\n" for size in (0, 1, 7, total)
    ]
    commits, previous = [], bytes(32)
    for first, count, classes in [(0, 7, [("default", 7)]), (7, 4, [("default", 1), ("long-term_7y", 3)])]:
        note = sign_note(NAME, SEED, make_commit(first, count, hashes, previous, classes))
        previous = sha256(note.encode())
        commits.append({"note": note, "sha256": previous.hex()})

    return {
        "about": "Test vectors for docs/format.md, made by make_ledger_vectors.py. The keys are public: never use them.",
        "version": "1",
        "key": {
            "name": NAME,
            "seed": SEED.hex(),
            "public": public.hex(),
            "vkey": vkey,
            "private": f"PRIVATE+KEY+{NAME}+{key_id(NAME, public).hex()}+{b64(bytes([1]) + SEED)}",
        },
        "genesis": genesis.hex(),
        "records": [
            {"body": r["body"], "leaf": r["leaf"], "hash": r["hash"].hex(), "mac": r["mac"].hex()}
            for r in chain
        ],
        "leaf_with_reserved_members": {"leaf": reserved, "hash": leaf_hash(reserved).hex()},
        "trees": [
            {"size": n, "root": root(hashes[:n]).hex(), "edge": [h.hex() for h in edge(hashes[:n])]}
            for n in range(total + 1)
        ],
        "inclusion": [
            {"index": i, "size": n, "proof": [h.hex() for h in inclusion(i, hashes[:n])]}
            for n in range(1, total + 1) for i in range(n)
        ],
        "consistency": [
            {"old": old, "new": new, "proof": [h.hex() for h in consistency(old, hashes[:new])]}
            for new in range(1, total + 1) for old in range(1, new + 1)
        ],
        "mac_keys": [{"epoch": e, "key": mac_key(e).hex()} for e in (0, 1, 2, 40)],
        "macs": [
            {"index": i, "hash": sha256(b"mac%d" % i).hex(), "mac": mac(i, sha256(b"mac%d" % i)).hex()}
            for i in (0, 65_535, 65_536, 131_071, 131_072, 40 * 65_536 + 5)
        ],
        "checkpoints": [sign_note(NAME, SEED, text) for text in checkpoints],
        "commits": commits,
    }


def self_test():
    """RFC 8032 section 7.1, tests 1 and 2, and RFC 4231 test case 2."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    assert public_key(seed).hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert ed25519_sign(seed, b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert hmac.new(b"Jefe", b"what do ya want for nothing?", "sha256").hexdigest() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


def main():
    self_test()
    vectors.write("ledger-v1.json", make_vectors(), __doc__)


if __name__ == "__main__":
    main()
