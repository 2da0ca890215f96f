//! Writing of the new function body.
//!
//! The body becomes a closure (or an async block) that is run by a `Call`. It captures as the
//! compiler infers it, so that what the body did not consume can still be named by an argument
//! that is taken afterwards. The code never holds a thread-local guard across an await: the
//! context is attached for each poll.

use crate::arguments::{Arguments, Capture, Sigil};
use crate::fields::{Shape, Target, When};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ItemFn, Lit, ReturnType, Type};

/// Rewrites `function`.
pub(crate) fn expand(target: &Target, arguments: &Arguments, function: TokenStream) -> syn::Result<TokenStream> {
    let function = parse_function(target, function)?;
    let call = Ident::new("__tachograph_call", Span::mixed_site());
    let returned = Ident::new("__tachograph_returned", Span::mixed_site());
    let fallible = arguments.fallible || is_result(&function.sig.output);

    let kind = format_ident!("{}", target.kind);
    let function_name = function.sig.ident.to_string();
    let room = arguments.captures.len();
    let entry = entry_captures(&call, arguments);
    let run = if function.sig.asyncness.is_some() { run_async(&call, &function) } else { run_sync(&call, &function) };
    let exit = exit_captures(&call, &returned, arguments, fallible);

    let ItemFn { attrs, vis, sig, .. } = &function;
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #[allow(unused_mut)]
            let mut #call = ::tachograph::__private::Call::open(
                ::tachograph::__private::Kind::#kind,
                #function_name,
                #room,
            );
            #entry
            #[allow(clippy::redundant_closure_call, clippy::let_unit_value)]
            let #returned = #run;
            #exit
            #call.finish();
            #returned
        }
    })
}

fn parse_function(target: &Target, tokens: TokenStream) -> syn::Result<ItemFn> {
    let whole = tokens.clone();
    let function: ItemFn = syn::parse2(tokens).map_err(|_| {
        syn::Error::new_spanned(
            whole,
            format!("`#[tachograph::{}]` goes on a function or method with a body", target.macro_name),
        )
    })?;
    if let Some(constness) = &function.sig.constness {
        return Err(syn::Error::new_spanned(constness, "a `const fn` can't be recorded: it may run in the compiler"));
    }
    if let ReturnType::Type(_, ty) = &function.sig.output
        && function.sig.asyncness.is_none()
        && returns_future(ty)
    {
        return Err(syn::Error::new_spanned(
            ty,
            "a function that returns a future would be recorded as finished before the future \
             runs; write it as `async fn`",
        ));
    }
    Ok(function)
}

fn run_sync(call: &Ident, function: &ItemFn) -> TokenStream {
    let block = &function.block;
    let output = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => annotation(ty),
    };
    quote!(#call.run(|| -> #output #block))
}

fn run_async(call: &Ident, function: &ItemFn) -> TokenStream {
    let future = Ident::new("__tachograph_future", Span::mixed_site());
    let task = Ident::new("__tachograph_task", Span::mixed_site());
    let block = &function.block;
    let output = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => annotation(ty),
    };
    // The unreachable return tells the compiler the block's type, as an async block can't be
    // annotated; without it `?` and `return` inside could not be inferred.
    quote! {{
        let mut #future = ::core::pin::pin!(async {
            #[allow(unreachable_code, clippy::diverging_sub_expression, clippy::empty_loop,
                clippy::let_unit_value, clippy::needless_return)]
            if false {
                let unreachable: #output = loop {};
                return unreachable;
            }
            #block
        });
        ::core::future::poll_fn(|#task| #call.poll(#future.as_mut(), #task)).await
    }}
}

/// The type as a closure or `let` may state it: `impl Trait` can't stand there.
fn annotation(ty: &Type) -> TokenStream {
    if contains_word(quote!(#ty), "impl") { quote!(_) } else { quote!(#ty) }
}

fn contains_word(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(ident) => ident == word,
        proc_macro2::TokenTree::Group(group) => contains_word(group.stream(), word),
        _ => false,
    })
}

fn returns_future(ty: &Type) -> bool {
    contains_word(quote!(#ty), "Future") || contains_word(quote!(#ty), "BoxFuture")
}

fn is_result(output: &ReturnType) -> bool {
    match output {
        ReturnType::Type(_, ty) => match &**ty {
            Type::Path(path) => path.path.segments.last().is_some_and(|segment| segment.ident == "Result"),
            _ => false,
        },
        ReturnType::Default => false,
    }
}

fn entry_captures(call: &Ident, arguments: &Arguments) -> TokenStream {
    let statements: Vec<_> = arguments
        .captures
        .iter()
        .filter(|capture| match capture.when {
            When::Entry => true,
            When::ByExpression => !capture.mentions_ret,
            When::Exit => false,
        })
        .map(|capture| match capture.shape {
            Shape::State => json(call, "tachograph.state.before", capture),
            _ => statement(call, capture),
        })
        .collect();
    if statements.is_empty() {
        return TokenStream::new();
    }
    quote!(if #call.is_on() { #(#statements)* })
}

fn exit_captures(call: &Ident, returned: &Ident, arguments: &Arguments, fallible: bool) -> TokenStream {
    let of_result: Vec<_> = arguments
        .captures
        .iter()
        .filter(|capture| capture.mentions_ret)
        .map(|capture| statement(call, capture))
        .collect();
    let always: Vec<_> = arguments
        .captures
        .iter()
        .filter(|capture| !capture.mentions_ret)
        .filter_map(|capture| match (capture.when, capture.shape) {
            (_, Shape::State) => Some(json(call, "tachograph.state.after", capture)),
            (When::Exit, _) => Some(statement(call, capture)),
            _ => None,
        })
        .collect();
    if of_result.is_empty() && always.is_empty() && !fallible {
        return TokenStream::new();
    }
    let ret = Ident::new("ret", Span::call_site());
    let error = Ident::new("__tachograph_error", Span::mixed_site());
    let of_result = match (fallible, of_result.is_empty()) {
        (false, true) => TokenStream::new(),
        (false, false) => quote!({ let #ret = &#returned; #(#of_result)* }),
        (true, _) => {
            let ok = if of_result.is_empty() { quote!(_) } else { quote!(#ret) };
            quote! {
                match &#returned {
                    ::core::result::Result::Ok(#ok) => { #(#of_result)* }
                    ::core::result::Result::Err(#error) => {
                        #[allow(unused_imports)]
                        use ::tachograph::__private::{DebugMessage as _, DisplayMessage as _, NoMessage as _};
                        #call.failed(
                            ::core::any::type_name_of_val(#error),
                            (&&&::tachograph::__private::ErrorText(#error)).message(),
                        );
                    }
                }
            }
        }
    };
    quote!(if #call.is_on() { #of_result #(#always)* })
}

fn statement(call: &Ident, capture: &Capture) -> TokenStream {
    let attribute = &capture.attribute;
    let expression = &capture.expression;
    let at = expression.span();
    match (capture.shape, capture.sigil) {
        (Shape::Json | Shape::State, _) => json(call, attribute, capture),
        (Shape::Correlation, Sigil::None) => {
            quote_spanned!(at=> #call.correlation(&(#expression));)
        }
        (Shape::Correlation, Sigil::Display) => {
            quote_spanned!(at=> #call.correlation(&::std::string::ToString::to_string(&(#expression)));)
        }
        (Shape::Correlation, Sigil::Debug) => {
            quote_spanned!(at=> #call.correlation(&::std::format!("{:?}", &(#expression)));)
        }
        (Shape::SpanName, Sigil::None) => {
            quote_spanned!(at=> #call.span_name(&(#expression));)
        }
        (Shape::SpanName, Sigil::Display) => {
            quote_spanned!(at=> #call.span_name(&::std::string::ToString::to_string(&(#expression)));)
        }
        (Shape::SpanName, Sigil::Debug) => {
            quote_spanned!(at=> #call.span_name(&::std::format!("{:?}", &(#expression)));)
        }
        (Shape::Steps, _) => quote_spanned!(at=> #call.steps(&(#expression));),
        (Shape::Text | Shape::Scalar, Sigil::None) if is_static_text(expression) => {
            quote_spanned!(at=> #call.literal(#attribute, #expression);)
        }
        (_, Sigil::Display) => quote_spanned!(at=> #call.display(#attribute, &(#expression));),
        (_, Sigil::Debug) => quote_spanned!(at=> #call.debug(#attribute, &(#expression));),
        (Shape::Text, Sigil::None) => {
            quote_spanned!(at=> #call.text(#attribute, &(#expression));)
        }
        (Shape::Integer, Sigil::None) => {
            quote_spanned!(at=> #call.integer(#attribute, &(#expression));)
        }
        (Shape::Number, Sigil::None) => {
            quote_spanned!(at=> #call.number(#attribute, &(#expression));)
        }
        (Shape::Scalar, Sigil::None) => {
            quote_spanned!(at=> #call.scalar(#attribute, &(#expression));)
        }
        (Shape::TextList, Sigil::None) => {
            quote_spanned!(at=> #call.text_list(#attribute, &(#expression));)
        }
        (Shape::Hash, Sigil::None) => {
            quote_spanned!(at=> #call.hash(#attribute, &(#expression));)
        }
    }
}

fn json(call: &Ident, attribute: &str, capture: &Capture) -> TokenStream {
    let expression = &capture.expression;
    let at = expression.span();
    match capture.sigil {
        Sigil::None => quote_spanned!(at=> #call.json(#attribute, &(#expression));),
        Sigil::Display => quote_spanned!(at=> #call.display(#attribute, &(#expression));),
        Sigil::Debug => quote_spanned!(at=> #call.json_debug(#attribute, &(#expression));),
    }
}

/// A string literal, or a macro of the compiler's own that yields one: no copy is needed.
fn is_static_text(expression: &Expr) -> bool {
    match expression {
        Expr::Lit(literal) => matches!(literal.lit, Lit::Str(_)),
        Expr::Macro(call) => ["env", "concat", "stringify"].iter().any(|name| call.mac.path.is_ident(name)),
        _ => false,
    }
}
