//! Decision steps: what `step!` adds to the decision around it.

use crate::capture::{Number, hash_text, json_string, json_text};
use crate::event::{Current, Kind, map_current};
use crate::recorder;
use opentelemetry::Context;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt::{Display, Write};

/// A decision with more steps than this is a runaway loop; the record says how many were left out.
const MOST_STEPS: usize = 10_000;

/// A decision step that is being written. `step!` makes it.
#[derive(Debug)]
pub struct Step {
    /// Of the decision.
    context: Context,
    text: String,
}

/// Steps that the record has no room for.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    count: u64,
    bytes: u64,
    digest: Sha256,
}

impl LeftOut {
    /// A loop this long is hashed where it runs: nobody keeps the text.
    fn add(&mut self, step: &str) {
        if self.count > 0 {
            self.digest.update(",");
            self.bytes += 1;
        }
        self.count += 1;
        self.bytes += step.len() as u64;
        self.digest.update(step);
    }

    /// The step that stands for them: how many, and what their JSON texts, joined by commas, hash to.
    pub(crate) fn as_step(&self) -> String {
        format!(
            "{{\"step\":\"tachograph.steps_left_out\",\"result\":{},\"sha256\":\"{}\",\"bytes\":{}}}",
            self.count,
            hash_text(&self.digest.clone().finalize()),
            self.bytes
        )
    }
}

impl Step {
    /// A step of the enclosing decision, or nothing if there is no decision or nothing is recorded.
    /// `place` is where in the source it is reported.
    pub fn open(place: &'static str) -> Option<Self> {
        let recorder = recorder::current()?;
        let decision = map_current(|context| match &context.get::<Current>()?.0 {
            event if event.kind == Kind::AgentDecision => Some(context.clone()),
            event => event.decision.clone(),
        });
        let Some(context) = decision else {
            recorder.misuse(|| format!("`step!` at {place} has no effect: no `agent_decision` is open there"));
            return None;
        };
        let text = String::with_capacity(96);
        Some(Self { context, text })
    }

    /// What was looked at.
    pub fn name(&mut self, name: impl AsRef<str>) {
        self.text.push_str("{\"step\":");
        self.text.push_str(&json_string(name.as_ref()));
    }

    /// What the step found.
    pub fn result<T: Serialize + ?Sized>(&mut self, result: &T) {
        if let Some(result) = json_text(result) {
            self.member("result", &result);
        }
    }

    /// Why.
    pub fn reason(&mut self, reason: impl Display) {
        self.member("reason", &json_string(&reason.to_string()));
    }

    /// What the result was held against.
    pub fn threshold<T: Number + ?Sized>(&mut self, threshold: &T) {
        self.number("threshold", threshold.number());
    }

    /// How sure it is.
    pub fn confidence<T: Number + ?Sized>(&mut self, confidence: &T) {
        self.number("confidence", confidence.number());
    }

    fn number(&mut self, name: &str, value: Option<f64>) {
        if let Some(text) = value.as_ref().and_then(json_text) {
            self.member(name, &text);
        }
    }

    fn member(&mut self, name: &str, json: &str) {
        // Writing to a string can't fail.
        let _ = write!(self.text, ",\"{name}\":{json}");
    }

    /// Adds the step to its decision.
    pub fn add(mut self) {
        self.text.push('}');
        let Self { context, text } = self;
        let Some(Current(decision)) = context.get() else {
            return; // it was there when the step was opened
        };
        let added = decision.add(|extra| {
            if extra.steps.len() < MOST_STEPS {
                extra.steps.push(text);
            } else {
                extra.steps_left_out.get_or_insert_default().add(&text);
            }
        });
        if !added && let Some(recorder) = recorder::current() {
            recorder.misuse(|| {
                format!("a step came after its decision {} had ended; it is not recorded", decision.event_id)
            });
        }
    }
}
