#[tachograph::generation(modle = "m", prompt = "p", flavour = 3)]
fn generate() {}

fn main() {}
