//! OTLP's messages, as far as traces and logs go: member name, field number, type.
//!
//! From `opentelemetry/proto/{common,resource,trace,logs}/v1`. A test holds it against the generated types.

/// A message: its fields.
pub(super) struct Message {
    pub(super) fields: &'static [Field],
    /// At most one field may be there, and its default value is a value too (a protobuf `oneof`).
    pub(super) one_of: bool,
}

/// A field of a message.
pub(super) struct Field {
    /// In lowerCamelCase.
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// The type of a field: what JSON may hold, and how protobuf writes it.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// Bytes as hex: trace and span ids.
    Hex,
    /// Bytes as base64.
    Base64,
    Bool,
    Int32,
    Int64,
    Uint32,
    Fixed32,
    Fixed64,
    Double,
    /// The prefix of its names, and the names in order of their numbers from 0.
    Enum(&'static str, &'static [&'static str]),
    Message(&'static Message),
}

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: false }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: true }
}

const fn message(fields: &'static [Field]) -> Message {
    Message { fields, one_of: false }
}

use Kind::{Base64, Bool, Double, Fixed32, Fixed64, Hex, Int32, Int64, Text, Uint32};

pub(super) static TRACES: Message = message(&[many("resourceSpans", 1, Kind::Message(&RESOURCE_SPANS))]);

pub(super) static LOGS: Message = message(&[many("resourceLogs", 1, Kind::Message(&RESOURCE_LOGS))]);

static RESOURCE_SPANS: Message = message(&[
    one("resource", 1, Kind::Message(&RESOURCE)),
    many("scopeSpans", 2, Kind::Message(&SCOPE_SPANS)),
    one("schemaUrl", 3, Text),
]);

static SCOPE_SPANS: Message = message(&[
    one("scope", 1, Kind::Message(&SCOPE)),
    many("spans", 2, Kind::Message(&SPAN)),
    one("schemaUrl", 3, Text),
]);

static SPAN: Message = message(&[
    one("traceId", 1, Hex),
    one("spanId", 2, Hex),
    one("traceState", 3, Text),
    one("parentSpanId", 4, Hex),
    one("name", 5, Text),
    one("kind", 6, SPAN_KIND),
    one("startTimeUnixNano", 7, Fixed64),
    one("endTimeUnixNano", 8, Fixed64),
    many("attributes", 9, Kind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 10, Uint32),
    many("events", 11, Kind::Message(&EVENT)),
    one("droppedEventsCount", 12, Uint32),
    many("links", 13, Kind::Message(&LINK)),
    one("droppedLinksCount", 14, Uint32),
    one("status", 15, Kind::Message(&STATUS)),
    one("flags", 16, Fixed32),
]);

static EVENT: Message = message(&[
    one("timeUnixNano", 1, Fixed64),
    one("name", 2, Text),
    many("attributes", 3, Kind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Uint32),
]);

static LINK: Message = message(&[
    one("traceId", 1, Hex),
    one("spanId", 2, Hex),
    one("traceState", 3, Text),
    many("attributes", 4, Kind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 5, Uint32),
    one("flags", 6, Fixed32),
]);

static STATUS: Message = message(&[one("message", 2, Text), one("code", 3, STATUS_CODE)]);

static RESOURCE_LOGS: Message = message(&[
    one("resource", 1, Kind::Message(&RESOURCE)),
    many("scopeLogs", 2, Kind::Message(&SCOPE_LOGS)),
    one("schemaUrl", 3, Text),
]);

static SCOPE_LOGS: Message = message(&[
    one("scope", 1, Kind::Message(&SCOPE)),
    many("logRecords", 2, Kind::Message(&LOG_RECORD)),
    one("schemaUrl", 3, Text),
]);

static LOG_RECORD: Message = message(&[
    one("timeUnixNano", 1, Fixed64),
    one("severityNumber", 2, SEVERITY),
    one("severityText", 3, Text),
    one("body", 5, Kind::Message(&ANY_VALUE)),
    many("attributes", 6, Kind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 7, Uint32),
    one("flags", 8, Fixed32),
    one("traceId", 9, Hex),
    one("spanId", 10, Hex),
    one("observedTimeUnixNano", 11, Fixed64),
    one("eventName", 12, Text),
]);

static RESOURCE: Message = message(&[
    many("attributes", 1, Kind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 2, Uint32),
    many("entityRefs", 3, Kind::Message(&ENTITY_REF)),
]);

static ENTITY_REF: Message = message(&[
    one("schemaUrl", 1, Text),
    one("type", 2, Text),
    many("idKeys", 3, Text),
    many("descriptionKeys", 4, Text),
]);

static SCOPE: Message = message(&[
    one("name", 1, Text),
    one("version", 2, Text),
    many("attributes", 3, Kind::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Uint32),
]);

static KEY_VALUE: Message =
    message(&[one("key", 1, Text), one("value", 2, Kind::Message(&ANY_VALUE)), one("keyStrindex", 3, Int32)]);

static ANY_VALUE: Message = Message {
    fields: &[
        one("stringValue", 1, Text),
        one("boolValue", 2, Bool),
        one("intValue", 3, Int64),
        one("doubleValue", 4, Double),
        one("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
        one("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
        one("bytesValue", 7, Base64),
        one("stringValueStrindex", 8, Int32),
    ],
    one_of: true,
};

static ARRAY_VALUE: Message = message(&[many("values", 1, Kind::Message(&ANY_VALUE))]);

static KEY_VALUE_LIST: Message = message(&[many("values", 1, Kind::Message(&KEY_VALUE))]);

const SPAN_KIND: Kind =
    Kind::Enum("SPAN_KIND_", &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]);

const STATUS_CODE: Kind = Kind::Enum("STATUS_CODE_", &["UNSET", "OK", "ERROR"]);

const SEVERITY: Kind = Kind::Enum(
    "SEVERITY_NUMBER_",
    &[
        "UNSPECIFIED",
        "TRACE",
        "TRACE2",
        "TRACE3",
        "TRACE4",
        "DEBUG",
        "DEBUG2",
        "DEBUG3",
        "DEBUG4",
        "INFO",
        "INFO2",
        "INFO3",
        "INFO4",
        "WARN",
        "WARN2",
        "WARN3",
        "WARN4",
        "ERROR",
        "ERROR2",
        "ERROR3",
        "ERROR4",
        "FATAL",
        "FATAL2",
        "FATAL3",
        "FATAL4",
    ],
);

impl Message {
    /// The field that a member's name means, and its place in `fields`.
    pub(super) fn field(&self, name: &str) -> Option<(usize, &Field)> {
        self.fields.iter().enumerate().find(|(_, field)| same_name(field.name, name))
    }
}

/// Whether `found` is `camel` or the same in snake_case.
fn same_name(camel: &str, found: &str) -> bool {
    if camel == found {
        return true;
    }
    if !found.contains('_') {
        return false;
    }
    let mut found = found.bytes();
    let matches = camel.bytes().all(|c| {
        if c.is_ascii_uppercase() {
            found.next() == Some(b'_') && found.next() == Some(c.to_ascii_lowercase())
        } else {
            found.next() == Some(c)
        }
    });
    matches && found.next().is_none()
}
