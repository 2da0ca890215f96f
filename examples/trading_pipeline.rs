//! A trading pipeline of four processes: market data → analysis → decision → execution.
//!
//! The program starts itself four times and connects the processes by pipes. Each message carries
//! W3C `traceparent` and `baggage` headers, so that the four records of one tick form one causal
//! chain: each names the event before it as its parent, and all have one correlation id.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use tachograph::{Guard, Init, propagation};
use tachograph_examples::{Options, end};

const STAGES: [&str; 4] = ["market-data", "analysis", "decision", "execution"];

/// One line on a pipe.
#[derive(Serialize, Deserialize)]
struct Message<T> {
    headers: HashMap<String, String>,
    body: T,
}

impl<T> Message<T> {
    /// A message from the call that is open now: the next stage's record will name it as its parent.
    fn from_here(body: T) -> Self {
        let mut headers = HashMap::new();
        propagation::inject(&mut headers);
        Self { headers, body }
    }
}

#[derive(Serialize, Deserialize)]
struct Tick {
    symbol: String,
    prices: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Signal {
    symbol: String,
    price: f64,
    rsi: f64,
    signal: String,
}

#[derive(Serialize, Deserialize)]
struct Order {
    side: String,
    symbol: String,
    quantity: i64,
    limit: f64,
}

#[derive(Clone, Serialize)]
struct Portfolio {
    cash: f64,
    shares: i64,
}

/// The last fifteen prices of a random walk that the number of the tick seeds.
#[tachograph::tool_call(tool = "market_feed", arguments = number, result = ret.body, resource_type = "instrument", resource = ret.body.symbol)]
fn observe(number: u32) -> Message<Tick> {
    let mut state = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut price = 100.0;
    let drift = if number.is_multiple_of(2) { -0.35 } else { 0.35 };
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        price += drift + (state % 1_000) as f64 / 1_000.0 - 0.5;
        (price * 100.0_f64).round() / 100.0
    };
    Message::from_here(Tick { symbol: "ACME".to_owned(), prices: (0..15).map(|_| next()).collect() })
}

#[tachograph::agent_decision(agent = "analyst", decision = "SIGNAL", inputs = tick, outputs = ret.body, final_decision = ret.body.signal)]
fn analyse(tick: &Tick) -> Message<Signal> {
    let changes: Vec<f64> = tick.prices.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let gain: f64 = changes.iter().filter(|change| **change > 0.0).sum();
    let loss: f64 = changes.iter().filter(|change| **change < 0.0).map(|change| -change).sum();
    let rsi = 100.0 * gain / (gain + loss).max(f64::EPSILON);
    tachograph::step!("RSI", result = rsi, reason = "gains {gain:.2}, losses {loss:.2}");
    let signal = match rsi {
        rsi if rsi < 40.0 => "BUY",
        rsi if rsi > 60.0 => "SELL",
        _ => "HOLD",
    };
    tachograph::step!("SIGNAL", result = signal, reason = "bought below 40, sold above 60");
    Message::from_here(Signal {
        symbol: tick.symbol.clone(),
        price: tick.prices.last().copied().unwrap_or_default(),
        rsi,
        signal: signal.to_owned(),
    })
}

#[tachograph::agent_decision(
    agent = "alpha-trader",
    version = env!("CARGO_PKG_VERSION"),
    decision = "TRADE",
    inputs = signal,
    threshold = 40.0,
    confidence = (signal.rsi - 50.0).abs() / 50.0,
    state = portfolio,
    outputs = ret.body,
    final_decision = format!("{} {}", ret.body.side, ret.body.quantity),
)]
fn decide(signal: &Signal, portfolio: &mut Portfolio) -> Message<Order> {
    tachograph::step!("STRATEGY_EVALUATION", result = signal.signal, reason = "RSI {:.1}", signal.rsi);
    let affordable = (portfolio.cash * 0.1 / signal.price) as i64;
    let quantity = match signal.signal.as_str() {
        "BUY" => affordable,
        "SELL" => portfolio.shares.min(affordable),
        _ => 0,
    };
    tachograph::step!("RISK_CHECK", result = quantity, reason = "at most a tenth of the cash, {affordable} shares");
    let signed = if signal.signal == "SELL" { -quantity } else { quantity };
    portfolio.shares += signed;
    portfolio.cash -= signed as f64 * signal.price;
    Message::from_here(Order {
        side: signal.signal.clone(),
        symbol: signal.symbol.clone(),
        quantity,
        limit: signal.price,
    })
}

#[tachograph::tool_call(tool = "exchange", arguments = order, result = ret, action = "execute_order", resource_type = "order")]
fn execute(order: &Order) -> String {
    if order.quantity == 0 {
        return "nothing to do".to_owned();
    }
    format!("{} {} {} at {:.2}", order.side, order.quantity, order.symbol, order.limit)
}

fn main() -> ExitCode {
    let options = match Options::from_command_line() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = match options.words.first().map(String::as_str) {
        None => start_all(options.count),
        Some(stage) => start_stage(stage).map(|guard| end(guard, run_stage(stage, options.count))),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn start_stage(stage: &str) -> Result<Guard, Box<dyn Error>> {
    if !STAGES.contains(&stage) {
        return Err(format!("{stage:?} is none of the stages {}", STAGES.join(", ")).into());
    }
    Ok(Init::new(stage).init()?)
}

fn run_stage(stage: &str, count: u32) -> Result<(), Box<dyn Error>> {
    let mut portfolio = Portfolio { cash: 100_000.0, shares: 500 };
    match stage {
        "market-data" => (1..=count).try_for_each(|number| send(&observe(number))),
        "analysis" => receive(|tick: Tick| send(&analyse(&tick))),
        "decision" => receive(|signal: Signal| send(&decide(&signal, &mut portfolio))),
        _ => receive(|order: Order| {
            println!("{}", execute(&order));
            Ok(())
        }),
    }
}

fn send<T: Serialize>(message: &Message<T>) -> Result<(), Box<dyn Error>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(std::io::stdout().lock().write_all(&line)?)
}

/// Handles each message within the context that its sender put into the headers.
fn receive<T: for<'de> Deserialize<'de>>(
    mut handle: impl FnMut(T) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lock().lines() {
        let message: Message<T> = serde_json::from_str(&line?)?;
        let sender = propagation::extract(&message.headers);
        tachograph::with_context(sender, || handle(message.body))?;
    }
    Ok(())
}

/// Starts one process per stage, each reading what the one before writes.
fn start_all(count: u32) -> Result<ExitCode, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let mut processes: Vec<Child> = Vec::new();
    for stage in STAGES {
        let input = match processes.last_mut().and_then(|before| before.stdout.take()) {
            Some(output) => Stdio::from(output),
            None => Stdio::null(),
        };
        let output = if stage == STAGES[3] { Stdio::inherit() } else { Stdio::piped() };
        let process =
            Command::new(&program).args([stage, "--count", &count.to_string()]).stdin(input).stdout(output).spawn()?;
        processes.push(process);
    }
    let mut code = ExitCode::SUCCESS;
    for (stage, mut process) in STAGES.iter().zip(processes) {
        let status = process.wait()?;
        if !status.success() {
            eprintln!("error: {stage} ended with {status}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
