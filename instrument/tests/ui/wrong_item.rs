use std::sync::Arc;

#[tachograph::tool_call(tool = "t")]
struct NotAFunction;

#[tachograph::tool_call(tool = "t")]
const fn constant() {}

trait Model {
    #[tachograph::generation(model = "m")]
    async fn only_declared(&self);
}

#[tachograph::generation(model = "m")]
#[tachograph::tool_call(tool = "t")]
fn twice() {}

#[tachograph::tool_call(tool = "t")]
fn hidden() -> Option<Arc<dyn Future<Output = ()>>> {
    None
}

#[tachograph::tool_call(tool = "t")]
fn main() {}
