//! Which attribute fills which field: the table of `docs/attributes.md`.

/// A field of the record that an attribute can fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    ServiceName,
    Environment,
    Tenant,
    EventId,
    Kind,
    CorrelationId,
    ParentId,
    Producer,
    ProducerEpoch,
    ProducerSeq,
    ActorType,
    ActorId,
    SessionId,
    Team,
    ClientIp,
    ActionType,
    ResourceType,
    ResourceId,
    Outcome,
    OutcomeReason,
    Provider,
    Model,
    ModelVersion,
    ResponseModel,
    ResponseId,
    Prompt,
    NegativePrompt,
    SystemInstructions,
    InputMessages,
    OutputMessages,
    Output,
    InputHash,
    OutputHash,
    OutputPath,
    TokensIn,
    TokensOut,
    Cost,
    CostCurrency,
    ErrorType,
    Error,
    ContentFlags,
    AgentId,
    AgentVersion,
    DecisionType,
    Inputs,
    Outputs,
    DecisionSteps,
    Threshold,
    Confidence,
    RawOutput,
    FinalDecision,
    StateBefore,
    StateAfter,
    Details,
    Context,
}

impl Field {
    /// How many fields there are.
    pub(super) const COUNT: usize = Self::Context as usize + 1;
}

/// How many names one field can have.
pub(super) const RANKS: usize = 3;

/// What an attribute is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'k> {
    /// It fills a field; of two whose values fit the lower rank wins. No two names share field and rank.
    Field(Field, usize),
    /// A parameter of the request, under this name.
    Parameter(&'k str),
    /// Nothing of ours: it is kept in `metadata`.
    Metadata,
}

/// What the attribute `key` of a span or log record is for.
pub(super) fn target(key: &str) -> Target<'_> {
    use Field as F;
    let (field, rank) = match key {
        "tachograph.event.id" => (F::EventId, 0),
        "tachograph.kind" => (F::Kind, 0),
        "tachograph.correlation.id" => (F::CorrelationId, 0),
        "tachograph.parent.id" => (F::ParentId, 0),
        "tachograph.tenant" => (F::Tenant, 0),
        "tachograph.producer.id" => (F::Producer, 0),
        "tachograph.producer.epoch" => (F::ProducerEpoch, 0),
        "tachograph.producer.seq" => (F::ProducerSeq, 0),
        "tachograph.actor.type" => (F::ActorType, 0),
        "tachograph.actor.id" => (F::ActorId, 0),
        "enduser.id" => (F::ActorId, 1),
        "user.id" => (F::ActorId, 2),
        "session.id" => (F::SessionId, 0),
        "gen_ai.conversation.id" => (F::SessionId, 1),
        "tachograph.team" => (F::Team, 0),
        "client.address" => (F::ClientIp, 0),
        "tachograph.action.type" => (F::ActionType, 0),
        "gen_ai.operation.name" => (F::ActionType, 1),
        "tachograph.resource.type" => (F::ResourceType, 0),
        "tachograph.resource.id" => (F::ResourceId, 0),
        "gen_ai.tool.name" => (F::ResourceId, 1),
        "tachograph.outcome" => (F::Outcome, 0),
        "tachograph.outcome.reason" => (F::OutcomeReason, 0),
        "gen_ai.provider.name" => (F::Provider, 0),
        "gen_ai.system" => (F::Provider, 1),
        "gen_ai.request.model" => (F::Model, 0),
        "gen_ai.response.model" => (F::ResponseModel, 0),
        "tachograph.model.version" => (F::ModelVersion, 0),
        "gen_ai.response.id" => (F::ResponseId, 0),
        "tachograph.prompt" => (F::Prompt, 0),
        "gen_ai.prompt" => (F::Prompt, 1),
        "tachograph.negative_prompt" => (F::NegativePrompt, 0),
        "gen_ai.system_instructions" => (F::SystemInstructions, 0),
        "gen_ai.input.messages" => (F::InputMessages, 0),
        "gen_ai.output.messages" => (F::OutputMessages, 0),
        "tachograph.output" => (F::Output, 0),
        "gen_ai.completion" => (F::Output, 1),
        "tachograph.input.hash" => (F::InputHash, 0),
        "tachograph.output.hash" => (F::OutputHash, 0),
        "tachograph.output.path" => (F::OutputPath, 0),
        "gen_ai.usage.input_tokens" => (F::TokensIn, 0),
        "gen_ai.usage.prompt_tokens" => (F::TokensIn, 1),
        "gen_ai.usage.output_tokens" => (F::TokensOut, 0),
        "gen_ai.usage.completion_tokens" => (F::TokensOut, 1),
        "tachograph.cost" => (F::Cost, 0),
        "tachograph.cost.currency" => (F::CostCurrency, 0),
        "error.type" => (F::ErrorType, 0),
        "tachograph.error" => (F::Error, 0),
        "tachograph.content_flags" => (F::ContentFlags, 0),
        "gen_ai.agent.id" => (F::AgentId, 0),
        "gen_ai.agent.name" => (F::AgentId, 1),
        "gen_ai.agent.version" => (F::AgentVersion, 0),
        "tachograph.decision.type" => (F::DecisionType, 0),
        "tachograph.inputs" => (F::Inputs, 0),
        "gen_ai.tool.call.arguments" => (F::Inputs, 1),
        "gen_ai.retrieval.query.text" => (F::Inputs, 2),
        "tachograph.outputs" => (F::Outputs, 0),
        "gen_ai.tool.call.result" => (F::Outputs, 1),
        "gen_ai.retrieval.documents" => (F::Outputs, 2),
        "tachograph.decision.steps" => (F::DecisionSteps, 0),
        "tachograph.decision.threshold" => (F::Threshold, 0),
        "tachograph.decision.confidence" => (F::Confidence, 0),
        "tachograph.decision.raw_output" => (F::RawOutput, 0),
        "tachograph.decision.final" => (F::FinalDecision, 0),
        "tachograph.state.before" => (F::StateBefore, 0),
        "tachograph.state.after" => (F::StateAfter, 0),
        "tachograph.details" => (F::Details, 0),
        "tachograph.context" => (F::Context, 0),
        _ => {
            let parameter = key.strip_prefix("gen_ai.request.").or_else(|| key.strip_prefix("tachograph.parameter."));
            return match parameter {
                Some(name) if !name.is_empty() => Target::Parameter(name),
                _ => Target::Metadata,
            };
        }
    };
    Target::Field(field, rank)
}

/// What the attribute `key` of a resource is for.
pub(super) fn resource_target(key: &str) -> Target<'_> {
    match key {
        "service.name" => Target::Field(Field::ServiceName, 0),
        "deployment.environment.name" => Target::Field(Field::Environment, 0),
        "deployment.environment" => Target::Field(Field::Environment, 1),
        // Behind what the span itself says.
        "tachograph.tenant" => Target::Field(Field::Tenant, 1),
        _ => Target::Metadata,
    }
}

/// Whether the name with this field and rank is a resource attribute's.
pub(super) const fn is_of_resource(field: Field, rank: usize) -> bool {
    match field {
        Field::ServiceName | Field::Environment => true,
        Field::Tenant => rank == 1,
        _ => false,
    }
}

/// The kind of a record that does not name one, by `gen_ai.operation.name`.
pub(super) fn kind_of_operation(operation: &str) -> tachograph_record::Kind {
    use tachograph_record::Kind;
    match operation {
        "execute_tool" => Kind::ToolCall,
        "retrieval" | "search_memory" => Kind::Retrieval,
        "invoke_agent" | "create_agent" | "invoke_workflow" | "plan" => Kind::AgentDecision,
        _ => Kind::Generation,
    }
}
