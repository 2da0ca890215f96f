//! The columns of a body, read in full and read in haste.

use proptest::prelude::*;
use tachograph_record::{Body, COLUMN_TEXT_LIMIT, COLUMNS, Column, ColumnType, Number, Record, Value, write_body};

use crate::make::{any_record, bare, time};

fn body_of(record: &Record<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    write_body(record, &[9; 16], time(5), &mut body);
    body
}

fn column(name: &str) -> &'static Column {
    COLUMNS.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("no column {name}"))
}

fn fits(column: &Column, value: Value<'_>) -> bool {
    match (column.kind, value) {
        (_, Value::Null) => !column.required,
        (ColumnType::Text, Value::Text(text)) => text.len() <= COLUMN_TEXT_LIMIT,
        (ColumnType::Int | ColumnType::Time, Value::Int(int)) => int >= 0,
        (ColumnType::Double, Value::Double(_)) => true,
        (ColumnType::Uuid, Value::Bytes(bytes)) => bytes.len() == 16,
        (ColumnType::Fixed(len), Value::Bytes(bytes)) => bytes.len() == len,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn reading_in_haste_gives_the_same_columns(record in any_record(0.5, &[])) {
        let bytes = body_of(&record);
        let (full, hasty) = (Body::parse(&bytes).unwrap(), Body::parse_columns(&bytes).unwrap());
        for column in COLUMNS {
            let value = column.derive(&full);
            prop_assert_eq!(value, column.derive(&hasty), "{}", column.name);
            prop_assert!(fits(column, value), "{}: {:?}", column.name, value);
        }
        prop_assert!(hasty.record.prompt.is_none() && hasty.record.metadata.is_none(), "what has no column is skipped");
    }
}

#[test]
fn a_long_string_is_not_repeated_in_its_column() {
    for (text, repeated) in [
        ("x".repeat(COLUMN_TEXT_LIMIT), true),
        ("x".repeat(COLUMN_TEXT_LIMIT + 1), false),
        // Bytes count, not characters.
        ("ä".repeat(COLUMN_TEXT_LIMIT / 2), true),
        ("ä".repeat(COLUMN_TEXT_LIMIT / 2) + "x", false),
    ] {
        let record = Record { output_path: Some(text.as_str().into()), ..bare() };
        let bytes = body_of(&record);
        let body = Body::parse_columns(&bytes).unwrap();
        let expected = if repeated { Value::Text(&text) } else { Value::Null };
        assert_eq!(column("output_path").derive(&body), expected);
        assert_eq!(body.record.output_path.as_deref(), Some(text.as_str()), "the body has it");
    }
}

#[test]
fn doubles_that_json_has_no_number_for() {
    for (double, json) in
        [(f64::NAN, "\"NaN\""), (f64::INFINITY, "\"Infinity\""), (f64::NEG_INFINITY, "\"-Infinity\""), (-0.0, "-0.0")]
    {
        let bytes = body_of(&Record { threshold: Some(Number(double)), ..bare() });
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.ends_with(&format!(",\"threshold\":{json}}}")), "{text}");
        let body = Body::parse_columns(&bytes).unwrap();
        assert_eq!(column("threshold").derive(&body), Value::Double(double));
    }
    // Another bit pattern of not-a-number is written alike, and so read alike from every body.
    let odd = f64::from_bits(f64::NAN.to_bits() | 1);
    assert_eq!(
        body_of(&Record { cost: Some(Number(odd)), ..bare() }),
        body_of(&Record { cost: Some(Number(f64::NAN)), ..bare() })
    );
}

#[test]
fn values_differ_by_type_and_by_bits() {
    assert_ne!(Value::Null, Value::Text(""));
    assert_ne!(Value::Int(0), Value::Double(0.0));
    assert_ne!(Value::Double(0.0), Value::Double(-0.0));
    assert_eq!(Value::Double(f64::NAN), Value::Double(f64::NAN));
}
