//! Writing of the new function body.
//!
//! The body becomes a closure (or an async block) that is run by a `Call`. Where an argument that is taken
//! afterwards names a parameter it captures as the compiler infers it, so that what the body did not consume is still there. The code never holds a thread-local guard across an await: the
//! context is attached for each poll.

use crate::arguments::{Arguments, Capture, Sigil};
use crate::fields::{Shape, Target, When};
use crate::function::{Form, Function};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Lit, ReturnType, Type};

/// Rewrites `function`.
pub(crate) fn expand(target: &Target, arguments: &Arguments, function: &Function) -> syn::Result<TokenStream> {
    let call = Ident::new("__tachograph_call", Span::mixed_site());
    let returned = Ident::new("__tachograph_returned", Span::mixed_site());
    let item = &function.item;
    refuse_ret_parameter(arguments, function)?;
    let site = site(target, arguments, &item.sig.ident.to_string());
    let entry = entry_captures(&call, arguments);
    let exit = exit_captures(&call, &returned, arguments);

    let body = match &function.form {
        Form::Future { boxed, .. } => {
            refuse_late_captures(arguments)?;
            let future = returned_future(&call, &returned, function, *boxed, &exit);
            quote!(#entry #future)
        }
        Form::Stream { boxed, item } => {
            refuse_late_captures(arguments)?;
            refuse_ret(arguments)?;
            let fallible = arguments.fallible || item.as_deref().is_some_and(is_result);
            let stream = returned_stream(&call, function, *boxed, fallible);
            quote!(#entry #stream)
        }
        form @ (Form::Sync | Form::Async) if returns_never(function) => {
            let run = run(form, &call, arguments, function);
            // It ends by a panic, or is dropped.
            quote! {
                #entry
                #[allow(unused_braces, unreachable_code, clippy::diverging_sub_expression, clippy::let_unit_value)]
                let () = { #run; ::core::unreachable!("the function never returns") };
            }
        }
        form => {
            let run = run(form, &call, arguments, function);
            quote! {
                #entry
                #[allow(unused_braces, clippy::redundant_closure_call, clippy::let_unit_value)]
                let #returned = #run;
                #exit
                #call.finish();
                #returned
            }
        }
    };
    let syn::ItemFn { attrs, vis, sig, .. } = item;
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #[allow(unused_mut)]
            let mut #call = ::tachograph::__private::Call::open(#site);
            #body
        }
    })
}

/// An event by itself: nothing surrounds a body.
pub(crate) fn expand_event(target: &Target, arguments: &Arguments) -> TokenStream {
    let call = Ident::new("__tachograph_call", Span::mixed_site());
    let site = site(target, arguments, "audit");
    let entry = entry_captures(&call, arguments);
    quote! {{
        #[allow(unused_mut)]
        let mut #call = ::tachograph::__private::Call::open(#site);
        #entry
        #call.finish();
    }}
}

/// What is known of the call when it is compiled.
fn site(target: &Target, arguments: &Arguments, name: &str) -> TokenStream {
    let kind = format_ident!("{}", target.kind);
    let room = arguments.captures.iter().map(|capture| match capture.shape {
        Shape::Usage => 5,
        Shape::State | Shape::Granted => 2,
        _ => 1,
    });
    let room: usize = room.sum();
    let capture = format_ident!("{}", arguments.capture.unwrap_or("Full"));
    let attributes = arguments.capture_of.iter().map(|(attribute, _)| attribute);
    let choices = arguments.capture_of.iter().map(|(_, choice)| format_ident!("{choice}"));
    quote! {
        &::tachograph::__private::Site {
            kind: ::tachograph::__private::Kind::#kind,
            name: #name,
            room: #room,
            choice: ::tachograph::__private::Choice {
                all: ::tachograph::Capture::#capture,
                of: &[#((#attributes, ::tachograph::Capture::#choices)),*],
            },
        }
    }
}

/// The function makes a future and gives it out; the record is of that future.
fn returned_future(
    call: &Ident,
    returned: &Ident,
    function: &Function,
    boxed: bool,
    exit: &TokenStream,
) -> TokenStream {
    let future = Ident::new("__tachograph_future", Span::mixed_site());
    let task = Ident::new("__tachograph_task", Span::mixed_site());
    let block = &function.item.block;
    let ty = match &function.item.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => annotation(ty),
    };
    let recorded = quote! {
        async move {
            #[allow(unused_mut)]
            let mut #call = #call;
            let mut #future = ::core::pin::pin!(#future);
            #[allow(clippy::let_unit_value)]
            let #returned = ::core::future::poll_fn(|#task| #call.poll(#future.as_mut(), #task)).await;
            #exit
            #call.finish();
            #returned
        }
    };
    let recorded = if boxed { quote!(::std::boxed::Box::pin(#recorded)) } else { recorded };
    quote! {
        #[allow(unused_braces, clippy::redundant_closure_call)]
        let #future = #call.begin(|| -> #ty #block);
        #recorded
    }
}

/// The function makes a stream and gives it out; the record is of that stream.
fn returned_stream(call: &Ident, function: &Function, boxed: bool, fallible: bool) -> TokenStream {
    let stream = Ident::new("__tachograph_stream", Span::mixed_site());
    let block = &function.item.block;
    let ty = match &function.item.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => annotation(ty),
    };
    let method = format_ident!("{}", if fallible { "try_stream" } else { "stream" });
    let recorded = quote!(#call.#method(#stream));
    let recorded = if boxed { quote!(::std::boxed::Box::pin(#recorded)) } else { recorded };
    quote! {
        #[allow(unused_braces, clippy::redundant_closure_call)]
        let #stream = #call.begin(|| -> #ty #block);
        #recorded
    }
}

/// `ret` would stand for two things.
fn refuse_ret_parameter(arguments: &Arguments, function: &Function) -> syn::Result<()> {
    let named = arguments.captures.iter().find(|capture| capture.mentions_ret);
    match named.filter(|_| function.parameters().iter().any(|parameter| parameter == "ret")) {
        Some(capture) => Err(syn::Error::new_spanned(
            &capture.expression,
            "`ret` stands for what the function returns, and it has a parameter of that name: rename the parameter",
        )),
        None => Ok(()),
    }
}

/// A stream has no one value.
fn refuse_ret(arguments: &Arguments) -> syn::Result<()> {
    match arguments.captures.iter().find(|capture| capture.mentions_ret) {
        Some(capture) => Err(syn::Error::new_spanned(
            &capture.expression,
            "a stream has no `ret`: its items come one by one. To record what they hold, use a builder: \
             `tachograph::Generation::new(…).start().stream_each(stream, |generation, item| …)`",
        )),
        None => Ok(()),
    }
}

/// The future that a function returns owns what the function had; nothing of it is there when it ends.
fn refuse_late_captures(arguments: &Arguments) -> syn::Result<()> {
    let late = arguments
        .captures
        .iter()
        .find(|capture| capture.shape == Shape::State || (capture.when == When::Exit && !capture.mentions_ret));
    match late {
        Some(capture) => Err(syn::Error::new_spanned(
            &capture.expression,
            "what is taken after the call can't be named here: the future that the function returns has consumed its \
             parameters by then. Use `ret`, `state_before`, or a function that is written as `async fn` outside of \
             `#[async_trait]`",
        )),
        None => Ok(()),
    }
}

fn run(form: &Form, call: &Ident, arguments: &Arguments, function: &Function) -> TokenStream {
    match form {
        Form::Async => run_async(call, arguments, function),
        _ => run_sync(call, function),
    }
}

fn returns_never(function: &Function) -> bool {
    matches!(&function.item.sig.output, ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)))
}

fn run_sync(call: &Ident, function: &Function) -> TokenStream {
    let block = &function.item.block;
    let output = match &function.item.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => annotation(ty),
    };
    quote!(#call.run(|| -> #output #block))
}

fn run_async(call: &Ident, arguments: &Arguments, function: &Function) -> TokenStream {
    let future = Ident::new("__tachograph_future", Span::mixed_site());
    let task = Ident::new("__tachograph_task", Span::mixed_site());
    let block = &function.item.block;
    let output = match &function.item.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => annotation(ty),
    };
    // What is taken afterwards may name what the body did not consume, so that the body borrows it then. Else it owns what it uses, as
    // the function's own future does: a reference held across an await makes the future `Send` only if what it refers to is `Sync`.
    let late: Vec<_> = arguments.captures.iter().filter(|capture| capture.is_late()).collect();
    let owned = function.parameters().into_iter().chain(["self".to_owned()]);
    let named_late = owned.into_iter().any(|name| late.iter().any(|capture| capture.mentions(&name)));
    let move_if_owned = if named_late { quote!() } else { quote!(move) };
    // The unreachable return tells the compiler the block's type, as an async block can't be
    // annotated; without it `?` and `return` inside could not be inferred. `!` can't be stated, and needs not be.
    let stated = if returns_never(function) {
        quote!()
    } else {
        quote! {
            #[allow(unreachable_code, clippy::diverging_sub_expression, clippy::empty_loop,
                clippy::let_unit_value, clippy::needless_return)]
            if false {
                let unreachable: #output = loop {};
                return unreachable;
            }
        }
    };
    quote! {{
        let mut #future = ::core::pin::pin!(async #move_if_owned {
            #stated
            #block
        });
        ::core::future::poll_fn(|#task| #call.poll(#future.as_mut(), #task)).await
    }}
}

/// The type as a closure or `let` may state it: `impl Trait` can't stand there.
fn annotation(ty: &Type) -> TokenStream {
    if contains_word(quote!(#ty), "impl") { quote!(_) } else { quote!(#ty) }
}

pub(crate) fn contains_word(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        proc_macro2::TokenTree::Ident(ident) => ident == word,
        proc_macro2::TokenTree::Group(group) => contains_word(group.stream(), word),
        _ => false,
    })
}

fn is_result(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|segment| segment.ident == "Result"),
        _ => false,
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

/// How the call ended goes by the type of what it returned: its name may be an alias.
fn exit_captures(call: &Ident, returned: &Ident, arguments: &Arguments) -> TokenStream {
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
    let ret = Ident::new("ret", Span::call_site());
    let ended = Ident::new("__tachograph_ended", Span::mixed_site());
    let error = Ident::new("__tachograph_error", Span::mixed_site());
    let of_result = if of_result.is_empty() {
        TokenStream::new()
    } else {
        quote!(if let ::core::option::Option::Some(#ret) = (&&#ended).value() { #(#of_result)* })
    };
    quote! {
        if #call.is_on() {
            #[allow(unused_imports)]
            use ::tachograph::__private::{DebugMessage as _, DisplayMessage as _, EndedEither as _, EndedWell as _, NoMessage as _};
            let #ended = ::tachograph::__private::Ended(&#returned);
            #of_result
            if let ::core::option::Option::Some(#error) = (&&#ended).error() {
                #call.failed(
                    ::core::any::type_name_of_val(#error),
                    (&&&::tachograph::__private::ErrorText(#error)).message(),
                );
            }
            #(#always)*
        }
    }
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
        (Shape::Usage, _) => quote_spanned!(at=> #call.usage(&(#expression));),
        (Shape::Causes, _) => quote_spanned!(at=> #call.causes(&(#expression));),
        (Shape::Granted, _) => quote_spanned!(at=> #call.granted(&(#expression));),
        (Shape::Outcome, Sigil::None) => quote_spanned!(at=> #call.outcome(&(#expression));),
        (Shape::Outcome, Sigil::Display) => {
            quote_spanned!(at=> #call.outcome(&::std::string::ToString::to_string(&(#expression)));)
        }
        (Shape::Outcome, Sigil::Debug) => {
            quote_spanned!(at=> #call.outcome(&::std::format!("{:?}", &(#expression)));)
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
