#[tachograph::generation(model = "m", prompt = prompt.ok_or(())?)]
fn tries(prompt: Option<&str>) -> Result<(), ()> {
    Ok(())
}

#[tachograph::generation(model = "m", prompt = format!("{}", prompt?), output = ret.trim())]
fn tries_in_a_macro(prompt: Option<&str>) -> Option<&str> {
    prompt
}

#[tachograph::generation(model = "m", prompt = text().await)]
async fn awaits() {}

#[tachograph::generation(model = "m", prompt = if prompt.is_empty() { return } else { prompt })]
fn returns(prompt: &str) {}

async fn text() -> String {
    String::new()
}

fn main() {
    loop {
        tachograph::audit! { action = "a", details = match 1 { 1 => break, number => number } }
    }
}
