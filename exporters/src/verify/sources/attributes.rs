//! The attributes of a signed text, and which of them became fields of the record: `docs/attributes.md` read from its other side.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use tachograph_record::{Json, MAX_SAFE_INTEGER, Text};

/// Attributes that no field took yet.
pub(super) struct Attributes<'s>(RefCell<BTreeMap<&'s str, &'s Value>>);

impl<'s> Attributes<'s> {
    pub(super) fn new(attributes: Option<&'s Map<String, Value>>) -> Self {
        Self(RefCell::new(attributes.into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect()))
    }

    /// Whether one is there, of whatever type.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.borrow().contains_key(key)
    }

    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.0.borrow().keys().any(|key| key.starts_with(prefix))
    }

    /// The text of one, which stays.
    pub(super) fn peek(&self, key: &str) -> Option<&'s str> {
        text_of(self.0.borrow().get(key).copied()?)
    }

    /// Those that no field took.
    pub(super) fn rest(self) -> BTreeMap<&'s str, &'s Value> {
        self.0.into_inner()
    }

    /// Takes the first that converts to what the field needs, and says which of the names it has.
    pub(super) fn take<T>(&self, keys: &[&str], convert: impl Fn(&'s Value) -> Option<T>) -> Option<(usize, T)> {
        let mut attributes = self.0.borrow_mut();
        let found =
            keys.iter().enumerate().find_map(|(rank, key)| Some((rank, convert(attributes.get(key).copied()?)?)));
        if let Some((rank, _)) = found {
            attributes.remove(keys[rank]);
        }
        found
    }

    pub(super) fn parse<T>(&self, keys: &[&str], parse: impl Fn(&'s str) -> Option<T>) -> Option<T> {
        self.take(keys, |value| parse(text_of(value)?)).map(|(_, value)| value)
    }

    pub(super) fn text(&self, keys: &[&str]) -> Option<Text<'s>> {
        self.parse(keys, |text| Some(Text::from(text)))
    }

    pub(super) fn json(&self, key: &[&str]) -> Option<Json<'s>> {
        let json = |value: &'s Value| match scalar(value) {
            Some(("stringValue", Value::String(text))) => Some(Json::from_sender(text)),
            None if !value.is_null() => Some(Json::trusted(plain(value).to_string())),
            _ => None,
        };
        self.take(key, json).map(|(_, json)| json)
    }

    pub(super) fn strings(&self, keys: &[&str]) -> Option<Json<'s>> {
        let strings = |value: &'s Value| {
            let all = value.as_array()?.iter().all(|value| text_of(value).is_some());
            all.then(|| Json::trusted(plain(value).to_string()))
        };
        self.take(keys, strings).map(|(_, strings)| strings)
    }

    /// An unsigned number of which the field's type is made.
    pub(super) fn unsigned_as<T>(&self, keys: &[&str], make: impl Fn(u64) -> Option<T>) -> Option<T> {
        self.take(keys, |value| make(unsigned(value)?)).map(|(_, value)| value)
    }

    pub(super) fn number(&self, keys: &[&str]) -> Option<f64> {
        let number = |value: &'s Value| match scalar(value)? {
            ("doubleValue", double) => double_of(double),
            ("intValue", int) => {
                let int: i64 = int.as_str()?.parse().ok()?;
                (int.unsigned_abs() <= MAX_SAFE_INTEGER).then_some(int as f64)
            }
            ("stringValue", text) => text.as_str()?.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        };
        self.take(keys, number).map(|(_, number)| number)
    }

    /// Takes the parameter of this name, if it is the one that has this plain value.
    pub(super) fn take_parameter(&self, name: &str, found: &Value) -> bool {
        let mut attributes = self.0.borrow_mut();
        let keys = [format!("gen_ai.request.{name}"), format!("tachograph.parameter.{name}")];
        let fits = |key: &&String| attributes.get(key.as_str()).is_some_and(|value| same(&plain(value), found));
        let key = keys.iter().find(fits);
        key.is_some_and(|key| attributes.remove(key.as_str()).is_some())
    }
}

/// The type of a scalar and what it holds. Lists are arrays, and the members of maps are never scalars of JSON.
fn scalar(value: &Value) -> Option<(&str, &Value)> {
    let mut members = value.as_object()?.iter();
    let (Some((kind, content)), None) = (members.next(), members.next()) else { return None };
    let is_scalar = !content.is_object() && !content.is_array() && !content.is_null();
    is_scalar.then_some((kind.as_str(), content))
}

fn text_of(value: &Value) -> Option<&str> {
    match scalar(value)? {
        ("stringValue", text) => text.as_str(),
        _ => None,
    }
}

fn double_of(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn unsigned(value: &Value) -> Option<u64> {
    match scalar(value)? {
        ("intValue", int) => int.as_str()?.parse().ok(),
        ("doubleValue", double) => {
            let double = double_of(double)?;
            let fits = double.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER as f64).contains(&double);
            fits.then_some(double as u64)
        }
        ("stringValue", text) => text.as_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok(),
        _ => None,
    }
}

/// A value without its type, as a body has it.
fn plain(value: &Value) -> Value {
    match (scalar(value), value) {
        (Some(("intValue", int)), _) => {
            let number = int.as_str().and_then(|int| int.parse::<i64>().ok());
            let number = number.filter(|number| number.unsigned_abs() <= MAX_SAFE_INTEGER);
            number.map_or_else(|| int.clone(), Value::from)
        }
        (Some((_, content)), _) => content.clone(),
        (None, Value::Array(values)) => values.iter().map(plain).collect(),
        (None, Value::Object(members)) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        (None, other) => other.clone(),
    }
}

/// Whether two JSON values are the same, 1.0 and 1 too.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || float(a) == float(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && same(a, b))
        }
        (a, b) => a == b,
    }
}

fn float(number: &Number) -> Option<f64> {
    number.as_f64()
}

/// A value as `metadata` types it, in the form that is signed.
pub(super) fn canonical(value: &Value) -> Value {
    match value.as_object().and_then(|members| members.iter().next()) {
        None => Value::Null,
        Some((kind, content)) if kind == "arrayValue" => {
            content["values"].as_array().into_iter().flatten().map(canonical).collect()
        }
        Some((kind, content)) if kind == "kvlistValue" => Value::Object(canonical_pairs(&content["values"])),
        Some(_) => value.clone(),
    }
}

/// A list of attributes as `metadata` has it, in the form that is signed: of two with one key the last.
pub(super) fn canonical_pairs(pairs: &Value) -> Map<String, Value> {
    let pair = |pair: &Value| Some((pair["key"].as_str()?.to_owned(), canonical(&pair["value"])));
    pairs.as_array().into_iter().flatten().filter_map(pair).collect()
}
