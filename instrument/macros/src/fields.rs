//! What each macro's arguments are called, which attribute each becomes, and how its value is
//! written. The attribute names are those of `docs/attributes.md`.

/// How a value is converted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A string, a number, a truth value, or a list of one of these.
    Scalar,
    /// Anything that serde can serialise, as JSON text.
    Json,
    /// A list of strings.
    TextList,
    /// The SHA-256 of the value's bytes.
    Hash,
    /// The correlation id, which the calls below inherit.
    Correlation,
    /// The span's name.
    SpanName,
    /// Decision steps, as JSON, ahead of those that `step!` adds.
    Steps,
    /// JSON taken twice: before the body and after it.
    State,
    /// What a model counted, in several attributes.
    Usage,
    /// The events that caused this one, as links.
    Causes,
    /// Whether an approval was given: the final decision, and the outcome with it.
    Granted,
    /// How it ended.
    Outcome,
}

/// The attributes that one `usage` fills.
pub(crate) const USAGE: [&str; 5] = [
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.reasoning.output_tokens",
];

/// When a value is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// After the body if the expression mentions `ret`, else before it.
    ByExpression,
    /// Before the body.
    Entry,
    /// After the body, whether it succeeded or not (unless it mentions `ret`).
    Exit,
}

/// One argument that a macro knows.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) attribute: &'static str,
    pub(crate) shape: Shape,
    pub(crate) when: When,
    /// It is what people wrote or models made: `capture` applies to it.
    pub(crate) content: bool,
}

/// One macro: its name, the kind of record it makes, and the arguments it knows.
pub(crate) struct Target {
    /// As the user writes it.
    pub(crate) macro_name: &'static str,
    /// Name of the constant in `tachograph::__private::Kind`.
    pub(crate) kind: &'static str,
    pub(crate) groups: &'static [&'static [Field]],
    pub(crate) takes_parameters: bool,
    /// It surrounds a function's body; else it stands alone, where nothing is returned.
    pub(crate) has_body: bool,
    /// The argument that must not be missing, with an example.
    pub(crate) required: Option<(&'static str, &'static str)>,
}

impl Target {
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.name == name)
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.groups.iter().flat_map(|group| group.iter())
    }
}

pub(crate) const GENERATION: Target = Target {
    macro_name: "#[tachograph::generation]",
    kind: "Generation",
    groups: &[MODEL, CONTENT, PARAMETERS, COMMON],
    takes_parameters: true,
    has_body: true,
    required: None,
};

pub(crate) const AGENT_DECISION: Target = Target {
    macro_name: "#[tachograph::agent_decision]",
    kind: "AgentDecision",
    groups: &[AGENT, DECISION, MODEL, COMMON],
    takes_parameters: true,
    has_body: true,
    required: None,
};

pub(crate) const TOOL_CALL: Target = Target {
    macro_name: "#[tachograph::tool_call]",
    kind: "ToolCall",
    groups: &[TOOL, AGENT, COMMON],
    takes_parameters: false,
    has_body: true,
    required: None,
};

pub(crate) const RETRIEVAL: Target = Target {
    macro_name: "#[tachograph::retrieval]",
    kind: "Retrieval",
    groups: &[SEARCH, AGENT, COMMON],
    takes_parameters: true,
    has_body: true,
    required: None,
};

pub(crate) const APPROVAL: Target = Target {
    macro_name: "#[tachograph::approval]",
    kind: "Approval",
    groups: &[VERDICT, AGENT, COMMON],
    takes_parameters: false,
    has_body: true,
    required: None,
};

pub(crate) const AUDIT: Target = Target {
    macro_name: "tachograph::audit!",
    kind: "AuditEvent",
    groups: &[REASON, COMMON],
    takes_parameters: false,
    has_body: false,
    required: Some(("action", "action = \"user.login\"")),
};

/// The words that an attribute takes, if it takes no others.
pub(crate) fn words(attribute: &str) -> Option<&'static [&'static str]> {
    match attribute {
        "tachograph.outcome" => Some(&["success", "failure", "pending", "blocked", "cancelled", "unknown"]),
        "tachograph.actor.type" => Some(&["user", "agent", "service", "system"]),
        _ => None,
    }
}

/// The attribute macros, by the last word of their path.
pub(crate) const ATTRIBUTES: [&str; 5] = ["generation", "agent_decision", "tool_call", "retrieval", "approval"];

/// The attribute of a generation parameter: OpenTelemetry's name where it has one.
pub(crate) fn parameter_attribute(name: &str) -> String {
    const STANDARD: [&str; 10] = [
        "temperature",
        "top_p",
        "top_k",
        "max_tokens",
        "frequency_penalty",
        "presence_penalty",
        "stop_sequences",
        "seed",
        "encoding_formats",
        "stream",
    ];
    if STANDARD.contains(&name) { format!("gen_ai.request.{name}") } else { format!("tachograph.parameter.{name}") }
}

const fn field(name: &'static str, attribute: &'static str, shape: Shape) -> Field {
    Field { name, attribute, shape, when: When::ByExpression, content: false }
}

const fn content(name: &'static str, attribute: &'static str, shape: Shape) -> Field {
    Field { name, attribute, shape, when: When::ByExpression, content: true }
}

impl Field {
    const fn at(self, when: When) -> Self {
        Self { when, ..self }
    }
}

const MODEL: &[Field] = &[
    field("provider", "gen_ai.provider.name", Shape::Text),
    field("model", "gen_ai.request.model", Shape::Text),
    field("model_version", "tachograph.model.version", Shape::Text),
    field("operation", "gen_ai.operation.name", Shape::Text),
    field("response_id", "gen_ai.response.id", Shape::Text),
    field("response_model", "gen_ai.response.model", Shape::Text),
    field("finish_reasons", "gen_ai.response.finish_reasons", Shape::TextList),
    field("choices", "gen_ai.request.choice.count", Shape::Integer),
    field("input_hash", "tachograph.input.hash", Shape::Hash),
    field("output_hash", "tachograph.output.hash", Shape::Hash),
    field("usage", "", Shape::Usage),
    field("tokens_in", "gen_ai.usage.input_tokens", Shape::Integer),
    field("tokens_out", "gen_ai.usage.output_tokens", Shape::Integer),
    field("cost", "tachograph.cost", Shape::Number),
    field("currency", "tachograph.cost.currency", Shape::Text),
    field("content_flags", "tachograph.content_flags", Shape::TextList),
];

const CONTENT: &[Field] = &[
    content("prompt", "tachograph.prompt", Shape::Text),
    content("negative_prompt", "tachograph.negative_prompt", Shape::Text),
    content("system_instructions", "gen_ai.system_instructions", Shape::Json),
    content("input_messages", "gen_ai.input.messages", Shape::Json),
    content("output_messages", "gen_ai.output.messages", Shape::Json),
    content("output", "tachograph.output", Shape::Text),
    content("tool_definitions", "gen_ai.tool.definitions", Shape::Json),
    field("output_path", "tachograph.output.path", Shape::Text),
];

/// Parameters so usual that they need no `parameters(…)` around them.
const PARAMETERS: &[Field] = &[
    field("width", "tachograph.parameter.width", Shape::Scalar),
    field("height", "tachograph.parameter.height", Shape::Scalar),
    field("size", "tachograph.parameter.size", Shape::Scalar),
    field("steps", "tachograph.parameter.steps", Shape::Scalar),
    field("guidance_scale", "tachograph.parameter.guidance_scale", Shape::Scalar),
    field("seed", "gen_ai.request.seed", Shape::Scalar),
    field("temperature", "gen_ai.request.temperature", Shape::Scalar),
    field("top_p", "gen_ai.request.top_p", Shape::Scalar),
    field("top_k", "gen_ai.request.top_k", Shape::Scalar),
    field("max_tokens", "gen_ai.request.max_tokens", Shape::Scalar),
];

const AGENT: &[Field] =
    &[field("agent", "gen_ai.agent.id", Shape::Text), field("version", "gen_ai.agent.version", Shape::Text)];

const DECISION: &[Field] = &[
    field("decision", "tachograph.decision.type", Shape::Text),
    content("inputs", "tachograph.inputs", Shape::Json),
    content("steps", "tachograph.decision.steps", Shape::Steps),
    content("outputs", "tachograph.outputs", Shape::Json),
    field("threshold", "tachograph.decision.threshold", Shape::Number),
    field("confidence", "tachograph.decision.confidence", Shape::Number),
    content("raw_output", "tachograph.decision.raw_output", Shape::Text),
    field("final_decision", "tachograph.decision.final", Shape::Text),
    content("state", "", Shape::State),
    content("state_before", "tachograph.state.before", Shape::Json).at(When::Entry),
    content("state_after", "tachograph.state.after", Shape::Json).at(When::Exit),
];

const TOOL: &[Field] = &[
    field("tool", "gen_ai.tool.name", Shape::Text),
    field("tool_type", "gen_ai.tool.type", Shape::Text),
    field("call_id", "gen_ai.tool.call.id", Shape::Text),
    content("arguments", "gen_ai.tool.call.arguments", Shape::Json),
    content("result", "gen_ai.tool.call.result", Shape::Json),
];

const SEARCH: &[Field] = &[
    content("query", "gen_ai.retrieval.query.text", Shape::Text),
    content("documents", "gen_ai.retrieval.documents", Shape::Json),
    field("data_source", "gen_ai.data_source.id", Shape::Text),
    field("top_k", "gen_ai.request.top_k", Shape::Scalar),
    field("provider", "gen_ai.provider.name", Shape::Text),
    field("model", "gen_ai.request.model", Shape::Text),
    field("operation", "gen_ai.operation.name", Shape::Text),
    field("usage", "", Shape::Usage),
];

const VERDICT: &[Field] = &[
    field("approver", "tachograph.actor.id", Shape::Text),
    field("subject", "tachograph.resource.id", Shape::Text),
    field("of", "", Shape::Causes),
    field("granted", "", Shape::Granted),
    field("reason", "tachograph.outcome.reason", Shape::Text),
    content("inputs", "tachograph.inputs", Shape::Json),
];

const REASON: &[Field] = &[field("reason", "tachograph.outcome.reason", Shape::Text)];

const COMMON: &[Field] = &[
    field("name", "", Shape::SpanName).at(When::Entry),
    field("correlation", "tachograph.correlation.id", Shape::Correlation).at(When::Entry),
    field("causes", "", Shape::Causes),
    field("actor", "tachograph.actor.id", Shape::Text),
    field("actor_type", "tachograph.actor.type", Shape::Text),
    field("session", "session.id", Shape::Text),
    field("team", "tachograph.team", Shape::Text),
    field("tenant", "tachograph.tenant", Shape::Text),
    field("client_ip", "client.address", Shape::Text),
    field("action", "tachograph.action.type", Shape::Text),
    field("resource_type", "tachograph.resource.type", Shape::Text),
    field("resource", "tachograph.resource.id", Shape::Text),
    field("outcome", "tachograph.outcome", Shape::Outcome),
    field("outcome_reason", "tachograph.outcome.reason", Shape::Text),
    content("details", "tachograph.details", Shape::Json),
    content("context", "tachograph.context", Shape::Json),
];
