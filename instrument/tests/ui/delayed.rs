type BoxStream<'a, T> = std::pin::Pin<Box<dyn Stream<Item = T> + 'a>>;

#[tachograph::generation(model = "m")]
async fn open() -> Result<BoxStream<'static, u8>, String> {
    Ok(Box::pin(Empty))
}

#[tachograph::generation(model = "m")]
async fn opaque() -> impl Stream<Item = u8> {
    Empty
}

#[tachograph::generation(model = "m")]
fn by_hand() -> std::pin::Pin<Box<dyn Future<Output = Box<dyn Stream<Item = u8>>>>> {
    Box::pin(async { Box::new(Empty) as _ })
}

#[tachograph::generation(model = "m")]
fn at_once() -> Option<BoxStream<'static, u8>> {
    None
}

trait Stream {
    type Item;
}

struct Empty;

impl Stream for Empty {
    type Item = u8;
}

fn main() {}
