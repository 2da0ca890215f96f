//! What every case does and says: twelve attributes, of which three are static text, three short text, one a prompt of 600 bytes,
//! two whole numbers, two fractions and one a flag.

use std::hint::black_box;

/// How many attributes a full case has.
pub const ATTRIBUTES: u64 = 12;

/// What the caller knows.
#[derive(Debug)]
pub struct Request {
    /// Short text.
    pub model: String,
    /// Short text.
    pub user: String,
    /// Short text.
    pub session: String,
    /// 600 bytes.
    pub prompt: String,
    /// Not recorded.
    pub width: i64,
    /// A whole number.
    pub seed: i64,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            model: "pixel-2".to_owned(),
            user: "anna".to_owned(),
            session: "s-0001".to_owned(),
            prompt: "x".repeat(600),
            width: 64,
            seed: 7,
        }
    }
}

/// What comes back.
#[derive(Debug)]
pub struct Reply {
    /// A whole number.
    pub tokens: i64,
    /// A fraction.
    pub cost: f64,
}

/// Next to nothing, and not seen through by the compiler.
#[inline(never)]
pub fn work(request: &Request) -> Reply {
    Reply { tokens: black_box(request.width), cost: black_box(0.5) }
}

/// With the attributes of this project.
#[tachograph::generation(
    provider = "acme",
    operation = "image",
    action = "render",
    model = request.model,
    actor = request.user,
    session = request.session,
    prompt = request.prompt,
    seed = request.seed,
    guidance_scale = 7.5,
    parameters(tiled = true),
    tokens_out = ret.tokens,
    cost = ret.cost,
)]
#[inline(never)]
pub fn annotated(request: &Request) -> Reply {
    work(request)
}

/// Nothing is said but that it was called, and how it ended.
#[tachograph::generation]
#[inline(never)]
pub fn annotated_empty(request: &Request) -> Reply {
    work(request)
}
