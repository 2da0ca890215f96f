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

#[tachograph::tool_call(outcome = 3)]
fn ended() {}

#[tachograph::tool_call(outcome = "denied", actor_type = "agnet")]
fn words() {}

fn main() {}
