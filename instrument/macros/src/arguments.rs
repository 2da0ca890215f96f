//! Parsing of a macro's arguments: `name = expression`, `name = %expression` (Display),
//! `name = ?expression` (Debug), `name`, `%name` and `?name` alone for a variable of that name,
//! `parameters(name = expression, …)`, `capture = off`, `capture(name = hashed, …)` and the word `fallible`.

use crate::fields::{Field, Shape, Target, USAGE, When, parameter_attribute, words};
use crate::leaving;
use crate::spelling::did_you_mean;
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::HashSet;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprPath, Ident, Lit, Token, parenthesized};

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
    /// The items of the stream are `Result`s under another name. (What a function returns itself is known by its type.)
    pub(crate) fallible: bool,
    /// How content is captured, as the name of a variant of `tachograph::Capture`.
    pub(crate) capture: Option<&'static str>,
    /// The same for single attributes.
    pub(crate) capture_of: Vec<(&'static str, &'static str)>,
}

/// What can be named by its name alone.
pub(crate) enum Variables {
    /// These parameters of the function.
    Of(Vec<String>),
    /// Whatever is in scope.
    InScope,
}

impl Variables {
    fn have(&self, name: &str) -> bool {
        match self {
            Self::Of(names) => names.iter().any(|known| known == name),
            Self::InScope => true,
        }
    }
}

impl Arguments {
    /// Parses and checks the arguments. All mistakes are reported at once.
    pub(crate) fn parse(target: &Target, tokens: TokenStream, variables: &Variables) -> syn::Result<Self> {
        let items = Punctuated::<Item, Token![,]>::parse_terminated.parse2(tokens)?;
        let mut parser =
            Collector { target, variables, arguments: Self::default(), seen: HashSet::new(), errors: None };
        for item in items {
            parser.attempt(|parser| parser.add(item));
        }
        if let Some((name, example)) = target.required
            && !parser.seen.contains(target.field(name).map_or("", |field| field.attribute))
        {
            parser.refuse(syn::Error::new(
                Span::call_site(),
                format!("`{}` says who did what: `{name}` is missing, for example `{example}`", target.macro_name),
            ));
        }
        match parser.errors {
            Some(error) => Err(error),
            None => Ok(parser.arguments),
        }
    }
}

/// The arguments so far, and what is wrong with them.
struct Collector<'a> {
    target: &'a Target,
    variables: &'a Variables,
    arguments: Arguments,
    seen: HashSet<String>,
    errors: Option<syn::Error>,
}

impl Collector<'_> {
    /// Goes on after a mistake, so that all are told.
    fn attempt(&mut self, step: impl FnOnce(&mut Self) -> syn::Result<()>) {
        if let Err(error) = step(self) {
            self.refuse(error);
        }
    }

    fn refuse(&mut self, error: syn::Error) {
        match &mut self.errors {
            Some(all) => all.combine(error),
            None => self.errors = Some(error),
        }
    }

    fn add(&mut self, item: Item) -> syn::Result<()> {
        let name = item.name().to_string();
        let at = item.name().span();
        match item {
            Item::Value(value) if name == "capture" => {
                self.first_time("capture", at)?;
                self.arguments.capture = Some(capture_choice(&value)?);
                Ok(())
            }
            Item::List(_, values) if name == "capture" => {
                values.into_iter().for_each(|value| self.attempt(|parser| parser.add_capture(&value)));
                Ok(())
            }
            Item::List(_, values) if name == "parameters" && self.target.takes_parameters => {
                values.into_iter().for_each(|value| self.attempt(|parser| parser.add_parameter(value)));
                Ok(())
            }
            Item::List(..) => Err(syn::Error::new(at, self.unknown(&name))),
            Item::Other(_) => Err(syn::Error::new(
                at,
                match self.target.field(&name) {
                    Some(_) => format!("`{name}` takes one value: write `{name} = expression`"),
                    None => self.unknown(&name),
                },
            )),
            Item::Word(Sigil::None, _, _) if name == "fallible" && self.target.has_body => {
                self.first_time("fallible", at)?;
                self.arguments.fallible = true;
                Ok(())
            }
            Item::Word(sigil, sigil_span, word) => {
                if self.target.field(&name).is_none() {
                    return Err(syn::Error::new(at, self.unknown(&name)));
                }
                if !self.variables.have(&name) {
                    return Err(syn::Error::new(
                        at,
                        format!(
                            "`{name}` needs a value: write `{name} = expression` \
                             (the word alone stands for the function's parameter of that name, and there is none)"
                        ),
                    ));
                }
                let expression = Expr::Path(ExprPath { attrs: Vec::new(), qself: None, path: word.clone().into() });
                self.add_value(Value { name: word, sigil, sigil_span, expression })
            }
            Item::Value(value) => self.add_value(value),
        }
    }

    fn add_value(&mut self, value: Value) -> syn::Result<()> {
        let (name, at) = (value.name.to_string(), value.name.span());
        let field = self.target.field(&name).ok_or_else(|| syn::Error::new(at, self.unknown(&name)))?;
        for key in filled(field) {
            self.first_time(key, at)?;
        }
        let capture = Capture::new(self.target, field.attribute.to_owned(), field.shape, field.when, value)?;
        self.arguments.captures.push(capture);
        Ok(())
    }

    fn add_parameter(&mut self, value: Value) -> syn::Result<()> {
        let parameter = value.name.unraw().to_string();
        let attribute = parameter_attribute(&parameter);
        self.first_time(&attribute, value.name.span())?;
        let capture = Capture::new(self.target, attribute, Shape::Scalar, When::ByExpression, value)?;
        self.arguments.captures.push(capture);
        Ok(())
    }

    /// One of `capture(prompt = hashed, output = off)`.
    fn add_capture(&mut self, value: &Value) -> syn::Result<()> {
        let (name, at) = (value.name.to_string(), value.name.span());
        let content: Vec<_> = self.target.fields().filter(|field| field.content).collect();
        let Some(field) = content.iter().find(|field| field.name == name) else {
            let known: Vec<_> = content.iter().map(|field| field.name).collect();
            let what = match self.target.field(&name) {
                Some(_) => format!("`{name}` is no content, it is always recorded as it is"),
                None => {
                    format!("`{}` has no content `{name}`{}", self.target.macro_name, did_you_mean(&name, &known))
                }
            };
            return Err(syn::Error::new(at, format!("{what}\ncontent: {}", known.join(", "))));
        };
        self.first_time(&format!("capture({name})"), at)?;
        let choice = capture_choice(value)?;
        self.arguments.capture_of.extend(filled(field).into_iter().map(|attribute| (attribute, choice)));
        Ok(())
    }

    fn first_time(&mut self, key: &str, at: Span) -> syn::Result<()> {
        if self.seen.insert(key.to_owned()) {
            return Ok(());
        }
        Err(syn::Error::new(at, format!("this fills `{key}` a second time; each argument may be given once")))
    }

    fn unknown(&self, name: &str) -> String {
        let target = self.target;
        let mut known: Vec<&str> = target.fields().map(|field| field.name).collect();
        known.sort_unstable();
        let parameters = if target.takes_parameters { ", parameters(name = value, …)" } else { "" };
        let fallible = if target.has_body { ", fallible" } else { "" };
        format!(
            "unknown argument `{name}` of `{}`{}\nknown: {}{parameters}, capture = off | hashed | full, capture(name = …){fallible}",
            target.macro_name,
            did_you_mean(name, &known),
            known.join(", "),
        )
    }
}

/// The variant of `tachograph::Capture` that a value names.
fn capture_choice(value: &Value) -> syn::Result<&'static str> {
    let word = match (&value.expression, value.sigil) {
        (Expr::Path(path), Sigil::None) => path.path.get_ident().map(ToString::to_string),
        _ => None,
    };
    match word.as_deref() {
        Some("off") => Ok("Off"),
        Some("hashed") => Ok("Hashed"),
        Some("full") => Ok("Full"),
        _ => Err(syn::Error::new_spanned(
            &value.expression,
            "content is captured `off` (not at all), `hashed` (its SHA-256 and its length) or `full`; write one of these words",
        )),
    }
}

/// The attributes that one field fills: two arguments must not fill the same.
fn filled(field: &Field) -> Vec<&'static str> {
    match field.shape {
        Shape::State => vec!["tachograph.state.before", "tachograph.state.after"],
        Shape::SpanName | Shape::Causes => vec![field.name],
        Shape::Usage => USAGE.to_vec(),
        Shape::Granted => vec!["tachograph.decision.final", "tachograph.outcome"],
        _ => vec![field.attribute],
    }
}

impl Capture {
    /// It is taken after the body.
    pub(crate) fn is_late(&self) -> bool {
        self.mentions_ret || self.shape == Shape::State || self.when == When::Exit
    }

    /// Uses a variable.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        mentions(self.expression.to_token_stream(), name)
    }

    fn new(target: &Target, attribute: String, shape: Shape, when: When, value: Value) -> syn::Result<Self> {
        let refused = match (shape, value.sigil) {
            (Shape::TextList, Sigil::Display | Sigil::Debug) => {
                Some("takes a list of strings; `%` and `?` do not apply")
            }
            (Shape::Usage, Sigil::Display | Sigil::Debug) => {
                Some("takes a `tachograph::Usage` or what reports one; `%` and `?` do not apply")
            }
            (Shape::Causes, Sigil::Display | Sigil::Debug) => {
                Some("takes a `tachograph::EventRef` or a list of them; `%` and `?` do not apply")
            }
            (Shape::Granted, Sigil::Display | Sigil::Debug) => {
                Some("takes `true` or `false`; `%` and `?` do not apply")
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
        leaving::refuse(&value.expression)?;
        if let (Some(words), Expr::Lit(literal)) = (words(&attribute), &value.expression)
            && let Lit::Str(text) = &literal.lit
            && !words.contains(&text.value().as_str())
        {
            let meant = did_you_mean(&text.value(), words);
            let known = words.join("`, `");
            return Err(syn::Error::new_spanned(text, format!("`{}` is one of `{known}`{meant}", value.name)));
        }
        let mentions_ret = mentions(value.expression.to_token_stream(), "ret");
        if mentions_ret && !target.has_body {
            return Err(syn::Error::new_spanned(
                &value.expression,
                format!("`{}` records what has happened: there is no `ret`", target.macro_name),
            ));
        }
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

/// True if the tokens use this variable, also inside an inlined format argument.
pub(crate) fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        TokenTree::Literal(literal) => {
            let text = literal.to_string();
            text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:"))
        }
        TokenTree::Punct(_) => false,
    })
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
        let (sigil, sigil_span) = sigil(input)?;
        if input.is_empty() || input.peek(Token![,]) {
            return Err(syn::Error::new(name.span(), format!("`{name}` needs a value: write `{name} = expression`")));
        }
        Ok(Self { name, sigil, sigil_span, expression: input.parse()? })
    }
}

impl Parse for Value {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse()?;
        Self::parse_after_name(name, input)
    }
}

fn sigil(input: ParseStream<'_>) -> syn::Result<(Sigil, Span)> {
    let span = input.span();
    if input.peek(Token![%]) {
        input.parse::<Token![%]>()?;
        Ok((Sigil::Display, span))
    } else if input.peek(Token![?]) {
        input.parse::<Token![?]>()?;
        Ok((Sigil::Debug, span))
    } else {
        Ok((Sigil::None, span))
    }
}

/// One argument as written.
enum Item {
    Word(Sigil, Span, Ident),
    List(Ident, Punctuated<Value, Token![,]>),
    /// Parentheses around whatever, where none belong.
    Other(Ident),
    Value(Value),
}

impl Item {
    fn name(&self) -> &Ident {
        match self {
            Self::Word(_, _, name) | Self::List(name, _) | Self::Other(name) => name,
            Self::Value(value) => &value.name,
        }
    }
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let (sigil, span) = sigil(input)?;
        if !input.peek(Ident) {
            return Err(input.error("expected an argument: `name = expression`, as in `model = req.model`"));
        }
        let name: Ident = input.parse()?;
        if sigil != Sigil::None {
            return Ok(Self::Word(sigil, span, name));
        }
        if input.peek(Token![=]) {
            Value::parse_after_name(name, input).map(Self::Value)
        } else if input.peek(syn::token::Paren) {
            let inner;
            parenthesized!(inner in input);
            if name != "parameters" && name != "capture" {
                inner.parse::<TokenStream>()?;
                return Ok(Self::Other(name));
            }
            Ok(Self::List(name, Punctuated::parse_terminated(&inner)?))
        } else if input.is_empty() || input.peek(Token![,]) {
            Ok(Self::Word(Sigil::None, span, name))
        } else {
            Err(input.error(format!("expected `=` after `{name}`: an argument is `name = expression`")))
        }
    }
}
