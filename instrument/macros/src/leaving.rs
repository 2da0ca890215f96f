//! Arguments are values: what would leave the function, or suspend it, in the middle of taking one is refused.

use proc_macro2::Span;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Block, Expr, Stmt, Token};

/// An error at the first word in `expression` that leaves the function it stands in, or suspends it.
pub(crate) fn refuse(expression: &Expr) -> syn::Result<()> {
    let (word, at) = match expression {
        Expr::Try(of) => ("?", of.question_token.span()),
        Expr::Await(of) => (".await", of.await_token.span()),
        Expr::Return(of) => ("return", of.return_token.span()),
        Expr::Break(of) => ("break", of.break_token.span()),
        Expr::Continue(of) => ("continue", of.continue_token.span()),
        _ => return inside(expression),
    };
    Err(leaves(word, at))
}

fn leaves(word: &str, at: Span) -> syn::Error {
    syn::Error::new(
        at,
        format!(
            "`{word}` can't stand in an argument: it would leave the call, or suspend it, while it is being recorded; \
             compute the value in the function, or before"
        ),
    )
}

/// Closures, async blocks and loops have an inside of their own.
fn inside(expression: &Expr) -> syn::Result<()> {
    match expression {
        Expr::Array(of) => all(&of.elems),
        Expr::Assign(of) => both(&of.left, &of.right),
        Expr::Binary(of) => both(&of.left, &of.right),
        Expr::Block(of) => block(&of.block),
        Expr::Call(of) => refuse(&of.func).and_then(|()| all(&of.args)),
        Expr::Cast(of) => refuse(&of.expr),
        Expr::Field(of) => refuse(&of.base),
        Expr::Group(of) => refuse(&of.expr),
        Expr::If(of) => {
            refuse(&of.cond)?;
            block(&of.then_branch)?;
            of.else_branch.as_ref().map_or(Ok(()), |(_, expression)| refuse(expression))
        }
        Expr::Index(of) => both(&of.expr, &of.index),
        Expr::Let(of) => refuse(&of.expr),
        Expr::Macro(of) => macro_arguments(&of.mac),
        Expr::Match(of) => {
            refuse(&of.expr)?;
            of.arms.iter().try_for_each(|arm| {
                arm.guard.as_ref().map_or(Ok(()), |(_, guard)| refuse(guard))?;
                refuse(&arm.body)
            })
        }
        Expr::MethodCall(of) => refuse(&of.receiver).and_then(|()| all(&of.args)),
        Expr::Paren(of) => refuse(&of.expr),
        Expr::Reference(of) => refuse(&of.expr),
        Expr::Repeat(of) => both(&of.expr, &of.len),
        Expr::Struct(of) => of.fields.iter().try_for_each(|field| refuse(&field.expr)),
        Expr::Tuple(of) => all(&of.elems),
        Expr::Unary(of) => refuse(&of.expr),
        Expr::Unsafe(of) => block(&of.block),
        _ => Ok(()),
    }
}

fn both(left: &Expr, right: &Expr) -> syn::Result<()> {
    refuse(left).and_then(|()| refuse(right))
}

fn all<'a>(expressions: impl IntoIterator<Item = &'a Expr>) -> syn::Result<()> {
    expressions.into_iter().try_for_each(refuse)
}

fn block(block: &Block) -> syn::Result<()> {
    block.stmts.iter().try_for_each(|statement| match statement {
        Stmt::Local(local) => local.init.as_ref().map_or(Ok(()), |init| refuse(&init.expr)),
        Stmt::Expr(expression, _) => refuse(expression),
        Stmt::Macro(of) => macro_arguments(&of.mac),
        Stmt::Item(_) => Ok(()),
    })
}

/// As `format!` has them; of other macros nothing is known.
fn macro_arguments(of: &syn::Macro) -> syn::Result<()> {
    match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(of.tokens.clone()) {
        Ok(expressions) => all(&expressions),
        Err(_) => Ok(()),
    }
}
