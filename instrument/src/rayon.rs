//! Work on rayon's pools that belongs to the event that started it.
//!
//! A thread of the pool that waits may take up any other work meanwhile. What is started through these functions says which context it
//! belongs to and so is never taken for part of somebody else's event; what is started past them runs in whatever is current on that thread.

use crate::task::{bind_once, with_context};
use opentelemetry::Context;
use rayon::iter::plumbing::{Consumer, Folder, Reducer, UnindexedConsumer};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// [`rayon::join`], both sides in the current context.
///
/// ```
/// let (left, right) = tachograph::rayon::join(|| { /* annotated calls */ 1 }, || 2);
/// # assert_eq!(left + right, 3);
/// ```
pub fn join<A, B, RA, RB>(left: A, right: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    rayon::join(bind_once(left), bind_once(right))
}

/// [`rayon::spawn`], in the current context.
///
/// ```
/// tachograph::rayon::spawn(|| { /* annotated calls */ });
/// ```
pub fn spawn(work: impl FnOnce() + Send + 'static) {
    rayon::spawn(bind_once(work));
}

/// [`rayon::ThreadPool::install`], in the current context.
///
/// ```
/// # fn example() -> Result<(), rayon::ThreadPoolBuildError> {
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
/// tachograph::rayon::install(&pool, || { /* annotated calls */ });
/// # Ok(())
/// # }
/// # example().expect("a pool");
/// ```
pub fn install<R: Send>(pool: &rayon::ThreadPool, work: impl FnOnce() -> R + Send) -> R {
    pool.install(bind_once(work))
}

/// [`rayon::scope`], in the current context.
///
/// ```
/// tachograph::rayon::scope(|scope| {
///     scope.spawn(|_| { /* annotated calls */ });
/// });
/// ```
pub fn scope<'scope, F, R>(body: F) -> R
where
    F: FnOnce(Scope<'_, 'scope>) -> R + Send,
    R: Send,
{
    let context = Context::current();
    rayon::scope(|scope| with_context(context, || body(Scope(scope))))
}

/// Where work of a [`scope`] is spawned.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a, 'scope>(&'a rayon::Scope<'scope>);

impl<'scope> Scope<'_, 'scope> {
    /// [`rayon::Scope::spawn`], in the context that is current where this is called.
    pub fn spawn(&self, work: impl FnOnce(Scope<'_, 'scope>) + Send + 'scope) {
        let context = Context::current();
        self.0.spawn(|scope| with_context(context, || work(Scope(scope))));
    }
}

/// Takes the context into a parallel iterator.
pub trait InContextParallel: IntoParallelIterator + Sized {
    /// All that comes after runs in the context that is current now, on whichever thread.
    ///
    /// The result has no indexes: `enumerate`, `zip` and the like go before it. `collect` keeps the order.
    ///
    /// ```
    /// use rayon::prelude::*;
    /// use tachograph::rayon::InContextParallel;
    ///
    /// let lengths: Vec<_> = ["a fox", "a hare"]
    ///     .par_in_current_context()
    ///     .map(|prompt| { /* an annotated call */ prompt.len() })
    ///     .collect();
    /// # assert_eq!(lengths, [5, 6]);
    /// ```
    fn par_in_current_context(self) -> ParallelInContext<Self::Iter> {
        ParallelInContext { base: self.into_par_iter(), context: Context::current() }
    }
}

impl<I: IntoParallelIterator> InContextParallel for I {}

/// A parallel iterator in a context; [`InContextParallel`] makes it.
#[derive(Clone, Debug)]
#[must_use = "iterator adaptors are lazy and do nothing unless consumed"]
pub struct ParallelInContext<I> {
    base: I,
    context: Context,
}

impl<I: ParallelIterator> ParallelIterator for ParallelInContext<I> {
    type Item = I::Item;

    fn drive_unindexed<C: UnindexedConsumer<Self::Item>>(self, consumer: C) -> C::Result {
        self.base.drive_unindexed(Bound { base: consumer, context: self.context })
    }

    fn opt_len(&self) -> Option<usize> {
        self.base.opt_len()
    }
}

/// What consumes items (a consumer, its folder, its reducer), each time in the context.
struct Bound<T> {
    base: T,
    context: Context,
}

impl<T> Bound<T> {
    fn of(base: T, context: &Context) -> Self {
        Self { base, context: context.clone() }
    }
}

impl<T, C: Consumer<T>> Consumer<T> for Bound<C> {
    type Folder = Bound<C::Folder>;
    type Reducer = Bound<C::Reducer>;
    type Result = C::Result;

    fn split_at(self, index: usize) -> (Self, Self, Self::Reducer) {
        let (left, right, reducer) = self.base.split_at(index);
        let context = self.context;
        (Self::of(left, &context), Self::of(right, &context), Bound { base: reducer, context })
    }

    fn into_folder(self) -> Self::Folder {
        let Self { base, context } = self;
        // Folders may begin with a value of the application's, `fold`'s for one.
        let folder = with_context(context.clone(), || base.into_folder());
        Bound { base: folder, context }
    }

    fn full(&self) -> bool {
        self.base.full()
    }
}

impl<T, C: UnindexedConsumer<T>> UnindexedConsumer<T> for Bound<C> {
    fn split_off_left(&self) -> Self {
        Self::of(self.base.split_off_left(), &self.context)
    }

    fn to_reducer(&self) -> Self::Reducer {
        Bound::of(self.base.to_reducer(), &self.context)
    }
}

impl<T, F: Folder<T>> Folder<T> for Bound<F> {
    type Result = F::Result;

    fn consume(self, item: T) -> Self {
        let Self { base, context } = self;
        let base = with_context(context.clone(), || base.consume(item));
        Self { base, context }
    }

    fn complete(self) -> Self::Result {
        with_context(self.context, || self.base.complete())
    }

    fn full(&self) -> bool {
        self.base.full()
    }
}

impl<R, T: Reducer<R>> Reducer<R> for Bound<T> {
    fn reduce(self, left: R, right: R) -> R {
        with_context(self.context, || self.base.reduce(left, right))
    }
}
