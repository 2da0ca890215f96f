//! What happened, in one sentence.

use tachograph_record::{ActorType, Kind, Record, Time};

use super::html::Html;
use crate::bundle::story::{Role, Told};

/// Writes the sentence of one record: when, who, what, on what, and how it ended.
pub(super) fn write(told: &Told<'_>, html: &mut Html) {
    html.markup("On ");
    let Some(record) = &told.record else {
        moment(Time::from_unix_nanos(told.leaf.event_time).unwrap_or_default(), html);
        html.markup(", something happened of which the seal says that its kind is ").recorded(told.leaf.kind);
        html.markup(match told.body {
            None => ". The content is not here any more, only the seal.",
            Some(_) => ". The content is there, but is not that of a record.",
        });
        return;
    };
    moment(record.timestamp, html);
    html.markup(", ");
    actor(record, html);
    html.markup(" ");
    deed(record, html);
    outcome(record, html);
    html.markup(".");
    if told.role == Role::Anchor {
        html.markup(
            " This record is here for its time alone: it holds the hash of the time stamp that came before the others.",
        );
    }
}

/// `2026-11-22 at 14:03:05 UTC`
fn moment(time: Time, html: &mut Html) {
    let text = time.to_string();
    html.text(&text[..10]).markup(" at ").text(&text[11..19]).markup(" UTC");
}

fn actor(record: &Record<'_>, html: &mut Html) {
    let service = record.service_name.as_deref();
    let agent = record.agent_id.as_deref();
    if let Some(agent) = agent.filter(|agent| record.actor_id.as_deref().is_none_or(|actor| actor == *agent)) {
        html.markup("agent ").quoted(agent);
        if let Some(version) = &record.agent_version {
            html.markup(" ").quoted(version);
        }
    } else if let Some(actor) = &record.actor_id {
        html.markup(match record.actor_type {
            Some(ActorType::User) => "user ",
            Some(ActorType::Agent) => "agent ",
            Some(ActorType::Service) => "service ",
            Some(ActorType::System) => "the system ",
            None => "",
        });
        html.quoted(actor);
    } else if let Some(service) = service {
        html.markup("service ").quoted(service);
        return;
    } else if record.kind == Kind::Lifecycle {
        html.markup("the recorder");
        return;
    } else {
        html.markup("somebody who is not named");
        return;
    }
    if let Some(service) = service {
        html.markup(" (service ").quoted(service).markup(")");
    }
}

fn deed(record: &Record<'_>, html: &mut Html) {
    let action = record.action_type.as_deref();
    match record.kind {
        Kind::Generation => generation(record, html),
        Kind::AgentDecision => decision(record, html),
        Kind::ToolCall => named("called the tool ", "called a tool", action.or(record.resource_id.as_deref()), html),
        Kind::Retrieval => named("looked up ", "looked something up", action.or(record.resource_id.as_deref()), html),
        Kind::Policy => named("was judged by the policy ", "was judged by a policy", action, html),
        Kind::Approval => {
            named("was asked for, or gave, the approval ", "was asked for, or gave, an approval", action, html)
        }
        Kind::AuditEvent => named("did ", "did something that was put on record", action, html),
        Kind::Access => named("read records: ", "read records", action, html),
        Kind::Lifecycle => named("reported ", "reported on itself", action, html),
    }
    // A generation's resource is what the model was asked for; a decision names it before its reasons.
    if !matches!(record.kind, Kind::Generation | Kind::AgentDecision) {
        resource(record, html);
    }
}

fn generation(record: &Record<'_>, html: &mut Html) {
    match record.model.as_deref().or(record.model_version.as_deref()) {
        Some(model) => html.markup("had the model ").quoted(model),
        None => html.markup("had a model that is not named"),
    };
    if let Some(provider) = &record.provider {
        html.markup(" of ").quoted(provider);
    }
    match record.output_path.as_deref() {
        Some(path) => html.markup(" make ").quoted(path),
        None => html.markup(" generate an answer"),
    };
}

fn decision(record: &Record<'_>, html: &mut Html) {
    match record.final_decision.as_deref().or(record.raw_output.as_deref()) {
        Some(decision) => html.markup("decided ").quoted(decision),
        None => html.markup("made a decision that is not named"),
    };
    resource(record, html);
    if let Some(kind) = &record.decision_type {
        html.markup(" (").quoted(kind).markup(")");
    }
    if let (Some(confidence), Some(threshold)) = (record.confidence, record.threshold) {
        html.markup(", with a confidence of ").text(&number(confidence.0));
        html.markup(match confidence.0.partial_cmp(&threshold.0) {
            Some(std::cmp::Ordering::Less) => ", below the threshold of ",
            Some(std::cmp::Ordering::Equal) => ", exactly the threshold of ",
            Some(std::cmp::Ordering::Greater) => ", above the threshold of ",
            None => ", which can't be compared with the threshold of ",
        });
        html.text(&number(threshold.0));
    }
}

fn named(before: &'static str, without: &'static str, name: Option<&str>, html: &mut Html) {
    match name {
        Some(name) => html.markup(before).quoted(name),
        None => html.markup(without),
    };
}

fn resource(record: &Record<'_>, html: &mut Html) {
    match (record.resource_type.as_deref(), record.resource_id.as_deref()) {
        (Some(kind), Some(id)) => html.markup(" on ").quoted(kind).markup(" ").quoted(id),
        (Some(kind), None) => html.markup(" on ").quoted(kind),
        (None, Some(id)) => html.markup(" on ").quoted(id),
        (None, None) => html,
    };
}

fn outcome(record: &Record<'_>, html: &mut Html) {
    if let Some(outcome) = record.outcome {
        html.markup("; outcome: ").recorded(outcome.as_str());
    }
    if let Some(reason) = &record.outcome_reason {
        html.markup("; reason given: ").quoted(reason);
    } else if let Some(error) = record.error_type.as_deref().or(record.error.as_deref()) {
        html.markup("; error: ").quoted(error);
    }
}

fn number(value: f64) -> String {
    let mut out = Vec::new();
    tachograph_record::write_f64(value, &mut out);
    String::from_utf8(out).unwrap_or_default().trim_matches('"').to_owned()
}
