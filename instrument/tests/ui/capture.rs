#[tachograph::generation(prompt = "p", capture = none)]
fn wrong_word() {}

#[tachograph::generation(prompt = "p", capture(model = off, promt = hashed, prompt = "off"))]
fn wrong_field() {}

#[tachograph::generation(prompt = "p", capture = off, capture = hashed, capture(prompt = off, prompt = full))]
fn twice() {}

fn main() {}
