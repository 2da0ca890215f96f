#[tachograph::generation(prompt)]
fn word() {}

#[tachograph::generation(content_flags = %"x", input_hash = ?1)]
fn sigil() {}

#[tachograph::tool_call(parameters(a = 1))]
fn parameters() {}

fn main() {}
