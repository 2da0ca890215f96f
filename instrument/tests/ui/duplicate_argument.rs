#[tachograph::generation(seed = 1, prompt = "p", parameters(seed = 2))]
fn generate() {}

#[tachograph::agent_decision(state = 1, state_after = 2)]
fn decide() {}

#[tachograph::generation(usage = tachograph::Usage::default(), tokens_in = 2)]
fn count() {}

#[tachograph::approval(reason = "x", outcome_reason = "y")]
fn approve() {}

fn main() {}
