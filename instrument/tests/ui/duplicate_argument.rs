#[tachograph::generation(seed = 1, prompt = "p", parameters(seed = 2))]
fn generate() {}

#[tachograph::agent_decision(state = 1, state_after = 2)]
fn decide() {}

fn main() {}
