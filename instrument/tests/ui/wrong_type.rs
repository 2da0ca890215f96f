struct Prompt;

#[tachograph::generation(prompt = prompt)]
fn generate(prompt: Prompt) {
    drop(prompt);
}

#[tachograph::generation(tokens_in = "many")]
fn count() {}

#[tachograph::generation(usage = 3)]
fn usage() {}

#[tachograph::agent_decision(causes = ["id"])]
fn causes() {}

#[tachograph::approval(granted = "yes")]
fn approve() {}

fn main() {}
