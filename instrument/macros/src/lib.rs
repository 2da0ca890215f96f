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

use arguments::Arguments;
use fields::Target;
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

fn rewrite(target: &Target, arguments: TokenStream, function: TokenStream) -> TokenStream {
    Arguments::parse(target, arguments.into())
        .and_then(|arguments| expand::expand(target, &arguments, function.into()))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
