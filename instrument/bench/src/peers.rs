//! How other libraries say the same. Each in the cheapest form that its documentation offers: all twelve attributes are handed over
//! at once, those of the reply too where that form wants them at the start.

use std::borrow::Cow;

use fastrace::Span as FastSpan;
use fastrace::prelude::SpanContext;
use opentelemetry::trace::{Span, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use crate::workload::{Reply, Request, work};

fn attributes(request: &Request, reply: &Reply) -> [KeyValue; 12] {
    [
        KeyValue::new("gen_ai.provider.name", "acme"),
        KeyValue::new("gen_ai.operation.name", "image"),
        KeyValue::new("tachograph.action.type", "render"),
        KeyValue::new("gen_ai.request.model", request.model.clone()),
        KeyValue::new("tachograph.actor.id", request.user.clone()),
        KeyValue::new("session.id", request.session.clone()),
        KeyValue::new("tachograph.prompt", request.prompt.clone()),
        KeyValue::new("gen_ai.request.seed", request.seed),
        KeyValue::new("tachograph.parameter.guidance_scale", 7.5),
        KeyValue::new("tachograph.parameter.tiled", true),
        KeyValue::new("gen_ai.usage.output_tokens", reply.tokens),
        KeyValue::new("tachograph.cost", reply.cost),
    ]
}

/// `opentelemetry_sdk`, current while the work is done, so that what it calls nests. The others are measured against this.
#[inline(never)]
pub(crate) fn handwritten(tracer: &SdkTracer, request: &Request) -> Reply {
    let span = tracer.start("handwritten");
    let context = Context::current_with_span(span);
    let attached = context.clone().attach();
    let reply = work(request);
    drop(attached);
    context.span().set_attributes(attributes(request, &reply));
    context.span().end();
    reply
}

/// `opentelemetry_sdk`, attributes given to the builder, not current: nothing can nest.
#[inline(never)]
pub(crate) fn builder(tracer: &SdkTracer, request: &Request) -> Reply {
    let reply = work(request);
    let mut span = tracer.span_builder("builder").with_attributes(attributes(request, &reply)).start(tracer);
    span.end();
    reply
}

/// `tracing`, whose fields `tracing-opentelemetry` turns into attributes.
#[inline(never)]
pub(crate) fn tracing(request: &Request) -> Reply {
    let span = tracing::info_span!(
        "tracing",
        gen_ai.provider.name = "acme",
        gen_ai.operation.name = "image",
        tachograph.action.type = "render",
        gen_ai.request.model = request.model,
        tachograph.actor.id = request.user,
        session.id = request.session,
        tachograph.prompt = request.prompt,
        gen_ai.request.seed = request.seed,
        tachograph.parameter.guidance_scale = 7.5,
        tachograph.parameter.tiled = true,
        gen_ai.usage.output_tokens = request.width,
        tachograph.cost = 0.5,
    );
    let _entered = span.enter();
    work(request)
}

/// `fastrace`, whose properties are all text.
#[inline(never)]
pub(crate) fn fastrace(request: &Request) -> Reply {
    let root = FastSpan::root("fastrace", SpanContext::random()).with_properties(|| {
        [
            ("gen_ai.provider.name", Cow::Borrowed("acme")),
            ("gen_ai.operation.name", Cow::Borrowed("image")),
            ("tachograph.action.type", Cow::Borrowed("render")),
            ("gen_ai.request.model", request.model.clone().into()),
            ("tachograph.actor.id", request.user.clone().into()),
            ("session.id", request.session.clone().into()),
            ("tachograph.prompt", request.prompt.clone().into()),
            ("gen_ai.request.seed", request.seed.to_string().into()),
            ("tachograph.parameter.guidance_scale", 7.5.to_string().into()),
            ("tachograph.parameter.tiled", Cow::Borrowed("true")),
            ("gen_ai.usage.output_tokens", request.width.to_string().into()),
            ("tachograph.cost", 0.5.to_string().into()),
        ]
    });
    let _parent = root.set_local_parent();
    work(request)
}
