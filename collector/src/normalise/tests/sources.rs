//! What a source signed, and the record that is made of it, agree as the verifier judges it: for every row of `docs/attributes.md`.

use tachograph_exporters::verify::difference;
use tachograph_record::Body;

use super::document::{fitting, span_rows, unfitting};
use super::*;
use crate::otlp::{Event, Link};

fn body(record: &Record<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    write_body(record, &[0; 16], Time::default(), &mut body);
    body
}

fn proven(mut attributes: Vec<KeyValue<'_>>) -> Vec<KeyValue<'_>> {
    attributes.push(text("audit.integrity.value", "AAAA"));
    attributes.push(text("audit.integrity.signer", "producer"));
    attributes
}

/// What was signed of a span with these attributes, and its body.
fn span_of(attributes: Vec<KeyValue<'_>>) -> (String, Vec<u8>) {
    both(&bare_span(proven(attributes)))
}

fn both(span: &Span<'_>) -> (String, Vec<u8>) {
    let resource = Resource { attributes: vec![text("service.name", "s"), text("host", "h")], ..Resource::default() };
    let record = super::super::span(span, &resource, &Scope::default()).unwrap();
    (signed::of_span(span).unwrap(), body(&record))
}

fn log_of(attributes: Vec<KeyValue<'_>>) -> (String, Vec<u8>) {
    let mut log = LogRecord::decode(&[], 0).unwrap();
    log.attributes = proven(attributes);
    (log.time_unix_nano, log.event_name) = (TIME, "happened");
    log.observed_time_unix_nano = TIME + 7;
    log.body = AnyValue::KvList(vec![text("k", "v"), attribute("n", AnyValue::Array(vec![AnyValue::Int(1)]))]);
    let record = super::super::log(&log, b"x", 0, &Resource::default(), &Scope::default()).unwrap();
    (signed::of_log(&log).unwrap(), body(&record))
}

fn judge(signed: &str, body: &[u8]) -> Result<(), String> {
    difference(signed, &Body::parse(body).unwrap().record)
}

/// Makes a record of attributes, and gives the text that is signed and the body.
type Maker = fn(Vec<KeyValue<'_>>) -> (String, Vec<u8>);

#[test]
fn each_attribute_that_is_signed_is_compared_both_ways() {
    let makers: [Maker; 2] = [|a| span_of(a), |a| log_of(a)];
    for (make, row) in makers.into_iter().flat_map(|make| span_rows().into_iter().map(move |row| (make, row))) {
        let (bare_text, bare_body) = make(Vec::new());
        assert_eq!(judge(&bare_text, &bare_body), Ok(()));
        for (n, name) in row.names.iter().enumerate() {
            for (value, fits) in [(fitting(&row, n).0, true), (unfitting(&row), false)] {
                let (text, body) = make(vec![attribute(name, value.clone())]);
                assert_eq!(judge(&text, &body), Ok(()), "{name} {value:?}");
                judge(&text, &bare_body).expect_err("an attribute that the body has not");
                // These may be there without an attribute: from the resource, and derived from what is not kept.
                let free = fits && ["tenant", "event_id"].contains(&row.field);
                assert!(free || judge(&bare_text, &body).is_err(), "{name} {value:?} is not signed");
            }
        }
    }
}

#[test]
fn values_of_all_kinds_agree_and_others_do_not() {
    let values = [
        AnyValue::Str("x"),
        AnyValue::Str(""),
        AnyValue::Bool(true),
        AnyValue::Int(7),
        AnyValue::Int(i64::MIN),
        AnyValue::Double(1.0),
        AnyValue::Double(-0.5),
        AnyValue::Double(1e21),
        AnyValue::Double(f64::NAN),
        AnyValue::Double(f64::INFINITY),
        AnyValue::Bytes(&[1, 2]),
        AnyValue::Array(vec![AnyValue::Str("a"), AnyValue::Int(1), AnyValue::Empty]),
        AnyValue::KvList(vec![text("b", "1"), text("a", "2")]),
        AnyValue::Str("{\"b\": 1.0, \"a\": [\"\\u00e4\"]}"),
        AnyValue::Str("{\"a\":1,\"a\":2}"),
        AnyValue::Empty,
    ];
    // A text, JSON, numbers, a parameter, a list, and what maps to nothing.
    for key in [
        "tachograph.prompt",
        "tachograph.details",
        "tachograph.cost",
        "gen_ai.usage.input_tokens",
        "tachograph.parameter.p",
        "tachograph.content_flags",
        "other",
    ] {
        for (at, value) in values.iter().enumerate() {
            let (text, body) = span_of(vec![attribute(key, value.clone())]);
            assert_eq!(judge(&text, &body), Ok(()), "{key} {value:?}");
            for (_, other) in values.iter().enumerate().filter(|(other, _)| *other != at) {
                let (_, body) = span_of(vec![attribute(key, other.clone())]);
                assert!(judge(&text, &body).is_err(), "{key}: {value:?} and {other:?}");
            }
        }
    }
}

#[test]
fn a_whole_span_agrees_and_whatever_is_changed_does_not() {
    let whole = || Span {
        parent_span_id: &[3; 8],
        name: "work",
        kind: 3,
        status_code: 2,
        status_message: "no",
        events: vec![
            Event {
                time_unix_nano: 5,
                name: "exception",
                attributes: vec![text("exception.message", "m")],
                ..Event::default()
            },
            Event::default(),
        ],
        links: vec![
            Link { trace_id: &[4; 16], span_id: &[5; 8], trace_state: "a=1", ..Link::default() },
            Link::default(),
        ],
        ..bare_span(proven(vec![
            text("gen_ai.request.model", "m"),
            text("gen_ai.response.model", "n"),
            text("seed", "1"),
        ]))
    };
    let (signed, good) = both(&whole());
    assert_eq!(judge(&signed, &good), Ok(()));
    let changes: [fn(&mut Span<'_>); 13] = [
        |span| span.name = "play",
        |span| span.kind = 2,
        |span| span.parent_span_id = &[],
        |span| span.trace_id = &[9; 16],
        |span| span.span_id = &[9; 8],
        |span| span.start_time_unix_nano += 1,
        |span| span.end_time_unix_nano += 1,
        |span| span.status_code = 1,
        |span| span.status_message = "yes",
        |span| span.events[0].attributes.clear(),
        |span| span.events[1].time_unix_nano = 1,
        |span| span.links[0].trace_state = "",
        |span| drop(span.links.pop()),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut changed = whole();
        change(&mut changed);
        assert!(judge(&signed, &both(&changed).1).is_err(), "change {at}");
    }
    // What is not signed is not held against it.
    let unsigned: [fn(&mut Span<'_>); 3] =
        [|span| span.trace_state = "x=1", |span| span.flags = 1, |span| span.dropped_events_count = 3];
    for (at, change) in unsigned.into_iter().enumerate() {
        let mut changed = whole();
        change(&mut changed);
        assert_eq!(judge(&signed, &both(&changed).1), Ok(()), "change {at}");
    }
    for (start, end) in [(0, 0), (0, TIME), (TIME, 0), (TIME, TIME)] {
        let odd = Span { start_time_unix_nano: start, end_time_unix_nano: end, trace_id: &[1; 3], ..whole() };
        let (signed, body) = both(&odd);
        assert_eq!(judge(&signed, &body), Ok(()), "{start} {end}");
    }
}
