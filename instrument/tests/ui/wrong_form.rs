#[tachograph::generation(prompt)]
fn word() {}

#[tachograph::generation(model = "m", 3)]
fn number(model: &str) {}

#[tachograph::generation(prompt("x"))]
fn parentheses() {}

#[tachograph::generation(content_flags = %"x", input_hash = ?1, usage = %1, causes = ?1)]
fn sigil() {}

#[tachograph::tool_call(parameters(a = 1))]
fn parameters() {}

#[tachograph::tool_call(result = ret)]
fn two_meanings(ret: u8) -> u8 {
    ret
}

fn main() {}
