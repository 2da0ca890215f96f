//! Content of log records: the body and the attributes, text or text within lists and maps.

use super::names::{self, Class};
use super::{Fate, Work};
use crate::late::{Place, log_text};
use opentelemetry::Key;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

impl Work<'_> {
    pub(super) fn log(&mut self, log: &mut LogRecord) {
        log.attributes.retain_mut(|attribute| {
            let class = names::class(&attribute.key, self.is_record);
            match &mut attribute.value {
                Some(value) => self.log_value(Place::Attribute, &attribute.key, value, class),
                None => true,
            }
        });
        if let Some(body) = &mut log.body
            && !self.log_value(Place::Body, "body", body, Class::Content)
        {
            log.body = None;
        }
    }

    /// Whether the value stays. A list or a map is one piece of content, as JSON text.
    fn log_value(&mut self, place: Place, key: &str, value: &mut AnyValue, class: Class) -> bool {
        let Some(text) = log_text(value) else {
            return true;
        };
        match self.fate(place, &Key::from(key.to_owned()), &text, class) {
            Fate::Stays => true,
            Fate::Replaced(other) => {
                let is_text = matches!(value.value, Some(Value::StringValue(_) | Value::BytesValue(_)));
                let parsed = if is_text { None } else { serde_json::from_str(&other).ok() };
                *value = parsed.map_or_else(|| any(Value::StringValue(other)), from_json);
                true
            }
            Fate::Gone => false,
        }
    }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn from_json(json: serde_json::Value) -> AnyValue {
    use serde_json::Value as Json;
    match json {
        Json::Null => AnyValue { value: None },
        Json::Bool(truth) => any(Value::BoolValue(truth)),
        Json::Number(number) => any(match number.as_i64() {
            Some(number) => Value::IntValue(number),
            None => Value::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Json::String(text) => any(Value::StringValue(text)),
        Json::Array(items) => any(Value::ArrayValue(ArrayValue { values: items.into_iter().map(from_json).collect() })),
        Json::Object(items) => {
            let values = items.into_iter().map(|(key, value)| KeyValue {
                key,
                value: Some(from_json(value)),
                ..KeyValue::default()
            });
            any(Value::KvlistValue(KeyValueList { values: values.collect() }))
        }
    }
}
