//! What is broken costs only what it must.

use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::Status as ProtoStatus;
use opentelemetry_proto::tonic::trace::v1::span::{Event as ProtoEvent, Link as ProtoLink};

use super::*;

fn failure(spans: &[Result<String, DecodeError>], at: usize) -> String {
    spans[at].as_ref().expect_err("a span that is broken").to_string()
}

#[test]
fn a_string_that_is_not_utf8_costs_its_span_alone() {
    let plain = || span("bad");
    let bad: Vec<(ProtoSpan, &str)> = vec![
        (ProtoSpan { name: BAD.into(), ..plain() }, "name"),
        (ProtoSpan { trace_state: BAD.into(), ..plain() }, "trace_state"),
        (ProtoSpan { attributes: vec![text("a", "b"), text("bad", BAD)], ..plain() }, "attributes[1].value[bad]"),
        (ProtoSpan { attributes: vec![text(BAD, "b")], ..plain() }, "attributes[0].key"),
        (
            ProtoSpan { events: vec![ProtoEvent { name: BAD.into(), ..Default::default() }], ..plain() },
            "events[0].name",
        ),
        (
            ProtoSpan {
                events: vec![Default::default(), ProtoEvent { attributes: vec![text("k", BAD)], ..Default::default() }],
                ..plain()
            },
            "events[1].attributes[0].value[k]",
        ),
        (
            ProtoSpan { links: vec![ProtoLink { trace_state: BAD.into(), ..Default::default() }], ..plain() },
            "links[0].trace_state",
        ),
        (ProtoSpan { status: Some(ProtoStatus { message: BAD.into(), code: 2 }), ..plain() }, "status.message"),
        (
            ProtoSpan {
                attributes: vec![attribute(
                    "list",
                    Value::ArrayValue(ArrayValue {
                        values: vec![
                            ProtoValue { value: None },
                            ProtoValue {
                                value: Some(Value::KvlistValue(KeyValueList {
                                    values: vec![text("in", &format!("x{BAD}"))],
                                })),
                            },
                        ],
                    }),
                )],
                ..plain()
            },
            "attributes[0].value[list].values[1].values[0].value[in]",
        ),
    ];
    for (bad, named) in bad {
        let bytes = spoil(request(vec![span("before"), bad, span("after")]).encode_to_vec());
        assert!(ExportTraceServiceRequest::decode(bytes.as_slice()).is_err(), "the generated decoder loses all three");
        let spans = walked(&bytes, MAX).unwrap();
        assert_eq!(spans.len(), 3);
        assert_eq!((spans[0].as_deref(), spans[2].as_deref()), (Ok("before"), Ok("after")));
        let failure = failure(&spans, 1);
        assert!(failure.starts_with(&format!("{named}: invalid UTF-8 at byte ")), "{failure}");
    }
}

#[test]
fn a_resource_or_scope_that_is_broken_is_named_by_each_span_beneath() {
    let with = |resource: &str, scope: &str| {
        let mut good = request(vec![span("a"), span("b")]);
        let mut bad = request(vec![span("c"), span("d")]).resource_spans.remove(0);
        bad.resource = Some(ProtoResource { attributes: vec![text("k", resource)], ..Default::default() });
        bad.scope_spans[0].schema_url = scope.to_owned();
        good.resource_spans.push(bad);
        spoil(good.encode_to_vec())
    };
    for (bytes, named) in [(with(BAD, ""), "resource.attributes[0].value[k]"), (with("", BAD), "schema_url")] {
        let spans = walked(&bytes, MAX).unwrap();
        assert_eq!(spans.len(), 4);
        assert_eq!((spans[0].as_deref(), spans[1].as_deref()), (Ok("a"), Ok("b")), "another sender's are not touched");
        for at in [2, 3] {
            assert!(failure(&spans, at).starts_with(&format!("{named}: invalid UTF-8")), "{}", failure(&spans, at));
        }
    }
}

#[test]
fn a_field_that_is_too_large_is_named_with_the_setting() {
    let long = "x".repeat(101);
    let bytes = Value::BytesValue(vec![0; 101]);
    let spans = vec![
        span("good"),
        ProtoSpan { name: long.clone(), ..span("") },
        ProtoSpan { attributes: vec![text("prompt", &long)], ..span("") },
        ProtoSpan { attributes: vec![attribute("image", bytes)], ..span("") },
        ProtoSpan { attributes: vec![text("fits", &long[1..])], ..span("fits") },
    ];
    let spans = walked(&request(spans).encode_to_vec(), 100).unwrap();
    assert_eq!((spans[0].as_deref(), spans[4].as_deref()), (Ok("good"), Ok("fits")));
    for (at, named) in [(1, "name"), (2, "attributes[0].value[prompt]"), (3, "attributes[0].value[image]")] {
        let expected = format!("{named}: 101 bytes, more than receive.limits.max_field_bytes (100)");
        assert_eq!(failure(&spans, at), expected);
    }
}

#[test]
fn values_nest_so_deep_and_no_deeper() {
    for map in [false, true] {
        // The outermost value is one level, each list around it another.
        let nested = |levels: usize| {
            (1..levels).fold(ProtoValue { value: Some(Value::BoolValue(true)) }, |value, _| {
                let value = match map {
                    false => Value::ArrayValue(ArrayValue { values: vec![value] }),
                    true => Value::KvlistValue(KeyValueList {
                        values: vec![ProtoKeyValue { key: "k".into(), value: Some(value), ..Default::default() }],
                    }),
                };
                ProtoValue { value: Some(value) }
            })
        };
        let spans = [MAX_VALUE_DEPTH, MAX_VALUE_DEPTH + 1].map(|levels| {
            let deep = ProtoKeyValue { key: "deep".into(), value: Some(nested(levels)), ..Default::default() };
            ProtoSpan { attributes: vec![deep], ..span("deep") }
        });
        let spans = walked(&request(spans.into()).encode_to_vec(), MAX).unwrap();
        assert_eq!(spans[0].as_deref(), Ok("deep"));
        let said = failure(&spans, 1);
        assert!(said.ends_with(&format!(": nested deeper than {MAX_VALUE_DEPTH}")), "{said}");
    }
}

#[test]
fn nesting_without_end_does_not_overflow_the_stack() {
    let mut value = Vec::new();
    for _ in 0..20_000 {
        value = field(5, &field(1, &value));
    }
    let raw = field(9, &field(2, &value));
    assert!(Span::decode(&raw, MAX).unwrap_err().to_string().contains("nested deeper"));
}

#[test]
fn a_request_that_is_cut_short() {
    let bytes = request(vec![span("one"), span("two"), span("three")]).encode_to_vec();
    for cut in 1..bytes.len() {
        let error = walked(&bytes[..cut], MAX).expect_err("it has one outer field, which is cut");
        assert!(!error.reason().is_empty() && !error.field().is_empty());
    }
    // Between two resources there is nothing to see of the cut: fewer spans then, and each whole.
    let twice = [bytes.as_slice(), &bytes].concat();
    for cut in 0..=twice.len() {
        match walked(&twice[..cut], MAX) {
            Ok(spans) => {
                assert!(cut % bytes.len() == 0, "{cut}");
                let names: Vec<&str> = spans.iter().map(|span| span.as_deref().unwrap()).collect();
                assert_eq!(names, ["one", "two", "three"].repeat(cut / bytes.len()));
            }
            Err(_) => assert!(cut % bytes.len() != 0, "{cut}"),
        }
    }
    let span = span("whole").encode_to_vec();
    for cut in 0..span.len() {
        // A span cut between two fields is a shorter span, as for every protobuf decoder.
        let ours = Span::decode(&span[..cut], MAX).is_ok();
        assert_eq!(ours, ProtoSpan::decode(&span[..cut]).is_ok(), "{cut}");
    }
}

#[test]
fn the_resource_may_stand_behind_its_spans() {
    let resource = ProtoResource { attributes: vec![text("service.name", "late")], ..Default::default() };
    let scope = field(2, &span("a").encode_to_vec());
    let scope = [scope, field(1, &field(1, b"the scope"))].concat();
    let message = [field(2, &scope), field(1, &resource.encode_to_vec())].concat();
    let mut seen = Vec::new();
    let request = field(1, &message);
    walk_traces(&request, MAX, &mut |source, _| {
        let (resource, scope) = source.unwrap();
        seen.push((resource.attributes[0].value.clone(), scope.name.to_owned()));
    })
    .unwrap();
    assert_eq!(seen, [(AnyValue::Str("late"), "the scope".to_owned())]);
}

#[test]
fn fields_of_a_later_version_are_kept() {
    let new = field(2_000, b"from the future");
    let with_new = |message: Vec<u8>| [message, new.clone()].concat();
    let event = field(11, &with_new(ProtoEvent::default().encode_to_vec()));
    let link = field(13, &with_new(ProtoLink::default().encode_to_vec()));
    let status = field(15, &new);
    let value = field(9, &[field(1, b"k"), field(2, &with_new(field(1, b"v"))), new.clone()].concat());
    let raw = [span("a").encode_to_vec(), event, link, status, value, new.clone()].concat();
    let span = Span::decode(&raw, MAX).unwrap();
    assert_eq!(span.unknown, vec![new.as_slice(); 6]);
    assert_eq!(span.attributes[1], KeyValue { key: "k", value: AnyValue::Str("v") });

    let log = LogRecord::decode(&new, MAX).unwrap();
    assert_eq!(log.unknown, [new.as_slice()]);

    let resource = field(1, &with_new(ProtoResource::default().encode_to_vec()));
    let scope = [field(1, &new), field(2, &raw), new.clone()].concat();
    let request = field(1, &[resource, field(2, &scope), new.clone()].concat());
    let mut seen = 0;
    walk_traces(&request, MAX, &mut |source, _| {
        let (resource, scope) = source.unwrap();
        assert_eq!(
            (resource.unknown.as_slice(), scope.unknown.as_slice()),
            (&[new.as_slice(); 2][..], &[new.as_slice(); 2][..])
        );
        seen += 1;
    })
    .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn a_field_of_another_type_than_ours_is_kept_as_unknown() {
    // Field 5 is the name; here it is a number.
    let span = Span::decode(&[5 << 3, 7], MAX).unwrap();
    assert_eq!((span.name, span.unknown), ("", vec![&[5 << 3, 7][..]]));
}

#[test]
fn layers_that_are_not_otlp_are_refused_by_name() {
    let refused = |bytes: &[u8]| walked(bytes, MAX).expect_err("refused").to_string();
    assert!(refused(&[1 << 3, 7]).starts_with("resource_spans: not a message"));
    assert!(refused(&field(1, &[2 << 3, 7])).starts_with("resource_spans[0]: field 2 is not a message"));
    assert!(refused(&field(1, &field(2, &[2 << 3, 7]))).starts_with("resource_spans[0].scope_spans[0]: field 2"));
    assert!(refused(&field(1, &field(1_000, b""))).contains("instrumentation_library"));
    assert!(refused(&[0]).contains("impossible field number"));
    assert!(refused(&[1 << 3 | 3]).contains("wire type 3"));
    assert!(refused(&[0xff; 11]).contains("varint without end"));
    assert!(refused(&[1 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).contains("cut short"));
}
