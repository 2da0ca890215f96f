#[tachograph::agent_decision(state_before = ret, correlation = format!("{ret}"))]
fn decide() -> u8 {
    1
}

fn main() {}
