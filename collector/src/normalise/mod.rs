//! From OpenTelemetry to the record: `docs/attributes.md` in code.

mod mapping;
mod metadata;
mod signed;
mod slots;

use sha2::{Digest, Sha256};
use tachograph_exporters::verify::{PRODUCER_CLOSE, PRODUCER_HEARTBEAT, PRODUCER_OPEN};
use tachograph_ledger::leaf::is_producer;
use tachograph_record::{
    ActorType, Decimal, EventId, Json, Kind, Outcome, Record, SpanId, Status, Text, Time, TimeError, TraceId,
};

use crate::otlp::{AnyValue, DecodeError, Event, LogRecord, Resource, Scope, Span, write_plain_object};
use mapping::{Field, kind_of_operation};
use metadata::Object;
use slots::Slots;

/// A span or log record that could not become a record of its own.
#[derive(Debug)]
pub struct Rejection {
    /// The field that is wrong.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl From<&DecodeError> for Rejection {
    fn from(error: &DecodeError) -> Self {
        Self { field: error.field().to_owned(), reason: error.reason().to_owned() }
    }
}

/// The record of a span.
///
/// # Errors
/// If its times lie after 2262.
pub fn span<'a>(span: &Span<'a>, resource: &Resource<'a>, scope: &Scope<'a>) -> Result<Record<'a>, Rejection> {
    let start = time("start_time_unix_nano", span.start_time_unix_nano)?;
    let end = time("end_time_unix_nano", span.end_time_unix_nano)?;
    // A span without a start is dated by its end; without both it stands at 1970, since no other
    // date would come out the same when it is sent again.
    let timestamp = if start.unix_nanos() == 0 { end } else { start };
    let mut slots = Slots::new();
    slots.sort(&span.attributes);
    slots.sort_resource(&resource.attributes);

    let event_id = slots
        .parse(Field::EventId, EventId::parse)
        .unwrap_or_else(|| EventId::of_span(timestamp, span.trace_id, span.span_id));
    let mut record = fill(event_id, timestamp, &mut slots);
    let status = match span.status_code {
        1 => Status::Ok,
        2 => Status::Error,
        _ => Status::Unset,
    };
    record.status = Some(status);
    record.trace_id = TraceId::from_wire(span.trace_id);
    record.span_id = SpanId::from_wire(span.span_id);
    record.parent_span_id = SpanId::from_wire(span.parent_span_id);
    record.action_type =
        record.action_type.take().or_else(|| senders_action(span.name).filter(|name| !name.is_empty()));
    let failed = status == Status::Error || record.error_type.is_some();
    // What was said of it and not understood must not become a success.
    let unread = slots.rest.iter().any(|attribute| attribute.key == "tachograph.outcome");
    record.outcome.get_or_insert(match (failed, unread) {
        (true, _) => Outcome::Failure,
        (false, true) => Outcome::Unknown,
        (false, false) => Outcome::Success,
    });
    let message = (status == Status::Error && !span.status_message.is_empty()).then_some(span.status_message);
    let message = message.filter(|_| record.error.is_none());
    if let Some(text) = message.or_else(|| record.error.is_none().then(|| exception_message(&span.events)).flatten()) {
        record.error = Some(text.into());
    }
    if start.unix_nanos() != 0 {
        record.duration_ns = end.unix_nanos().checked_sub(start.unix_nanos()).and_then(Decimal::new);
    }

    let mut metadata = Object::new();
    metadata.text("span_name", span.name);
    match span_kind(span.kind) {
        Some(kind) => metadata.text("span_kind", kind),
        None => metadata.number("span_kind", span.kind),
    }
    if span.status_code > 2 {
        metadata.number("status_code", span.status_code);
    }
    if record.duration_ns.is_none() {
        metadata.number("end_time_unix_nano", span.end_time_unix_nano);
    }
    if message.is_none() {
        metadata.text("status_message", span.status_message);
    }
    metadata.odd_id("trace_id", span.trace_id, 16);
    metadata.odd_id("span_id", span.span_id, 8);
    metadata.odd_id("parent_span_id", span.parent_span_id, 8);
    metadata.text("trace_state", span.trace_state);
    metadata.number("flags", span.flags.into());
    metadata.rest("attributes", &slots.rest);
    metadata.number("dropped_attributes_count", span.dropped_attributes_count);
    metadata.events(&span.events);
    metadata.number("dropped_events_count", span.dropped_events_count);
    metadata.links(&span.links);
    metadata.number("dropped_links_count", span.dropped_links_count);
    metadata.unknown(&span.unknown);
    metadata.source(resource, &slots.resource_rest, scope);
    metadata.text("signed", &signed::of_span(span).unwrap_or_default());
    record.metadata = metadata.finish();
    Ok(record)
}

/// The record of a log record. `protobuf` are its bytes, `occurrence` counts equal ones within the request.
///
/// # Errors
/// If its times lie after 2262.
pub fn log<'a>(
    log: &LogRecord<'a>,
    protobuf: &[u8],
    occurrence: u32,
    resource: &Resource<'a>,
    scope: &Scope<'a>,
) -> Result<Record<'a>, Rejection> {
    let happened = time("time_unix_nano", log.time_unix_nano)?;
    let observed = time("observed_time_unix_nano", log.observed_time_unix_nano)?;
    let timestamp = if happened.unix_nanos() == 0 { observed } else { happened };
    let mut slots = Slots::new();
    slots.sort(&log.attributes);
    slots.sort_resource(&resource.attributes);

    let event_id =
        slots.parse(Field::EventId, EventId::parse).unwrap_or_else(|| EventId::of_log(timestamp, occurrence, protobuf));
    let mut record = fill(event_id, timestamp, &mut slots);
    record.trace_id = TraceId::from_wire(log.trace_id);
    record.span_id = SpanId::from_wire(log.span_id);
    record.action_type =
        record.action_type.take().or_else(|| senders_action(log.event_name).filter(|name| !name.is_empty()));
    record.outcome.get_or_insert(if record.error_type.is_some() { Outcome::Failure } else { Outcome::Unknown });

    let mut metadata = Object::new();
    metadata.text("event_name", log.event_name);
    metadata.number("severity_number", log.severity_number);
    metadata.text("severity_text", log.severity_text);
    metadata.value("body", &log.body);
    if happened.unix_nanos() != 0 {
        metadata.number("observed_time_unix_nano", log.observed_time_unix_nano);
    }
    metadata.odd_id("trace_id", log.trace_id, 16);
    metadata.odd_id("span_id", log.span_id, 8);
    metadata.number("flags", log.flags.into());
    metadata.rest("attributes", &slots.rest);
    metadata.number("dropped_attributes_count", log.dropped_attributes_count);
    metadata.unknown(&log.unknown);
    metadata.source(resource, &slots.resource_rest, scope);
    metadata.text("signed", &signed::of_log(log).unwrap_or_default());
    record.metadata = metadata.finish();
    Ok(record)
}

/// The record that stands for something that could not be decoded: the reason and the hash of what came.
pub fn rejected(
    what: &'static str,
    rejection: &Rejection,
    occurrence: u32,
    raw: &[u8],
    resource: Option<&Resource<'_>>,
) -> Record<'static> {
    // Its own time can't be known, and must come out the same when it is sent again.
    let timestamp = Time::default();
    let mut record = Record::new(EventId::of_log(timestamp, occurrence, raw), timestamp, Kind::AuditEvent);
    let hash: [u8; 32] = Sha256::digest(raw).into();
    record.actor_type = Some(ActorType::System);
    record.action_type = Some("telemetry.rejected".into());
    record.resource_type = Some(what.into());
    record.outcome = Some(Outcome::Failure);
    record.outcome_reason = Some(Text::from(format!("{}: {}", rejection.field, rejection.reason)));
    record.input_hash = Some(Text::from(format!("sha256:{}", tachograph_record::Hex(hash))));
    record.details = Some(Json::trusted(format!("{{\"bytes\":{}}}", raw.len())));
    // Who sent it can be told unless the resource itself is what can't be read.
    let named = |key: &str| {
        let attribute = resource?.attributes.iter().find(|attribute| attribute.key == key)?;
        match attribute.value {
            AnyValue::Str(text) => Some(Text::from(text.to_owned())),
            _ => None,
        }
    };
    record.service_name = named("service.name");
    record.environment = named("deployment.environment.name").or_else(|| named("deployment.environment"));
    record.tenant = named("tachograph.tenant");
    record
}

fn time(field: &'static str, nanos: u64) -> Result<Time, Rejection> {
    Time::from_unix_nanos(nanos).map_err(|e: TimeError| Rejection { field: field.to_owned(), reason: e.to_string() })
}

/// All fields that attributes fill.
fn fill<'a>(event_id: EventId, timestamp: Time, slots: &mut Slots<'_, 'a>) -> Record<'a> {
    use Field as F;
    let action = slots.first_text(F::ActionType);
    let kind = slots.parse(F::Kind, |word| senders_kind(word, action)).unwrap_or_else(|| match slots.operation() {
        Some(operation) => kind_of_operation(operation),
        None if slots.has_gen_ai => Kind::Generation,
        None => Kind::AuditEvent,
    });
    let mut record = Record::new(event_id, timestamp, kind);
    record.service_name = slots.text(F::ServiceName);
    record.environment = slots.text(F::Environment);
    record.tenant = slots.text(F::Tenant);
    let typed = slots.has(F::ActorType);
    record.actor_type = slots.parse(F::ActorType, ActorType::parse);
    record.actor_id = slots.text(F::ActorId);
    // A type that is not ours is in `metadata`; to say `user` then would be to make it up.
    if record.actor_id.is_some() && !typed {
        record.actor_type.get_or_insert(ActorType::User);
    }
    record.session_id = slots.text(F::SessionId);
    record.team = slots.text(F::Team);
    record.client_ip = slots.text(F::ClientIp);
    record.action_type = slots.parse(F::ActionType, senders_action);
    record.resource_type = slots.text(F::ResourceType);
    if let Some((rank, id)) = slots.ranked_text(F::ResourceId) {
        record.resource_id = Some(id);
        // The second name is `gen_ai.tool.name`.
        if rank == 1 {
            record.resource_type.get_or_insert("tool".into());
        }
    }
    record.outcome = slots.parse(F::Outcome, Outcome::parse);
    record.outcome_reason = slots.text(F::OutcomeReason);
    record.correlation_id = slots.text(F::CorrelationId);
    record.parent_id = slots.parse(F::ParentId, EventId::parse);
    record.provider = slots.text(F::Provider);
    record.model = slots.text(F::Model);
    record.model_version = slots.text(F::ModelVersion);
    if record.model.is_none() {
        record.model = slots.text(F::ResponseModel);
    } else if record.model_version.is_none() {
        record.model_version = slots.text(F::ResponseModel);
    }
    record.response_id = slots.text(F::ResponseId);
    record.prompt = slots.text(F::Prompt);
    record.negative_prompt = slots.text(F::NegativePrompt);
    record.output = slots.text(F::Output);
    record.system_instructions = slots.json(F::SystemInstructions);
    record.input_messages = slots.json(F::InputMessages);
    record.output_messages = slots.json(F::OutputMessages);
    record.parameters = parameters(&slots.parameters);
    record.input_hash = slots.parse(F::InputHash, hash_text);
    record.output_hash = slots.parse(F::OutputHash, hash_text);
    record.output_path = slots.text(F::OutputPath);
    record.tokens_in = slots.count(F::TokensIn);
    record.tokens_out = slots.count(F::TokensOut);
    record.cost = slots.number(F::Cost);
    record.cost_currency = slots.text(F::CostCurrency);
    record.error_type = slots.text(F::ErrorType);
    record.error = slots.text(F::Error);
    record.content_flags = slots.strings(F::ContentFlags);
    record.agent_id = slots.text(F::AgentId);
    record.agent_version = slots.text(F::AgentVersion);
    record.decision_type = slots.text(F::DecisionType);
    record.inputs = slots.json(F::Inputs);
    record.decision_steps = slots.json(F::DecisionSteps);
    record.outputs = slots.json(F::Outputs);
    record.threshold = slots.number(F::Threshold);
    record.confidence = slots.number(F::Confidence);
    record.raw_output = slots.text(F::RawOutput);
    record.final_decision = slots.text(F::FinalDecision);
    record.state_before = slots.json(F::StateBefore);
    record.state_after = slots.json(F::StateAfter);
    record.details = slots.json(F::Details);
    record.context = slots.json(F::Context);
    record.producer = slots.parse(F::Producer, producer_name);
    record.producer_epoch = slots.parse(F::ProducerEpoch, producer_name);
    record.producer_seq = slots.decimal(F::ProducerSeq);
    slots.drain();
    record
}

/// A kind that a sender may give: `lifecycle` is the recorder's own, and its records excuse a clock that went back; but a producer
/// may speak of its own life.
fn senders_kind(word: &str, action: Option<&str>) -> Option<Kind> {
    let of_producer = || action.is_some_and(|action| PRODUCER_ACTIONS.contains(&action));
    Kind::parse(word).filter(|kind| *kind != Kind::Lifecycle || of_producer())
}

const PRODUCER_ACTIONS: [&str; 3] = [PRODUCER_OPEN, PRODUCER_HEARTBEAT, PRODUCER_CLOSE];

/// What the recorder itself says, a sender can't.
fn senders_action(name: &str) -> Option<Text<'_>> {
    (!["telemetry.rejected", "clock.jump_back"].contains(&name)).then(|| name.into())
}

/// Names that may stand in a leaf.
fn producer_name(text: &str) -> Option<Text<'_>> {
    (is_producer(text) && text != crate::seal::OWN_PRODUCER).then(|| text.into())
}

/// `sha256:` and 64 hex digits in lowercase: anything else would not be found by who looks for the hash.
fn hash_text(text: &str) -> Option<Text<'_>> {
    let hex = text.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then(|| text.into())
}

fn parameters(parameters: &[(&str, &AnyValue<'_>)]) -> Option<Json<'static>> {
    if parameters.is_empty() {
        return None;
    }
    let mut json = Vec::with_capacity(256);
    write_plain_object(parameters.iter().copied(), &mut json);
    Some(Json::written(json))
}

fn exception_message<'a>(events: &[Event<'a>]) -> Option<&'a str> {
    let exception = events.iter().find(|event| event.name == "exception")?;
    exception.attributes.iter().find_map(|attribute| match (attribute.key, &attribute.value) {
        ("exception.message", AnyValue::Str(text)) => Some(*text),
        _ => None,
    })
}

fn span_kind(kind: u64) -> Option<&'static str> {
    match kind {
        1 => Some("internal"),
        2 => Some("server"),
        3 => Some("client"),
        4 => Some("producer"),
        5 => Some("consumer"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
