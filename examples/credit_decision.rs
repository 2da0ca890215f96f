//! A credit decision: a logistic model scores each application against a threshold. The record
//! answers years later why a loan was refused: which model version, which inputs (and their hash),
//! the raw output, each step with its reason, and the final decision.

use serde::Serialize;
use std::error::Error;
use std::process::ExitCode;
use tachograph_examples::{Options, end};

const MODEL: &str = "logit-credit";
const MODEL_VERSION: &str = "2026.3";
const THRESHOLD: f64 = 0.70;

#[derive(Serialize)]
struct Application {
    id: &'static str,
    applicant: &'static str,
    amount: f64,
    income: f64,
    monthly_debt: f64,
    years_employed: f64,
    missed_payments: u32,
}

#[derive(Serialize)]
struct Features {
    debt_ratio: f64,
    loan_to_income: f64,
    years_employed: f64,
    missed_payments: f64,
}

#[derive(Serialize)]
struct Verdict {
    decision: &'static str,
    /// Probability that the loan is repaid.
    score: f64,
    main_reason: &'static str,
}

impl Verdict {
    /// How far the score is on its side of even odds.
    fn confidence(&self) -> f64 {
        self.score.max(1.0 - self.score)
    }
}

const APPLICATIONS: [Application; 4] = [
    Application {
        id: "loan-2026-0001",
        applicant: "customer-1842",
        amount: 12_000.0,
        income: 54_000.0,
        monthly_debt: 400.0,
        years_employed: 8.0,
        missed_payments: 0,
    },
    Application {
        id: "loan-2026-0002",
        applicant: "customer-0077",
        amount: 38_000.0,
        income: 31_000.0,
        monthly_debt: 1_150.0,
        years_employed: 0.5,
        missed_payments: 3,
    },
    Application {
        id: "loan-2026-0003",
        applicant: "customer-2211",
        amount: 20_000.0,
        income: 47_000.0,
        monthly_debt: 900.0,
        years_employed: 3.0,
        missed_payments: 1,
    },
    Application {
        id: "loan-2026-0004",
        applicant: "customer-1842",
        amount: 5_000.0,
        income: 54_000.0,
        monthly_debt: 750.0,
        years_employed: 8.0,
        missed_payments: 0,
    },
];

#[tachograph::agent_decision(
    agent = "credit-officer",
    version = env!("CARGO_PKG_VERSION"),
    decision = "LOAN_APPROVAL",
    provider = "in-house",
    model = MODEL,
    model_version = MODEL_VERSION,
    actor = application.applicant,
    resource_type = "loan_application",
    resource = application.id,
    correlation = application.id,
    inputs = application,
    input_hash = serde_json::to_vec(application).ok(),
    threshold = THRESHOLD,
    confidence = ret.confidence(),
    raw_output = format!("{:.6}", ret.score),
    outputs = ret,
    final_decision = ret.decision,
    outcome_reason = ret.main_reason,
)]
fn decide(application: &Application) -> Verdict {
    let features = features(application);
    tachograph::step!("FEATURES", result = features, reason = "from income, debt, employment and history");

    let (score, main_reason) = score(&features);
    tachograph::step!(
        "SCORE",
        result = score,
        reason = "logistic model {MODEL} {MODEL_VERSION}; weighs most: {main_reason}"
    );

    let approved = score >= THRESHOLD;
    tachograph::step!("THRESHOLD", result = approved, reason = "score {score:.3} against {THRESHOLD}");
    Verdict { decision: if approved { "approve" } else { "refuse" }, score, main_reason }
}

fn features(application: &Application) -> Features {
    Features {
        debt_ratio: application.monthly_debt * 12.0 / application.income,
        loan_to_income: application.amount / application.income,
        years_employed: application.years_employed.min(10.0),
        missed_payments: f64::from(application.missed_payments),
    }
}

/// The model's inference, a record of its own below the decision.
#[tachograph::tool_call(tool = "score_model", arguments = features, result = ret)]
fn score(features: &Features) -> (f64, &'static str) {
    const INTERCEPT: f64 = 1.9;
    let terms = [
        ("debt in relation to income", -4.0 * features.debt_ratio),
        ("loan in relation to income", -1.6 * features.loan_to_income),
        ("years employed", 0.18 * features.years_employed),
        ("missed payments", -0.7 * features.missed_payments),
    ];
    let logit = INTERCEPT + terms.iter().map(|(_, term)| term).sum::<f64>();
    let heaviest = terms.iter().max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs())).map_or("none", |(name, _)| name);
    (1.0 / (1.0 + (-logit).exp()), heaviest)
}

fn main() -> ExitCode {
    match start() {
        Ok((options, guard)) => {
            for _ in 0..options.count {
                for application in &APPLICATIONS {
                    let verdict = decide(application);
                    println!(
                        "{} of {}: {} (score {:.3}, {})",
                        application.id, application.applicant, verdict.decision, verdict.score, verdict.main_reason
                    );
                }
            }
            end(guard, Ok(()))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(Options, tachograph::Guard), Box<dyn Error>> {
    let options = Options::from_command_line()?;
    Ok((options, tachograph::Init::new("credit-service").init()?))
}
