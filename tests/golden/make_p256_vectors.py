#!/usr/bin/env python3
"""Makes p256-v1.json: test vectors for docs/format.md sections 1 and 6 with a ledger's key on the curve P-256.

Written from that page, FIPS 186-5, SEC 1 and RFC 6979, with Python's standard library alone, so that it shares no code with the
Rust implementation. Slow, and never to be used with a real key.

    python3 make_p256_vectors.py            writes p256-v1.json beside this file
    python3 make_p256_vectors.py --check    exits 1 if the file differs from what would be written
"""

import hmac

import vectors
from make_ledger_vectors import EM_DASH, b64, make_commit, root, sha256

NAME = "acme.example/ai-audit"
SECRET = int.from_bytes(bytes(range(1, 33)), "big")

# The curve: FIPS 186-5 and SP 800-186 section 3.2.1.3. A point is (x, y), and None is the one at infinity.

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % P == 0:
        return None
    if p == q:
        slope = (3 * p[0] * p[0] - 3) * pow(2 * p[1], -1, P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def multiply(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def spki(secret):
    x, y = multiply(secret, BASE)
    return SPKI_HEAD + b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def nonce(secret, digest):
    """RFC 6979 section 3.2, for SHA-256 and 256 bits."""
    v, k = b"\x01" * 32, b"\x00" * 32
    seed = secret.to_bytes(32, "big") + (int.from_bytes(digest, "big") % N).to_bytes(32, "big")
    for separator in (b"\x00", b"\x01"):
        k = hmac.new(k, v + separator + seed, "sha256").digest()
        v = hmac.new(k, v, "sha256").digest()
    while True:
        v = hmac.new(k, v, "sha256").digest()
        candidate = int.from_bytes(v, "big")
        if 0 < candidate < N:
            return candidate
        k = hmac.new(k, v + b"\x00", "sha256").digest()
        v = hmac.new(k, v, "sha256").digest()


def sign(secret, message, k=None):
    """r and s."""
    digest = sha256(message)
    k = k or nonce(secret, digest)
    r = multiply(k, BASE)[0] % N
    return r, pow(k, -1, N) * (int.from_bytes(digest, "big") + r * secret) % N


def der_integer(value):
    body = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(body)]) + body


def der(r, s):
    body = der_integer(r) + der_integer(s)
    return b"\x30" + bytes([len(body)]) + body


def key_id(secret):
    return sha256(spki(secret))[:4]


def vkey_line(name, secret):
    return f"{name}+{key_id(secret).hex()}+{b64(bytes([2]) + spki(secret))}"


def note_of(name, secret, text, signature):
    return f"{text}\n{EM_DASH} {name} {b64(key_id(secret) + signature)}\n"


def sign_note(name, secret, text, k=None):
    return note_of(name, secret, text, der(*sign(secret, text.encode(), k)))


def refused_keys():
    good, offset = spki(SECRET), len(SPKI_HEAD)
    x, y = good[offset + 1 : offset + 33], good[offset + 33 :]
    line = lambda data, key_type=2: f"{NAME}+{sha256(data)[:4].hex()}+{b64(bytes([key_type]) + data)}"
    return [
        {"why": "the point is compressed", "vkey": line(bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + bytes([2 + (y[-1] & 1)]) + x)},
        {"why": "no point of the curve", "vkey": line(good[:-1] + bytes([good[-1] ^ 1]))},
        {"why": "another curve", "vkey": line(good[:22] + b"\x08" + good[23:])},
        {"why": "the bare point", "vkey": line(good[offset:])},
        {"why": "a byte too many", "vkey": line(good + b"\0")},
        {"why": "the type is that of Ed25519", "vkey": line(good, 1)},
        {"why": "the id is made as for Ed25519",
         "vkey": f"{NAME}+{sha256(NAME.encode() + bytes([10, 2]) + good)[:4].hex()}+{b64(bytes([2]) + good)}"},
    ]


def refused_notes(text):
    r, s = sign(SECRET, text.encode())
    body = der_integer(r) + der_integer(s)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    padded = b"\x02" + bytes([len(der_integer(r)) - 1]) + b"\0" + der_integer(r)[2:] + der_integer(s)
    cases = [
        ("of another text", der(*sign(SECRET, b"x\n"))),
        ("of another key", der(*sign(SECRET + 1, text.encode()))),
        ("r and s without DER", raw),
        ("a length of two bytes", b"\x30\x81" + bytes([len(body)]) + body),
        ("a zero before r that need not be", b"\x30" + bytes([len(padded)]) + padded),
        ("a byte behind it", der(r, s) + b"\0"),
        ("s is N too large", der(r, s + N)),
        ("s is 0", der(r, 0)),
        ("r is 0", der(0, s)),
        ("s is negative", b"\x30\x44\x02\x20" + r.to_bytes(33, "big")[1:] + b"\x02\x20" + b"\xff" + s.to_bytes(32, "big")[1:]),
    ]
    return [{"why": why, "note": note_of(NAME, SECRET, text, signature)} for why, signature in cases]


def make_vectors():
    vkey = vkey_line(NAME, SECRET)
    hashes = [sha256(b"p256 leaf %d" % index) for index in range(11)]
    text = f"{NAME}\n7\n{b64(root(hashes[:7]))}\n"
    r, s = sign(SECRET, text.encode())
    commits, previous = [], bytes(32)
    for first, count in [(0, 7), (7, 4)]:
        note = sign_note(NAME, SECRET, make_commit(first, count, hashes, previous, [("default", count)]))
        previous = sha256(note.encode())
        commits.append({"note": note, "sha256": previous.hex()})
    return {
        "about": "Test vectors for docs/format.md, made by make_p256_vectors.py. The key is public: never use it.",
        "version": "1",
        "key": {"name": NAME, "secret": SECRET.to_bytes(32, "big").hex(), "spki": spki(SECRET).hex(), "vkey": vkey},
        "genesis": sha256(b"tachograph/genesis/v1\n" + vkey.encode() + b"\n").hex(),
        "root": root(hashes[:7]).hex(),
        "deterministic": sign_note(NAME, SECRET, text),
        "other_signatures_of_it": [
            sign_note(NAME, SECRET, text, 0x1234567890ABCDEF),
            note_of(NAME, SECRET, text, der(r, N - s)),
        ],
        "commits": commits,
        "refused_keys": refused_keys(),
        "refused_notes": refused_notes(text),
    }


def self_test():
    """RFC 6979 appendix A.2.5."""
    secret = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    assert multiply(secret, BASE)[0] == 0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6
    r, s = sign(secret, b"sample")
    assert r == 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    assert s == 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
    assert multiply(N, BASE) is None


def main():
    self_test()
    vectors.write("p256-v1.json", make_vectors(), __doc__)


if __name__ == "__main__":
    main()
