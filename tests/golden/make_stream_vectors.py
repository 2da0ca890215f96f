#!/usr/bin/env python3
"""Makes streams-v1.json: test vectors for docs/format.md section 13.

Written from that page alone, with Python's standard library alone, so that it shares no code and no dependency with the Rust
implementation. Leaves, hashes and trees come from make_ledger_vectors.py, which is written the same way.

    python3 make_stream_vectors.py            writes streams-v1.json beside this file
    python3 make_stream_vectors.py --check    exits 1 if the file differs from what would be written
"""

import hmac

import vectors
from make_ledger_vectors import inclusion, leaf_hash, make_leaf, public_key, root, sha256, vkey_line

NAME, SEED = "acme.example/ai-audit", bytes(range(32))
STREAM_KEY = bytes(range(200, 232))
NOW = 1_790_000_000_000_000_000
RECORDER = "tachograph-collector"


def secret(kind, name, key=STREAM_KEY):
    return hmac.digest(key, f"tachograph/stream/v1\0{kind}\0{name}".encode(), "sha256")


def key_id(key=STREAM_KEY):
    return sha256(b"tachograph/stream/key/v1\0" + key).hex()


def stream_id(s, generation, ledger=NAME):
    return hmac.digest(s, b"tachograph/stream/generation/v1\0" + ledger.encode() + b"\0" + generation.to_bytes(8, "big"), "sha256").hex()


class Streams:
    """What a recorder keeps of the generation that is open: stream id → number of records and hash of the last."""

    def __init__(self, first, by, key=STREAM_KEY):
        self.first, self.by, self.key, self.tails = first, by, key, {}

    def opening(self):
        return f"open {self.first} {self.by} {key_id(self.key)}"

    def keys_of(self, s):
        """The keys of the leaf of the stream's next record."""
        name = stream_id(s, self.first)
        count, last = self.tails.get(name, (0, None))
        return {"stream": name, **({"stream_prev": last.hex()} if count else {}), "stream_seq": count}

    def took(self, keys, hash):
        self.tails[keys["stream"]] = (keys["stream_seq"] + 1, hash)

    def entries(self):
        return [f"{name} {count} {last.hex()}" for name, (count, last) in sorted(self.tails.items())]

    def root(self):
        return root([leaf_hash(entry) for entry in self.entries()])

    def statement(self, word="closed"):
        return f"{word} {self.first} {len(self.tails)} {self.root().hex()} {self.by} {key_id(self.key)}"

    def proof(self, s):
        """The entry of the stream, or those between which it would stand."""
        name, entries = stream_id(s, self.first), self.entries()
        own = [at for at, entry in enumerate(entries) if entry.startswith(name)]
        behind = sum(entry < name for entry in entries)
        positions = own or [at for at in (behind - 1, behind) if 0 <= at < len(entries)]
        hashes = [leaf_hash(entry) for entry in entries]
        return [{"entry": entries[at], "path": [node.hex() for node in inclusion(at, hashes)], "position": str(at)} for at in positions]


class Ledger:
    """Leaves only: what bodies there are does not matter here."""

    def __init__(self):
        self.leaves = []
        self.prev = sha256(f"tachograph/genesis/v1\n{vkey_line(NAME, public_key(SEED))}\n".encode())

    def seal(self, kind="generation", **keys):
        index = len(self.leaves)
        body = f"body {index}".encode()
        leaf = make_leaf({"body_len": len(body), "body_sha256": sha256(body).hex(), "event_time": NOW + index, "index": index, "kind": kind,
                          "ledger": NAME, "prev": self.prev.hex(), "sealed_at": NOW + index, **keys})
        self.leaves.append(leaf)
        self.prev = leaf_hash(leaf)
        return self.prev

    def own(self, run, **keys):
        return self.seal("lifecycle", producer=RECORDER, producer_epoch=run, **keys)

    def stream(self, streams, s):
        keys = streams.keys_of(s)
        streams.took(keys, self.seal(**keys))


def make():
    secrets = [(kind, name, secret(kind, name)) for kind, name in
               (("session", "s-1"), ("session", "s-2"), ("session", "Łódź 3"), ("agent", "s-1"), ("agent", "loan-bot"))]
    s1, s2, s3, _, bot = [s for _, _, s in secrets]
    ledger, generations = Ledger(), []

    def close(streams, word="closed", run="r1"):
        generations.append({"closed": len(ledger.leaves), "statement": streams.statement(word), "entries": streams.entries(),
                            "proofs": [streams.proof(s) for _, _, s in secrets]})
        ledger.own(run, stream=streams.statement(word))
        return Streams(len(ledger.leaves), streams.by, streams.key)

    ledger.seal()  # before streams were sealed
    streams = Streams(1, "session,agent")
    ledger.own("r1", stream=streams.opening())
    for s in (s1, s2, s1, bot, s1, s2):
        ledger.stream(streams, s)
    ledger.seal()
    streams = close(streams)
    ledger.stream(streams, s3)
    ledger.own("r2", stream=streams.opening())
    ledger.stream(streams, s3)
    ledger.stream(streams, s1)
    streams = close(streams, run="r2")
    close(streams, word="ended", run="r3")
    return {
        "ledger": NAME, "stream_key": STREAM_KEY.hex(), "key_id": key_id(),
        "secrets": [{"kind": kind, "id": name, "secret": s.hex(), "ids": [stream_id(s, g) for g in (0, 1, 9, 2**40)]} for kind, name, s in secrets],
        "leaves": ledger.leaves, "generations": generations,
    }


def main():
    vectors.write("streams-v1.json", make(), __doc__)


if __name__ == "__main__":
    main()
