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
}

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
}

/// One macro: its name, the kind of record it makes, and the arguments it knows.
pub(crate) struct Target {
    pub(crate) macro_name: &'static str,
    /// Name of the constant in `tachograph::__private::Kind`.
    pub(crate) kind: &'static str,
    pub(crate) groups: &'static [&'static [Field]],
    pub(crate) takes_parameters: bool,
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
    macro_name: "generation",
    kind: "Generation",
    groups: &[MODEL, CONTENT, PARAMETERS, COMMON],
    takes_parameters: true,
};

pub(crate) const AGENT_DECISION: Target = Target {
    macro_name: "agent_decision",
    kind: "AgentDecision",
    groups: &[AGENT, DECISION, MODEL, COMMON],
    takes_parameters: true,
};

pub(crate) const TOOL_CALL: Target =
    Target { macro_name: "tool_call", kind: "ToolCall", groups: &[TOOL, AGENT, COMMON], takes_parameters: false };

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
    Field { name, attribute, shape, when: When::ByExpression }
}

const fn field_at(name: &'static str, attribute: &'static str, shape: Shape, when: When) -> Field {
    Field { name, attribute, shape, when }
}

const MODEL: &[Field] = &[
    field("provider", "gen_ai.provider.name", Shape::Text),
    field("model", "gen_ai.request.model", Shape::Text),
    field("model_version", "tachograph.model.version", Shape::Text),
    field("operation", "gen_ai.operation.name", Shape::Text),
    field("response_id", "gen_ai.response.id", Shape::Text),
    field("input_hash", "tachograph.input.hash", Shape::Hash),
    field("output_hash", "tachograph.output.hash", Shape::Hash),
    field("tokens_in", "gen_ai.usage.input_tokens", Shape::Integer),
    field("tokens_out", "gen_ai.usage.output_tokens", Shape::Integer),
    field("cost", "tachograph.cost", Shape::Number),
    field("currency", "tachograph.cost.currency", Shape::Text),
    field("content_flags", "tachograph.content_flags", Shape::TextList),
];

const CONTENT: &[Field] = &[
    field("prompt", "tachograph.prompt", Shape::Text),
    field("negative_prompt", "tachograph.negative_prompt", Shape::Text),
    field("system_instructions", "gen_ai.system_instructions", Shape::Json),
    field("input_messages", "gen_ai.input.messages", Shape::Json),
    field("output_messages", "gen_ai.output.messages", Shape::Json),
    field("output", "tachograph.output", Shape::Text),
    field("output_path", "tachograph.output.path", Shape::Text),
];

/// Parameters so usual that they need no `parameters(…)` around them.
const PARAMETERS: &[Field] = &[
    field("width", "tachograph.parameter.width", Shape::Scalar),
    field("height", "tachograph.parameter.height", Shape::Scalar),
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
    field("inputs", "tachograph.inputs", Shape::Json),
    field("steps", "tachograph.decision.steps", Shape::Steps),
    field("outputs", "tachograph.outputs", Shape::Json),
    field("threshold", "tachograph.decision.threshold", Shape::Number),
    field("confidence", "tachograph.decision.confidence", Shape::Number),
    field("raw_output", "tachograph.decision.raw_output", Shape::Text),
    field("final_decision", "tachograph.decision.final", Shape::Text),
    field("state", "", Shape::State),
    field_at("state_before", "tachograph.state.before", Shape::Json, When::Entry),
    field_at("state_after", "tachograph.state.after", Shape::Json, When::Exit),
];

const TOOL: &[Field] = &[
    field("tool", "gen_ai.tool.name", Shape::Text),
    field("arguments", "gen_ai.tool.call.arguments", Shape::Json),
    field("result", "gen_ai.tool.call.result", Shape::Json),
];

const COMMON: &[Field] = &[
    field_at("name", "", Shape::SpanName, When::Entry),
    field_at("correlation", "tachograph.correlation.id", Shape::Correlation, When::Entry),
    field("actor", "tachograph.actor.id", Shape::Text),
    field("actor_type", "tachograph.actor.type", Shape::Text),
    field("session", "session.id", Shape::Text),
    field("team", "tachograph.team", Shape::Text),
    field("tenant", "tachograph.tenant", Shape::Text),
    field("client_ip", "client.address", Shape::Text),
    field("action", "tachograph.action.type", Shape::Text),
    field("resource_type", "tachograph.resource.type", Shape::Text),
    field("resource", "tachograph.resource.id", Shape::Text),
    field("outcome", "tachograph.outcome", Shape::Text),
    field("outcome_reason", "tachograph.outcome.reason", Shape::Text),
    field("details", "tachograph.details", Shape::Json),
    field("context", "tachograph.context", Shape::Json),
];
