#[tachograph::agent_decision(state = state, outputs = ret)]
fn decide(state: &u8) -> impl Future<Output = u8> {
    std::future::ready(*state)
}

#[tachograph::agent_decision(state_after = 1)]
fn after() -> std::pin::Pin<Box<dyn Future<Output = u8>>> {
    Box::pin(std::future::ready(1))
}

fn main() {}
