//! Whatever attributes come, each is found again: in a member or in `metadata`.

use proptest::collection::vec;
use proptest::prelude::*;

use super::document::{resource_rows, span_rows};
use super::*;

#[derive(Clone, Debug)]
enum Shape {
    Str,
    Json,
    Int,
    Array,
    Map,
    Bytes,
    Empty,
}

fn any_key() -> impl Strategy<Value = String> {
    let known: Vec<String> = span_rows().into_iter().chain(resource_rows()).flat_map(|row| row.names).collect();
    prop_oneof![
        6 => proptest::sample::select(known),
        1 => ".{0,8}",
        1 => "gen_ai\\.request\\.[a-d]",
        1 => "(gen_ai|tachograph)\\.[a-z.]{0,6}",
    ]
}

fn any_shape() -> impl Strategy<Value = Shape> {
    proptest::sample::select(vec![
        Shape::Str,
        Shape::Json,
        Shape::Int,
        Shape::Array,
        Shape::Map,
        Shape::Bytes,
        Shape::Empty,
    ])
}

/// A value in which the number `n` can be found again.
fn value(shape: &Shape, n: i64, token: &'static str) -> AnyValue<'static> {
    match shape {
        Shape::Str => AnyValue::Str(token),
        Shape::Json => AnyValue::Str(format!("{{\"{token}\":[{n}]}}").leak()),
        Shape::Int => AnyValue::Int(n),
        Shape::Array => AnyValue::Array(vec![AnyValue::Str(token), AnyValue::Empty]),
        Shape::Map => AnyValue::KvList(vec![attribute("twice", AnyValue::Str("x")), text("twice", token)]),
        Shape::Bytes => AnyValue::Bytes(token.as_bytes()),
        Shape::Empty => AnyValue::Empty,
    }
}

/// The number or text by which a value is found in a member.
fn trace(shape: &Shape, n: i64, token: &str) -> Option<String> {
    match shape {
        Shape::Int => Some(n.to_string()),
        // Neither fills a member: they have to be in `metadata`.
        Shape::Bytes | Shape::Empty => None,
        _ => Some(token.to_owned()),
    }
}

fn check(sent: &[(String, Shape)], first: i64, members: &Map<String, Value>, list: &str) -> Result<(), TestCaseError> {
    let mut rest = members.clone();
    rest.remove("metadata");
    let rest = Value::Object(rest).to_string();
    for (at, (key, shape)) in sent.iter().enumerate() {
        let n = first + at as i64;
        let token: &'static str = format!("token{n}").leak();
        let listed = listed(&attribute(key, value(shape, n, token)));
        let in_metadata = kept(members, list).contains(&listed);
        let in_member = trace(shape, n, token).is_some_and(|trace| rest.contains(&trace));
        prop_assert!(in_metadata || in_member, "{key} = {listed} is lost");
    }
    Ok(())
}

fn attributes<'k>(sent: &'k [(String, Shape)], first: i64) -> Vec<KeyValue<'k>> {
    let numbered = sent.iter().enumerate().map(|(at, (key, shape))| (first + at as i64, key, shape));
    numbered.map(|(n, key, shape)| attribute(key, value(shape, n, format!("token{n}").leak()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn of_spans_and_their_resources(
        own in vec((any_key(), any_shape()), 0..20),
        resource in vec((any_key(), any_shape()), 0..8),
    ) {
        let span = bare_span(attributes(&own, 1_000_100));
        let resource_attributes = Resource { attributes: attributes(&resource, 2_000_100), ..Resource::default() };
        let got = members(&super::super::span(&span, &resource_attributes, &Scope::default()).unwrap());
        check(&own, 1_000_100, &got, "attributes")?;
        check(&resource, 2_000_100, &got, "resource")?;
    }

    #[test]
    fn of_log_records(own in vec((any_key(), any_shape()), 0..20)) {
        let log = LogRecord { attributes: attributes(&own, 1_000_100), ..super::logs::bare_log() };
        let got = members(&super::super::log(&log, b"", 0, &Resource::default(), &Scope::default()).unwrap());
        check(&own, 1_000_100, &got, "attributes")?;
    }
}
