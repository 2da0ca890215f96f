//! The attribute macros of the `tachograph` crate.
//!
//! Purpose: rewrite an annotated function so that each call becomes one record. Use them through
//! `tachograph`, which re-exports them; the code they write calls `::tachograph::__private`.
//!
//! Invariants: only what an argument names is captured; a mistake in the arguments is a compile
//! error at the word that is wrong; the signature of the function does not change.

mod arguments;
mod expand;
mod fields;
mod function;
mod leaving;
mod spelling;
mod step;

use arguments::{Arguments, Variables};
use fields::Target;
use function::Function;
use proc_macro::TokenStream;

/// Records each call of the function as a *generation*: a prompt that became text, an image or
/// another output.
///
/// ```text
/// #[tachograph::generation(provider = "acme", model = %req.model, prompt = req.prompt, output = ret.text)]
/// async fn complete(req: Request) -> Result<Reply, Error> { … }
/// ```
#[proc_macro_attribute]
pub fn generation(arguments: TokenStream, function: TokenStream) -> TokenStream {
    rewrite(&fields::GENERATION, arguments, function)
}

/// Records each call of the function as an *agent decision*: what was known, the steps, the
/// choice, and the state before and after.
///
/// ```text
/// #[tachograph::agent_decision(agent = "underwriter", decision = "LOAN", inputs = application, final_decision = %ret.verdict)]
/// fn decide(application: &Application) -> Decision { … }
/// ```
#[proc_macro_attribute]
pub fn agent_decision(arguments: TokenStream, function: TokenStream) -> TokenStream {
    rewrite(&fields::AGENT_DECISION, arguments, function)
}

/// Records each call of the function as a *tool call*.
///
/// ```text
/// #[tachograph::tool_call(tool = "place_order", arguments = order, result = ret)]
/// fn place(order: &Order) -> Fill { … }
/// ```
#[proc_macro_attribute]
pub fn tool_call(arguments: TokenStream, function: TokenStream) -> TokenStream {
    rewrite(&fields::TOOL_CALL, arguments, function)
}

/// Records each call of the function as a *retrieval*: a question to a search index, a vector store or another source, and what it
/// gave.
///
/// ```text
/// #[tachograph::retrieval(data_source = "handbook", query = question, top_k = 3, documents = ret)]
/// async fn search(question: &str) -> Vec<Passage> { … }
/// ```
#[proc_macro_attribute]
pub fn retrieval(arguments: TokenStream, function: TokenStream) -> TokenStream {
    rewrite(&fields::RETRIEVAL, arguments, function)
}

/// Records each call of the function as an *approval*: somebody who may decides whether something goes on.
///
/// ```text
/// #[tachograph::approval(approver = officer.id, actor_type = "user", subject = loan.id, granted = ret.granted, reason = ret.remark)]
/// async fn ask(officer: &Officer, loan: &Loan) -> Verdict { … }
/// ```
#[proc_macro_attribute]
pub fn approval(arguments: TokenStream, function: TokenStream) -> TokenStream {
    rewrite(&fields::APPROVAL, arguments, function)
}

/// Records one *audit event*: who did what to what, and how it ended.
///
/// ```text
/// tachograph::audit! { action = "model.deploy", actor = user, resource_type = "model", resource = model.id }
/// ```
#[proc_macro]
pub fn audit(arguments: TokenStream) -> TokenStream {
    Arguments::parse(&fields::AUDIT, arguments.into(), &Variables::InScope)
        .map(|arguments| expand::expand_event(&fields::AUDIT, &arguments))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Adds a step to the enclosing `agent_decision`: what was looked at, what came out, and why.
///
/// ```text
/// tachograph::step!("RSI_CHECK", result = rsi, reason = "RSI {rsi} is below 30", threshold = 30, confidence = 0.8);
/// ```
#[proc_macro]
pub fn step(arguments: TokenStream) -> TokenStream {
    match syn::parse::<step::Step>(arguments) {
        Ok(step) => step.expand().into(),
        Err(error) => error.to_compile_error().into(),
    }
}

fn rewrite(target: &Target, arguments: TokenStream, function: TokenStream) -> TokenStream {
    let rewritten = Function::parse(target, function.clone().into()).and_then(|function| {
        let arguments = Arguments::parse(target, arguments.into(), &Variables::Of(function.parameters()))?;
        expand::expand(target, &arguments, &function)
    });
    match rewritten {
        Ok(rewritten) => rewritten.into(),
        // The function stays, so that the mistake is told and not that nobody finds the function.
        Err(error) => [TokenStream::from(error.to_compile_error()), function].into_iter().collect(),
    }
}
