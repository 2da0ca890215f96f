//! `step!`: its arguments and what it becomes.

use crate::spelling::did_you_mean;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Expr, Lit, Token};

const KNOWN: [&str; 4] = ["result", "reason", "threshold", "confidence"];

/// `step!("NAME", result = …, reason = "format {}", …, threshold = …, confidence = …)`.
pub(crate) struct Step {
    name: Expr,
    parts: Vec<Part>,
}

struct Part {
    name: Ident,
    value: Expr,
    /// What a format string in `reason` takes.
    format: Option<Vec<TokenStream>>,
}

impl Parse for Step {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() || (input.peek(syn::Ident) && input.peek2(Token![=]) && !input.peek2(Token![==])) {
            return Err(input.error("a step begins with its name: `step!(\"RISK_CHECK\", result = …, reason = \"…\")`"));
        }
        let name = input.parse()?;
        let mut parts: Vec<Part> = Vec::new();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            parts.push(Part::parse(input, &parts)?);
        }
        Ok(Self { name, parts })
    }
}

impl Part {
    fn parse(input: ParseStream<'_>, before: &[Self]) -> syn::Result<Self> {
        if !(input.peek(syn::Ident) && input.peek2(Token![=]) && !input.peek2(Token![==])) {
            return Err(input.error(format!("expected `name = expression`; known: {}", KNOWN.join(", "))));
        }
        let name: Ident = input.parse()?;
        let text = name.to_string();
        if !KNOWN.contains(&text.as_str()) {
            return Err(syn::Error::new(
                name.span(),
                format!(
                    "unknown argument `{text}` of `step!`{}\nknown: {}",
                    did_you_mean(&text, &KNOWN),
                    KNOWN.join(", ")
                ),
            ));
        }
        if before.iter().any(|part| part.name == name) {
            return Err(syn::Error::new(name.span(), format!("`{text}` is given a second time")));
        }
        input.parse::<Token![=]>()?;
        let value: Expr = input.parse()?;
        let is_format = text == "reason" && matches!(&value, Expr::Lit(literal) if matches!(literal.lit, Lit::Str(_)));
        let format = if is_format { Some(format_arguments(input)?) } else { None };
        Ok(Self { name, value, format })
    }
}

/// What follows a format string up to the next argument of `step!`.
fn format_arguments(input: ParseStream<'_>) -> syn::Result<Vec<TokenStream>> {
    let mut arguments = Vec::new();
    loop {
        let ahead = input.fork();
        if ahead.parse::<Token![,]>().is_err() || ahead.is_empty() {
            return Ok(arguments);
        }
        if ahead.peek(syn::Ident) && ahead.peek2(Token![=]) && !ahead.peek2(Token![==]) {
            let name: Ident = ahead.parse()?;
            if KNOWN.iter().any(|known| name == known) {
                return Ok(arguments);
            }
            input.parse::<Token![,]>()?;
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let value: Expr = input.parse()?;
            arguments.push(quote!(#name = #value));
        } else {
            input.parse::<Token![,]>()?;
            let value: Expr = input.parse()?;
            arguments.push(quote!(#value));
        }
    }
}

impl Step {
    pub(crate) fn expand(&self) -> TokenStream {
        let step = Ident::new("__tachograph_step", Span::mixed_site());
        let name = &self.name;
        let parts = self.parts.iter().map(|part| {
            let (method, value, at) = (&part.name, &part.value, part.value.span());
            match &part.format {
                Some(arguments) => quote_spanned!(at=> #step.reason(::core::format_args!(#value #(, #arguments)*));),
                None => quote_spanned!(at=> #step.#method(&(#value));),
            }
        });
        quote! {
            if let ::core::option::Option::Some(mut #step) = ::tachograph::__private::Step::open(
                ::core::concat!(::core::file!(), ":", ::core::line!()),
            ) {
                #step.name(#name);
                #(#parts)*
                #step.add();
            }
        }
    }
}
