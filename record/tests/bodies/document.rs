//! `docs/format.md` and the code say the same.

use std::collections::BTreeMap;

use tachograph_record::{ActorType, COLUMN_TEXT_LIMIT, COLUMNS, ColumnType, Kind, Outcome, Record, Status};

use crate::make::{Form, optional_members, type_of};

const FORMAT: &str = include_str!("../../../docs/format.md");

/// The text of a section, from its heading to the next.
fn section(number: u32) -> &'static str {
    let begin = FORMAT.find(&format!("\n## {number}. ")).unwrap_or_else(|| panic!("no section {number}"));
    let rest = &FORMAT[begin + 1..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The rows of the table whose heading row begins with this cell, cell by cell.
fn table(section: &'static str, heading: &str) -> Vec<Vec<&'static str>> {
    let begin = section.find(&format!("| {heading} |")).unwrap_or_else(|| panic!("no table {heading}"));
    let rows = section[begin..].lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn members_and_their_order() {
    let rows = table(section(2), "member");
    let names: Vec<&str> = rows.iter().flat_map(|row| quoted(row[0])).collect();
    assert_eq!(names, Record::MEMBERS);
}

#[test]
fn types_of_members() {
    for row in table(section(2), "member") {
        for name in quoted(row[0]) {
            let expected = match type_of(name) {
                None => continue,
                Some(Form::Text | Form::ActorType | Form::Outcome | Form::Status) => "string",
                Some(Form::Hash) => "string",
                Some(Form::Json) => "any JSON",
                Some(Form::Object) => "object",
                Some(Form::Strings) => "array of strings",
                Some(Form::Count | Form::Number) => "number",
                Some(Form::Decimal) => "string, decimal",
                Some(Form::TraceId | Form::SpanId) => "string, 32 / 16 / 16 hex",
                Some(Form::Uuid) => "string, UUID",
            };
            let said = row[1].split(", 0 to").next().unwrap();
            assert_eq!(said, expected, "{name}");
        }
    }
}

#[test]
fn words_of_closed_lists() {
    let rows = table(section(2), "member");
    let words = |name: &str| {
        let row = rows.iter().find(|row| row[0] == format!("`{name}`")).unwrap();
        quoted(row[2])
    };
    fn all<T: Copy>(values: &[T], word: impl Fn(T) -> &'static str) -> Vec<&'static str> {
        values.iter().map(|value| word(*value)).collect()
    }
    assert_eq!(words("kind"), all(Kind::ALL, Kind::as_str));
    assert_eq!(words("actor_type"), all(ActorType::ALL, ActorType::as_str));
    assert_eq!(words("outcome"), all(Outcome::ALL, Outcome::as_str));
    assert_eq!(words("status"), all(Status::ALL, Status::as_str));
}

#[test]
fn columns_and_their_types() {
    let text = section(7);
    let records = &text[text.find("**records**").unwrap()..];
    let mut said = BTreeMap::new();
    for row in table(records, "column") {
        for name in quoted(row[0]) {
            assert!(said.insert(name, row[1]).is_none(), "{name} stands twice");
        }
    }
    // These two are not derived from the body.
    assert_eq!(said.remove("index"), Some("INT64"));
    assert_eq!(said.remove("body"), Some("BYTE_ARRAY, STRING"));
    let ours: BTreeMap<&str, String> = COLUMNS.iter().map(|column| (column.name, parquet(column.kind))).collect();
    assert_eq!(ours.len(), COLUMNS.len(), "no column twice");
    let ours: BTreeMap<&str, &str> = ours.iter().map(|(name, kind)| (*name, kind.as_str())).collect();
    assert_eq!(ours, said);

    let sentence = |begin: &str| {
        let at = records.find(begin).unwrap_or_else(|| panic!("{begin:?} is not said"));
        quoted(records[at..].split(['.', ':']).nth(usize::from(begin.ends_with(':'))).unwrap())
    };
    let required = COLUMNS.iter().filter(|column| column.required).map(|column| column.name);
    let required: Vec<&str> = ["index"].into_iter().chain(required).chain(["body"]).collect();
    assert_eq!(sentence("All but"), required);
    let mut bloom: Vec<&str> = COLUMNS.iter().filter(|column| column.bloom).map(|column| column.name).collect();
    let mut said_bloom = sentence("Bloom filters:");
    bloom.sort_unstable();
    said_bloom.sort_unstable();
    assert_eq!(bloom, said_bloom);
    assert_eq!(COLUMN_TEXT_LIMIT, 4_096);
    assert!(records.contains("A string longer than 4,096 bytes is not repeated"));
}

fn parquet(kind: ColumnType) -> String {
    match kind {
        ColumnType::Text => "BYTE_ARRAY, STRING".to_owned(),
        ColumnType::Int => "INT64".to_owned(),
        ColumnType::Time => "INT64, TIMESTAMP(NANOS, UTC)".to_owned(),
        ColumnType::Double => "DOUBLE".to_owned(),
        ColumnType::Uuid => "FIXED_LEN_BYTE_ARRAY(16), UUID".to_owned(),
        ColumnType::Fixed(len) => format!("FIXED_LEN_BYTE_ARRAY({len})"),
    }
}

#[test]
fn columns_stand_in_the_order_of_members() {
    let mut members = ["event_id", "timestamp", "observed_at", "kind"].iter().chain(optional_members());
    for column in COLUMNS {
        assert!(members.any(|name| *name == column.name), "{} is out of order or no member", column.name);
    }
}
