//! A company's prompt log: which team asked which model what, at what cost, and what the content
//! check found. One call fails at its provider and is in the log like the others.
//!
//! The models are small but real: one picks the sentence that best represents a text, one counts
//! topics. Prices per thousand tokens are a table here, and the record carries the cost.

use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use tachograph_examples::{Options, end};

struct Model {
    provider: &'static str,
    name: &'static str,
    window: usize,
    price_in: f64,
    price_out: f64,
    answer: fn(&str) -> String,
}

const MODELS: [Model; 3] = [
    Model {
        provider: "northwind",
        name: "summary-large",
        window: 200,
        price_in: 0.0030,
        price_out: 0.0120,
        answer: best_sentence,
    },
    Model {
        provider: "northwind",
        name: "summary-small",
        window: 24,
        price_in: 0.0004,
        price_out: 0.0016,
        answer: best_sentence,
    },
    Model { provider: "lakeside", name: "topics-1", window: 100, price_in: 0.0010, price_out: 0.0010, answer: topics },
];

struct Prompt {
    user: &'static str,
    team: &'static str,
    session: &'static str,
    model: &'static str,
    text: &'static str,
}

const PROMPTS: [Prompt; 6] = [
    Prompt {
        user: "dana",
        team: "support",
        session: "chat-1",
        model: "summary-large",
        text: "The router restarts every night. The customer changed the router twice. A new cable ended the restarts.",
    },
    Prompt {
        user: "dana",
        team: "support",
        session: "chat-1",
        model: "topics-1",
        text: "router restart cable router customer cable router",
    },
    Prompt {
        user: "emil",
        team: "sales",
        session: "chat-2",
        model: "summary-small",
        text: "Write to jane.doe@example.com that the offer stands. The offer ends in May.",
    },
    Prompt {
        user: "fay",
        team: "research",
        session: "chat-3",
        model: "summary-small",
        text: "Proteins fold. Folding depends on charge, on water, on heat and on time. We measured all four in nine labs \
               over two years and found that charge matters most, water second, and heat hardly at all.",
    },
    Prompt {
        user: "fay",
        team: "research",
        session: "chat-3",
        model: "summary-large",
        text: "Proteins fold. Folding depends on charge, on water, on heat and on time. Charge matters most.",
    },
    Prompt {
        user: "emil",
        team: "sales",
        session: "chat-4",
        model: "topics-1",
        text: "our api_key=4242 opens the price list of the customer",
    },
];

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

struct Reply {
    text: String,
    tokens_in: usize,
    tokens_out: usize,
    cost: f64,
}

#[derive(Debug)]
enum ProviderError {
    UnknownModel(&'static str),
    PromptTooLong { tokens: usize, window: usize },
}

impl fmt::Display for ProviderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownModel(name) => write!(formatter, "no model is called {name}"),
            Self::PromptTooLong { tokens, window } => {
                write!(formatter, "{tokens} tokens are more than the window of {window}")
            }
        }
    }
}

impl Error for ProviderError {}

#[tachograph::generation(
    operation = "chat",
    provider = provider_of(prompt.model),
    model = prompt.model,
    input_messages = [Message { role: "user", content: prompt.text }],
    prompt = prompt.text,
    input_hash = prompt.text,
    content_flags = content_flags(prompt.text),
    output = ret.text,
    output_messages = [Message { role: "assistant", content: &ret.text }],
    tokens_in = ret.tokens_in,
    tokens_out = ret.tokens_out,
    cost = ret.cost,
    currency = "USD",
    actor = prompt.user,
    team = prompt.team,
    session = prompt.session,
)]
async fn ask(prompt: &Prompt) -> Result<Reply, ProviderError> {
    let model =
        MODELS.iter().find(|model| model.name == prompt.model).ok_or(ProviderError::UnknownModel(prompt.model))?;
    tokio::task::yield_now().await; // where a remote provider would be awaited
    let tokens_in = tokens(prompt.text);
    if tokens_in > model.window {
        return Err(ProviderError::PromptTooLong { tokens: tokens_in, window: model.window });
    }
    let text = (model.answer)(prompt.text);
    let tokens_out = tokens(&text);
    let cost = (tokens_in as f64 * model.price_in + tokens_out as f64 * model.price_out) / 1_000.0;
    Ok(Reply { text, tokens_in, tokens_out, cost })
}

fn provider_of(model: &str) -> Option<&'static str> {
    MODELS.iter().find(|known| known.name == model).map(|known| known.provider)
}

fn tokens(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Personal data and secrets, as far as their form gives them away.
fn content_flags(text: &str) -> Vec<&'static str> {
    let mut flags = Vec::new();
    if text.split_whitespace().any(|word| word.contains('@') && word.contains('.')) {
        flags.push("pii.email");
    }
    if text.contains("api_key=") || text.contains("password=") {
        flags.push("secret.credential");
    }
    flags
}

fn word_counts(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in text.split(|letter: char| !letter.is_alphanumeric()) {
        if word.len() > 3 {
            *counts.entry(word.to_lowercase()).or_insert(0) += 1;
        }
    }
    counts
}

/// The sentence whose words are the most frequent ones of the text.
fn best_sentence(text: &str) -> String {
    let counts = word_counts(text);
    let weight = |sentence: &str| -> usize { word_counts(sentence).keys().map(|word| counts[word]).sum() };
    let sentences = text.split_inclusive(". ");
    sentences.max_by_key(|sentence| weight(sentence)).unwrap_or(text).trim().to_owned()
}

/// The words of the text, the most frequent first.
fn topics(text: &str) -> String {
    let mut counts: Vec<_> = word_counts(text).into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
}

fn main() -> ExitCode {
    match start() {
        Ok((options, guard, runtime)) => end(guard, runtime.block_on(ask_all(options.count))),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(Options, tachograph::Guard, tokio::runtime::Runtime), Box<dyn Error>> {
    let options = Options::from_command_line()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok((options, tachograph::Init::new("prompt-gateway").init()?, runtime))
}

async fn ask_all(count: u32) -> Result<(), Box<dyn Error>> {
    let mut costs: BTreeMap<&str, f64> = BTreeMap::new();
    for _ in 0..count {
        for prompt in &PROMPTS {
            match ask(prompt).await {
                Ok(reply) => {
                    *costs.entry(prompt.team).or_default() += reply.cost;
                    println!("{} ({}) asked {}: {}", prompt.user, prompt.team, prompt.model, reply.text);
                }
                Err(error) => println!("{} ({}) asked {}: failed, {error}", prompt.user, prompt.team, prompt.model),
            }
        }
    }
    for (team, cost) in costs {
        println!("{team} spent {cost:.6} USD");
    }
    Ok(())
}
