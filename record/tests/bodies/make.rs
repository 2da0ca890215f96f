//! Records for tests: members set by name, and arbitrary ones.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use tachograph_record::{
    ActorType, Count, Decimal, EventId, Hex, Json, Kind, Number, Outcome, Record, SpanId, Status, Text, Time, TraceId,
};

/// How a member stands in JSON, in the words of `docs/format.md`, section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Hash,
    Json,
    Object,
    Strings,
    Count,
    Decimal,
    Number,
    ActorType,
    Outcome,
    Status,
    TraceId,
    SpanId,
    Uuid,
}

macro_rules! members {
    ($($kind:ident $read:ident: $($name:ident)+;)+) => {
        /// Sets one optional member. Any JSON comes as the text that a sender would send.
        pub(crate) fn set(record: &mut Record<'static>, name: &str, value: &Value) {
            match name {
                $($(stringify!($name) => record.$name = Some($read(value)),)+)+
                other => panic!("no optional member {other}"),
            }
        }

        pub(crate) fn type_of(name: &str) -> Option<Form> {
            match name {
                $($(stringify!($name) => Some(Form::$kind),)+)+
                _ => None,
            }
        }
    };
}

members! {
    Text text: service_name environment tenant actor_id session_id team client_ip action_type resource_type resource_id
        outcome_reason correlation_id provider model model_version response_id prompt negative_prompt output output_path
        cost_currency error_type error agent_id agent_version decision_type raw_output final_decision producer producer_epoch;
    Hash text: input_hash output_hash;
    Json json: system_instructions input_messages output_messages inputs decision_steps outputs state_before state_after
        details context;
    Object json: parameters metadata;
    Strings json: content_flags;
    Count count: tokens_in tokens_out;
    Decimal decimal: duration_ns producer_seq conflicts_with;
    Number number: cost threshold confidence;
    ActorType actor_type: actor_type;
    Outcome outcome: outcome;
    Status status: status;
    TraceId trace_id: trace_id;
    SpanId span_id: span_id parent_span_id;
    Uuid uuid: parent_id;
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string"))
}

fn text(value: &Value) -> Text<'static> {
    Text::from(string(value).to_owned())
}

fn json(value: &Value) -> Json<'static> {
    Json::trusted(Json::from_sender(string(value)).as_str().to_owned())
}

fn count(value: &Value) -> Count {
    value.as_u64().and_then(Count::new).unwrap()
}

fn decimal(value: &Value) -> Decimal {
    Decimal::parse(string(value)).unwrap()
}

fn number(value: &Value) -> Number {
    Number(value.as_f64().unwrap_or_else(|| string(value).parse().unwrap()))
}

fn actor_type(value: &Value) -> ActorType {
    ActorType::parse(string(value)).unwrap()
}

fn outcome(value: &Value) -> Outcome {
    Outcome::parse(string(value)).unwrap()
}

fn status(value: &Value) -> Status {
    Status::parse(string(value)).unwrap()
}

fn trace_id(value: &Value) -> TraceId {
    TraceId::parse(string(value)).unwrap()
}

fn span_id(value: &Value) -> SpanId {
    SpanId::parse(string(value)).unwrap()
}

pub(crate) fn uuid(value: &Value) -> EventId {
    EventId::parse(string(value)).unwrap()
}

pub(crate) fn time(nanos: u64) -> Time {
    Time::from_unix_nanos(nanos).unwrap()
}

/// A record with only what every record has.
pub(crate) fn bare() -> Record<'static> {
    Record::new(EventId([7; 16]), time(1_790_000_000_123_456_789), Kind::Generation)
}

/// The end of a body that points at an earlier record: what a sender may try to imitate.
pub(crate) const SUFFIX: &str = ",\"conflicts_with\":\"7\"}";

/// Text that tries what text can do to JSON.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => ".*",
        1 => "[\\x00-\\x7f]{0,40}",
        1 => any::<Vec<char>>().prop_map(|chars| chars.into_iter().collect()),
        1 => ".{0,4}".prop_map(|text| text + SUFFIX),
        1 => ".{0,4}".prop_map(|text| text + "\\\",\\\"conflicts_with\\\":\\\"7\\\"}"),
        1 => (4_000..4_200usize).prop_map(|len| "x".repeat(len)),
    ]
}

/// A sender's JSON, or what it takes for JSON.
pub(crate) fn any_json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_000i64..1_000_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any_text(), inner.clone()), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            inner.prop_map(|value| serde_json::json!({ "conflicts_with": "7", "x": value })),
        ]
    });
    prop_oneof![
        3 => value.clone().prop_map(|value| value.to_string()),
        1 => value.prop_map(|value| serde_json::to_string_pretty(&value).unwrap()),
        1 => any_text(),
    ]
}

fn any_double() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(|bits| {
            let double = f64::from_bits(bits);
            serde_json::Number::from_f64(double).map_or_else(|| Value::from(double.to_string()), Value::Number)
        }),
        Just(Value::from("NaN")),
        Just(Value::from("inf")),
        Just(Value::from("-inf")),
        Just(Value::from(-0.0)),
        (-1e6..1e6).prop_map(Value::from),
    ]
}

/// A value that the member of this name may have.
pub(crate) fn any_value(name: &str) -> BoxedStrategy<Value> {
    fn words(words: impl IntoIterator<Item = &'static str>) -> BoxedStrategy<Value> {
        proptest::sample::select(words.into_iter().map(Value::from).collect::<Vec<_>>()).boxed()
    }
    match type_of(name).unwrap() {
        Form::Text | Form::Hash => any_text().prop_map(Value::from).boxed(),
        Form::Json => any_json_text().prop_map(Value::from).boxed(),
        Form::Object => vec((any_text(), any_text()), 0..3)
            .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(key, text)| (key, text.into())).collect()))
            .prop_map(|object| Value::from(object.to_string()))
            .boxed(),
        Form::Strings => vec(any_text(), 0..3).prop_map(|texts| Value::from(Value::from(texts).to_string())).boxed(),
        Form::Count => (0..=1u64 << 53).prop_map(Value::from).boxed(),
        Form::Decimal => (0..=i64::MAX).prop_map(|value| Value::from(value.to_string())).boxed(),
        Form::Number => any_double().boxed(),
        Form::ActorType => words(ActorType::ALL.iter().map(|word| word.as_str())),
        Form::Outcome => words(Outcome::ALL.iter().map(|word| word.as_str())),
        Form::Status => words(Status::ALL.iter().map(|word| word.as_str())),
        Form::TraceId => any::<[u8; 16]>().prop_map(|id| Hex(id).to_string().into()).boxed(),
        Form::SpanId => any::<[u8; 8]>().prop_map(|id| Hex(id).to_string().into()).boxed(),
        Form::Uuid => any::<[u8; 16]>().prop_map(|id| EventId(id).to_string().into()).boxed(),
    }
}

/// Names of the members that may be absent, in the order of the body.
pub(crate) fn optional_members() -> &'static [&'static str] {
    &Record::MEMBERS[3..]
}

/// Records with any members, each with a chance of `probability` (1.0: always) to be there; `but` stays away.
pub(crate) fn any_record(probability: f64, but: &'static [&'static str]) -> impl Strategy<Value = Record<'static>> {
    let names = optional_members().iter().filter(move |name| !but.contains(*name));
    let values: Vec<_> = names
        .map(|name| {
            let value = any_value(name);
            let value = match probability {
                1.0 => value.prop_map(Some).boxed(),
                _ => option::weighted(probability, value).boxed(),
            };
            value.prop_map(move |value| (*name, value))
        })
        .collect();
    let kind = proptest::sample::select(Kind::ALL);
    (any::<[u8; 16]>(), 0..=i64::MAX as u64, kind, values).prop_map(|(id, nanos, kind, values)| {
        let mut record = Record::new(EventId(id), time(nanos), kind);
        for (name, value) in values {
            if let Some(value) = value {
                set(&mut record, name, &value);
            }
        }
        record
    })
}
