//! Every row of the tables in `docs/attributes.md`.

use super::*;

const ATTRIBUTES: &str = include_str!("../../../../docs/attributes.md");
const UUID: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
const HASH: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(super) struct Row {
    pub(super) names: Vec<String>,
    pub(super) kind: String,
    pub(super) field: &'static str,
}

/// The rows of the table under a heading.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let section = &ATTRIBUTES[ATTRIBUTES.find(&format!("## {heading}\n")).expect("the heading")..];
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn quoted(cell: &'static str) -> Vec<&'static str> {
    cell.split('`').skip(1).step_by(2).collect()
}

pub(super) fn span_rows() -> Vec<Row> {
    let rows: Vec<Row> = table("Span and log attributes")
        .into_iter()
        .map(|row| Row {
            names: quoted(row[0]).into_iter().map(|name| name.replace('*', "steps")).collect(),
            kind: row[1].to_owned(),
            field: quoted(row[2])[0].split('.').next().unwrap_or_default(),
        })
        .collect();
    assert!(rows.len() > 50, "the table was found");
    rows
}

pub(super) fn resource_rows() -> Vec<Row> {
    let rows: Vec<Row> = table("Resource attributes")
        .into_iter()
        .map(|row| Row {
            names: quoted(row[0]).into_iter().map(str::to_owned).collect(),
            kind: "string".to_owned(),
            field: quoted(row[1])[0],
        })
        .collect();
    assert_eq!(rows.len(), 3);
    rows
}

/// A value of the type that the row asks for, told apart by `n`, and what it is in the body.
pub(super) fn fitting(row: &Row, n: usize) -> (AnyValue<'static>, Value) {
    let leak = |text: String| -> &'static str { text.leak() };
    let words: Vec<&str> = row.kind.split('`').skip(1).step_by(2).collect();
    let string = |text: &'static str| (AnyValue::Str(text), Value::from(text));
    match row.kind.as_str() {
        "UUID text" => string(leak(UUID.replacen("f47", &format!("f4{n}"), 1))),
        "one of the kinds" => string("policy"),
        "string" | "string (ISO 4217)" => string(leak(format!("text {n}"))),
        "string `sha256:<64 hex>`" => string(HASH),
        "string `[A-Za-z0-9._:-]{1,64}`" | "same" => string("a.Name_1:x-y"),
        "int ≥ 0" => (AnyValue::Int(7), Value::from("7")),
        "int" => (AnyValue::Int(7 + n as i64), Value::from(7 + n)),
        "double" => (AnyValue::Double(0.5), Value::from(0.5)),
        "string array" => (AnyValue::Array(vec![AnyValue::Str("a")]), serde_json::json!(["a"])),
        "JSON" | "JSON array" => {
            (AnyValue::Str(leak(format!("[{{\"step\":{n}}}]"))), serde_json::json!([{ "step": n }]))
        }
        "any scalar or array" => (AnyValue::Int(30), serde_json::json!({ "steps": 30 })),
        _ if words.len() > 3 => string(leak(words[2].to_owned())),
        other => panic!("attributes.md speaks of a type that this test does not know: {other}"),
    }
}

/// A value that no field of the row's type takes.
pub(super) fn unfitting(row: &Row) -> AnyValue<'static> {
    match row.kind.as_str() {
        "any scalar or array" => AnyValue::KvList(vec![attribute("k", AnyValue::Int(1))]),
        "string" | "string (ISO 4217)" | "JSON" | "JSON array" => AnyValue::Bool(true),
        _ => AnyValue::Str("no such thing, or a longer name than any that is allowed: ÄÖÜ and more of it"),
    }
}

/// What follows from an attribute besides its own field, as the document says.
fn follows(name: &str) -> Vec<(&'static str, Value)> {
    let mut also = Vec::new();
    if name.starts_with("gen_ai.") {
        also.push(("kind", "generation".into()));
    }
    match name {
        "tachograph.actor.id" | "enduser.id" | "user.id" => also.push(("actor_type", "user".into())),
        "gen_ai.tool.name" => also.push(("resource_type", "tool".into())),
        "error.type" => also.push(("outcome", "failure".into())),
        _ => {}
    }
    also
}

#[test]
fn each_attribute_alone_fills_its_field_and_no_other() {
    for row in span_rows() {
        for (n, name) in row.names.iter().enumerate() {
            let (value, in_body) = fitting(&row, n);
            let mut attributes = vec![attribute(name, value)];
            // It fills `model` first.
            let behind_model = row.field == "model_version" && name == "gen_ai.response.model";
            if behind_model {
                attributes.push(text("gen_ai.request.model", "asked for"));
            }
            let mut expected = of_attributes(Vec::new());
            if behind_model {
                expected.insert("model".to_owned(), "asked for".into());
            }
            for (member, value) in follows(name) {
                expected.insert(member.to_owned(), value);
            }
            expected.insert(row.field.to_owned(), in_body);
            assert_eq!(of_attributes(attributes), expected, "{name}");
        }
    }
    for row in resource_rows() {
        for (n, name) in row.names.iter().enumerate() {
            let (value, in_body) = fitting(&row, n);
            let mut expected = of_attributes(Vec::new());
            expected.insert(row.field.to_owned(), in_body);
            assert_eq!(of_resource(vec![attribute(name, value)]), expected, "{name}");
        }
    }
}

#[test]
fn a_log_record_reads_the_same_attributes() {
    let of_log = |attributes: Vec<KeyValue<'_>>| {
        let log = LogRecord { attributes, ..super::logs::bare_log() };
        members(&super::super::log(&log, b"bytes", 0, &Resource::default(), &Scope::default()).unwrap())
    };
    for row in span_rows() {
        for (n, name) in row.names.iter().enumerate() {
            let (value, in_body) = fitting(&row, n);
            let field = if row.field == "model_version" && n == 1 { "model" } else { row.field };
            assert_eq!(of_log(vec![attribute(name, value)]).get(field), Some(&in_body), "{name}");
        }
    }
}

#[test]
fn a_value_of_the_wrong_type_is_kept_with_its_type() {
    for row in span_rows() {
        for name in &row.names {
            let sent = attribute(name, unfitting(&row));
            let got = of_attributes(vec![sent.clone()]);
            assert_eq!(kept(&got, "attributes"), [listed(&sent)], "{name}");
            let mut expected = of_attributes(Vec::new());
            if name.starts_with("gen_ai.") {
                expected.insert("kind".to_owned(), "generation".into());
            }
            if name == "tachograph.outcome" {
                expected.insert("outcome".to_owned(), "unknown".into());
            }
            expected.insert("metadata".to_owned(), got["metadata"].clone());
            assert_eq!(got, expected, "{name}");
        }
    }
    for row in resource_rows() {
        for name in &row.names {
            let sent = attribute(name, unfitting(&row));
            let got = of_resource(vec![sent.clone()]);
            assert_eq!(kept(&got, "resource"), [listed(&sent)], "{name}");
            assert_eq!(got.get(row.field), None, "{name}");
        }
    }
}

#[test]
fn numbers_come_as_int_double_or_decimal_text() {
    for row in span_rows().into_iter().filter(|row| ["int", "double", "int ≥ 0"].contains(&row.kind.as_str())) {
        for value in [AnyValue::Int(3), AnyValue::Double(3.0), AnyValue::Str("3")] {
            let got = of_attributes(vec![attribute(&row.names[0], value.clone())]);
            let number = match &got[row.field] {
                Value::String(text) => text.parse().ok(),
                number => number.as_f64(),
            };
            assert_eq!(number, Some(3.0), "{} as {value:?}", row.names[0]);
        }
    }
    // What would come out as another number is not taken for one.
    let beyond = (1i64 << 53) + 1;
    for (name, value) in [
        ("gen_ai.usage.input_tokens", AnyValue::Int(-1)),
        ("gen_ai.usage.input_tokens", AnyValue::Int(beyond)),
        ("gen_ai.usage.input_tokens", AnyValue::Double(1.5)),
        ("gen_ai.usage.input_tokens", AnyValue::Double(f64::NAN)),
        ("gen_ai.usage.input_tokens", AnyValue::Double(-0.5)),
        ("gen_ai.usage.input_tokens", AnyValue::Str("")),
        ("gen_ai.usage.input_tokens", AnyValue::Str("1e3")),
        ("gen_ai.usage.input_tokens", AnyValue::Str("-1")),
        ("gen_ai.usage.input_tokens", AnyValue::Str("99999999999999999999")),
        ("tachograph.cost", AnyValue::Int(beyond)),
        ("tachograph.cost", AnyValue::Int(i64::MAX)),
        ("tachograph.cost", AnyValue::Str("inf")),
        ("tachograph.cost", AnyValue::Str("1e999")),
        ("tachograph.cost", AnyValue::Str("1,5")),
        ("tachograph.producer.seq", AnyValue::Int(-1)),
    ] {
        let sent = attribute(name, value);
        assert_eq!(kept(&of_attributes(vec![sent.clone()]), "attributes"), [listed(&sent)]);
    }
    assert_eq!(
        of_attributes(vec![attribute("tachograph.producer.seq", AnyValue::Int(i64::MAX))])["producer_seq"],
        "9223372036854775807"
    );
    assert_eq!(
        of_attributes(vec![attribute("gen_ai.usage.input_tokens", AnyValue::Double(9_007_199_254_740_992.0))])["tokens_in"],
        1u64 << 53
    );
    assert_eq!(of_attributes(vec![attribute("tachograph.cost", AnyValue::Double(f64::NAN))])["cost"], "NaN");
}

#[test]
fn the_kind_follows_from_the_operation() {
    let kinds = table("Kind, when `tachograph.kind` is absent");
    let mut checked = 0;
    for row in &kinds {
        let kind = quoted(row[1])[0];
        for operation in quoted(row[0]).into_iter().filter(|word| !word.contains('*')) {
            assert_eq!(of_attributes(vec![text("gen_ai.operation.name", operation)])["kind"], kind, "{operation}");
            checked += 1;
        }
    }
    assert!(checked >= 12);
    let rest: Vec<(&str, &str)> = kinds[kinds.len() - 2..].iter().map(|row| (row[0], quoted(row[1])[0])).collect();
    assert_eq!(
        rest,
        [
            ("attribute absent, but another `gen_ai.*` attribute present", "generation"),
            ("none of these", "audit_event")
        ]
    );
    assert_eq!(of_attributes(vec![text("gen_ai.operation.name", "some new operation")])["kind"], "generation");
    assert_eq!(of_attributes(vec![text("gen_ai.new.thing", "x")])["kind"], "generation");
    assert_eq!(of_attributes(vec![text("other", "x")])["kind"], "audit_event");
    // The resource says who sends, not what happened.
    assert_eq!(of_resource(vec![text("gen_ai.operation.name", "execute_tool")])["kind"], "audit_event");
    // What the sender says goes before, whatever became the action type.
    let both = vec![text("gen_ai.operation.name", "execute_tool"), text("tachograph.action.type", "pay")];
    let got = of_attributes(both);
    assert_eq!((&got["kind"], &got["action_type"]), (&"tool_call".into(), &"pay".into()));
    let said = vec![text("gen_ai.operation.name", "execute_tool"), text("tachograph.kind", "approval")];
    assert_eq!(of_attributes(said)["kind"], "approval");
}
