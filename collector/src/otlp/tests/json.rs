//! Values as JSON: with their types as OTLP/JSON has them, and plain.

use proptest::prelude::*;

use super::differential::any_attributes;
use super::*;

fn typed(attributes: &[ProtoKeyValue]) -> String {
    let span = ProtoSpan { attributes: attributes.to_vec(), ..Default::default() }.encode_to_vec();
    let mut json = Vec::new();
    write_key_values(&Span::decode(&span, MAX).unwrap().attributes, &mut json);
    String::from_utf8(json).unwrap()
}

fn plain(value: &AnyValue<'_>) -> String {
    let mut json = Vec::new();
    write_plain(value, &mut json);
    String::from_utf8(json).unwrap()
}

fn is_finite(value: &ProtoValue) -> bool {
    match &value.value {
        Some(Value::DoubleValue(double)) => double.is_finite(),
        Some(Value::ArrayValue(list)) => list.values.iter().all(is_finite),
        Some(Value::KvlistValue(list)) => list.values.iter().filter_map(|pair| pair.value.as_ref()).all(is_finite),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn typed_values_are_otlp_json(attributes in any_attributes()) {
        let json = typed(&attributes);
        serde_json::from_str::<serde::de::IgnoredAny>(&json).unwrap();
        // The generated types read not-a-number in no form.
        if attributes.iter().filter_map(|attribute| attribute.value.as_ref()).all(is_finite) {
            let read: Vec<ProtoKeyValue> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, attributes);
        }
    }

    #[test]
    fn plain_values_are_json(attributes in any_attributes()) {
        let span = ProtoSpan { attributes, ..Default::default() }.encode_to_vec();
        for attribute in Span::decode(&span, MAX).unwrap().attributes {
            serde_json::from_str::<serde::de::IgnoredAny>(&plain(&attribute.value)).unwrap();
        }
    }
}

#[test]
fn plain_values_lose_nothing_that_json_can_not_hold() {
    let pair = |key, value| KeyValue { key, value };
    for (value, json) in [
        (AnyValue::Empty, "null"),
        (AnyValue::Int(1 << 53), "9007199254740992"),
        (AnyValue::Int((1 << 53) + 1), "\"9007199254740993\""),
        (AnyValue::Int(-(1 << 53)), "-9007199254740992"),
        (AnyValue::Int(i64::MIN), "\"-9223372036854775808\""),
        (AnyValue::Double(f64::NAN), "\"NaN\""),
        (AnyValue::Double(2.0), "2.0"),
        (AnyValue::Bytes(&[0, 255]), "\"AP8=\""),
        (AnyValue::Array(vec![AnyValue::Bool(true), AnyValue::Str("\"")]), "[true,\"\\\"\"]"),
        (AnyValue::KvList(vec![pair("b", AnyValue::Int(1)), pair("a", AnyValue::Empty)]), "{\"b\":1,\"a\":null}"),
        (AnyValue::KvList(vec![pair("a", AnyValue::Int(1)), pair("a", AnyValue::Int(2))]), "[[\"a\",1],[\"a\",2]]"),
        (AnyValue::KvList(vec![]), "{}"),
    ] {
        assert_eq!(plain(&value), json);
    }
}

#[test]
fn typed_values_say_their_type() {
    let attributes = [
        text("s", "x"),
        attribute("b", Value::BoolValue(false)),
        attribute("i", Value::IntValue(i64::MIN)),
        attribute("d", Value::DoubleValue(f64::INFINITY)),
        attribute("y", Value::BytesValue(vec![1])),
        ProtoKeyValue { key: "e".into(), ..Default::default() },
    ];
    assert_eq!(
        typed(&attributes),
        "[{\"key\":\"s\",\"value\":{\"stringValue\":\"x\"}},{\"key\":\"b\",\"value\":{\"boolValue\":false}},\
         {\"key\":\"i\",\"value\":{\"intValue\":\"-9223372036854775808\"}},{\"key\":\"d\",\"value\":{\"doubleValue\":\"Infinity\"}},\
         {\"key\":\"y\",\"value\":{\"bytesValue\":\"AQ==\"}},{\"key\":\"e\",\"value\":{}}]"
    );
}
