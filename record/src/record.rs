//! The record itself. One table below gives each member's name, type and order;
//! encoding, decoding and the list of names all follow from it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};

use crate::json::{Json, write_f64, write_str};
use crate::{ActorType, Count, Decimal, EventId, Hex, Kind, Number, Outcome, SpanId, Status, Text, Time, TraceId};

/// How a member's value is written into a body.
trait Member {
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! record {
    ($($(#[$doc:meta])* $tier:ident $name:ident: $type:ty),+ $(,)?) => {
        /// What is known of one event. `docs/format.md`, section 2, says what each member means.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Record<'a> {
            /// Identity: the same each time the record is sent.
            pub event_id: EventId,
            /// When it happened.
            pub timestamp: Time,
            /// What kind of event it is.
            pub kind: Kind,
            $($(#[$doc])* pub $name: Option<$type>,)+
        }

        impl Record<'_> {
            /// The names of all members, in the order of the body.
            pub const MEMBERS: &'static [&'static str] = &["event_id", "timestamp", "kind", $(stringify!($name)),+];

            /// A record of which only the mandatory members are known.
            pub fn new(event_id: EventId, timestamp: Time, kind: Kind) -> Self {
                Self { event_id, timestamp, kind, $($name: None),+ }
            }

            /// Appends the members, comma-separated, without the braces.
            pub(crate) fn write_members(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(b"\"event_id\":");
                Member::write(&self.event_id, out);
                out.extend_from_slice(b",\"timestamp\":");
                Member::write(&self.timestamp, out);
                out.extend_from_slice(b",\"kind\":");
                Member::write(&self.kind, out);
                $(if let Some(value) = &self.$name {
                    out.extend_from_slice(concat!(",\"", stringify!($name), "\":").as_bytes());
                    // Not `value.write`: an id's own `write` has no quotes around it.
                    Member::write(value, out);
                })+
            }
        }

        /// Reads the members of a body behind `v`, `salt` and `observed_at`.
        pub(crate) struct MembersVisitor<'a> {
            /// Skip what neither a column nor the leaf repeats.
            pub(crate) columns_only: bool,
            pub(crate) lifetime: PhantomData<&'a ()>,
        }

        /// A record with the three members that stand before it in a body.
        pub(crate) struct Members<'a> {
            pub(crate) version: Text<'a>,
            pub(crate) salt: Hex<16>,
            pub(crate) observed_at: Time,
            pub(crate) record: Record<'a>,
        }

        impl<'de: 'a, 'a> Visitor<'de> for MembersVisitor<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record's body: a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
                let (mut version, mut salt, mut observed_at) = (None, None, None);
                let (mut event_id, mut timestamp, mut kind) = (None, None, None);
                $(let mut $name: Option<$type> = None;)+
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key.0 {
                        "v" => put("v", &mut version, map.next_value()?)?,
                        "salt" => put("salt", &mut salt, map.next_value()?)?,
                        "observed_at" => put("observed_at", &mut observed_at, map.next_value()?)?,
                        "event_id" => put("event_id", &mut event_id, map.next_value()?)?,
                        "timestamp" => put("timestamp", &mut timestamp, map.next_value()?)?,
                        "kind" => put("kind", &mut kind, map.next_value()?)?,
                        $(stringify!($name) => {
                            if self.columns_only && is_body_only!($tier) {
                                map.next_value::<IgnoredAny>()?;
                            } else {
                                put(stringify!($name), &mut $name, map.next_value()?)?;
                            }
                        })+
                        unknown => return Err(de::Error::unknown_field(unknown, Record::MEMBERS)),
                    }
                }
                Ok(Members {
                    version: version.ok_or_else(|| de::Error::missing_field("v"))?,
                    salt: salt.ok_or_else(|| de::Error::missing_field("salt"))?,
                    observed_at: observed_at.ok_or_else(|| de::Error::missing_field("observed_at"))?,
                    record: Record {
                        event_id: event_id.ok_or_else(|| de::Error::missing_field("event_id"))?,
                        timestamp: timestamp.ok_or_else(|| de::Error::missing_field("timestamp"))?,
                        kind: kind.ok_or_else(|| de::Error::missing_field("kind"))?,
                        $($name,)+
                    },
                })
            }
        }
    };
}

macro_rules! is_body_only {
    (body) => {
        true
    };
    (column) => {
        false
    };
}

fn put<T, E: de::Error>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), E> {
    if slot.replace(value).is_some() { Err(E::duplicate_field(name)) } else { Ok(()) }
}

// `column`: has a typed column in the archive or stands in the leaf. `body`: stands in the body only.
record! {
    /// The service that recorded it.
    column service_name: Text<'a>,
    /// Deployment environment.
    column environment: Text<'a>,
    /// Whose data it is, where one collector serves several.
    column tenant: Text<'a>,
    /// What acted.
    column actor_type: ActorType,
    /// Who acted.
    column actor_id: Text<'a>,
    /// Session or conversation.
    column session_id: Text<'a>,
    /// Team that answers for the call, and pays for it.
    column team: Text<'a>,
    /// Where the request came from.
    column client_ip: Text<'a>,
    /// What was done.
    column action_type: Text<'a>,
    /// To what kind of thing.
    column resource_type: Text<'a>,
    /// To which thing.
    column resource_id: Text<'a>,
    /// How it ended.
    column outcome: Outcome,
    /// Why it ended so.
    column outcome_reason: Text<'a>,
    /// W3C trace id.
    column trace_id: TraceId,
    /// W3C span id.
    column span_id: SpanId,
    /// W3C span id of the caller.
    column parent_span_id: SpanId,
    /// Groups the events of one business transaction.
    column correlation_id: Text<'a>,
    /// The event that caused this one.
    column parent_id: EventId,
    /// Who runs the model.
    column provider: Text<'a>,
    /// The model that was asked for.
    column model: Text<'a>,
    /// The model that answered, exactly.
    column model_version: Text<'a>,
    /// The provider's id of its answer.
    column response_id: Text<'a>,
    /// What the model was asked.
    body prompt: Text<'a>,
    /// What an image must not show.
    body negative_prompt: Text<'a>,
    /// What the model answered.
    body output: Text<'a>,
    /// System instructions.
    body system_instructions: Json<'a>,
    /// Messages in.
    body input_messages: Json<'a>,
    /// Messages out.
    body output_messages: Json<'a>,
    /// Temperature, seed, width, steps, …
    body parameters: Json<'a>,
    /// Hash of the exact input.
    column input_hash: Text<'a>,
    /// Hash of the exact output.
    column output_hash: Text<'a>,
    /// Path or URL of the output.
    column output_path: Text<'a>,
    /// Input tokens.
    column tokens_in: Count,
    /// Output tokens.
    column tokens_out: Count,
    /// Cost, in `cost_currency`.
    column cost: Number,
    /// ISO 4217.
    column cost_currency: Text<'a>,
    /// How long it took, in nanoseconds.
    column duration_ns: Decimal,
    /// Status of the span.
    column status: Status,
    /// Class of the error.
    column error_type: Text<'a>,
    /// Message of the error.
    body error: Text<'a>,
    /// What a content filter found: a JSON array of strings.
    body content_flags: Json<'a>,
    /// The agent.
    column agent_id: Text<'a>,
    /// The agent's version.
    column agent_version: Text<'a>,
    /// What kind of decision.
    column decision_type: Text<'a>,
    /// What the decision or tool call was given.
    body inputs: Json<'a>,
    /// The steps to the decision, in order.
    body decision_steps: Json<'a>,
    /// What came out.
    body outputs: Json<'a>,
    /// The threshold that was applied.
    column threshold: Number,
    /// The confidence or score that was compared with it.
    column confidence: Number,
    /// What the model said, before it was interpreted.
    body raw_output: Text<'a>,
    /// What was decided.
    column final_decision: Text<'a>,
    /// State at entry.
    body state_before: Json<'a>,
    /// State at exit.
    body state_after: Json<'a>,
    /// Anything the sender wants kept.
    body details: Json<'a>,
    /// Circumstances that the sender wants kept.
    body context: Json<'a>,
    /// Who numbered the record.
    column producer: Text<'a>,
    /// Which start of that producer.
    column producer_epoch: Text<'a>,
    /// Its number.
    column producer_seq: Decimal,
    /// All that did not map: an object, typed as OTLP/JSON types it.
    body metadata: Json<'a>,
    /// Index of the first record with this event id, if its content differs.
    column conflicts_with: Decimal,
}

impl Member for Text<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        write_str(self, out);
    }
}

impl Member for Json<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }
}

impl Member for Count {
    fn write(&self, out: &mut Vec<u8>) {
        write_decimal(self.get(), out);
    }
}

impl Member for Decimal {
    fn write(&self, out: &mut Vec<u8>) {
        quoted(out, |out| write_decimal(self.get(), out));
    }
}

impl Member for Number {
    fn write(&self, out: &mut Vec<u8>) {
        write_f64(self.0, out);
    }
}

impl Member for Time {
    fn write(&self, out: &mut Vec<u8>) {
        quoted(out, |out| Time::write(*self, out));
    }
}

impl Member for EventId {
    fn write(&self, out: &mut Vec<u8>) {
        quoted(out, |out| EventId::write(self, out));
    }
}

impl<const N: usize> Member for Hex<N> {
    fn write(&self, out: &mut Vec<u8>) {
        quoted(out, |out| crate::write_hex(&self.0, out));
    }
}

macro_rules! words_are_members {
    ($($name:ident),+) => {
        $(impl Member for $name {
            fn write(&self, out: &mut Vec<u8>) {
                quoted(out, |out| out.extend_from_slice(self.as_str().as_bytes()));
            }
        })+
    };
}
words_are_members!(Kind, ActorType, Outcome, Status);

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
