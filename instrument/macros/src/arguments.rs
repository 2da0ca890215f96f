//! Parsing of a macro's arguments: `name = expression`, `name = %expression` (Display),
//! `name = ?expression` (Debug), `parameters(name = expression, …)` and the word `fallible`.

use crate::fields::{Field, Shape, Target, When, parameter_attribute};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::HashSet;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, Token, parenthesized};

/// How an expression's value is turned into text, if the user said so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sigil {
    None,
    Display,
    Debug,
}

/// One value to capture.
pub(crate) struct Capture {
    pub(crate) attribute: String,
    pub(crate) shape: Shape,
    pub(crate) sigil: Sigil,
    pub(crate) expression: Expr,
    pub(crate) when: When,
    pub(crate) mentions_ret: bool,
}

/// All arguments of one attribute.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) captures: Vec<Capture>,
    /// The function's return type is a `Result` under another name.
    pub(crate) fallible: bool,
}

impl Arguments {
    /// Parses and checks the arguments. All mistakes are reported at once.
    pub(crate) fn parse(target: &Target, tokens: TokenStream) -> syn::Result<Self> {
        let items = Punctuated::<Item, Token![,]>::parse_terminated.parse2(tokens)?;
        let mut arguments = Self::default();
        let mut seen = HashSet::new();
        let mut errors: Option<syn::Error> = None;
        for item in items {
            let outcome = arguments.add(target, item, &mut seen);
            if let Err(error) = outcome {
                match &mut errors {
                    Some(all) => all.combine(error),
                    None => errors = Some(error),
                }
            }
        }
        match errors {
            Some(error) => Err(error),
            None => Ok(arguments),
        }
    }

    fn add(&mut self, target: &Target, item: Item, seen: &mut HashSet<String>) -> syn::Result<()> {
        let name = item.name().to_string();
        let at = item.name().span();
        match item {
            Item::Word(_) if name == "fallible" => {
                first_time(seen, &name, at)?;
                self.fallible = true;
                Ok(())
            }
            Item::Word(_) => Err(syn::Error::new(
                at,
                match target.field(&name) {
                    Some(_) => format!("`{name}` needs a value: write `{name} = expression`"),
                    None => unknown(target, &name),
                },
            )),
            Item::Parameters(_, _) if name != "parameters" || !target.takes_parameters => {
                Err(syn::Error::new(at, unknown(target, &name)))
            }
            Item::Parameters(_, values) => {
                for value in values {
                    let parameter = value.name.to_string();
                    let attribute = parameter_attribute(&parameter);
                    first_time(seen, &attribute, value.name.span())?;
                    self.captures.push(Capture::new(attribute, Shape::Scalar, When::ByExpression, value)?);
                }
                Ok(())
            }
            Item::Value(value) => {
                let field = target.field(&name).ok_or_else(|| syn::Error::new(at, unknown(target, &name)))?;
                for key in conflicts(field) {
                    first_time(seen, key, at)?;
                }
                self.captures.push(Capture::new(field.attribute.to_owned(), field.shape, field.when, value)?);
                Ok(())
            }
        }
    }
}

/// The keys that one field fills: two arguments must not fill the same.
fn conflicts(field: &Field) -> Vec<&'static str> {
    match field.shape {
        Shape::State => vec!["tachograph.state.before", "tachograph.state.after"],
        Shape::SpanName => vec!["name"],
        _ => vec![field.attribute],
    }
}

fn first_time(seen: &mut HashSet<String>, key: &str, at: Span) -> syn::Result<()> {
    if seen.insert(key.to_owned()) {
        return Ok(());
    }
    Err(syn::Error::new(at, format!("this fills `{key}` a second time; each argument may be given once")))
}

impl Capture {
    fn new(attribute: String, shape: Shape, when: When, value: Value) -> syn::Result<Self> {
        let refused = match (shape, value.sigil) {
            (Shape::TextList, Sigil::Display | Sigil::Debug) => {
                Some("takes a list of strings; `%` and `?` do not apply")
            }
            (Shape::Hash, Sigil::Debug) => Some(
                "is the SHA-256 of the value's bytes; write `%` if the value already is a hash, \
                 but `?` does not apply",
            ),
            _ => None,
        };
        if let Some(reason) = refused {
            return Err(syn::Error::new(value.sigil_span, format!("`{}` {reason}", value.name)));
        }
        let mentions_ret = mentions_ret(value.expression.to_token_stream());
        if when == When::Entry && mentions_ret {
            return Err(syn::Error::new_spanned(
                &value.expression,
                format!("`{}` is taken before the function runs, so `ret` does not exist yet", value.name),
            ));
        }
        if shape == Shape::State && mentions_ret {
            return Err(syn::Error::new_spanned(
                &value.expression,
                "`state` is taken before and after the function runs, so it can't use `ret`; \
                 use `state_before` and `state_after`",
            ));
        }
        Ok(Self { attribute, shape, sigil: value.sigil, expression: value.expression, when, mentions_ret })
    }
}

/// True if the tokens use the identifier `ret`, also inside an inlined format argument.
fn mentions_ret(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "ret",
        TokenTree::Group(group) => mentions_ret(group.stream()),
        TokenTree::Literal(literal) => {
            let text = literal.to_string();
            text.contains("{ret}") || text.contains("{ret:")
        }
        TokenTree::Punct(_) => false,
    })
}

fn unknown(target: &Target, name: &str) -> String {
    let mut known: Vec<&str> = target.fields().map(|field| field.name).collect();
    known.sort_unstable();
    let hint = known
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len())
        .map(|(_, candidate)| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default();
    let parameters = if target.takes_parameters { ", parameters(name = value, …)" } else { "" };
    format!(
        "unknown argument `{name}` of `#[tachograph::{}]`{hint}\nknown: {}{parameters}, fallible",
        target.macro_name,
        known.join(", "),
    )
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// `name = [%|?] expression`.
struct Value {
    name: Ident,
    sigil: Sigil,
    sigil_span: Span,
    expression: Expr,
}

impl Value {
    fn parse_after_name(name: Ident, input: ParseStream<'_>) -> syn::Result<Self> {
        input.parse::<Token![=]>()?;
        let sigil_span = input.span();
        let sigil = if input.peek(Token![%]) {
            input.parse::<Token![%]>()?;
            Sigil::Display
        } else if input.peek(Token![?]) {
            input.parse::<Token![?]>()?;
            Sigil::Debug
        } else {
            Sigil::None
        };
        Ok(Self { name, sigil, sigil_span, expression: input.parse()? })
    }
}

impl Parse for Value {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse()?;
        Self::parse_after_name(name, input)
    }
}

/// One argument as written.
enum Item {
    Word(Ident),
    Parameters(Ident, Punctuated<Value, Token![,]>),
    Value(Value),
}

impl Item {
    fn name(&self) -> &Ident {
        match self {
            Self::Word(name) | Self::Parameters(name, _) => name,
            Self::Value(value) => &value.name,
        }
    }
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input.parse()?;
        if input.peek(Token![=]) {
            Value::parse_after_name(name, input).map(Self::Value)
        } else if input.peek(syn::token::Paren) {
            let inner;
            parenthesized!(inner in input);
            Ok(Self::Parameters(name, Punctuated::parse_terminated(&inner)?))
        } else {
            Ok(Self::Word(name))
        }
    }
}
