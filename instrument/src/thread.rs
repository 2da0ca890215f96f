//! Threads of the standard library that belong to the event that started them.

use crate::task::bind_once;
use std::thread::{JoinHandle, ScopedJoinHandle};

/// [`std::thread::spawn`], with the current context: what the thread records is part of the chain.
///
/// For a thread with a name or another stack, give [`bind_once`]`(work)` to [`std::thread::Builder`].
///
/// ```
/// let thread = tachograph::thread::spawn(|| { /* annotated calls */ });
/// thread.join().expect("no panic");
/// ```
///
/// # Panics
///
/// As [`std::thread::spawn`], if the system starts no thread.
pub fn spawn<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    std::thread::spawn(bind_once(work))
}

/// [`std::thread::scope`] whose threads take along the context that is current where each is spawned.
///
/// ```
/// let prompts = ["a fox", "a hare"];
/// tachograph::thread::scope(|scope| {
///     for prompt in &prompts {
///         scope.spawn(move || { /* an annotated call with `prompt` */ prompt.len() });
///     }
/// });
/// ```
pub fn scope<'env, F, R>(body: F) -> R
where
    F: for<'scope> FnOnce(Scope<'scope, 'env>) -> R,
{
    std::thread::scope(|scope| body(Scope(scope)))
}

/// Where threads of a [`scope`] are spawned.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'scope, 'env>(&'scope std::thread::Scope<'scope, 'env>);

impl<'scope> Scope<'scope, '_> {
    /// [`std::thread::Scope::spawn`], with the current context.
    ///
    /// # Panics
    ///
    /// If the system starts no thread.
    pub fn spawn<R: Send + 'scope>(&self, work: impl FnOnce() -> R + Send + 'scope) -> ScopedJoinHandle<'scope, R> {
        self.0.spawn(bind_once(work))
    }
}
