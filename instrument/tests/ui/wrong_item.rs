#[tachograph::tool_call(tool = "t")]
struct NotAFunction;

#[tachograph::tool_call(tool = "t")]
const fn constant() {}

#[tachograph::tool_call(tool = "t")]
fn future() -> impl Future<Output = ()> {
    async {}
}

fn main() {}
