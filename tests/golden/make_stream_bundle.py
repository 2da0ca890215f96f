#!/usr/bin/env python3
"""Makes bundle-v2/: an evidence bundle that shows a session as a whole, by docs/format.md section 13.

Written from that page alone, with Python's standard library alone, as make_bundle.py and make_stream_vectors.py are, whose parts it uses.

    python3 make_stream_bundle.py            writes bundle-v2/ beside this file
    python3 make_stream_bundle.py --check    exits 1 if the folder differs from what would be written
"""

import json

import make_bundle
from make_bundle import make_body
from make_ledger_vectors import leaf_hash, sha256
from make_stream_vectors import RECORDER, STREAM_KEY, Streams, secret

SESSION, AGENT = "s-1", "bot-7"


class StreamLedger(make_bundle.Ledger):
    """Three generations. Session s-1 has records in the first and the third, the agent bot-7 one beside sessions.

    `second`: `by` and stream key of the second generation, if they are others. It has a record of s-1 and bot-7 too then: 10.
    """

    def __init__(self, by="session,agent", name=make_bundle.NAME, seed=make_bundle.SEED, ending="closed", gap=False, second=None):
        self.streams, self.generations, self.run = None, [], "c1"
        super().__init__([], name, seed)
        self.prev = sha256(f"tachograph/genesis/v1\n{self.vkey}\n".encode())
        self.start(by)
        self.record(session_id=SESSION)                     # 1
        self.record(session_id="s-2", agent_id=AGENT)       # 2
        self.record(session_id=SESSION, agent_id=AGENT)     # 3
        self.record()                                       # 4
        self.record(agent_id=AGENT)                         # 5
        self.record(session_id=SESSION)                     # 6
        self.close("ended" if second else "closed")         # 7
        if second:
            self.start(*second)
        self.record(session_id="s-2")                       # 8
        if second:
            self.record(session_id=SESSION, agent_id=AGENT)
            ending = "ended"
        self.close(ending)                                  # 9
        if gap:
            self.seal(make_body(len(self.leaves), "tool_call", service_name="desk", session_id=SESSION))
        if ending == "ended":
            self.start(by)
        self.record(session_id=SESSION)                     # 10
        self.record(session_id=SESSION)                     # 11
        self.close()                                        # 12
        self.own("collector.stop")                          # 13

    def seal(self, body, stream=None):
        index = len(self.leaves)
        self.bodies.append(body)
        self.leaves.append(make_bundle.leaf_of(body, index, self.prev, self.name, stream))
        self.prev = leaf_hash(self.leaves[-1])
        self.hashes.append(self.prev)

    def own(self, action, stream=None):
        index = len(self.leaves)
        body = make_body(index, "lifecycle", action_type=action, producer=RECORDER, producer_epoch=self.run, producer_seq=str(index))
        self.seal(body, {"stream": stream} if stream else None)

    def start(self, by, key=STREAM_KEY):
        self.streams = Streams(len(self.leaves), by, key)
        self.own("collector.start", self.streams.opening())

    def record(self, **ids):
        s = next((secret(kind, ids[f"{kind}_id"], self.streams.key) for kind in self.streams.by.split(",") if f"{kind}_id" in ids), None)
        keys = self.streams.keys_of(s) if s else {}
        self.seal(make_body(len(self.leaves), "tool_call", service_name="desk", **ids), keys)
        if s:
            self.streams.took(keys, self.prev)

    def close(self, word="closed"):
        self.generations.append((len(self.leaves), self.streams))
        self.own("streams.closed", self.streams.statement(word))
        self.streams = Streams(len(self.leaves), self.streams.by, self.streams.key)


def make(ledger=None, kind="session", name=SESSION, selected=(1, 3, 6, 10, 11), generations=None, **changed):
    """All files but the manifest. `generations`: which of the ledger's are covered."""
    ledger = ledger or StreamLedger()
    selection = {"kind": kind, f"{kind}_id": name}
    files = make_bundle.make_bundle(ledger, selection, list(selected))
    files["bundle.json"] = files["bundle.json"].replace(b'"bundle":"1"', b'"bundle":"2"')
    s = changed.get("secret", secret(kind, name))
    covered = [ledger.generations[at] for at in (generations or range(len(ledger.generations)))]
    streams = {"generations": [{"closed": str(closed), "entries": streams.proof(s)} for closed, streams in covered], "kind": kind, "secret": s.hex()}
    files["streams.json"] = (json.dumps(streams, separators=(",", ":")) + "\n").encode()
    for closed, _ in covered:
        files[f"closed/{closed:020}.tlog-proof"] = ledger.proof(closed, len(ledger.hashes), files["witnessed"].decode()).encode()
    return files


def main():
    make_bundle.write_or_check("bundle-v2", make(), __doc__)


if __name__ == "__main__":
    main()
