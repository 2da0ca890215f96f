#[tachograph::agent_decision(state = state, outputs = ret)]
fn decide(state: &u8) -> impl Future<Output = u8> {
    std::future::ready(*state)
}

#[tachograph::agent_decision(state_after = 1)]
fn after() -> std::pin::Pin<Box<dyn Future<Output = u8>>> {
    Box::pin(std::future::ready(1))
}

#[tachograph::generation(output = ret)]
fn stream() -> std::pin::Pin<Box<dyn Stream<Item = u8>>> {
    Box::pin(Empty)
}

trait Stream {
    type Item;
}

struct Empty;

impl Stream for Empty {
    type Item = u8;
}

fn main() {}
