//! What a model counted: tokens in and out.

/// What a call used, as OpenTelemetry counts it: `input_tokens` include what came from a cache, `output_tokens` include reasoning.
///
/// ```
/// let usage = tachograph::Usage::new(1_200, 80).cache_read(1_000).reasoning(30);
/// assert_eq!(usage.input_tokens, Some(1_200));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the input, those from a cache included.
    pub input_tokens: Option<u64>,
    /// Tokens of the output, reasoning included.
    pub output_tokens: Option<u64>,
    /// Of the input, what was read from a cache.
    pub cache_read: Option<u64>,
    /// Of the input, what was written to a cache.
    pub cache_write: Option<u64>,
    /// Of the output, what the model thought with.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Tokens in and out. `None` is not recorded.
    pub fn new(input_tokens: impl Into<Option<u64>>, output_tokens: impl Into<Option<u64>>) -> Self {
        Self { input_tokens: input_tokens.into(), output_tokens: output_tokens.into(), ..Self::default() }
    }

    /// Of the input, what was read from a cache.
    pub fn cache_read(self, tokens: impl Into<Option<u64>>) -> Self {
        Self { cache_read: tokens.into(), ..self }
    }

    /// Of the input, what was written to a cache.
    pub fn cache_write(self, tokens: impl Into<Option<u64>>) -> Self {
        Self { cache_write: tokens.into(), ..self }
    }

    /// Of the output, what the model thought with.
    pub fn reasoning(self, tokens: impl Into<Option<u64>>) -> Self {
        Self { reasoning: tokens.into(), ..self }
    }

    /// Each attribute that has a value.
    pub(crate) fn each(self, mut take: impl FnMut(&'static str, i64)) {
        let attributes = [
            ("gen_ai.usage.input_tokens", self.input_tokens),
            ("gen_ai.usage.output_tokens", self.output_tokens),
            ("gen_ai.usage.cache_read.input_tokens", self.cache_read),
            ("gen_ai.usage.cache_write.input_tokens", self.cache_write),
            ("gen_ai.usage.reasoning.output_tokens", self.reasoning),
        ];
        for (attribute, tokens) in attributes {
            if let Some(tokens) = tokens {
                take(attribute, i64::try_from(tokens).unwrap_or(i64::MAX));
            }
        }
    }
}

/// A type that knows what a call used. Implement it for your client's replies, and `usage = ret` does the rest.
///
/// ```
/// struct Reply { prompt_tokens: u32, completion_tokens: u32 }
///
/// impl tachograph::ReportsUsage for Reply {
///     fn usage(&self) -> Option<tachograph::Usage> {
///         Some(tachograph::Usage::new(u64::from(self.prompt_tokens), u64::from(self.completion_tokens)))
///     }
/// }
///
/// #[tachograph::generation(model = "m", usage = ret)]
/// fn complete() -> Reply {
///     Reply { prompt_tokens: 12, completion_tokens: 34 }
/// }
/// # complete();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not report what was used",
    label = "neither a `tachograph::Usage` nor a type that implements `ReportsUsage`",
    note = "write `usage = tachograph::Usage::new(input, output)`, or implement `tachograph::ReportsUsage` for `{Self}`"
)]
pub trait ReportsUsage {
    /// What was used; nothing if that is not known.
    fn usage(&self) -> Option<Usage>;
}

impl ReportsUsage for Usage {
    fn usage(&self) -> Option<Usage> {
        Some(*self)
    }
}

impl<T: ReportsUsage + ?Sized> ReportsUsage for &T {
    fn usage(&self) -> Option<Usage> {
        (**self).usage()
    }
}

impl<T: ReportsUsage> ReportsUsage for Option<T> {
    fn usage(&self) -> Option<Usage> {
        self.as_ref().and_then(ReportsUsage::usage)
    }
}
