//! The attributes of one record, sorted to the fields that they fill.

use tachograph_record::{Count, Decimal, Json, MAX_SAFE_INTEGER, Number, Text};

use super::mapping::{Field, RANKS, Target, is_of_resource, resource_target, target};
use crate::otlp::{AnyValue, KeyValue, write_plain};

/// More parameters than this stay in `metadata`: each new name is compared with all before it.
const MAX_PARAMETERS: usize = 256;

/// For each field the attributes that may fill it, by rank; the rest goes to `metadata` or to the parameters.
pub(super) struct Slots<'v, 'a> {
    fields: [[Option<&'v KeyValue<'a>>; RANKS]; Field::COUNT],
    pub(super) parameters: Vec<(&'a str, &'v AnyValue<'a>)>,
    /// The record's own attributes that filled nothing.
    pub(super) rest: Vec<&'v KeyValue<'a>>,
    /// The resource's.
    pub(super) resource_rest: Vec<&'v KeyValue<'a>>,
    pub(super) has_gen_ai: bool,
    operation: Option<&'v KeyValue<'a>>,
}

impl<'v, 'a> Slots<'v, 'a> {
    pub(super) fn new() -> Self {
        Self {
            fields: [[None; RANKS]; Field::COUNT],
            parameters: Vec::new(),
            rest: Vec::new(),
            resource_rest: Vec::new(),
            has_gen_ai: false,
            operation: None,
        }
    }

    /// Sorts the record's own attributes. Of two with one name the first counts.
    pub(super) fn sort(&mut self, attributes: &'v [KeyValue<'a>]) {
        for attribute in attributes {
            self.has_gen_ai |= attribute.key.starts_with("gen_ai.");
            if attribute.key == "gen_ai.operation.name" {
                self.operation.get_or_insert(attribute);
            }
            match target(attribute.key) {
                Target::Metadata => self.rest.push(attribute),
                Target::Parameter(name) if self.takes_parameter(name, &attribute.value) => {
                    self.parameters.push((name, &attribute.value));
                }
                Target::Parameter(_) => self.rest.push(attribute),
                Target::Field(field, rank) => self.offer(field, rank, attribute),
            }
        }
    }

    /// Sorts the resource's attributes.
    pub(super) fn sort_resource(&mut self, attributes: &'v [KeyValue<'a>]) {
        for attribute in attributes {
            match resource_target(attribute.key) {
                Target::Field(field, rank) => self.offer(field, rank, attribute),
                _ => self.resource_rest.push(attribute),
            }
        }
    }

    fn offer(&mut self, field: Field, rank: usize, attribute: &'v KeyValue<'a>) {
        match &mut self.fields[field as usize][rank] {
            Some(_) => self.keep(field, rank, attribute),
            slot => *slot = Some(attribute),
        }
    }

    /// What did not fill its field goes to `metadata`, where it came from.
    fn keep(&mut self, field: Field, rank: usize, attribute: &'v KeyValue<'a>) {
        let rest = if is_of_resource(field, rank) { &mut self.resource_rest } else { &mut self.rest };
        rest.push(attribute);
    }

    /// A scalar or an array, under a name that is free.
    fn takes_parameter(&self, name: &str, value: &AnyValue<'_>) -> bool {
        !matches!(value, AnyValue::Empty | AnyValue::Bytes(_) | AnyValue::KvList(_))
            && self.parameters.len() < MAX_PARAMETERS
            && self.parameters.iter().all(|(other, _)| *other != name)
    }

    /// `gen_ai.operation.name`, whether or not it became the action type.
    pub(super) fn operation(&self) -> Option<&'a str> {
        match self.operation?.value {
            AnyValue::Str(name) => Some(name),
            _ => None,
        }
    }

    /// The text of the attribute of the first rank, which stays where it is.
    pub(super) fn first_text(&self, field: Field) -> Option<&'a str> {
        match self.fields[field as usize][0]?.value {
            AnyValue::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Whether an attribute for this field came, of whatever type.
    pub(super) fn has(&self, field: Field) -> bool {
        self.fields[field as usize].iter().any(Option::is_some)
    }

    /// Moves what no field took to the rest.
    pub(super) fn drain(&mut self) {
        let fields = std::mem::replace(&mut self.fields, [[None; RANKS]; Field::COUNT]);
        self.rest.extend(fields.iter().flatten().flatten());
    }

    /// Takes the first attribute, by rank, that converts to what the field needs; the others go to `metadata`.
    fn take_ranked<T>(&mut self, field: Field, convert: impl Fn(&'v AnyValue<'a>) -> Option<T>) -> Option<(usize, T)> {
        let mut taken = None;
        for (rank, attribute) in std::mem::take(&mut self.fields[field as usize]).into_iter().enumerate() {
            let Some(attribute) = attribute else { continue };
            let converted = if taken.is_none() { convert(&attribute.value) } else { None };
            match converted {
                Some(value) => taken = Some((rank, value)),
                None => self.keep(field, rank, attribute),
            }
        }
        taken
    }

    fn take<T>(&mut self, field: Field, convert: impl Fn(&'v AnyValue<'a>) -> Option<T>) -> Option<T> {
        self.take_ranked(field, convert).map(|(_, value)| value)
    }

    /// A text, and the rank of the attribute that it is from.
    pub(super) fn ranked_text(&mut self, field: Field) -> Option<(usize, Text<'a>)> {
        self.take_ranked(field, |value| match value {
            AnyValue::Str(text) => Some(Text::from(*text)),
            _ => None,
        })
    }

    pub(super) fn parse<T>(&mut self, field: Field, parse: impl Fn(&'a str) -> Option<T>) -> Option<T> {
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
            AnyValue::Int(int) if int.unsigned_abs() <= MAX_SAFE_INTEGER => Some(Number(*int as f64)),
            AnyValue::Str(text) => text.parse().ok().filter(|n: &f64| n.is_finite()).map(Number),
            _ => None,
        })
    }
}

/// A value as a JSON member.
pub(super) fn plain(value: &AnyValue<'_>) -> Json<'static> {
    let mut json = Vec::new();
    write_plain(value, &mut json);
    Json::written(json)
}

fn unsigned(value: &AnyValue<'_>) -> Option<u64> {
    match value {
        AnyValue::Int(int) => u64::try_from(*int).ok(),
        AnyValue::Double(double) if double.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER as f64).contains(double) => {
            Some(*double as u64)
        }
        AnyValue::Str(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}
