#!/usr/bin/env python3
"""Checks an evidence bundle of a Tachograph ledger. Needs Python 3.9 or newer and nothing else.

    python3 -I verify.py [BUNDLE_DIR] [--key FILE|VKEY] [--witness FILE|VKEY]... [--quorum K] [--tsa-ca FILE] [--require AXES] [--json]

BUNDLE_DIR is the folder that this file lies in, unless another is given. Take the key from somebody else than whoever gave you
the bundle, and, better still, this program too. VERIFY.md says what a bundle proves and what it can't.

There is one verdict for each question. PASS: checked, and it holds. FAIL: it does not hold. INCOMPLETE: not, or not wholly, checked.
Exit code: 0 if nothing fails and integrity, authenticity and coverage pass (or what --require names; --witness requires
non_equivocation too, and --tsa-ca time); 1 if anything fails; 2 if a required answer is incomplete, or the command was wrong.
"""

import sys

if __name__ == "__main__":
    # Python looks for modules beside the program first, where a forger may have put an hashlib.py. `-I` has it not look there.
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]
    import os

    _own = {os.path.realpath(os.path.dirname(__file__)), os.path.realpath(os.curdir)}
    sys.path[:] = [place for place in sys.path if place and os.path.realpath(place) not in _own]

import argparse, base64, bisect, calendar, contextlib, hashlib, hmac, json, os, pathlib, re, shutil, signal, subprocess, time

AXES = ("integrity", "authenticity", "coverage", "non_equivocation", "time", "completeness")
MAX_BYTES, MAX_LINE, MAX_FILE, MAX_RECORDS, MAX_PROOF, MAX_LINKS, MAX_FINDINGS = 1 << 30, 256 << 20, 16 << 20, 100_000, 64, 1_000, 100
CLOCK_TOLERANCE = 300 * 10**9  # ns by which the recorder's clock and a time stamp may contradict each other, beside the stamp's accuracy

NEEDED = "VERIFY.md bundle.json checkpoint index.html ledger.vkey records.jsonl verify.py verify.sh verify.sql".split()
OTHERS = re.compile(r"MANIFEST\.sha256|witnessed|streams\.json|closed/[0-9]{20}\.tlog-proof|not-before\.(tsr|checkpoint)|proofs/[0-9]{20}\.tlog-proof|keys/[0-9]{20}|not-after/\w[\w.-]{0,63}\.tsr", re.A)
LEDGER, DECIMAL, HASH = r"(?!/)[A-Za-z0-9._/-]{1,128}(?<!/)", r"0|[1-9][0-9]{0,19}", r"[0-9a-f]{64}"
PRODUCER, PLAIN = r"[A-Za-z0-9._:-]{1,64}", r"[ !#-\[\]-~]+"
LEAF = {  # the keys in their order, and how their values look
    "body_len": DECIMAL, "body_sha256": HASH, "cipher_sha256": HASH, "dek_id": PLAIN, "event_time": DECIMAL, "index": DECIMAL,
    "kind": r"[a-z0-9_]{1,64}", "ledger": LEDGER, "prev": HASH, "producer": PRODUCER, "producer_epoch": PRODUCER, "producer_seq": DECIMAL,
    "sealed_at": DECIMAL, "span_id": r"[0-9a-f]{16}", "stream": PLAIN, "stream_prev": HASH, "stream_seq": DECIMAL,
    "trace_id": r"[0-9a-f]{32}", "v": "1",
}
LEAF_NEEDED = {"body_len", "body_sha256", "event_time", "index", "kind", "ledger", "prev", "sealed_at", "v"}
LEAF_LIMITS = {"event_time": 1 << 63, "index": 1 << 62, "sealed_at": 1 << 63}
TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]{9})Z")
BODY_START = re.compile(r'\{"v":"1","salt":"[0-9a-f]{32}","observed_at":"' + TIME.pattern + '",')

# == What is found ==

class Wrong(ValueError):
    """What is being looked at is not as it must be. `axis`: whose verdict that is, if not that of the part being checked."""

    def __init__(self, what, axis=None):
        super().__init__(what)
        self.axis = axis

def need(good, what, axis=None):
    if not good:
        raise Wrong(what, axis)

def shown(text):
    """Text for a terminal: what a bundle holds must not move the cursor there, turn letters round, or flood the screen."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text)[:500])

class Report:
    """Nothing passes because nobody looked: an axis passes only if it is `done`, and neither failed nor left open."""

    def __init__(self):
        self.findings, self.left_out, self.reasons = [], 0, {axis: [] for axis in AXES}
        self.failed, self.opened, self.done, self.file = set(), set(), set(), "bundle.json"
        self.first_key, self.key_changes = None, []  # as links lead from one key to the next

    def fail(self, axis, file, what, row=None):
        self.failed.add(axis)
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append({"axis": axis, "object": shown(file), **({} if row is None else {"row": row}), "what": shown(what)})
        else:
            self.left_out += 1

    def say(self, axis, reason):
        self.reasons[axis].append(shown(reason))

    def incomplete(self, axis, reason):
        self.opened.add(axis)
        self.say(axis, reason)

    def verdict(self, axis):
        return "fail" if axis in self.failed else "pass" if axis in self.done - self.opened else "incomplete"

    @contextlib.contextmanager
    def part(self, axis, file, row=None):
        """Whatever goes wrong within is a finding about `file`: hostile bytes end in a verdict, never in a traceback."""
        self.file = file
        try:
            yield
        except Wrong as wrong:
            self.fail(wrong.axis or axis, file, wrong, row)
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError, OSError) as error:
            self.fail(axis, file, f"it can't be read ({type(error).__name__}: {error})", row)


# == Texts and numbers, each in its only spelling ==

def sha256(data):
    return hashlib.sha256(data).digest()

def unbase64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 in another than its one form")
    return data

def number(text):
    need(isinstance(text, str) and re.fullmatch(DECIMAL, text) and int(text) < 1 << 64, f"{text!r} is no decimal number")
    return int(text)

def nanoseconds(text):
    parts = TIME.fullmatch(text) if isinstance(text, str) else None
    need(parts, f"{text!r} is no time")
    return calendar.timegm(time.strptime(parts[1], "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(parts[2])

def utc(nanos):
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(nanos // 10**9))

def strict_json(text):
    """JSON without what readers read differently: doubled keys, NaN."""

    def members(pairs):
        need(len(dict(pairs)) == len(pairs), "a key stands there twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=members, parse_constant=lambda word: need(False, f"{word} is no JSON"))


# == Ed25519: RFC 8032 section 5.1.7, without the cofactor. As by `verify_strict` of the Rust crate ed25519-dalek, an s of L or more
#    and points of small order are refused, so that no signature is good to one reader and bad to another ==

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
IDENTITY = (0, 1, 1, 0)  # a point is (X, Y, Z, T) with x = X/Z, y = Y/Z and xy = T/Z

def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    x = x if (x * x - x2) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    need(y < P and (x * x - x2) % P == 0 and not (x == 0 and sign), "no point of the curve")
    x = x if x & 1 == sign else P - x
    return (x, y, 1, x * y % P)

def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)

def multiply(scalar, p):
    result = IDENTITY
    while scalar:
        result = add(result, p) if scalar & 1 else result
        p, scalar = add(p, p), scalar >> 1
    return result

def same(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0

BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))

def signed_ed25519(public, message, signature):
    try:
        need(len(signature) == 64, "no signature")
        a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    except Wrong:
        return False
    if s >= L or same(multiply(8, a), IDENTITY) or same(multiply(8, r), IDENTITY):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    return same(multiply(s, BASE), add(r, multiply(k, a)))


# == ECDSA with P-256 and SHA-256: FIPS 186-5 section 6.4.2. A point is (x, y), None the one at infinity. A signature must be in
#    its one spelling in DER; s may be of either half ==

Q, N = 2**256 - 2**224 + 2**192 + 2**96 - 1, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296, 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")  # and the two coordinates

def point_p256(spki):
    x, y = int.from_bytes(spki[27:59], "big"), int.from_bytes(spki[59:], "big")
    need(len(spki) == 91 and spki.startswith(SPKI), "not a P-256 key in its one spelling")
    need(x < Q and y < Q and (y * y - x * x * x + 3 * x - B) % Q == 0, "no point of the curve")
    return x, y

def add_p256(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % Q == 0:
        return None
    rise, run = (3 * p[0] * p[0] - 3, 2 * p[1]) if p == q else (q[1] - p[1], q[0] - p[0])
    slope = rise * pow(run, -1, Q)
    x = (slope * slope - p[0] - q[0]) % Q
    return x, (slope * (p[0] - x) - p[1]) % Q

def multiply_p256(scalar, p):
    result = None
    while scalar:
        result = add_p256(result, p) if scalar & 1 else result
        p, scalar = add_p256(p, p), scalar >> 1
    return result

def der(*numbers):
    parts = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in numbers]
    body = b"".join(b"\x02" + bytes([len(part)]) + part for part in parts)
    return b"\x30" + bytes([len(body)]) + body

def signed_p256(public, message, signature):
    if not 8 <= len(signature) <= 72 or signature[3] > len(signature) - 6:
        return False
    r, s = int.from_bytes(signature[4 : 4 + signature[3]], "big"), int.from_bytes(signature[6 + signature[3] :], "big")
    if not (0 < r < N and 0 < s < N and der(r, s) == signature):
        return False
    digest, inverse = int.from_bytes(sha256(message), "big"), pow(s, -1, N)
    found = add_p256(multiply_p256(digest * inverse % N, G), multiply_p256(r * inverse % N, point_p256(public)))
    return found is not None and found[0] % N == r

def signed(public, message, signature):
    """Whether `signature` over `message` is that of the public key: 32 bytes of Ed25519, or the 91 of a P-256 key."""
    return (signed_ed25519 if len(public) == 32 else signed_p256)(public, message, signature)


# == ML-DSA-44: FIPS 204, algorithm 3 with the empty context. A polynomial is a list of 256 numbers modulo M. As by the Rust crate
#    ml-dsa, hints are refused in any other than their one spelling ==

M, GAMMA_1, GAMMA_2, BETA, OMEGA, TAU, DROPPED = 8_380_417, 1 << 17, 8_380_416 // 88, 78, 80, 39, 13
ZETAS = [pow(1753, int(f"{exponent:08b}"[::-1], 2), M) for exponent in range(256)]

def ntt(f):
    f, k, half = list(f), 0, 128
    while half:
        for start in range(0, 256, 2 * half):
            k += 1
            for j in range(start, start + half):
                t = ZETAS[k] * f[j + half] % M
                f[j], f[j + half] = (f[j] + t) % M, (f[j] - t) % M
        half //= 2
    return f

def inverse_ntt(f):
    f, k, half = list(f), 256, 1
    while half < 256:
        for start in range(0, 256, 2 * half):
            k -= 1
            for j in range(start, start + half):
                f[j], f[j + half] = (f[j] + f[j + half]) % M, ZETAS[k] * (f[j + half] - f[j]) % M
        half *= 2
    return [x * pow(256, -1, M) % M for x in f]

def unpacked(data, bits):
    """The numbers of so many bits in each polynomial's part of `data`."""
    parts = [int.from_bytes(data[at : at + 32 * bits], "little") for at in range(0, len(data), 32 * bits)]
    return [[part >> bits * i & (1 << bits) - 1 for i in range(256)] for part in parts]

def matrix_entry(rho, row, column):
    stream = hashlib.shake_128(rho + bytes([column, row])).digest(3_000)
    numbers = (int.from_bytes(stream[at : at + 3], "little") & 0x7FFFFF for at in range(0, 3_000, 3))
    return [x for x in numbers if x < M][:256]

def sample_in_ball(seed):
    stream = hashlib.shake_256(seed).digest(2_000)
    signs, indexes, c = int.from_bytes(stream[:8], "little"), iter(stream[8:]), [0] * 256
    for i in range(256 - TAU, 256):
        j = next(index for index in indexes if index <= i)
        c[i], c[j], signs = c[j], 1 - 2 * (signs & 1), signs >> 1
    return c

def hints(data):
    """Of each polynomial the places that a hint moves."""
    rows, at = [], 0
    for end in data[OMEGA:]:
        need(at <= end <= OMEGA, "the hints' bounds are wrong")
        rows.append(list(data[at:end]))
        need(rows[-1] == sorted(set(rows[-1])), "the hints are not in order")
        at = end
    need(not any(data[at:OMEGA]), "there are hints behind the last")
    return [set(row) for row in rows]

def high_bits(x, is_hinted):
    low = (x + GAMMA_2 - 1) % (2 * GAMMA_2) - GAMMA_2 + 1
    high = (x - low) // (2 * GAMMA_2)
    high, low = (0, low - 1) if high == 44 else (high, low)
    return (high + (1 if low > 0 else -1)) % 44 if is_hinted else high

def signed_ml_dsa(public, message, signature):
    try:
        need((len(public), len(signature)) == (1312, 2420), "no key, or no signature")
        z, moved = [[GAMMA_1 - x for x in row] for row in unpacked(signature[32:2336], 18)], hints(signature[2336:])
        need(all(abs(x) < GAMMA_1 - BETA for row in z for x in row), "too large")
    except Wrong:
        return False
    mu = hashlib.shake_256(hashlib.shake_256(public).digest(64) + b"\0\0" + message).digest(64)
    z, c, packed = list(map(ntt, z)), ntt(sample_in_ball(signature[:32])), b""
    for row, t1 in enumerate(unpacked(public[32:], 10)):
        matrix, t = [matrix_entry(public[:32], row, column) for column in range(4)], ntt(x << DROPPED for x in t1)
        w = inverse_ntt([sum(a[i] * b[i] for a, b in zip(matrix, z)) - c[i] * t[i] for i in range(256)])
        high = [high_bits(x, i in moved[row]) for i, x in enumerate(w)]
        packed += sum(x << 6 * i for i, x in enumerate(high)).to_bytes(192, "little")
    return hashlib.shake_256(mu + packed).digest(32) == signature[:32]


# == Keys, signed notes, checkpoints (c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature) ==

def parse_vkey(line, kind):
    """`<name>+<key id>+<base64 of type and key>` → name, key id, key. Kind 1 is a ledger's key (Ed25519, or type 2: P-256), 4 a
    witness's (Ed25519, or type 6: ML-DSA-44)."""
    need(not line.startswith("PRIVATE+KEY+"), "a private key was given: give the public one, and make this one known to nobody else")
    need(len(line.splitlines()) == 1, "one line with a key is wanted")
    name, key_id, key = (line.split("+", 2) + ["", ""])[:3]
    key = unbase64(key)
    need(re.fullmatch(LEDGER if kind == 1 else r"[^\s+]{1,255}", name) and len(name.encode()) < 256, "the key's name is none")
    on_p256 = kind == 1 and key[:1] == b"\x02" and point_p256(key[1:])
    is_ml_dsa = kind == 4 and key[:1] == b"\x06" and len(key) == 1313
    need(on_p256 or is_ml_dsa or (len(key) == 33 and key[0] == kind), f"not a key of kind {kind}")
    named = key[1:] if on_p256 else name.encode() + b"\n" + key
    need(sha256(named)[:4].hex() == key_id, "the key's id does not fit it: the line is mistyped")
    return name, bytes.fromhex(key_id), key[1:]

def parse_note(data):
    """The signed text, and its signatures as (name, key id, bytes). Nothing is verified by that."""
    need(len(data) <= 1 << 20, "too long for a note")
    text, gap, lines = data.decode().rpartition("\n\n")
    need(gap and lines.endswith("\n") and lines.count("\n") <= 100, "not a text, an empty line and signatures")
    need(not re.search(r"[\x00-\x09\x0b-\x1f]", text + lines), "a control character")
    signatures = []
    for line in lines[:-1].split("\n"):
        parts = re.fullmatch(r"— ([^\s+]+) (\S+)", line)
        need(parts and len(unbase64(parts[2])) > 4, "a signature line is not `— <name> <base64>`")
        signatures.append((parts[1], unbase64(parts[2])[:4], unbase64(parts[2])[4:]))
    return text + "\n", signatures

def parse_checkpoint(data):
    """Name of the ledger, number of records, root."""
    lines = parse_note(data)[0].split("\n")
    need(len(lines) == 4 and re.fullmatch(LEDGER, lines[0]), "a checkpoint has three lines, the first a name")
    need(len(unbase64(lines[2])) == 32, "the root has not 32 bytes")
    return lines[0], number(lines[1]), unbase64(lines[2])

def signatures_of(note, key):
    return [signature for name, key_id, signature in parse_note(note)[1] if (name, key_id) == key[:2]]

def check_signature(note, keys):
    """The note must be a checkpoint of the ledger whose keys these are, signed by each that is valid for its size. Others may have
    signed it too. Keys are [key, above, up to]: valid for trees of more than `above` and at most `up to` records, None is no bound."""
    name, size, _ = parse_checkpoint(note)
    need(name == keys[0][0][0], f"a checkpoint of ledger {name}, not of {keys[0][0][0]}")
    for key in [key for key, above, up_to in keys if (above is None or size > above) and (up_to is None or size <= up_to)]:
        mine, label = signatures_of(note, key), f"{key[0]}+{key[1].hex()}"
        need(mine, f"unknown key: there is no signature of {label}")
        for signature in mine:
            need(signed(key[2], parse_note(note)[0].encode(), signature), f"the signature of {label} is false")


# == The files ==

def check_files(folder, report):
    """No file is missing, none is foreign, each has the hash that the manifest says. Gives the names that are there."""
    sizes, foreign, listed = {}, set(), {}
    for place in ("", "proofs", "not-after", "closed", "keys"):
        if place and ((folder / place).is_symlink() or not (folder / place).is_dir()):
            continue
        for entry in os.scandir(folder / place):
            name = f"{place}/{entry.name}" if place else entry.name
            if name in ("proofs", "not-after", "closed", "keys") and entry.is_dir(follow_symlinks=False):
                continue
            # Only plain files are opened: a link leads elsewhere, a pipe never ends.
            if entry.is_file(follow_symlinks=False) and (name in NEEDED or OTHERS.fullmatch(name)):
                sizes[name] = entry.stat(follow_symlinks=False).st_size
            else:
                foreign.add(name)
                report.fail("integrity", name, "no part of a bundle: nothing vouches for it")
            need(len(sizes) + report.left_out < 2 * MAX_RECORDS, "too many files")
    need(sum(sizes.values()) <= MAX_BYTES, f"the bundle has more than {MAX_BYTES} bytes")
    with report.part("integrity", "MANIFEST.sha256"):
        lines = read(folder, "MANIFEST.sha256").decode().split("\n")
        need(lines.pop() == "" and all(re.fullmatch(HASH + "  .+", line) for line in lines), "not as sha256sum writes it")
        listed = {line[66:]: line[:64] for line in lines}
        need([line[66:] for line in lines] == sorted(listed), "not sorted by path, or a path stands there twice")
    for name in sorted({*sizes, *listed, *NEEDED} - {"MANIFEST.sha256", *foreign}):
        if name not in sizes:
            report.fail("integrity", name, "the file is missing")
        elif name not in listed:
            report.fail("integrity", name, "MANIFEST.sha256 does not name the file")
        elif file_sha256(folder / name) != listed[name]:
            report.fail("integrity", name, "not the file that MANIFEST.sha256 names: it was changed or damaged")
    return set(sizes)

def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()

def opened(folder, name):
    need((folder / name).is_file() and not (folder / name).is_symlink(), "the file is missing, or no plain file")
    return open(folder / name, "rb")

def read(folder, name, most=MAX_FILE):
    with opened(folder, name) as file:
        data = file.read(most + 1)
    need(len(data) <= most, f"more than {most} bytes")
    return data

SELECTIONS = {
    "event": {"id": str}, "chain": {"id": str}, "session": {"session_id": str}, "agent": {"agent_id": str},
    "time": {"from": nanoseconds, "to": nanoseconds}, "indexes": {"first": number, "last": number},
}

def read_about(folder):
    """bundle.json, with its numbers and times as numbers."""
    about = strict_json(read(folder, "bundle.json").decode())
    members = {"bundle", "created_at", "ledger", "vkey", "size", "root", "selection", "records"}
    need(isinstance(about, dict) and set(about) - {"anchor"} == members, "not the members of a bundle.json")
    need(about["bundle"] in ("1", "2"), "another version of the format: check it with a newer program")
    nanoseconds(about["created_at"])
    need(isinstance(about["ledger"], str) and re.fullmatch(LEDGER, about["ledger"]), "`ledger` is no name")
    need(isinstance(about["root"], str) and re.fullmatch(HASH, about["root"]), "`root` is no hash")
    selection = about["selection"]
    need(isinstance(selection, dict) and selection.get("kind") in SELECTIONS, "`selection` is of no known kind")
    need(about["bundle"] == "2" or selection["kind"] != "agent", "bundles of version 1 are not about agents: another version of the format")
    values = SELECTIONS[selection["kind"]]
    need(set(selection) == {"kind", *values} and all(isinstance(value, str) for value in selection.values()), "`selection` is none")
    about["selection"] = {"kind": selection["kind"], **{key: parse(selection[key]) for key, parse in values.items()}}
    need(isinstance(about["records"], list) and 0 < len(about["records"]) <= MAX_RECORDS, "`records` is no list of indexes")
    about["size"], about["records"] = number(about["size"]), [number(index) for index in about["records"]]
    about["anchor"] = number(about["anchor"]) if "anchor" in about else None
    need(about["records"] == sorted(set(about["records"])), "`records` is not in rising order")
    return about


# == The records ==

def parse_line(line):
    """Index, leaf and body (None if it is not here) of a line of records.jsonl."""
    text, at, values = line.decode(), 0, []
    for before in ('{"body":', ',"index":', ',"leaf":'):
        need(text.startswith(before, at), "not a line of records.jsonl")
        value, at = json.JSONDecoder().raw_decode(text, at + len(before))
        need(isinstance(value, str) or (value is None and not values), "not a line of records.jsonl")
        values.append(value)
    need(text[at:] == "}\n", "not a line of records.jsonl")
    return number(values[1]), values[2], values[0]

def parse_leaf(text):
    """A leaf has one spelling: written again from what was read, it must give the same bytes."""
    leaf = strict_json(text)
    need(isinstance(leaf, dict) and len(text) <= 65_535, "no leaf")
    for key in LEAF_NEEDED | set(leaf):
        need(isinstance(leaf.get(key), str) and re.fullmatch(LEAF.get(key, "(?!)"), leaf[key]), f"the leaf's {key} is wrong or missing")
        need(LEAF[key] != DECIMAL or number(leaf[key]) < LEAF_LIMITS.get(key, 1 << 64), f"the leaf's {key} is too large")
    again = json.dumps({key: leaf[key] for key in LEAF if key in leaf}, separators=(",", ":"))
    need(again == text, "the leaf is not in its one spelling")
    return leaf

def parse_body(text, leaf):
    """The body that the leaf seals: the same bytes, and what both of them say they say alike."""
    data = text.encode()
    need(leaf["body_len"] == str(len(data)) and leaf["body_sha256"] == sha256(data).hex(), "the body is not the one that the leaf seals")
    body = strict_json(text)
    need(isinstance(body, dict) and BODY_START.match(text), "the body does not begin with v, salt and observed_at")
    said = {key: body.get(key) for key in ("kind", "trace_id", "span_id", "producer", "producer_epoch", "producer_seq")}
    said["event_time"] = str(nanoseconds(body.get("timestamp")))
    for key, value in said.items():
        need(leaf.get(key) == value, f"leaf and body differ in {key}")
    return body

def answers(selection, index, leaf, body):
    """Whether a record is what was asked for; None if only its body, which is gone, could tell."""
    kind = selection["kind"]
    if kind == "indexes":
        return selection["first"] <= index <= selection["last"]
    if kind == "time":
        return selection["from"] <= number(leaf["event_time"]) < selection["to"]
    if body is None:
        return leaf.get("trace_id") == selection.get("id", "").lower() or None
    if kind in ("session", "agent"):
        return body.get(f"{kind}_id") == selection[f"{kind}_id"]
    wanted, said = selection["id"], [body.get(key) for key in ("event_id", "trace_id", "correlation_id", "output_path", "output_hash")]
    # Ids of hex digits may have been asked for in capitals, a hash without `sha256:` before it.
    return wanted in said or wanted.lower() in said[:2] or f"sha256:{wanted}".lower() == str(said[4]).lower()

def links(leaf, body):
    """By what a record hangs together with others. Of a body that is not here the leaf still says the trace."""
    said = {"trace_id": leaf.get("trace_id")} if body is None else body
    keys = ("event_id", "parent_id", "correlation_id", "trace_id")
    return {key: said[key].lower() if key != "correlation_id" else said[key] for key in keys if isinstance(said.get(key), str)}

def chain_of(carriers, links_of):
    """The records (index → links) that carriers lead to, in any number of steps: causes and effects by `parent_id`, and whatever
    has the same `correlation_id` or `trace_id`."""
    opposite = {"event_id": "parent_id", "parent_id": "event_id"}
    having, followed, linked, todo = {}, set(), set(carriers), list(carriers)
    for index, names in links_of.items():
        for link in names.items():
            having.setdefault(link, []).append(index)
    while todo:
        for key, name in links_of[todo.pop()].items():
            link = (opposite.get(key, key), name)
            if link not in followed:
                followed.add(link)
                new = set(having.get(link, ())) - linked
                linked |= new
                todo.extend(new)
    return linked

def root_by_proof(index, size, node, hashes):
    """The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2)."""
    last = size - 1
    for sibling in hashes:
        need(last > 0, "the proof has too many hashes")
        if index & 1 or index == last:
            node = sha256(b"\x01" + sibling + node)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling)
        index, last = index >> 1, last >> 1
    need(last == 0, "the proof has too few hashes")
    return node

def check_proof(data, index, leaf, note, about):
    """A tlog-proof (c2sp.org/tlog-proof@v1) that leads from this leaf (if it is None, any) to the bundle's checkpoint. Gives the leaf."""
    head, gap, end = data.partition(b"\n\n")
    lines, starts = head.decode().split("\n"), ("c2sp.org/tlog-proof@v1", "extra ", "index ")
    need(gap and 3 <= len(lines) <= 3 + MAX_PROOF and lines[0] == starts[0] and all(map(str.startswith, lines, starts)), "not a tlog-proof")
    need(number(lines[2][6:]) == index, f"the proof is of record {lines[2][6:]}")
    need(leaf is None or unbase64(lines[1][6:]) == leaf.encode(), "the proof is of another leaf")
    leaf = unbase64(lines[1][6:])
    if end != note:
        name, size, _ = parse_checkpoint(end)
        need(name == about["ledger"], f"the proof is for ledger {name}")
        need(size == about["size"], f"the proof is for a tree of {size} records, the bundle's checkpoint for one of {about['size']}")
        raise Wrong("the proof does not end in the bytes of the bundle's checkpoint")
    hashes = [unbase64(line) for line in lines[3:]]
    need(all(len(node) == 32 for node in hashes), "a hash has not 32 bytes")
    need(index < about["size"], f"the checkpoint covers {about['size']} records")
    root = root_by_proof(index, about["size"], sha256(b"\x00" + leaf), hashes)
    need(root.hex() == about["root"], "the proof leads to another root: the checkpoint does not cover this leaf")
    return leaf.decode()

def check_records(folder, about, note, report):
    """Every line of records.jsonl and its proof. Gives index → what the other parts ask about the record."""
    found, before, wanted = {}, -1, {*about["records"], about["anchor"]}
    with opened(folder, "records.jsonl") as lines:
        for row, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), b"")):
            with report.part("integrity", "records.jsonl", row):
                need(len(line) <= MAX_LINE, f"a line of more than {MAX_LINE} bytes")
                index, text, body = parse_line(line)
                need(index in wanted, f"record {index} is here, though bundle.json does not name it", "completeness")
                need(index not in found, f"record {index} is here twice")
                found[index] = record = {"sealed_at": None, "answer": None, "links": {}, "token": None, "destroyed": body is None}
                with report.part("coverage", f"proofs/{index:020}.tlog-proof", row):
                    check_proof(read(folder, f"proofs/{index:020}.tlog-proof"), index, text, note, about)
                need(index > before, f"record {index} stands behind record {before}: out of order")
                before, leaf = index, parse_leaf(text)
                record["sealed_at"] = number(leaf["sealed_at"])
                need((leaf["index"], leaf["ledger"]) == (str(index), about["ledger"]), f"the leaf is that of record {leaf['index']} of {leaf['ledger']}")
                record["stream"] = [sha256(b"\x00" + text.encode()).hex(), *map(leaf.get, ("stream", "stream_seq", "stream_prev"))]
                body = None if body is None else parse_body(body, leaf)
                record["has"] = None if body is None else {kind for kind in KINDS if isinstance(body.get(f"{kind}_id"), str)}
                record["answer"], record["links"] = answers(about["selection"], index, leaf, body), links(leaf, body)
                if index == about["anchor"] and body and body.get("action_type") == "time.anchor":
                    record["token"] = body["details"]["token_sha256"]
            if len(found) > MAX_RECORDS or report.left_out > MAX_RECORDS:
                break  # what else is wrong no longer matters
    return found

def check_completeness(folder, names, about, found, note, is_signed, report):
    """Is what is here what was asked for, and is it all of that?"""
    selection, axis = about["selection"], "completeness"
    for index in sorted({*about["records"], about["anchor"]} - {None, *found}):
        report.fail(axis, "records.jsonl", f"record {index} is missing, though bundle.json names it")
    given = {index: found[index]["answer"] for index in about["records"] if index in found}
    strangers, unknown = [[index for index, answer in given.items() if answer is kind] for kind in (False, None)]
    if selection["kind"] == "chain":
        # Causes and effects belong to it too, which need not have the id themselves.
        linked = chain_of([index for index in given if given[index]], {index: found[index]["links"] for index in given})
        strangers = [index for index in strangers if index not in linked]
        if strangers and unknown:
            report.incomplete(axis, f"whether record {strangers[0]} is of the chain of {selection['id']} may rest on a body that is missing or wrong")
        elif strangers:
            report.fail(axis, "bundle.json", f"record {strangers[0]} is none of the chain of {selection['id']}")
    elif strangers:
        report.fail(axis, "bundle.json", f"record {strangers[0]} is not what was asked for ({selection['kind']})")
    if selection["kind"] == "indexes":
        named, first, last = about["records"], selection["first"], selection["last"]
        expected = max(last + 1 - first, 0)
        if (len(named), named[0], named[-1]) != (expected, first, last):
            report.fail(axis, "bundle.json", f"{expected} records have the indexes {first} to {last}, {len(named)} from {named[0]} to {named[-1]} are named: some were left out")
        report.say(axis, f"every record from index {selection['first']} to {selection['last']} is asked for")
    elif about["bundle"] == "2" and "streams.json" in names and selection["kind"] in KINDS:
        with report.part(axis, "streams.json"):
            if is_signed:
                check_streams(folder, names, about, found, note, report)
            else:
                report.incomplete(axis, "there is no good checkpoint that the statements could be under")
    else:
        report.incomplete(axis, "whether further records answer the question, only a verification of the whole archive can tell")
    for name in sorted(names):
        if (name == "streams.json" or name.startswith("closed/")) and not (about["bundle"] == "2" and "streams.json" in names and selection["kind"] in KINDS):
            report.fail("integrity", name, "no part of a bundle of this version and selection, or without streams.json")
    if unknown:
        report.incomplete(axis, f"of {len(unknown)} records the body is missing or wrong, so that nothing tells whether they were asked for")


# == Sessions and agents as a whole (docs/format.md section 13) ==

KINDS = ("session", "agent")
BY = "session|agent|session,agent|agent,session"

def stated(folder, closed, note, about):
    """What the recorder states in the record `closed` at the end of a generation: its first record, number of streams, root of their
    tree, which stream a record belongs to, the stream key's id, whether no generation begins behind it, and when that was sealed."""
    leaf = parse_leaf(check_proof(read(folder, f"closed/{closed:020}.tlog-proof"), closed, None, note, about))
    need((leaf["index"], leaf["ledger"]) == (str(closed), about["ledger"]), f"the leaf is that of record {leaf['index']} of {leaf['ledger']}")
    parts = re.fullmatch(f"(closed|ended) ({DECIMAL}) ({DECIMAL}) ({HASH}) ({BY}) ({HASH})", leaf.get("stream", ""))
    own = (leaf["kind"], leaf.get("producer")) == ("lifecycle", "tachograph-collector") and "producer_epoch" in leaf
    need(parts and own and not {"stream_seq", "stream_prev"} & set(leaf), f"record {closed} is no statement of the recorder about streams")
    first = number(parts[2])
    need(first <= closed, "a generation ends before it begins")
    return first, number(parts[3]), parts[4], parts[5].split(","), parts[6], parts[1] == "ended", number(leaf["sealed_at"])

def stated_of(name, streams, root, entries):
    """Number of the stream's records in the generation and hash of the last; 0 and None if the entries show that it has none."""
    need(isinstance(entries, list) and len(entries) <= 2, "more than two entries")
    shown = []
    for entry in entries:
        need(isinstance(entry, dict) and set(entry) == {"entry", "path", "position"} and isinstance(entry["path"], list), "not an entry")
        parts = re.fullmatch(f"({HASH}) ([1-9][0-9]{{0,19}}) ({HASH})", entry["entry"])
        need(parts and len(entry["path"]) < 64 and all(re.fullmatch(HASH, node) for node in entry["path"]), "not an entry")
        at = number(entry["position"])
        need(at < streams, "an entry stands behind the last")
        path = [bytes.fromhex(node) for node in entry["path"]]
        need(root_by_proof(at, streams, sha256(b"\x00" + entry["entry"].encode()), path).hex() == root, "an entry is not in the recorder's statement")
        shown.append((at, parts[1], number(parts[2]), parts[3]))
    if len(shown) == 1 and shown[0][1] == name:
        return shown[0][2:]
    if not shown:
        absent = streams == 0 and root == sha256(b"").hex()
    elif len(shown) == 1:
        (at, other, _, _), = shown
        absent = at == 0 and name < other or at == streams - 1 and other < name
    else:
        (at, before, _, _), (behind, after, _, _) = shown
        absent = at + 1 == behind and before < name < after
    need(absent, "the entries neither are the stream's nor those between which it would stand")
    return 0, None

def check_streams(folder, names, about, found, note, report):
    """Each generation of the stream: what the recorder states of it, and whether these records are just as many, one linked to the other."""
    axis, kind, proof = "completeness", about["selection"]["kind"], strict_json(read(folder, "streams.json", MAX_BYTES).decode())
    need(isinstance(proof, dict) and set(proof) == {"generations", "kind", "secret"}, "not the members of a streams.json")
    need(proof["kind"] == kind, "the stream of something else than was asked for")
    need(isinstance(proof["secret"], str) and re.fullmatch(HASH, proof["secret"]), "`secret` is none")
    need(isinstance(proof["generations"], list) and 0 < len(proof["generations"]) <= MAX_RECORDS, "`generations` is no list")
    secret, label = bytes.fromhex(proof["secret"]), b"tachograph/stream/generation/v1\0" + about["ledger"].encode() + b"\0"
    records, at, begin, end, ended = [index for index in about["records"] if index in found], 0, None, 0, False
    last, count, but, outside, elsewhere, bare, until, named, other, keys = -1, 0, [], 0, 0, 0, 0, set(), [], []
    for generation in proof["generations"]:
        need(isinstance(generation, dict) and set(generation) == {"closed", "entries"}, "not a generation")
        closed = number(generation["closed"])
        need(closed > last, "the generations are not in order")
        last = closed
        named.add(f"closed/{closed:020}.tlog-proof")
    for name in sorted(name for name in names if name.startswith("closed/") and name not in named):
        report.fail("integrity", name, "the statement of no generation that streams.json names")
    for generation in proof["generations"]:
        closed = number(generation["closed"])
        first, streams, root, by, key, is_end, until = stated(folder, closed, note, about)
        if begin is None:
            begin = first
        else:
            need(first == end or (ended and first > end), f"the generation that begins with record {first} does not join the one before, whose next begins with record {end}: one was left out")
            but += [f"records {end} to {first - 1}, of which nothing is shown here"] if first > end else []
        name = hmac.new(secret, label + first.to_bytes(8, "big"), "sha256").hexdigest()
        begun, before, at = bisect.bisect_left(records, first), at, bisect.bisect_left(records, closed)
        outside, due, end, ended = outside + begun - before, (0, None), closed + 1, is_end
        for index in records[begun:at]:
            hash, stream, seq, prev = found[index].get("stream", [None] * 4)
            has = found[index].get("has")
            if stream == name:
                need((seq, prev) == (str(due[0]), due[1]), f"record {index} has the number {seq} in its stream, where {due[0]} is due: one was left out, or put in")
                due = (due[0] + 1, hash)
            elif has is None:
                bare += 1
            else:
                need(next((one for one in by if one in has), None) != kind, f"record {index} belongs to the stream, but its leaf names another: the secret is not the stream's, or it was sealed falsely")
                elsewhere += 1
        stated_count = stated_of(name, streams, root, generation["entries"])
        need(stated_count == due, f"of the generation that begins with record {first} {due[0]} records of the stream are here, the recorder states {stated_count[0]}: some were left out, or put in")
        count += due[0]
        other += [first] if by[0] != kind else []
        keys.append((first, key, due[0] > 0))
    outside += len(records) - at
    but += [f"{outside} records here lie where no generation is closed, or none was open"] if outside else []
    but += [f"{elsewhere} records here belong to streams of another kind: whether there are more of them is not known"] if elsewhere else []
    but += [f"of {bare} records here the body is missing, and their leaves name other streams"] if bare else []
    # Another key gives the stream other ids: of it only generations under the key that gave it these ids tell.
    own = {key for _, key, is_own in keys if is_own}
    foreign = [first for first, key, _ in keys if key not in own]
    but += [f"{len(other)} generations, the first from record {other[0]} on, in which records of this {kind} may be in other streams"] if other else []
    but += [f"{len(foreign)} generations, the first from record {foreign[0]} on, under a stream key that none of the stream's records here is under"] if foreign else []
    to = max(begin, end - 2)
    beyond = f"{f'before record {begin} or ' if begin else ''}behind record {to}"
    whole = f"complete from record {begin} to record {to}, which was sealed by {utc(until)}: of the stream no record is missing there, and {count} are here; of what lies {beyond} nothing is shown"
    if but:
        report.incomplete(axis, f"{whole}; but for {'; '.join(but)}")
    else:
        report.say(axis, whole)


# == Signatures, witnesses, time stamps ==

def follow_link(data, index, keys, changes):
    """A link between keys: the record `index` that announces or retires one, its proof, and a checkpoint that every key signed which was
    valid before. `changes` are those of the links before; this one's is added."""
    need(len(changes) < MAX_LINKS, f"there are more than {MAX_LINKS} links between keys")
    linked = changes[-1]["above"] if changes else 0
    need(len(data) <= 256 << 10 and data.count(b"\n") > 5, "not a link between keys")
    head, body, proof = data.split(b"\n", 2)
    top, gap, note = proof.partition(b"\n\n")
    lines, starts = top.decode().split("\n"), ("c2sp.org/tlog-proof@v1", "extra ", "index ")
    need(head == b"tachograph.dev/key-link/v1" and gap and 3 <= len(lines) <= 3 + MAX_PROOF, "not a link between keys")
    need(lines[0] == starts[0] and all(map(str.startswith, lines, starts)), "its proof is no tlog-proof")
    text = unbase64(lines[1][6:]).decode()
    leaf, name = parse_leaf(text), keys[0][0][0]
    need((leaf["index"], lines[2], leaf["ledger"]) == (str(index), f"index {index}", name), "the link is of another record, or another ledger's")
    said, recorder = parse_body(unbase64(body.decode()).decode(), leaf), ("lifecycle", "tachograph-collector")
    need((leaf["kind"], leaf.get("producer")) == recorder, f"record {index} is not the recorder's own")
    details = said.get("details") if isinstance(said.get("details"), dict) else {}
    need(said.get("action_type") in ("key.announce", "key.retire") and isinstance(details.get("vkey"), str), f"record {index} says nothing of keys")
    check_signature(note, keys)
    (_, size, root), key = parse_checkpoint(note), parse_vkey(details["vkey"], 1)
    hashes = [unbase64(line) for line in lines[3:]]
    need(all(len(node) == 32 for node in hashes) and linked <= index < size, "a hash has not 32 bytes, or the record is not where it must be")
    need(root_by_proof(index, size, sha256(b"\x00" + text.encode()), hashes) == root, "the checkpoint does not cover the record")
    present = [period for period in keys if period[2] is None]
    if said["action_type"] == "key.announce":
        need(len(present) == 1 and key[0] == name and all(key != period[0] for period in keys), f"record {index} announces a key that can't follow")
        keys.append([key, size, None])
    else:
        need(len(present) == 2 and any(key == period[0] for period in present), f"record {index} retires a key that can't go")
        next(period for period in present if period[0] == key)[2] = size
    changes.append({"record": index, "action": said["action_type"], "vkey": details["vkey"], "above": size})

def follow_links(folder, names, first, size, report):
    """All keys that follow from the first one by links before the bundle's checkpoint, which is of `size` records."""
    keys = [[first, None, None]]
    for name in sorted(name for name in names if name.startswith("keys/")):
        with report.part("authenticity", name):
            follow_link(read(folder, name), int(name[5:]), keys, report.key_changes)
            above = report.key_changes[-1]["above"]
            need(above < size, f"the link was signed over {above} records, and the bundle's checkpoint is of {size}: none but those before it belong here")
    return keys

def contradict(size, report):
    """A link is over the first checkpoint with its record: one that is over more than another with it was put off, by the keys before."""
    for change in report.key_changes:
        if change["record"] < size < change["above"]:
            report.fail("authenticity", f"keys/{change['record']:020}", f"the link of record {change['record']} was signed over {change['above']} records, but the bundle has a checkpoint of {size}: somebody with the keys before put it off, or signed that checkpoint afterwards")

def check_authenticity(folder, names, about, given, checkpoint, report):
    """Gives the keys that everything else is checked with, those that follow from the bundle's own, or else the one given; and whether
    they signed the checkpoint."""
    own, keys, axis, is_signed = None, None, "authenticity", False
    with report.part(axis, "ledger.vkey"):
        line = read(folder, "ledger.vkey").decode()
        own = parse_vkey(line.rstrip("\n"), 1)
        need(line == about["vkey"] + "\n" and own[0] == about["ledger"], "bundle.json names another key or another ledger")
        report.first_key, keys = line.rstrip("\n"), follow_links(folder, names, own, about["size"], report)
        known = [period[0] for period in keys if about["size"] > (period[1] or 0)]
        need(given is None or given in known, f"unknown key: the bundle brings {own[0]}+{own[1].hex()}, which is not the key that was given")
    if given is None:
        report.incomplete(axis, "no --key: the key came with the bundle, and a forger would have put his own there")
    if given and (keys is None or all(given != period[0] for period in keys)):
        keys = [[given, None, None]]
    with report.part(axis, "checkpoint"):
        need(keys, "there is no key to check the signature with")
        check_signature(checkpoint, keys)
        is_signed = True
    with report.part("coverage", "checkpoint"):
        is_signed, was_signed = False, is_signed
        name, size, root = parse_checkpoint(checkpoint)
        need(name == about["ledger"], f"a checkpoint of ledger {name}, bundle.json speaks of {about['ledger']}", axis)
        need((size, root.hex()) == (about["size"], about["root"]), "bundle.json speaks of a checkpoint of another size or root")
        report.say("coverage", f"the checkpoint covers {size} records, root {root.hex()}")
        is_signed = was_signed
    return keys, is_signed

def cosigned(witness, note, cosignature):
    """When the witness cosigned the note, in seconds since 1970 (c2sp.org/tlog-cosignature)."""
    (name, _, key), at = witness, int.from_bytes(cosignature[:8], "big")
    need(0 < at < 1 << 63 and len(cosignature) > 8, f"the cosignature of {name} has no time")
    if len(key) == 32:
        good = signed_ed25519(key, f"cosignature/v1\ntime {at}\n{parse_note(note)[0]}".encode(), cosignature[8:])
    else:
        of, size, root = parse_checkpoint(note)
        names = [bytes([len(text)]) + text for text in (name.encode(), of.encode())]
        message = b"subtree/v1\n\0" + names[0] + cosignature[:8] + names[1] + bytes(8) + size.to_bytes(8, "big") + root
        good = signed_ml_dsa(key, message, cosignature[8:])
    need(good, f"the cosignature of {name} is false")
    return at

def check_witnesses(note, witnesses, quorum, keys, report):
    """A witness is a name. It has cosigned if all keys of that name that were given have: one that has two is not counted twice."""
    axis, good, names = "non_equivocation", set(), {name for name, _, _ in witnesses}
    given = [key[:2] for key, _, _ in keys or []] + [witness[:2] for witness in witnesses]
    others = sorted({name for name, key_id, _ in parse_note(note)[1] if (name, key_id) not in given})
    for witness in witnesses:
        for cosignature in signatures_of(note, witness):
            at = cosigned(witness, note, cosignature)
            good.add(witness)
            report.say(axis, f"{witness[0]} vouches at {utc(at * 10**9)} that this grew out of all that it had seen of the ledger{' (ML-DSA-44)' if len(witness[2]) > 32 else ''}")
    count = len(names - {witness[0] for witness in witnesses if witness not in good})
    quorum = len(names) if quorum is None else quorum
    if not witnesses:
        report.incomplete(axis, f"no --witness was given; cosignatures that were not checked: {', '.join(others) or 'none'}")
    elif count < quorum:
        report.incomplete(axis, f"{count} of the witnesses given have cosigned, {quorum} are wanted; unknown witnesses: {', '.join(others) or 'none'}")

def find_openssl(folder, report):
    """Where OpenSSL is, if it is on the PATH. A PATH with `.` in it may lead into the bundle: what lies there is never run."""
    found = shutil.which("openssl")
    places = [pathlib.Path(place(found)) for place in (os.path.abspath, os.path.realpath)] if found else []
    if any(os.path.samefile(parent, folder) for place in places for parent in place.parents):
        report.incomplete("time", f"{found}, to which the PATH leads, lies in the bundle, and so was not run")
        return None
    return places[0] if places else None

def openssl_ts(program, folder, *arguments):
    done = subprocess.run([program, "ts", *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return done.returncode == 0, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

def stamp_time(text):
    """Time and accuracy, in ns, in the text that OpenSSL makes of a token."""
    found = [re.findall(f"^{name}: (.*)$", text, re.M) for name in ("Time stamp", "Accuracy")]
    need([len(lines) for lines in found] == [1, 1], "the token says not one time with one accuracy")
    (said,), (accuracy,) = found
    parts = re.fullmatch(r"(\w{3} +\d+ \d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)? (\d{4}) GMT", said, re.A)
    units = re.fullmatch(r"(\w+) seconds, (\w+) millis, (\w+) micros", accuracy.replace("unspecified", "0"), re.A)
    need(parts and (units or accuracy == "unspecified"), "the token says no time")
    at = calendar.timegm(time.strptime(f"{parts[1]} {parts[3]}", "%b %d %H:%M:%S %Y")) * 10**9 + int((parts[2] or "").ljust(9, "0"))
    return at, sum(int(count, 16) * unit for count, unit in zip(units.groups(), (10**9, 10**6, 10**3))) if units else 0

def check_stamp(folder, token, data, program, ca, report):
    """The time that the token says, and by how much it may be beside the recorder's clock, in ns; None if it was not checked."""
    command = ["-verify", "-in", token, "-data", data, "-CAfile"]
    if program is None or ca is None:
        report.incomplete("time", f"not checked: openssl ts {' '.join(command)} TSA-CA.pem")
        return None
    good, said, complained = openssl_ts(program, folder, *command, ca)
    said += complained
    reason = said.strip().split("\n")[-1]
    if not good and "certificate verify error" in said:
        report.incomplete("time", f"{token} is of an authority that {ca} does not lead to, or whose certificate has ended: {reason}")
        return None
    need(good, f"not a time stamp over {data}: {reason}")
    # The response has a text of its own, outside of the signature: only the token in it may speak.
    good, said, _ = openssl_ts(program, folder, "-reply", "-in", token, "-token_out", "-text")
    need(good, "the token can't be read")
    at, accuracy = stamp_time(said)
    return at, accuracy + CLOCK_TOLERANCE

def check_time(folder, names, about, found, keys, ca, report):
    axis, after = "time", sorted(name for name in names if name.startswith("not-after/"))
    program = find_openssl(folder, report) if ca else None
    for name in after:
        with report.part(axis, name):
            stamp = check_stamp(folder, name, "checkpoint", program, ca, report)
            if stamp is not None:
                at, tolerance = stamp
                report.say(axis, f"{name}: all these records were there at {utc(at)}")
                late = [index for index, record in found.items() if (record["sealed_at"] or 0) > at + tolerance]
                need(not late, f"record {late[:1]} says that it was sealed later than this time stamp")
    if not after:
        report.incomplete(axis, "no time stamp says until when the records were there")
    anchor = about["anchor"]
    with report.part(axis, "not-before.tsr"):
        parts = {"not-before.tsr" in names, "not-before.checkpoint" in names, anchor is not None}
        need(len(parts) == 1, "token, its checkpoint and the record that holds its hash belong together: one of them is missing")
        if anchor is None:
            report.say(axis, "nothing here says how much earlier they were sealed")
            return
        token = found.get(anchor, {}).get("token")
        need(token == file_sha256(folder / "not-before.tsr"), f"record {anchor} does not hold the hash of this token")
        before = read(folder, "not-before.checkpoint")
        need(keys, "there is no key to check not-before.checkpoint with")
        check_signature(before, keys)
        contradict(parse_checkpoint(before)[1], report)
        need(parse_checkpoint(before)[1] <= anchor, "not-before.checkpoint is newer than the record that holds the token's hash")
        stamp = check_stamp(folder, "not-before.tsr", "not-before.checkpoint", program, ca, report)
        if stamp is not None:
            at, tolerance = stamp
            behind = [index for index in about["records"] if index > anchor]
            report.say(axis, f"not-before.tsr: what stands behind record {anchor} was sealed later than {utc(at)}: {len(behind)} of the {len(about['records'])} records")
            early = [index for index in behind if (found.get(index, {}).get("sealed_at") or at) + tolerance < at]
            need(not early, f"record {early[:1]} says that it was sealed earlier than the time stamp that was there before it")


# == All together ==

def verify(folder, options, report):
    """Everything. Whatever is not reached because something before it is broken stays INCOMPLETE. Gives bundle.json and the records."""
    report.file = "."
    names, about, found, note, keys = check_files(folder, report), None, {}, b"", None
    with report.part("integrity", "bundle.json"):
        about = read_about(folder)
    if about is None:
        return {}, found
    checkpoint = b""
    with report.part("integrity", "checkpoint"):
        note = checkpoint = read(folder, "checkpoint")
    with report.part("integrity", "witnessed"):
        if "witnessed" in names:
            note = read(folder, "witnessed")
            need(note.startswith(checkpoint) and parse_note(note)[0] == parse_note(checkpoint)[0], "not the checkpoint with further signatures below")
    keys, is_signed = check_authenticity(folder, names, about, options.key, checkpoint, report)
    report.done.add("authenticity")
    with report.part("integrity", "records.jsonl"):
        found = check_records(folder, about, note, report)
        for name in sorted(name for name in names if name.startswith("proofs/") and int(name[7:27]) not in found):
            report.fail("integrity", name, "a proof of no record of this bundle")
        destroyed = sum(record["destroyed"] for record in found.values())
        if destroyed:
            report.incomplete("integrity", f"{destroyed} bodies are not here: of them only the leaf can be checked, and whether they were rightly destroyed only the whole ledger tells")
        report.done |= {"integrity", "coverage"} if {*about["records"], about["anchor"]} <= {None, *found} else {"integrity"}
    with report.part("completeness", "bundle.json"):
        check_completeness(folder, names, about, found, note, is_signed, report)
        report.done.add("completeness")
    with report.part("non_equivocation", "witnessed"):
        check_witnesses(note, options.witness, options.quorum, keys, report)
        report.done.add("non_equivocation")
    with report.part("time", "not-after"):
        check_time(folder, names, about, found, keys, options.tsa_ca, report)
        report.done.add("time")
    return about, found

def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?", default=pathlib.Path(__file__).resolve().parent, type=pathlib.Path, metavar="BUNDLE_DIR")
    parser.add_argument("--key", metavar="FILE|VKEY", help="a public key of the ledger, from a source that you trust: its first, or a later one")
    parser.add_argument("--witness", metavar="FILE|VKEY", action="append", default=[], help="a witness's public key; may be given several times")
    parser.add_argument("--quorum", metavar="K", type=int, help="how many of the witnesses must have cosigned [default: all]")
    parser.add_argument("--tsa-ca", metavar="FILE", help="certificates (PEM) of the time-stamp authorities that you trust")
    parser.add_argument("--require", metavar="AXES", default="integrity,authenticity,coverage", help="what must pass, or `all`")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()
    try:
        if options.key is not None:
            options.key = parse_vkey((pathlib.Path(options.key).read_text() if os.path.isfile(options.key) else options.key).strip(), 1)
        lines = [pathlib.Path(line).read_text() if os.path.isfile(line) else line for line in options.witness]
        options.witness = [parse_vkey(line.strip(), 4) for line in lines]
        twice = [key for key in {key for _, _, key in options.witness} if len({witness for witness in options.witness if witness[2] == key}) > 1]
        need(not twice, "two --witness have one public key: one witness would count twice")
        options.tsa_ca = options.tsa_ca and os.path.abspath(options.tsa_ca)
        options.require = set(AXES if options.require == "all" else options.require.split(","))
        need(options.require <= set(AXES), f"--require knows {', '.join(AXES)} and all")
        need(options.folder.is_dir(), f"{options.folder} is no folder")
        need(options.tsa_ca is None or os.path.isfile(options.tsa_ca), f"{options.tsa_ca} is no file")
        need(options.quorum is None or 0 < options.quorum <= len({name for name, _, _ in options.witness}), "--quorum is at least 1 and at most the number of witnesses")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    options.require |= {"non_equivocation"} if options.witness else set()
    options.require |= {"time"} if options.tsa_ca else set()
    return options

def main():
    sys.stdout.reconfigure(errors="backslashreplace")
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    options, report, about, found = arguments(), Report(), {}, {}
    try:
        about, found = verify(options.folder, options, report)
    except Exception as error:  # the last net: whatever this program did not foresee is no pass
        report.fail("integrity", report.file, f"the check broke off here ({type(error).__name__}: {error})")
    verdicts = {axis: report.verdict(axis) for axis in AXES}
    code = 1 if "fail" in verdicts.values() else 2 if any(verdicts[axis] != "pass" for axis in options.require) else 0
    if options.json:
        axes = {axis: {"verdict": verdicts[axis], "reasons": report.reasons[axis]} for axis in AXES}
        known = {key: about.get(key) for key in ("ledger", "vkey", "size", "root")}
        keys = [key for key in (report.first_key, *(change["vkey"] for change in report.key_changes if change["action"] == "key.announce")) if key]
        print(json.dumps({"report": "1", "place": shown(options.folder), **known, "keys": keys, "key_changes": report.key_changes, "records": len(found), "axes": axes,
                          "destroyed": sum(record["destroyed"] for record in found.values()), "findings": report.findings,
                          "findings_left_out": report.left_out}, indent=2))
        return code
    print(f"Bundle of ledger {shown(about.get('ledger', '?'))} in {shown(options.folder)}: {len(found)} records")
    if report.first_key:
        print(f"  the ledger's first key is {shown(report.first_key)}" if report.key_changes else f"  the ledger's first key is {shown(report.first_key)}; no change of it is recorded here")
    for change in report.key_changes:
        said = "retires {vkey}: it signs nothing" if change["action"] == "key.retire" else "announces {vkey}: it signs all"
        print(f"    record {change['record']} {said.format(**change)} of more than {change['above']} records")
    print()
    for axis in AXES:
        print(f"  {axis:<17} {verdicts[axis].upper()}{'' if axis in options.require else '  (not required)'}")
        for reason in report.reasons[axis]:
            print(f"      {reason}")
    for finding in report.findings:
        row = f", row {finding['row']}" if "row" in finding else ""
        print(f"\n  {finding['axis']} in {finding['object']}{row}:\n      {finding['what']}")
    if report.left_out:
        print(f"\n  … and {report.left_out} findings more.")
    print("\n" + ("VERIFIED on every required axis.", "TAMPERED: at least one axis fails.",
                  "NOT VERIFIED IN FULL: nothing speaks against it, but a required axis is incomplete.")[code])
    return code


if __name__ == "__main__":
    sys.exit(main())
