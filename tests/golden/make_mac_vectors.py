#!/usr/bin/env python3
"""Makes mac-v2.json: test vectors for MAC keys of scheme 2, docs/format.md section 5.

Written from that page alone, with Python's standard library alone; name and first key are those of make_ledger_vectors.py.

    python3 make_mac_vectors.py            writes mac-v2.json beside this file
    python3 make_mac_vectors.py --check    exits 1 if the file differs from what would be written
"""

import hmac

import vectors
from make_ledger_vectors import MAC_KEY_0, NAME, mac_key, sha256

INDEXES = [0, 1, 65_535, 65_536, 131_071, 131_072, 6_553_600]


def published_key(epoch):
    return hmac.new(mac_key(epoch), b"tachograph/mac/key/v2", "sha256").digest()


def mac(index, record_hash):
    message = b"tachograph/mac/v1\0" + NAME.encode() + b"\0" + index.to_bytes(8, "big") + record_hash
    return hmac.new(published_key(index >> 16), message, "sha256").digest()


def make_vectors():
    hashes = [(index, sha256(b"mac%d" % index)) for index in INDEXES]
    epochs = sorted({index >> 16 for index in INDEXES})
    return {
        "name": NAME,
        "first_key": MAC_KEY_0.hex(),
        "keys": [{"epoch": e, "chain": mac_key(e).hex(), "published": published_key(e).hex()} for e in epochs],
        "macs": [{"index": i, "hash": h.hex(), "mac": mac(i, h).hex()} for i, h in hashes],
    }


def main():
    vectors.write("mac-v2.json", make_vectors(), __doc__, ensure_ascii=True)


if __name__ == "__main__":
    main()
