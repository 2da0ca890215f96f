#!/usr/bin/env python3
"""Makes body-v1.json: test vectors for docs/format.md section 2 and for the derived columns of section 7.

Written from that page alone, with Python's standard library alone, so that it shares no code with the
Rust implementation.

    python3 make_body_vectors.py            writes body-v1.json beside this file
    python3 make_body_vectors.py --check    exits 1 if the file differs from what would be written

In `fields` times are decimal nanoseconds, `any JSON` members are the text that a sender sent, and doubles that
JSON has no number for are the strings nan, inf and -inf. In `columns` integers are decimal strings and ids are hex.
"""

import datetime
import hashlib
import json
import math
import re

import vectors

# Section 2: the order of the members, and how each stands in JSON.
MEMBERS = [
    ("event_id", "text"), ("timestamp", "time"), ("kind", "text"),
    ("service_name", "text"), ("environment", "text"), ("tenant", "text"),
    ("actor_type", "text"), ("actor_id", "text"), ("session_id", "text"), ("team", "text"), ("client_ip", "text"),
    ("action_type", "text"), ("resource_type", "text"), ("resource_id", "text"),
    ("outcome", "text"), ("outcome_reason", "text"),
    ("trace_id", "text"), ("span_id", "text"), ("parent_span_id", "text"),
    ("correlation_id", "text"), ("parent_id", "text"),
    ("provider", "text"), ("model", "text"), ("model_version", "text"), ("response_id", "text"),
    ("prompt", "text"), ("negative_prompt", "text"), ("output", "text"),
    ("system_instructions", "json"), ("input_messages", "json"), ("output_messages", "json"),
    ("parameters", "json"),
    ("input_hash", "text"), ("output_hash", "text"), ("output_path", "text"),
    ("tokens_in", "count"), ("tokens_out", "count"), ("cost", "number"), ("cost_currency", "text"),
    ("duration_ns", "text"), ("status", "text"), ("error_type", "text"), ("error", "text"),
    ("content_flags", "json"),
    ("agent_id", "text"), ("agent_version", "text"), ("decision_type", "text"),
    ("inputs", "json"), ("decision_steps", "json"), ("outputs", "json"),
    ("threshold", "number"), ("confidence", "number"),
    ("raw_output", "text"), ("final_decision", "text"),
    ("state_before", "json"), ("state_after", "json"), ("details", "json"), ("context", "json"),
    ("producer", "text"), ("producer_epoch", "text"), ("producer_seq", "text"),
    ("metadata", "json"), ("conflicts_with", "text"),
]

# Section 7: the columns that the archive derives, by how their values look.
UUID_COLUMNS = ["event_id", "parent_id"]
TIME_COLUMNS = ["timestamp", "observed_at"]
DECIMAL_COLUMNS = ["tokens_in", "tokens_out", "duration_ns", "conflicts_with"]
NUMBER_COLUMNS = ["cost", "threshold", "confidence"]
TEXT_COLUMNS = [
    "trace_id", "span_id", "parent_span_id",
    "kind", "service_name", "environment", "tenant", "actor_type", "actor_id", "session_id", "team", "client_ip",
    "action_type", "resource_type", "resource_id", "outcome", "outcome_reason", "correlation_id", "provider", "model",
    "model_version", "response_id", "input_hash", "output_hash", "output_path", "cost_currency", "status", "error_type",
    "agent_id", "agent_version", "decision_type", "final_decision",
]

SALT = bytes(range(16))
NOW = 1_790_000_000_123_456_789


def write_time(nanos):
    seconds, rest = divmod(int(nanos), 10**9)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def write_string(text):
    """Only what JSON demands is escaped; control characters get their short form, or lowercase \\u00xx."""
    return json.dumps(text, ensure_ascii=False)


def write_number(value):
    if isinstance(value, str):
        return {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}[value.lower()]
    assert math.isfinite(value)
    # The shortest digits that read back the same; Python pads its exponents.
    return re.sub(r"e([+-]?)0*(\d)", r"e\1\2", repr(value))


def is_safe_json(text):
    """JSON that every reader reads alike (attributes.md): no integer beyond 2^53, no depth beyond 64."""

    def walk(value, depth):
        if isinstance(value, (list, dict)):
            assert depth < 64
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner, depth + 1)
        assert not (isinstance(value, int) and abs(value) > 2**53)

    try:
        walk(json.loads(text), 0)
        return True
    except (ValueError, AssertionError):
        return False


def write_json(text):
    return text.strip() if is_safe_json(text) else write_string(text)


WRITERS = {"text": write_string, "time": lambda v: f'"{write_time(v)}"', "json": write_json, "count": str,
           "number": write_number}


def content(fields):
    assert set(fields) <= {name for name, _ in MEMBERS}
    return ",".join(f'"{name}":{WRITERS[kind](fields[name])}' for name, kind in MEMBERS if name in fields) + "}"


def columns(fields, observed_at):
    cells = {}
    for name in UUID_COLUMNS:
        if name in fields:
            cells[name] = fields[name].replace("-", "")
    for name in TIME_COLUMNS:
        cells[name] = observed_at if name == "observed_at" else fields[name]
    for name in DECIMAL_COLUMNS:
        if name in fields:
            cells[name] = str(fields[name])
    for name in NUMBER_COLUMNS:
        if name in fields:
            value = fields[name]
            cells[name] = {"nan": "NaN"}.get(value, value) if isinstance(value, str) else value
    for name in TEXT_COLUMNS:
        if name in fields and len(fields[name].encode()) <= 4096:
            cells[name] = fields[name]
    return cells


def vector(name, fields, salt=SALT, observed_at=NOW + 1_000_000):
    prefix = f'{{"v":"1","salt":"{salt.hex()}","observed_at":"{write_time(observed_at)}",'
    assert len(prefix) == 98
    body = prefix + content(fields)
    sent = content({key: value for key, value in fields.items() if key != "conflicts_with"})
    return {
        "name": name,
        "salt": salt.hex(),
        "observed_at": str(observed_at),
        "fields": fields,
        "body": body,
        "sha256": hashlib.sha256(body.encode()).hexdigest(),
        "content_digest": hashlib.sha256(sent.encode()).hexdigest()[:32],
        "columns": columns(fields, str(observed_at)),
    }


def v7(nanos, entropy):
    """48 bits of milliseconds, version 7, variant 10; the digest's bits stand where they fall in the other places."""
    value = int.from_bytes((nanos // 10**6).to_bytes(6, "big") + entropy[:10], "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    text = f"{value:032x}"
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def span_event_id(nanos, trace_id, span_id):
    digest = hashlib.sha256(b"tachograph/event/span/v1\0" + trace_id + span_id).digest()
    return {"timestamp": str(nanos), "trace_id": trace_id.hex(), "span_id": span_id.hex(), "event_id": v7(nanos, digest)}


def log_event_id(nanos, occurrence, protobuf):
    digest = hashlib.sha256(b"tachograph/event/log/v1\0" + occurrence.to_bytes(4, "big") + protobuf).digest()
    return {"timestamp": str(nanos), "occurrence": occurrence, "protobuf": protobuf.hex(), "event_id": v7(nanos, digest)}


def full():
    fields = {"event_id": v7(NOW, bytes(range(32))), "timestamp": str(NOW), "kind": "agent_decision"}
    special = {
        "actor_type": "agent", "outcome": "blocked", "status": "error",
        "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "parent_span_id": "00f067aa0ba902b7",
        "parent_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "input_hash": "sha256:" + hashlib.sha256(b"in").hexdigest(),
        "output_hash": "sha256:" + hashlib.sha256(b"out").hexdigest(),
        "tokens_in": 0, "tokens_out": 2**53, "cost": 0.000125, "cost_currency": "EUR",
        "duration_ns": str(2**63 - 1), "threshold": 0.7, "confidence": 1.0,
        "content_flags": '["violence","self-harm"]', "parameters": '{"seed":42,"size":[512,512],"temperature":0.7}',
        "metadata": '{"attributes":[{"key":"x","value":{"intValue":"9007199254740993"}}]}',
        "producer": "image-service:eu.1", "producer_epoch": "01J_1-a", "producer_seq": str(2**53 + 1), "conflicts_with": "7",
    }
    for name, kind in MEMBERS[3:]:
        plain = json.dumps({"of": name}) if kind == "json" else f"the {name}"
        fields[name] = special.get(name, plain)
    return fields


def bare(**more):
    return {"event_id": "00000000-0000-0000-0000-000000000001", "timestamp": "0", "kind": "lifecycle"} | more


def make_vectors():
    controls = "".join(map(chr, range(0x21))) + '"\\/\x7f\u0080\u2028\u2029\ufeff'
    return {
        "about": "Test vectors for docs/format.md section 2, made by make_body_vectors.py.",
        "version": "1",
        "bodies": [
            vector("bare", bare(), salt=bytes(16), observed_at=0),
            vector("full", full()),
            vector("last moment", bare(timestamp=str(2**63 - 1)), salt=b"\xff" * 16, observed_at=2**63 - 1),
            vector("leap day", bare(timestamp="951782400000000000")),
            vector("strings", bare(prompt=controls, output="Grüße, 世界 🚀 \U0001f469\u200d\U0001f52c", model="e\u0301 is not é")),
            vector("numbers", bare(cost="nan", threshold="inf", confidence="-inf", tokens_in=1)),
            vector("small and large numbers", bare(cost=1e300, threshold=-0.0, confidence=5e-324)),
            vector("shortest numbers", bare(cost=0.1 + 0.2, threshold=1 / 3, confidence=123456789.0)),
            vector("text of 4096 and 4097 bytes", bare(output_path="é" * 2048, final_decision="é" * 2048 + "x")),
            vector("not JSON", bare(inputs="no JSON {", outputs="", details="9007199254740993", context="[1,2")),
            vector("any JSON", bare(inputs="null", outputs=" 7 ", details='"text"', context="[ 1, 2 ]",
                                    state_before="-9007199254740992", state_after='{"b":1,"a":2}')),
            vector("imitated pointer", bare(prompt='x","conflicts_with":"7"}', details='{"a":"b","conflicts_with":"7"}')),
            vector("pointer", bare(prompt='x","conflicts_with":"7"}', conflicts_with="0")),
        ],
        "span_event_ids": [
            span_event_id(NOW, bytes.fromhex("0af7651916cd43dd8448eb211c80319c"), bytes.fromhex("b7ad6b7169203331")),
            span_event_id(0, b"", b""),
            span_event_id(2**63 - 1, b"\xff" * 16, b"\xff" * 8),
        ],
        "log_event_ids": [
            log_event_id(NOW, 0, b"\x2a\x03\x0a\x01x"),
            log_event_id(NOW, 1, b"\x2a\x03\x0a\x01x"),
            log_event_id(0, 2**32 - 1, b""),
        ],
    }


def main():
    vectors.write("body-v1.json", make_vectors(), __doc__, ensure_ascii=True)


if __name__ == "__main__":
    main()
