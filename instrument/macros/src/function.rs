//! Which functions can be recorded, and in which of four ways.

use crate::expand::contains_word;
use crate::fields::{ATTRIBUTES, Target};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, GenericArgument, ItemFn, Pat, PathArguments, ReturnType, Type, TypeParamBound};

/// A function that an attribute stands on.
pub(crate) struct Function {
    pub(crate) item: ItemFn,
    pub(crate) form: Form,
}

/// When the work of a function is done.
pub(crate) enum Form {
    /// When it returns.
    Sync,
    /// When its future ends.
    Async,
    /// It is not `async` but returns a future: by hand, or because `#[async_trait]` rewrote it.
    Future {
        /// What the future yields, if the signature says so.
        output: Option<Box<Type>>,
        /// The future is a `Pin<Box<…>>`.
        boxed: bool,
    },
    /// It returns a stream.
    Stream {
        /// What the stream yields, if the signature says so.
        item: Option<Box<Type>>,
        /// The stream is a `Pin<Box<…>>`.
        boxed: bool,
    },
}

impl Function {
    pub(crate) fn parse(target: &Target, tokens: TokenStream) -> syn::Result<Self> {
        let whole = tokens.clone();
        let item: ItemFn = syn::parse2(tokens).map_err(|_| {
            let remedy = if syn::parse2::<syn::TraitItemFn>(whole.clone()).is_ok() {
                "; a method that a trait only declares has none: annotate it where it is implemented"
            } else {
                ""
            };
            syn::Error::new_spanned(
                &whole,
                format!("`{}` goes on a function or method with a body{remedy}", target.macro_name),
            )
        })?;
        if let Some(constness) = &item.sig.constness {
            return Err(syn::Error::new_spanned(
                constness,
                "a `const fn` can't be recorded: it may run in the compiler",
            ));
        }
        if item.sig.ident == "main" && item.sig.receiver().is_none() {
            return Err(syn::Error::new_spanned(
                &item.sig.ident,
                "`main` can't be recorded: `tachograph::init()` runs inside it. Annotate a function that it calls",
            ));
        }
        let second = item.attrs.iter().find(|attribute| {
            let path = attribute.path();
            path.segments.first().is_some_and(|first| first.ident == "tachograph")
                && path.segments.last().is_some_and(|last| ATTRIBUTES.iter().any(|name| last.ident == name))
        });
        if let Some(second) = second {
            return Err(syn::Error::new_spanned(
                second,
                format!("this function is recorded already by `{}`: one call makes one record", target.macro_name),
            ));
        }
        let form = Form::of(&item)?;
        Ok(Self { item, form })
    }

    /// The names of its parameters.
    pub(crate) fn parameters(&self) -> Vec<String> {
        let mut names = Vec::new();
        for input in &self.item.sig.inputs {
            if let FnArg::Typed(parameter) = input {
                names_in(&parameter.pat, &mut names);
            }
        }
        names
    }
}

fn names_in(pattern: &Pat, names: &mut Vec<String>) {
    match pattern {
        Pat::Ident(ident) => {
            names.push(ident.ident.to_string());
            ident.subpat.iter().for_each(|(_, pattern)| names_in(pattern, names));
        }
        Pat::Paren(inner) => names_in(&inner.pat, names),
        Pat::Slice(slice) => slice.elems.iter().for_each(|element| names_in(element, names)),
        Pat::Or(either) => either.cases.iter().for_each(|case| names_in(case, names)),
        Pat::Tuple(tuple) => tuple.elems.iter().for_each(|element| names_in(element, names)),
        Pat::TupleStruct(tuple) => tuple.elems.iter().for_each(|element| names_in(element, names)),
        Pat::Struct(fields) => fields.fields.iter().for_each(|field| names_in(&field.pat, names)),
        Pat::Reference(reference) => names_in(&reference.pat, names),
        _ => {}
    }
}

impl Form {
    fn of(item: &ItemFn) -> syn::Result<Self> {
        if item.sig.asyncness.is_some() {
            if let ReturnType::Type(_, ty) = &item.sig.output {
                refuse_delayed(ty, "future has ended")?;
            }
            return Ok(Self::Async);
        }
        let form = Self::of_returned(item)?;
        if let Self::Future { output: Some(ty), .. } = &form {
            refuse_delayed(ty, "future has ended")?;
        }
        Ok(form)
    }

    fn of_returned(item: &ItemFn) -> syn::Result<Self> {
        let ReturnType::Type(_, ty) = &item.sig.output else {
            return Ok(Self::Sync);
        };
        match &**ty {
            Type::ImplTrait(implemented) => Ok(Self::among(&implemented.bounds, false).unwrap_or(Self::Sync)),
            Type::Path(path) => {
                let Some(last) = path.path.segments.last() else {
                    return Ok(Self::Sync);
                };
                let inner = types_of(&last.arguments);
                let of_alias = || inner.last().map(|ty| Box::new((*ty).clone()));
                if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
                    return Ok(Self::Future { output: of_alias(), boxed: true });
                }
                if last.ident == "BoxStream" || last.ident == "LocalBoxStream" {
                    return Ok(Self::Stream { item: of_alias(), boxed: true });
                }
                if last.ident == "Pin"
                    && let Some(Type::Path(pointer)) = inner.first()
                    && let Some(pointer) = pointer.path.segments.last()
                    && pointer.ident == "Box"
                    && let Some(Type::TraitObject(object)) = types_of(&pointer.arguments).first()
                    && let Some(form) = Self::among(&object.bounds, true)
                {
                    return Ok(form);
                }
                refuse_delayed(ty, "function has returned")?;
                Ok(Self::Sync)
            }
            _ => Ok(Self::Sync),
        }
    }
}

impl Form {
    /// If one of the bounds is a future or a stream.
    fn among<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>, boxed: bool) -> Option<Self> {
        bounds.into_iter().find_map(|bound| {
            let TypeParamBound::Trait(bound) = bound else {
                return None;
            };
            let last = bound.path.segments.last()?;
            let yields = |name: &str| match &last.arguments {
                PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::AssocType(associated) if associated.ident == name => {
                        Some(Box::new(associated.ty.clone()))
                    }
                    _ => None,
                }),
                _ => None,
            };
            match last.ident.to_string().as_str() {
                "Future" => Some(Self::Future { output: yields("Output"), boxed }),
                "Stream" => Some(Self::Stream { item: yields("Item"), boxed }),
                _ => None,
            }
        })
    }
}

/// What is given out must be there: a future or a stream inside would run unseen.
fn refuse_delayed(ty: &Type, after: &str) -> syn::Result<()> {
    const DELAYED: [(&str, &str); 6] = [
        ("Future", "Future"),
        ("BoxFuture", "Future"),
        ("LocalBoxFuture", "Future"),
        ("Stream", "Stream"),
        ("BoxStream", "Stream"),
        ("LocalBoxStream", "Stream"),
    ];
    match DELAYED.into_iter().find(|(word, _)| contains_word(quote!(#ty), word)) {
        Some((_, what)) => Err(syn::Error::new_spanned(
            ty,
            format!(
                "this type holds a {} that runs after the {after}, which can't be seen here; let a function that is not `async` \
                 return `impl {what}` or `Pin<Box<dyn {what}>>`, or use a builder: \
                 `tachograph::Generation::new(…).start()`, which has `stream` and `run_future`",
                what.to_lowercase()
            ),
        )),
        None => Ok(()),
    }
}

fn types_of(arguments: &PathArguments) -> Vec<&Type> {
    match arguments {
        PathArguments::AngleBracketed(arguments) => arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}
