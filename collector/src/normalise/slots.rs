//! The attributes of one record, sorted to the fields that they fill.

use tachograph_record::{Count, Decimal, Json, Number, Text};

use super::mapping::{Field, Target};
use crate::otlp::{AnyValue, KeyValue, write_plain};

/// For each field the attribute that fills it; the rest goes to `metadata` or to the parameters.
pub(super) struct Slots<'v, 'a> {
    fields: [Option<(u8, &'v KeyValue<'a>)>; Field::COUNT],
    pub(super) parameters: Vec<(&'a str, &'v AnyValue<'a>)>,
    pub(super) rest: Vec<&'v KeyValue<'a>>,
    pub(super) has_gen_ai: bool,
    operation: Option<&'v KeyValue<'a>>,
}

impl<'v, 'a> Slots<'v, 'a> {
    pub(super) fn new() -> Self {
        Self {
            fields: [None; Field::COUNT],
            parameters: Vec::new(),
            rest: Vec::new(),
            has_gen_ai: false,
            operation: None,
        }
    }

    /// Sorts `attributes`. Of two that fill one field the lower rank wins, of two with one name the first.
    pub(super) fn sort(&mut self, attributes: &'v [KeyValue<'a>], target: fn(&'a str) -> Target<'a>) {
        for attribute in attributes {
            self.has_gen_ai |= attribute.key.starts_with("gen_ai.");
            if attribute.key == "gen_ai.operation.name" {
                self.operation.get_or_insert(attribute);
            }
            match target(attribute.key) {
                Target::Metadata => self.rest.push(attribute),
                Target::Parameter(name) => {
                    if self.parameters.iter().any(|(other, _)| *other == name) {
                        self.rest.push(attribute);
                    } else {
                        self.parameters.push((name, &attribute.value));
                    }
                }
                Target::Field(field, rank) => {
                    let slot = &mut self.fields[field as usize];
                    match slot {
                        Some((held, _)) if *held <= rank => self.rest.push(attribute),
                        _ => {
                            let displaced = slot.replace((rank, attribute));
                            self.rest.extend(displaced.map(|(_, attribute)| attribute));
                        }
                    }
                }
            }
        }
    }

    /// `gen_ai.operation.name`, whether or not it became the action type.
    pub(super) fn operation(&self) -> Option<&'a str> {
        match self.operation?.value {
            AnyValue::Str(name) => Some(name),
            _ => None,
        }
    }

    /// Whether a field is going to be filled by the attribute of this name.
    pub(super) fn holds(&self, field: Field, key: &str) -> bool {
        self.fields[field as usize].is_some_and(|(_, attribute)| attribute.key == key)
    }

    /// Moves what no field took to the rest.
    pub(super) fn drain(&mut self) {
        self.rest.extend(self.fields.iter_mut().filter_map(|slot| slot.take().map(|(_, attribute)| attribute)));
    }

    /// Takes the attribute of a field and converts it; one that does not convert goes to `metadata`.
    fn take<T>(&mut self, field: Field, convert: impl FnOnce(&'v AnyValue<'a>) -> Option<T>) -> Option<T> {
        let (_, attribute) = self.fields[field as usize].take()?;
        let converted = convert(&attribute.value);
        if converted.is_none() {
            self.rest.push(attribute);
        }
        converted
    }

    pub(super) fn parse<T>(&mut self, field: Field, parse: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        self.take(field, |value| match value {
            AnyValue::Str(text) => parse(text),
            _ => None,
        })
    }

    pub(super) fn text(&mut self, field: Field) -> Option<Text<'a>> {
        self.parse(field, |text| Some(Text::from(text)))
    }

    pub(super) fn json(&mut self, field: Field) -> Option<Json<'a>> {
        self.take(field, |value| match value {
            AnyValue::Str(text) => Some(Json::from_sender(text)),
            AnyValue::Array(_) | AnyValue::KvList(_) => Some(plain(value)),
            _ => None,
        })
    }

    pub(super) fn strings(&mut self, field: Field) -> Option<Json<'a>> {
        self.take(field, |value| match value {
            AnyValue::Array(values) if values.iter().all(|v| matches!(v, AnyValue::Str(_))) => Some(plain(value)),
            _ => None,
        })
    }

    pub(super) fn count(&mut self, field: Field) -> Option<Count> {
        self.take(field, |value| Count::new(unsigned(value)?))
    }

    pub(super) fn decimal(&mut self, field: Field) -> Option<Decimal> {
        self.take(field, |value| Decimal::new(unsigned(value)?))
    }

    pub(super) fn number(&mut self, field: Field) -> Option<Number> {
        self.take(field, |value| match value {
            AnyValue::Double(double) => Some(Number(*double)),
            AnyValue::Int(int) => Some(Number(*int as f64)),
            AnyValue::Str(text) => text.parse().ok().filter(|n: &f64| n.is_finite()).map(Number),
            _ => None,
        })
    }
}

/// A value as a JSON member.
pub(super) fn plain(value: &AnyValue<'_>) -> Json<'static> {
    let mut json = Vec::new();
    write_plain(value, &mut json);
    // The writers only append UTF-8 to UTF-8.
    Json::trusted(String::from_utf8(json).unwrap_or_else(|_| "null".to_owned()))
}

fn unsigned(value: &AnyValue<'_>) -> Option<u64> {
    match value {
        AnyValue::Int(int) => u64::try_from(*int).ok(),
        AnyValue::Double(double) if double.fract() == 0.0 && (0.0..9e15).contains(double) => Some(*double as u64),
        AnyValue::Str(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}
