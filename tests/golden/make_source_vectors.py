#!/usr/bin/env python3
"""Makes source-v1.json: test vectors for signatures at the source, docs/format.md section 14.

Written from that page alone, with Python's standard library alone; Ed25519 is that of make_ledger_vectors.py.

    python3 make_source_vectors.py            writes source-v1.json beside this file
    python3 make_source_vectors.py --check    exits 1 if the file differs from what would be written
"""

import base64
import json
import math

import vectors
from make_ledger_vectors import b64, ed25519_sign, public_key

SEED = bytes(range(1, 33))
KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
STATUS = {1: "ok", 2: "error"}


def number(value):
    """As ECMAScript writes a finite double."""
    if value == 0:
        return "0"
    sign, text = ("-", repr(-value)) if value < 0 else ("", repr(value))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    rest = "." + digits[1:] if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def jcs(value):
    """RFC 8785."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(jcs(name) + ":" + jcs(value[name]) for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    return number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def wrapped(value):
    """A value of OTLP/JSON in the draft's form."""
    if not value:
        return None
    ((kind, content),) = value.items()
    if kind == "arrayValue":
        return [wrapped(item) for item in content["values"]]
    if kind == "kvlistValue":
        return attributes(content["values"])
    return {kind: content}


def attributes(pairs):
    return {pair["key"]: wrapped(pair["value"]) for pair in pairs}


def present(**members):
    return {name: value for name, value in members.items() if value not in (None, "", "0", [], {})}


def nonzero(identifier):
    return identifier if identifier.strip("0") else None


def own(record):
    return {key: value for key, value in attributes(record.get("attributes", [])).items() if not key.startswith("audit.integrity.")}


def of_log(log):
    form = present(
        event_name=log.get("eventName"),
        timestamp=log.get("timeUnixNano"),
        observed_timestamp=log.get("observedTimeUnixNano"),
        trace_id=nonzero(log.get("traceId", "")),
        span_id=nonzero(log.get("spanId", "")),
        attributes=own(log),
    )
    # An empty list or map is a body, too.
    return form | ({"body": wrapped(log["body"])} if log.get("body") else {})


def of_span(span):
    status = span.get("status", {})
    return present(
        event_name=span.get("name"),
        timestamp=span.get("startTimeUnixNano"),
        observed_timestamp=span.get("endTimeUnixNano"),
        trace_id=nonzero(span.get("traceId", "")),
        span_id=nonzero(span.get("spanId", "")),
        parent_span_id=nonzero(span.get("parentSpanId", "")),
        span_kind=KINDS.get(span.get("kind", 0), str(span.get("kind", 0))),
        status=present(code=STATUS.get(status.get("code", 0), str(status.get("code", 0))), message=status.get("message")),
        attributes=own(span),
        events=[
            present(name=event.get("name"), timestamp=event.get("timeUnixNano"), attributes=attributes(event.get("attributes", [])))
            for event in span.get("events", [])
        ],
        links=[
            present(
                trace_id=nonzero(link["traceId"]),
                span_id=nonzero(link["spanId"]),
                trace_state=link.get("traceState"),
                attributes=attributes(link.get("attributes", [])),
            )
            for link in span.get("links", [])
        ],
    )


def pair(key, kind, value):
    return {"key": key, "value": {kind: value}}


def texts(**pairs):
    return [pair(key, "stringValue", value) for key, value in pairs.items()]


def strings(*values):
    return {"values": [{"stringValue": value} for value in values]}


DOUBLES = [0.0, -0.0, 1.0, -1.5, 0.1, 1e21, 1e20, 123456789012345680000.0, 9007199254740993.0, 1e-6, 1e-7, 1.5e-9, 5e-324, 1.7976931348623157e308, 333333333.33333329, 4.35, 1e23]
IDS = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}
TIMES = {"startTimeUnixNano": "1795168800123456789", "endTimeUnixNano": "1795168800623456789"}
SPAN = IDS | TIMES | {"name": "paint", "kind": 1}


def spans():
    yield "a span with nothing but its ids and times", SPAN
    yield "a span without anything", {}
    yield "a decision", SPAN | {
        "parentSpanId": "00f067aa0ba902b7",
        "status": {"code": 2, "message": "no \u201cfunds\u201d\n"},
        "attributes": [
            pair("tachograph.event.id", "stringValue", "0199c8a0-0000-7000-8000-000000000001"),
            pair("tachograph.prompt", "stringValue", "a fox\u2028\t\"quoted\" \\ \u0001\u007f \U0001f98a"),
            pair("tachograph.producer.seq", "intValue", "7"),
            pair("gen_ai.request.temperature", "doubleValue", 0.7),
            pair("flag", "boolValue", True),
            pair("tachograph.content_flags", "arrayValue", strings("violence", "")),
            pair("numbers", "arrayValue", {"values": [{"intValue": "-9223372036854775808"}, {"intValue": "9223372036854775807"}]}),
            pair("empty list", "arrayValue", {"values": []}),
        ],
        "events": [
            {"name": "exception", "timeUnixNano": "1795168800223456789", "attributes": [pair("exception.message", "stringValue", "oh")]},
            {"name": "bare"},
        ],
        "links": [
            {"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "traceState": "a=1", "attributes": [pair("why", "boolValue", False)]},
            {"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b8"},
        ],
    }
    yield "keys in the order of UTF-16", SPAN | {
        "attributes": [pair(key, "intValue", str(at)) for at, key in enumerate(["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6", "ab", "a", "B"])]
    }
    yield "what is signed leaves the proof out, and the last of two counts", SPAN | {
        "attributes": texts(**{"audit.integrity.value": "AAAA", "a": "1", "audit.integrity.signer": "producer", "audit.integrityx": "kept"}) + texts(a="2")
    }
    yield "doubles", SPAN | {"attributes": [pair(f"d{at:02}", "doubleValue", value) for at, value in enumerate(DOUBLES)]}
    yield "doubles that are no numbers", SPAN | {
        "attributes": [pair(f"d{at}", "doubleValue", value) for at, value in enumerate(["NaN", "Infinity", "-Infinity"])]
    }
    yield "kinds and states of other releases", SPAN | {"kind": 9, "status": {"code": 7}}
    for kind in KINDS:
        yield f"kind {kind}", SPAN | {"kind": kind, "status": {"code": 1}}


def logs():
    log = IDS | {"timeUnixNano": "1795168800123456789", "observedTimeUnixNano": "1795168800123456790", "eventName": "user.login.failure"}
    yield "a log record", log | {"body": {"stringValue": "Authorization denied"}, "attributes": texts(**{"audit.action": "LOGIN"})}
    yield "severity is not signed", log | {"severityNumber": 9, "severityText": "INFO"}
    yield "a log record without anything", {}
    yield "ids of zeros are none", {"traceId": "0" * 32, "spanId": "0" * 16, "timeUnixNano": "1"}
    nested = [
        pair("bytes", "bytesValue", base64.b64encode(bytes(range(250, 256))).decode()),
        {"key": "nothing", "value": {}},
        pair("list", "arrayValue", {"values": [{"intValue": "1"}, {}, {"kvlistValue": {"values": texts(b="2", a="1")}}, {"arrayValue": {"values": []}}]}),
        pair("map", "kvlistValue", {"values": texts(k="first") + texts(k="last", **{"audit.integrity.value": "kept"})}),
    ]
    yield "values within values", log | {"attributes": nested, "body": {"kvlistValue": {"values": nested}}}
    yield "bodies that are empty", log | {"body": {"stringValue": ""}}
    yield "an empty list for a body", log | {"body": {"arrayValue": {"values": []}}}


def pem(label, prefix, key):
    return f"-----BEGIN {label}-----\n{b64(bytes.fromhex(prefix) + key)}\n-----END {label}-----\n"


def make_vectors():
    assert all(math.isfinite(value) and float(number(value)) == value for value in DOUBLES)

    def vector(what, kind, record, form):
        canonical = jcs(form)
        return {"what": what, kind: record, "canonical": canonical, "signature": b64(ed25519_sign(SEED, canonical.encode()))}

    public = [pem("PUBLIC KEY", "302a300506032b6570032100", public_key(seed)) for seed in (SEED, SEED[::-1])]
    return {
        "private_pem": pem("PRIVATE KEY", "302e020100300506032b657004220420", SEED),
        "public_pem": public[0],
        "other_public_pem": public[1],
        "records": [vector(what, "span", span, of_span(span)) for what, span in spans()]
        + [vector(what, "log", log, of_log(log)) for what, log in logs()],
    }


if __name__ == "__main__":
    vectors.write("source-v1.json", make_vectors(), __doc__)
