//! Whether a record says what its source signed: the fields are made anew out of the signed text and compared, both ways.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tachograph_ledger::leaf::is_producer;
use tachograph_record::{
    ActorType, Count, Decimal, EventId, Hex, Kind, Number, Outcome, Record, SpanId, Status, Text, Time, TraceId,
    write_body,
};

use super::attributes::{Attributes, canonical, canonical_pairs, same};
use crate::verify::{CLOCK_JUMP, PRODUCER_CLOSE, PRODUCER_HEARTBEAT, PRODUCER_OPEN, RECORDER_PRODUCER};

const PRODUCER_ACTIONS: [&str; 3] = [PRODUCER_OPEN, PRODUCER_HEARTBEAT, PRODUCER_CLOSE];
const REJECTED: &str = "telemetry.rejected";

/// Compares the record with the text that its source signed. The error names the field that differs, and nothing of what it holds.
///
/// Of the record everything is compared that is signed. The resource (service name, environment, its tenant), the instrumentation scope,
/// trace flags and state, severity and counts of what was dropped are not.
pub fn difference(signed: &str, record: &Record<'_>) -> Result<(), String> {
    let Ok(Value::Object(signed)) = serde_json::from_str(signed) else { return Err("its form".to_owned()) };
    let attributes = Attributes::new(signed.get("attributes").and_then(Value::as_object));
    let Some(expected) = expected(&signed, &attributes, record) else { return Err("its times".to_owned()) };
    members(&expected, record)?;
    parameters(&attributes, record)?;
    metadata(&signed, attributes, record)
}

/// The record that a collector makes of the signed text. What is not signed is taken from `record`.
fn expected<'r>(
    signed: &'r Map<String, Value>,
    attributes: &Attributes<'r>,
    record: &Record<'r>,
) -> Option<Record<'r>> {
    let a = attributes;
    let text = |name: &str| signed.get(name).and_then(Value::as_str).unwrap_or_default();
    let nanos = |name: &str| text(name).parse().unwrap_or(0_u64);
    let is_span = record.status.is_some();
    let (start, end) = (nanos("timestamp"), nanos("observed_timestamp"));
    let timestamp = Time::from_unix_nanos(if start == 0 { end } else { start }).ok()?;
    let (trace_id, span_id) = (bytes(text("trace_id")), bytes(text("span_id")));

    let event_id = a.parse(&["tachograph.event.id"], EventId::parse).unwrap_or(match is_span {
        true => EventId::of_span(timestamp, &trace_id, &span_id),
        // It is made from bytes that are not kept.
        false => record.event_id,
    });
    let has_gen_ai = a.has_prefix("gen_ai.");
    let operation = a.peek("gen_ai.operation.name");
    let action = a.peek("tachograph.action.type");
    let kind = a.parse(&["tachograph.kind"], |word| senders_kind(word, action)).unwrap_or(match operation {
        Some("execute_tool") => Kind::ToolCall,
        Some("retrieval" | "search_memory") => Kind::Retrieval,
        Some("invoke_agent" | "create_agent" | "invoke_workflow" | "plan") => Kind::AgentDecision,
        Some(_) => Kind::Generation,
        None if has_gen_ai => Kind::Generation,
        None => Kind::AuditEvent,
    });
    let mut made = Record::new(event_id, timestamp, kind);
    made.service_name.clone_from(&record.service_name);
    made.environment.clone_from(&record.environment);
    made.conflicts_with = record.conflicts_with;
    made.parameters.clone_from(&record.parameters);
    made.metadata.clone_from(&record.metadata);
    made.tenant = a.text(&["tachograph.tenant"]).or_else(|| record.tenant.clone());
    made.correlation_id = a.text(&["tachograph.correlation.id"]);
    made.parent_id = a.parse(&["tachograph.parent.id"], EventId::parse);
    made.producer = a.parse(&["tachograph.producer.id"], producer);
    made.producer_epoch = a.parse(&["tachograph.producer.epoch"], producer);
    made.producer_seq = a.unsigned_as(&["tachograph.producer.seq"], Decimal::new);
    let typed = a.has("tachograph.actor.type");
    made.actor_type = a.parse(&["tachograph.actor.type"], ActorType::parse);
    made.actor_id = a.text(&["tachograph.actor.id", "enduser.id", "user.id"]);
    if made.actor_id.is_some() && !typed {
        made.actor_type.get_or_insert(ActorType::User);
    }
    made.session_id = a.text(&["session.id", "gen_ai.conversation.id"]);
    made.team = a.text(&["tachograph.team"]);
    made.client_ip = a.text(&["client.address"]);
    made.action_type = a.parse(&["tachograph.action.type", "gen_ai.operation.name"], senders_action);
    let name = Some(text("event_name")).filter(|name| !name.is_empty());
    made.action_type = made.action_type.take().or_else(|| name.and_then(senders_action));
    made.resource_type = a.text(&["tachograph.resource.type"]);
    let as_text = |value: &'r Value| value["stringValue"].as_str().map(Text::from);
    if let Some((rank, id)) = a.take(&["tachograph.resource.id", "gen_ai.tool.name"], as_text) {
        made.resource_id = Some(id);
        if rank == 1 {
            made.resource_type.get_or_insert("tool".into());
        }
    }
    made.outcome = a.parse(&["tachograph.outcome"], Outcome::parse);
    made.outcome_reason = a.text(&["tachograph.outcome.reason"]);
    made.provider = a.text(&["gen_ai.provider.name", "gen_ai.system"]);
    made.model = a.text(&["gen_ai.request.model"]);
    made.model_version = a.text(&["tachograph.model.version"]);
    if made.model.is_none() {
        made.model = a.text(&["gen_ai.response.model"]);
    } else if made.model_version.is_none() {
        made.model_version = a.text(&["gen_ai.response.model"]);
    }
    made.response_id = a.text(&["gen_ai.response.id"]);
    made.prompt = a.text(&["tachograph.prompt", "gen_ai.prompt"]);
    made.negative_prompt = a.text(&["tachograph.negative_prompt"]);
    made.output = a.text(&["tachograph.output", "gen_ai.completion"]);
    made.system_instructions = a.json(&["gen_ai.system_instructions"]);
    made.input_messages = a.json(&["gen_ai.input.messages"]);
    made.output_messages = a.json(&["gen_ai.output.messages"]);
    made.input_hash = a.parse(&["tachograph.input.hash"], hash);
    made.output_hash = a.parse(&["tachograph.output.hash"], hash);
    made.output_path = a.text(&["tachograph.output.path"]);
    made.tokens_in = a.unsigned_as(&["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"], Count::new);
    made.tokens_out = a.unsigned_as(&["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"], Count::new);
    made.cost = a.number(&["tachograph.cost"]).map(Number);
    made.cost_currency = a.text(&["tachograph.cost.currency"]);
    made.error_type = a.text(&["error.type"]);
    made.error = a.text(&["tachograph.error"]);
    made.content_flags = a.strings(&["tachograph.content_flags"]);
    made.agent_id = a.text(&["gen_ai.agent.id", "gen_ai.agent.name"]);
    made.agent_version = a.text(&["gen_ai.agent.version"]);
    made.decision_type = a.text(&["tachograph.decision.type"]);
    made.inputs = a.json(&["tachograph.inputs", "gen_ai.tool.call.arguments", "gen_ai.retrieval.query.text"]);
    made.decision_steps = a.json(&["tachograph.decision.steps"]);
    made.outputs = a.json(&["tachograph.outputs", "gen_ai.tool.call.result", "gen_ai.retrieval.documents"]);
    made.threshold = a.number(&["tachograph.decision.threshold"]).map(Number);
    made.confidence = a.number(&["tachograph.decision.confidence"]).map(Number);
    made.raw_output = a.text(&["tachograph.decision.raw_output"]);
    made.final_decision = a.text(&["tachograph.decision.final"]);
    made.state_before = a.json(&["tachograph.state.before"]);
    made.state_after = a.json(&["tachograph.state.after"]);
    made.details = a.json(&["tachograph.details"]);
    made.context = a.json(&["tachograph.context"]);

    made.trace_id = TraceId::from_wire(&trace_id);
    made.span_id = SpanId::from_wire(&span_id);
    if is_span {
        of_span(signed, &mut made, (start, end));
    } else {
        let failed = made.error_type.is_some();
        made.outcome.get_or_insert(if failed { Outcome::Failure } else { Outcome::Unknown });
    }
    Some(made)
}

/// What only a span has.
fn of_span<'r>(signed: &'r Map<String, Value>, made: &mut Record<'r>, (start, end): (u64, u64)) {
    let status = signed.get("status");
    let word = |name: &str| status.and_then(|status| status[name].as_str());
    made.status = Some(match word("code") {
        Some("ok") => Status::Ok,
        Some("error") => Status::Error,
        _ => Status::Unset,
    });
    let parent = signed.get("parent_span_id").and_then(Value::as_str).unwrap_or_default();
    made.parent_span_id = SpanId::from_wire(&bytes(parent));
    let failed = made.status == Some(Status::Error) || made.error_type.is_some();
    let said = signed.get("attributes").is_some_and(|attributes| attributes.get("tachograph.outcome").is_some());
    made.outcome.get_or_insert(match (failed, said) {
        (true, _) => Outcome::Failure,
        (false, true) => Outcome::Unknown,
        (false, false) => Outcome::Success,
    });
    if made.error.is_none() {
        let message = word("message").filter(|_| made.status == Some(Status::Error));
        made.error = message.or_else(|| exception(signed)).map(Text::from);
    }
    if start != 0 {
        made.duration_ns = end.checked_sub(start).and_then(Decimal::new);
    }
}

fn exception(signed: &Map<String, Value>) -> Option<&str> {
    let events = signed.get("events")?.as_array()?;
    let exception = events.iter().find(|event| event["name"] == "exception")?;
    exception["attributes"]["exception.message"]["stringValue"].as_str()
}

/// Member by member: by its letters, or else by what they mean, where that is one thing alone.
fn members(expected: &Record<'_>, found: &Record<'_>) -> Result<(), String> {
    let (expected, found) = (written(expected), written(found));
    let read = |json| serde_json::from_slice::<BTreeMap<String, &RawValue>>(json).unwrap_or_default();
    let (expected, found) = (read(&expected), read(&found));
    for (name, value) in &found {
        let Some(due) = expected.get(name) else { return Err(name.clone()) };
        if due.get() != value.get() && !means(due.get(), value.get()) {
            return Err(name.clone());
        }
    }
    expected.keys().find(|name| !found.contains_key(*name)).map_or(Ok(()), |name| Err(name.clone()))
}

fn written(record: &Record<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(1024);
    write_body(record, &[0; 16], Time::default(), &mut body);
    body
}

/// Whether both texts are the same JSON, and `found` has nothing that a reader may take in two ways, such as a name that comes twice.
fn means(due: &str, found: &str) -> bool {
    let (Ok(due), Ok(value)) = (serde_json::from_str(due), serde_json::from_str::<Value>(found)) else { return false };
    same(&due, &value) && value.to_string().len() == found.len()
}

fn parameters(attributes: &Attributes<'_>, record: &Record<'_>) -> Result<(), String> {
    let Some(parameters) = &record.parameters else { return Ok(()) };
    let wrong = || Err("parameters".to_owned());
    let found: Option<Map<String, Value>> = serde_json::from_str(parameters.as_str()).ok();
    let Some(found) = found.filter(|found| means(&Value::Object(found.clone()).to_string(), parameters.as_str()))
    else {
        return wrong();
    };
    match found.iter().all(|(name, value)| attributes.take_parameter(name, value)) {
        true => Ok(()),
        false => wrong(),
    }
}

/// What stands in `metadata` because no field took it.
fn metadata(signed: &Map<String, Value>, attributes: Attributes<'_>, record: &Record<'_>) -> Result<(), String> {
    let metadata = record.metadata.as_ref().map_or("{}", |metadata| metadata.as_str());
    let Ok(Value::Object(found)) = serde_json::from_str(metadata) else { return Err("metadata".to_owned()) };
    if !means(&Value::Object(found.clone()).to_string(), metadata) {
        return Err("metadata".to_owned());
    }
    let rest = attributes.rest();
    let mut kept = found.get("attributes").map(canonical_pairs).unwrap_or_default();
    kept.retain(|key, _| !key.starts_with("audit.integrity."));
    if let Some(key) = kept.keys().find(|key| !rest.contains_key(key.as_str())) {
        return Err(format!("metadata: attribute {key:?}"));
    }
    for (key, value) in rest {
        if !kept.get(key).is_some_and(|kept| same(kept, value)) {
            return Err(format!("metadata: attribute {key:?}"));
        }
    }
    let is_span = record.status.is_some();
    let same_or_none = |a: Option<&Value>, b: Option<&Value>| match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    let value = |name: &str, of: &dyn Fn(&Value) -> Value| found.get(name).map(of);
    let clone = |value: &Value| value.clone();
    let name = if is_span { "span_name" } else { "event_name" };
    let mut pairs = vec![
        ("event_name", name, value(name, &clone)),
        ("events", "events", value("events", &events)),
        ("links", "links", value("links", &links)),
        ("span_kind", "span_kind", value("span_kind", &clone)),
        ("body", "body", value("body", &canonical)),
    ];
    if !is_span && record.timestamp.unix_nanos().to_string() == signed_text(signed, "timestamp") {
        let observed = "observed_time_unix_nano";
        pairs.push(("observed_timestamp", observed, value(observed, &clone)));
    }
    if !is_span && ["status", "parent_span_id"].iter().any(|name| signed.contains_key(*name)) {
        return Err("status".to_owned());
    }
    for (member, name, found) in pairs {
        if !same_or_none(signed.get(member), found.as_ref()) {
            return Err(format!("metadata: {name}"));
        }
    }
    Ok(())
}

fn signed_text<'s>(signed: &'s Map<String, Value>, name: &str) -> &'s str {
    signed.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn events(events: &Value) -> Value {
    let names = [("name", "name"), ("time_unix_nano", "timestamp")];
    events.as_array().into_iter().flatten().map(|event| renamed(event, &names)).collect()
}

fn links(links: &Value) -> Value {
    let names = [("span_id", "span_id"), ("trace_id", "trace_id"), ("trace_state", "trace_state")];
    links.as_array().into_iter().flatten().map(|link| renamed(link, &names)).collect()
}

fn renamed(item: &Value, names: &[(&str, &str)]) -> Value {
    let named = names.iter().filter_map(|(from, to)| {
        // An id of zeros is none.
        let value = item.get(*from).filter(|value| {
            !to.ends_with("_id") || value.as_str().is_none_or(|id| id.bytes().any(|digit| digit != b'0'))
        })?;
        Some(((*to).to_owned(), value.clone()))
    });
    let attributes =
        item.get("attributes").map(|pairs| ("attributes".to_owned(), Value::Object(canonical_pairs(pairs))));
    Value::Object(named.chain(attributes).collect())
}

/// As a collector takes the kind that a sender names.
fn senders_kind(word: &str, action: Option<&str>) -> Option<Kind> {
    let of_producer = || action.is_some_and(|action| PRODUCER_ACTIONS.contains(&action));
    Kind::parse(word).filter(|kind| *kind != Kind::Lifecycle || of_producer())
}

/// What the recorder itself says, a sender can't.
fn senders_action(name: &str) -> Option<Text<'_>> {
    (name != REJECTED && name != CLOCK_JUMP).then(|| name.into())
}

fn producer(text: &str) -> Option<Text<'_>> {
    (is_producer(text) && text != RECORDER_PRODUCER).then(|| text.into())
}

fn hash(text: &str) -> Option<Text<'_>> {
    let hex = text.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then(|| text.into())
}

/// Hex, as long as an id that breaks the protocol may be.
fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| Hex::<1>::parse(std::str::from_utf8(pair).ok()?)).map(|byte| byte.0[0]).collect()
}
