struct Prompt;

#[tachograph::generation(prompt = prompt)]
fn generate(prompt: Prompt) {
    drop(prompt);
}

#[tachograph::generation(tokens_in = "many")]
fn count() {}

fn main() {}
