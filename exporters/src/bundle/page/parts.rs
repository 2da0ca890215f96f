//! What was recorded of one event, put in order: who, what, when, model, input, why, what came of it, links, and all the rest.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;
use tachograph_record::Time;

use super::html::Html;
use super::tree::{self, Members};
use crate::bundle::story::Told;

/// A heading, and the members told below it, each with what it is called.
type Part = (&'static str, &'static [(&'static str, &'static str)]);

/// The parts of an event and the members of its body in each, with what they are called. A member that no part names is told
/// under [`REST`].
const PARTS: &[Part] = &[
    (
        "Who",
        &[
            ("actor_type", "Kind of actor"),
            ("actor_id", "Actor"),
            ("agent_id", "Agent"),
            ("agent_version", "Agent's version"),
            ("session_id", "Session"),
            ("team", "Team"),
            ("tenant", "Tenant"),
            ("client_ip", "Address of the request"),
            ("service_name", "Service"),
            ("environment", "Environment"),
        ],
    ),
    (
        "What",
        &[
            ("kind", "Kind of event"),
            ("action_type", "Action"),
            ("decision_type", "Kind of decision"),
            ("resource_type", "On what kind of thing"),
            ("resource_id", "On which thing"),
        ],
    ),
    (
        "Model",
        &[
            ("provider", "Provider"),
            ("model", "Model asked for"),
            ("model_version", "Model that answered"),
            ("parameters", "Parameters"),
            ("response_id", "Provider's id of the answer"),
        ],
    ),
    (
        "Input",
        &[
            ("system_instructions", "System instructions"),
            ("prompt", "Prompt"),
            ("negative_prompt", "Negative prompt"),
            ("input_messages", "Messages to the model"),
            ("inputs", "Inputs"),
            ("input_hash", "Hash of the exact input"),
            ("state_before", "State before"),
        ],
    ),
    (
        "Why",
        &[
            ("decision_steps", "Steps to the decision"),
            ("confidence", "Confidence"),
            ("threshold", "Threshold"),
            ("raw_output", "What the model said"),
            ("outcome_reason", "Reason given"),
            ("content_flags", "Content flags"),
        ],
    ),
    (
        "What came of it",
        &[
            ("final_decision", "Decision"),
            ("outcome", "Outcome"),
            ("output", "Output"),
            ("output_messages", "Messages from the model"),
            ("outputs", "Outputs"),
            ("output_path", "Where the output is"),
            ("output_hash", "Hash of the exact output"),
            ("state_after", "State after"),
            ("status", "Technical status"),
            ("error_type", "Kind of error"),
            ("error", "Error"),
            ("duration_ns", "Took"),
            ("tokens_in", "Tokens in"),
            ("tokens_out", "Tokens out"),
            ("cost", "Cost"),
            ("cost_currency", "Currency"),
        ],
    ),
    (
        "Links",
        &[
            ("event_id", "Event id"),
            ("parent_id", "Caused by event"),
            ("correlation_id", "Business transaction"),
            ("trace_id", "Trace id"),
            ("span_id", "Span id"),
            ("parent_span_id", "Span id of the caller"),
            ("conflicts_with", "Has the event id of record"),
        ],
    ),
];

/// Told at the end, so that what an application added stands before what the format needs.
const FORM: Part = (
    "Form",
    &[
        ("producer", "Numbered by"),
        ("producer_epoch", "In its run"),
        ("producer_seq", "As number"),
        ("salt", "Random salt"),
        ("v", "Version of the format"),
    ],
);

const REST: &str = "All else that was recorded";

/// Told with the other times.
const TIMES: [&str; 2] = ["timestamp", "observed_at"];

/// Writes all parts of an event.
pub(super) fn write(told: &Told<'_>, html: &mut Html) {
    let members = match told.body.map(serde_json::from_str::<Members<'_>>) {
        Some(Ok(Members(members))) => members,
        Some(Err(_)) => {
            let body = told.body.unwrap_or_default();
            html.markup("<p>The content is not the JSON of a record. As it is kept:</p>").value(body);
            Vec::new()
        }
        None => Vec::new(),
    };
    let value_of = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| value.get());
    let part = |(heading, names): &Part, html: &mut Html| {
        let present: Vec<_> = names.iter().filter_map(|(name, label)| Some((*name, *label, value_of(name)?))).collect();
        if present.is_empty() {
            return;
        }
        open(heading, html);
        for (name, label, value) in present {
            html.markup("<tr><th scope=\"row\">").markup(label).markup("</th><td>");
            write_member(name, value, html);
            html.markup("</td></tr>");
        }
        close(html);
    };
    // Times come after `Who` and `What`, for they are partly the leaf's.
    let (before, after) = PARTS.split_at(2);
    before.iter().for_each(|names| part(names, html));
    open("When", html);
    write_times(told, value_of("observed_at"), html);
    close(html);
    after.iter().for_each(|names| part(names, html));
    write_rest(&members, html);
    part(&FORM, html);
}

/// The members that no part tells: those that none names, and the second of a doubled name.
fn write_rest(members: &[(String, &RawValue)], html: &mut Html) {
    let mut first_of = HashSet::new();
    let named = |key: &str| TIMES.contains(&key) || names().any(|name| name == key);
    let rest: Vec<_> = members.iter().filter(|(key, _)| !(named(key) && first_of.insert(key.as_str()))).collect();
    if rest.is_empty() {
        return;
    }
    open(REST, html);
    for (key, value) in rest {
        html.markup("<tr><th scope=\"row\">").recorded(key).markup("</th><td>");
        tree::write(value.get(), html);
        html.markup("</td></tr>");
    }
    close(html);
}

/// The members that a part names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PARTS.iter().chain([&FORM]).flat_map(|(_, names)| names.iter().map(|(name, _)| *name))
}

fn open(heading: &'static str, html: &mut Html) {
    html.markup("<section class=\"part\"><h4>").markup(heading).markup("</h4><table>");
}

fn close(html: &mut Html) {
    html.markup("</table></section>\n");
}

fn write_times(told: &Told<'_>, observed_at: Option<&str>, html: &mut Html) {
    let time = |nanos: u64| Time::from_unix_nanos(nanos).unwrap_or_default().to_string();
    html.markup("<tr><th scope=\"row\">Happened</th><td>").text(&time(told.leaf.event_time));
    html.markup(" <span class=\"note\">by the application’s clock</span></td></tr>");
    if let Some(at) = observed_at {
        html.markup("<tr><th scope=\"row\">Received</th><td>");
        match Time::parse(at.trim_matches('"')) {
            Ok(at) => html.text(&at.to_string()),
            Err(_) => html.recorded(at),
        };
        html.markup(" <span class=\"note\">by the recorder’s clock</span></td></tr>");
    }
    html.markup("<tr><th scope=\"row\">Sealed</th><td>").text(&time(told.leaf.sealed_at));
    html.markup(" <span class=\"note\">by the recorder’s clock</span></td></tr>");
}

fn write_member(name: &str, value: &str, html: &mut Html) {
    match value.trim_matches('"').parse() {
        Ok(nanos) if name == "duration_ns" => {
            html.text(&duration_words(nanos));
        }
        _ => tree::write(value, html),
    }
}

/// Nanoseconds in the unit that fits.
fn duration_words(nanos: u64) -> Cow<'static, str> {
    let (divisor, unit) = match nanos {
        0 => return Cow::Borrowed("no time that was measured"),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let thousandths = u128::from(nanos) * 1_000 / divisor;
    let fraction = format!("{:03}", thousandths % 1_000);
    let point = if fraction == "000" { "" } else { "." };
    Cow::Owned(format!("{}{point}{} {unit}", thousandths / 1_000, fraction.trim_end_matches('0')))
}
