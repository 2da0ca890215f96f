//! Which attributes hold content, by their names.

/// What is done to one piece of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// All that was chosen.
    Content,
    /// The hook and the bound: it says how the call ended.
    Ending,
    /// Nothing.
    Plain,
}

/// How a call ended, in words.
const ENDING: [&str; 3] = ["tachograph.outcome.reason", "tachograph.error", "tachograph.decision.final"];

/// What holds content on any span, and has no name that says so.
const CONTENT: [&str; 14] = [
    "exception.message",
    "exception.stacktrace",
    "tool_arguments",
    "tool_response",
    "tool_call_args",
    "tool_input",
    "final_result",
    "model_request_parameters",
    "all_messages_events",
    "request_data",
    "response_data",
    "user_prompt",
    "new_context",
    "logfire.msg",
];

/// Where content is, in this crate's names and in the dialects of others: all text there is content unless it is known to be plain.
const DIALECTS: [&str; 21] = [
    "tachograph.",
    "gen_ai.",
    "llm.",
    "input.",
    "output.",
    "retrieval.",
    "reranker.",
    "embedding.",
    "tool.",
    "document.",
    "message.",
    "traceloop.",
    "ai.",
    "langfuse.",
    "langsmith.",
    "mlflow.",
    "pydantic_ai.",
    "genkit:",
    "gcp.vertex.agent.",
    "lk.",
    "lmnr.",
];

/// What is known not to be content: names of fields, and of where and how things run.
const PLAIN: [&str; 113] = [
    "tachograph.kind",
    "tachograph.event.id",
    "tachograph.correlation.id",
    "tachograph.parent.id",
    "tachograph.producer.id",
    "tachograph.producer.epoch",
    "tachograph.actor.id",
    "tachograph.actor.type",
    "tachograph.action.type",
    "tachograph.resource.id",
    "tachograph.resource.type",
    "tachograph.tenant",
    "tachograph.team",
    "tachograph.outcome",
    "tachograph.model.version",
    "tachograph.input.hash",
    "tachograph.output.hash",
    "tachograph.output.path",
    "tachograph.cost.currency",
    "tachograph.content_flags",
    "tachograph.decision.type",
    "tachograph.parameter.size",
    "tachograph.capture",
    "tachograph.left_out",
    "enduser.id",
    "user.id",
    "session.id",
    "client.address",
    "error.type",
    "event.name",
    "exception.type",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.system",
    "gen_ai.conversation.id",
    "gen_ai.data_source.id",
    "gen_ai.output.type",
    "gen_ai.token.type",
    "gen_ai.tool.name",
    "gen_ai.tool.type",
    "gen_ai.tool.call.id",
    "gen_ai.agent.id",
    "gen_ai.agent.name",
    "gen_ai.agent.version",
    "gen_ai.agent.call.id",
    "gen_ai.workflow.name",
    "gen_ai.sdk.version",
    "gen_ai.request.model",
    "gen_ai.request.encoding_formats",
    "gen_ai.request.image_quality",
    "gen_ai.request.image_size",
    "gen_ai.request.service_tier",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.service_tier",
    "gen_ai.response.system_fingerprint",
    "gen_ai.openai.api_base",
    "gen_ai.openai.request.service_tier",
    "gen_ai.openai.response.service_tier",
    "gen_ai.openai.response.system_fingerprint",
    "gen_ai.openai.system_fingerprint",
    "gen_ai.usage.input_token_details",
    "gen_ai.usage.output_token_details",
    "openai.api.type",
    "openai.request.service_tier",
    "openai.response.service_tier",
    "openai.response.system_fingerprint",
    "http.request.method",
    "http.route",
    "rpc.system",
    "rpc.service",
    "rpc.method",
    "service.name",
    "llm.model_name",
    "llm.provider",
    "llm.system",
    "llm.finish_reason",
    "llm.request.type",
    "llm.request.model_name",
    "llm.response.model_name",
    "input.mime_type",
    "output.mime_type",
    "embedding.model_name",
    "reranker.model_name",
    "tool.name",
    "tool.id",
    "openinference.span.kind",
    "traceloop.span.kind",
    "traceloop.entity.name",
    "traceloop.entity.path",
    "traceloop.workflow.name",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.user_id",
    "ai.model.id",
    "ai.model.provider",
    "ai.operationId",
    "ai.telemetry.functionId",
    "ai.response.id",
    "ai.response.model",
    "ai.response.finishReason",
    "ai.response.timestamp",
    "ai.toolCall.id",
    "ai.toolCall.name",
    "langfuse.observation.type",
    "langfuse.observation.model.name",
    "langfuse.observation.cost_details",
    "langfuse.observation.usage_details",
    "langsmith.span.kind",
    "mlflow.spanType",
    "mlflow.llm.model",
    "mlflow.llm.provider",
    "mlflow.chat.tokenUsage",
];
const PLAIN_PREFIXES: [&str; 4] = ["code.", "network.", "server.", "thread."];

/// Events whose names are known.
const EVENTS: [&str; 9] = [
    "exception",
    "gen_ai.system.message",
    "gen_ai.user.message",
    "gen_ai.assistant.message",
    "gen_ai.tool.message",
    "gen_ai.choice",
    "gen_ai.content.prompt",
    "gen_ai.content.completion",
    "gen_ai.client.inference.operation.details",
];

/// If `strict`, text is content unless it is known to be plain.
pub(super) fn class(attribute: &str, strict: bool) -> Class {
    let starts_with = |prefixes: &[&str]| prefixes.iter().any(|prefix| attribute.starts_with(prefix));
    if ENDING.contains(&attribute) {
        Class::Ending
    } else if CONTENT.contains(&attribute) {
        Class::Content
    } else if PLAIN.contains(&attribute) || starts_with(&PLAIN_PREFIXES) {
        Class::Plain
    } else if strict || starts_with(&DIALECTS) {
        Class::Content
    } else {
        Class::Plain
    }
}

/// Whether an event's name is one that many use, and so no content.
pub(super) fn is_event(name: &str) -> bool {
    EVENTS.contains(&name)
}

/// Whether an event is there to hold content, under names of its own.
pub(super) fn is_content_event(name: &str) -> bool {
    name.starts_with("gen_ai.")
}
