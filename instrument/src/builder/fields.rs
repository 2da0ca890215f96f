//! The values that each kind of event has. Names and attributes are those of the macros' arguments.

use super::{Event, kind};
use crate::call::verdict;
use crate::usage::ReportsUsage;
use crate::value::{Granted, Hashed, Integer, Number, Scalar, Text, TextList};
use serde::Serialize;

/// One method a field: its shape, its name, its attribute, what it is.
macro_rules! fields {
    ($($shape:ident $name:ident $attribute:literal $doc:literal;)+) => { $(
        fields!(@ $shape $name $attribute $doc);
    )+ };
    (@ text $name:ident $attribute:literal $doc:literal) => {
        #[doc = $doc]
        pub fn $name(&mut self, value: impl Text) -> &mut Self {
            if let Some(text) = value.text() {
                self.set($attribute, text.into_owned());
            }
            self
        }
    };
    (@ integer $name:ident $attribute:literal $doc:literal) => {
        #[doc = $doc]
        pub fn $name(&mut self, value: impl Integer) -> &mut Self {
            if let Some(number) = value.integer() {
                self.set($attribute, number);
            }
            self
        }
    };
    (@ number $name:ident $attribute:literal $doc:literal) => {
        #[doc = $doc]
        pub fn $name(&mut self, value: impl Number) -> &mut Self {
            if let Some(number) = value.number() {
                self.set($attribute, number);
            }
            self
        }
    };
    (@ scalar $name:ident $attribute:literal $doc:literal) => {
        #[doc = $doc]
        pub fn $name(&mut self, value: impl Scalar) -> &mut Self {
            self.attribute($attribute, value)
        }
    };
    (@ list $name:ident $attribute:literal $doc:literal) => {
        #[doc = $doc]
        pub fn $name(&mut self, value: impl TextList) -> &mut Self {
            if let Some(list) = value.text_list() {
                self.set($attribute, opentelemetry::Value::Array(list.into()));
            }
            self
        }
    };
    (@ hash $name:ident $attribute:literal $doc:literal) => {
        #[doc = $doc]
        pub fn $name(&mut self, value: impl Hashed) -> &mut Self {
            if let Some(hash) = value.sha256() {
                self.set($attribute, hash);
            }
            self
        }
    };
    (@ json $name:ident $attribute:literal $doc:literal) => {
        #[doc = $doc]
        pub fn $name(&mut self, value: impl Serialize) -> &mut Self {
            self.set_json($attribute, value);
            self
        }
    };
}

/// Who, what, where.
impl<K, S> Event<K, S> {
    fields! {
        text actor "tachograph.actor.id" "Who did it.";
        text actor_type "tachograph.actor.type" "`user`, `agent`, `service` or `system`.";
        text session "session.id" "The session.";
        text team "tachograph.team" "The team.";
        text tenant "tachograph.tenant" "The tenant.";
        text client_ip "client.address" "Where the request came from.";
        text action "tachograph.action.type" "What was done.";
        text resource_type "tachograph.resource.type" "The kind of what it was done to.";
        text resource "tachograph.resource.id" "What it was done to.";
        json details "tachograph.details" "Anything else, as JSON.";
        json context "tachograph.context" "What surrounded it, as JSON.";
    }
}

/// The model.
impl<K: kind::WithModel, S> Event<K, S> {
    fields! {
        text provider "gen_ai.provider.name" "Whose model it is.";
        text model "gen_ai.request.model" "The model that was asked.";
        text model_version "tachograph.model.version" "Its version.";
        text operation "gen_ai.operation.name" "OpenTelemetry's name of the operation: `chat`, `embeddings`, ….";
        text response_id "gen_ai.response.id" "The response's id.";
        text response_model "gen_ai.response.model" "The model that answered.";
        list finish_reasons "gen_ai.response.finish_reasons" "Why the model stopped, one for each choice.";
        integer choices "gen_ai.request.choice.count" "How many choices were asked for.";
        hash input_hash "tachograph.input.hash" "The SHA-256 of the input's bytes, computed here and now.";
        hash output_hash "tachograph.output.hash" "The SHA-256 of the output's bytes, computed here and now.";
        number cost "tachograph.cost" "What it cost.";
        text currency "tachograph.cost.currency" "In which currency (ISO 4217).";
        list content_flags "tachograph.content_flags" "What a filter said of the content.";
    }

    /// What the model counted.
    pub fn usage(&mut self, usage: impl ReportsUsage) -> &mut Self {
        if let Some(usage) = usage.usage() {
            usage.each(|attribute, tokens| self.set(attribute, tokens));
        }
        self
    }

    /// A parameter of the model by its attribute: `gen_ai.request.…` where OpenTelemetry has a name, else `tachograph.parameter.…`.
    pub fn parameter(&mut self, attribute: &'static str, value: impl Scalar) -> &mut Self {
        self.attribute(attribute, value)
    }
}

/// The agent.
impl<K: kind::WithAgent, S> Event<K, S> {
    fields! {
        text agent "gen_ai.agent.id" "The agent.";
        text version "gen_ai.agent.version" "The agent's version.";
    }
}

/// What goes in and what comes out.
impl<S> Event<kind::Generation, S> {
    fields! {
        text prompt "tachograph.prompt" "The prompt.";
        text negative_prompt "tachograph.negative_prompt" "What an image should not show.";
        json system_instructions "gen_ai.system_instructions" "Instructions, as JSON.";
        json input_messages "gen_ai.input.messages" "The messages so far, as JSON.";
        json tool_definitions "gen_ai.tool.definitions" "The tools that the model may use, as JSON.";
        json output_messages "gen_ai.output.messages" "The messages that came out, as JSON.";
        text output "tachograph.output" "The text that came out.";
        text output_path "tachograph.output.path" "Where the output was put: a path or a URL.";
        scalar width "tachograph.parameter.width" "An image's width.";
        scalar height "tachograph.parameter.height" "An image's height.";
        scalar size "tachograph.parameter.size" "An image's size, where it is one word.";
        scalar steps "tachograph.parameter.steps" "Steps of diffusion.";
        scalar guidance_scale "tachograph.parameter.guidance_scale" "How closely an image follows its prompt.";
        scalar seed "gen_ai.request.seed" "The seed.";
        scalar temperature "gen_ai.request.temperature" "The temperature.";
        scalar top_p "gen_ai.request.top_p" "Nucleus sampling.";
        scalar top_k "gen_ai.request.top_k" "Sampling among the most likely.";
        scalar max_tokens "gen_ai.request.max_tokens" "The most tokens that may come out.";
    }
}

/// What is known, chosen and changed. Steps come from [`step!`](crate::step!) inside [`Event::run`].
impl<S> Event<kind::Decision, S> {
    fields! {
        text decision "tachograph.decision.type" "The type of decision.";
        json inputs "tachograph.inputs" "What is known, as JSON.";
        json outputs "tachograph.outputs" "What comes out, as JSON.";
        number threshold "tachograph.decision.threshold" "What the choice was held against.";
        number confidence "tachograph.decision.confidence" "How sure it is.";
        text raw_output "tachograph.decision.raw_output" "What the model said, word for word.";
        text final_decision "tachograph.decision.final" "What was chosen.";
        json state_before "tachograph.state.before" "The state before, as JSON.";
        json state_after "tachograph.state.after" "The state after, as JSON.";
    }
}

/// The tool.
impl<S> Event<kind::ToolCall, S> {
    fields! {
        text tool "gen_ai.tool.name" "The tool.";
        text tool_type "gen_ai.tool.type" "The kind of tool.";
        text call_id "gen_ai.tool.call.id" "The id that the model gave the call.";
        json arguments "gen_ai.tool.call.arguments" "What it gets, as JSON.";
        json result "gen_ai.tool.call.result" "What it gives, as JSON.";
    }
}

/// The question and what was found.
impl<S> Event<kind::Retrieval, S> {
    fields! {
        text data_source "gen_ai.data_source.id" "Where it was looked for.";
        text query "gen_ai.retrieval.query.text" "What was looked for.";
        scalar top_k "gen_ai.request.top_k" "How much was to be found.";
        json documents "gen_ai.retrieval.documents" "What was found, as JSON.";
    }
}

/// The verdict.
impl<S> Event<kind::Approval, S> {
    fields! {
        text approver "tachograph.actor.id" "Who decides.";
        text subject "tachograph.resource.id" "What is to be approved.";
        json inputs "tachograph.inputs" "What the approver knows, as JSON.";
        text reason "tachograph.outcome.reason" "Why it was granted or denied.";
    }

    /// Whether it was granted: the final decision, and the outcome `success` or `blocked`.
    pub fn granted(&mut self, granted: impl Granted) -> &mut Self {
        if let Some(granted) = granted.granted() {
            let (word, outcome) = verdict(granted);
            self.set("tachograph.decision.final", word);
            self.set("tachograph.outcome", outcome.as_str());
        }
        self
    }
}

/// Why.
impl<S> Event<kind::AuditEvent, S> {
    fields! {
        text reason "tachograph.outcome.reason" "Why it ended as it did.";
    }
}
