//! Which retention class a record belongs to: expressions in CEL (<https://cel.dev>), the first that is true wins.
//!
//! An expression sees the record's columns by their names, `attributes` (what the sender gave beyond them, by name), and `risk`. All
//! is checked when the configuration is read, so that a record is never met by an expression that nobody understood.
//!
//! What a record does not have (a number compared with nothing) does not match. Where an expression can't be evaluated for another
//! reason (a number compared with a string), nobody knows whether the class takes the record: it is kept as long as the longest of
//! those that may take it. Senders decide what type an attribute has, and must not shorten by that how long they are remembered.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cel::common::ast::{Expr, operators};
use cel::{Context, Env, ExecutionError, IdedExpr, Program, Value};
use serde_json::Value as Json;
use tachograph_exporters::archive::{Classify, DEFAULT_CLASS, RECORDER_CLASS, Retention};
use tachograph_record::{Body, COLUMNS, EventId, Hex, Kind, Record, Time, Value as Cell};

use crate::observe::Metrics;
use crate::statements::is_statement;

/// Attributes that the sender gave and that no column has.
const ATTRIBUTES: &str = "attributes";
/// The attribute `tachograph.risk`, else `risk`.
const RISK: &str = "risk";
const RISK_ATTRIBUTES: [&str; 2] = ["tachograph.risk", "risk"];
/// CEL's name of the type of what is not there.
const NULL: &str = "null_type";
/// Longest expression.
const MAX_EXPRESSION_BYTES: usize = 4_096;

/// A retention class: its name, and which records it takes.
#[derive(Clone)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The expression, as it was written.
    pub when: String,
    program: Arc<Program>,
    /// The variables that the expression uses.
    variables: Vec<Variable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    /// Position in [`COLUMNS`].
    Column(usize),
    Attributes,
    Risk,
}

impl std::fmt::Debug for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.when)
    }
}

impl Class {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Saying what is wrong with it, and where.
    pub fn new(name: &str, when: &str) -> Result<Self, String> {
        if when.len() > MAX_EXPRESSION_BYTES {
            return Err(format!("an expression has at most {MAX_EXPRESSION_BYTES} bytes"));
        }
        let program = Env::stdlib().compile(when).map_err(|errors| errors.to_string().replace('\n', "; "))?;
        let mut variables = Vec::new();
        for variable in program.references().variables() {
            variables.push(Variable::parse(variable).ok_or_else(|| {
                let known: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
                format!(
                    "`{variable}` is nothing that a record has; there are {ATTRIBUTES}, {RISK}, {}",
                    known.join(", ")
                )
            })?);
        }
        let class = Self { name: name.to_owned(), when: when.to_owned(), program: Arc::new(program), variables };
        class.check_answer()?;
        Ok(class)
    }

    /// An expression that gives a text or a number would take no record, ever.
    fn check_answer(&self) -> Result<(), String> {
        let record = Record::new(EventId([0; 16]), Time::default(), Kind::Generation);
        let body = Body { salt: Hex([0; 16]), observed_at: Time::default(), record };
        match self.takes(&Arc::new(Env::stdlib()), &body, &mut Attributes { body: b"{}", read: None }) {
            Err(ExecutionError::UnexpectedType { got, want }) if want == "bool" && got != NULL => {
                Err(format!("its value is of type {got}, where true or false is needed, as in `kind == 'generation'`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it takes the record; an error if that can't be told.
    fn takes(&self, env: &Arc<Env>, body: &Body<'_>, attributes: &mut Attributes<'_>) -> Result<bool, ExecutionError> {
        let mut context = Context::with_env(Arc::clone(env));
        for variable in &self.variables {
            let (name, value) = match variable {
                Variable::Column(at) => (COLUMNS[*at].name, of_cell(COLUMNS[*at].derive(body))),
                Variable::Attributes => (ATTRIBUTES, attributes.all()),
                Variable::Risk => (RISK, attributes.risk()),
            };
            context.add_variable_from_value(name, value);
        }
        holds(self.program.expression(), &context)
    }
}

/// Whether a condition is true. `||` and `&&` are taken apart, because of two errors CEL tells only one: what a record does not have
/// would hide that the other half can't be told.
fn holds(condition: &IdedExpr, context: &Context<'_, '_>) -> Result<bool, ExecutionError> {
    if let Expr::Call(call) = &condition.expr
        && let [left, right] = call.args.as_slice()
        && let operator @ (operators::LOGICAL_OR | operators::LOGICAL_AND) = call.func_name.as_str()
    {
        let decides = operator == operators::LOGICAL_OR;
        let left = holds(left, context);
        if left == Ok(decides) {
            return left;
        }
        return match holds(right, context)? {
            right if right == decides => Ok(right),
            _ => left,
        };
    }
    match Value::resolve(condition, context) {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(ExecutionError::UnexpectedType { got: other.type_of().to_string(), want: "bool".to_owned() }),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether something was asked of what the record does not have.
fn is_absence(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::NoSuchKey(_) => true,
        ExecutionError::NoSuchOverload(overload) => overload.argument_types().iter().any(|kind| kind == NULL),
        ExecutionError::UnexpectedType { got, .. } => got == NULL,
        ExecutionError::UnsupportedBinaryOperator(_, a, b) | ExecutionError::ValuesNotComparable(a, b) => {
            [a, b].contains(&&Value::Null)
        }
        _ => false,
    }
}

impl Variable {
    fn parse(name: &str) -> Option<Self> {
        match name {
            ATTRIBUTES => Some(Self::Attributes),
            RISK => Some(Self::Risk),
            _ => COLUMNS.iter().position(|column| column.name == name).map(Self::Column),
        }
    }
}

fn of_cell(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Text(text) => Value::String(Arc::new(text.to_owned())),
        Cell::Int(number) => Value::Int(number),
        Cell::Double(number) => Value::Float(number),
        Cell::Bytes(bytes) => Value::String(Arc::new(match <[u8; 16]>::try_from(bytes) {
            Ok(id) => Hex(id).to_string(),
            Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        })),
    }
}

/// The attributes of one record, read when the first expression asks for them.
struct Attributes<'b> {
    body: &'b [u8],
    read: Option<HashMap<String, Value>>,
}

impl Attributes<'_> {
    fn read(&mut self) -> &HashMap<String, Value> {
        let body = self.body;
        self.read.get_or_insert_with(|| {
            let record = Body::parse(body).ok();
            let metadata = record.as_ref().and_then(|body| body.record.metadata.as_ref());
            let metadata = metadata.and_then(|json| serde_json::from_str::<Json>(json.as_str()).ok());
            let mut attributes = HashMap::new();
            for member in ["resource", "attributes"] {
                let list = metadata.as_ref().and_then(|metadata| metadata.get(member));
                let pairs = list.and_then(|list| list.as_array().or_else(|| list.get("attributes")?.as_array()));
                for pair in pairs.into_iter().flatten() {
                    if let (Some(key), Some(value)) = (pair["key"].as_str(), pair.get("value")) {
                        attributes.insert(key.to_owned(), of_json(value));
                    }
                }
            }
            attributes
        })
    }

    fn all(&mut self) -> Value {
        self.read().clone().into()
    }

    fn risk(&mut self) -> Value {
        let attributes = self.read();
        RISK_ATTRIBUTES.iter().find_map(|name| attributes.get(*name)).cloned().unwrap_or(Value::Null)
    }
}

/// A value as OTLP/JSON types it. Lists, maps and bytes are their JSON, as text: they are there, and equal to nothing that is none.
fn of_json(value: &Json) -> Value {
    let typed = value.as_object().and_then(|object| object.iter().next());
    let scalar = match typed.map(|(kind, value)| (kind.as_str(), value)) {
        Some(("stringValue", Json::String(text))) => Some(Value::String(Arc::new(text.clone()))),
        Some(("boolValue", Json::Bool(yes))) => Some(Value::Bool(*yes)),
        Some(("intValue", Json::String(digits))) => digits.parse().ok().map(Value::Int),
        Some(("intValue", Json::Number(number))) => number.as_i64().map(Value::Int),
        // Infinities and what is not a number are strings.
        Some(("doubleValue", Json::String(text))) => text.parse().ok().map(Value::Float),
        Some(("doubleValue", Json::Number(number))) => number.as_f64().map(Value::Float),
        Some((_, Json::Null)) | None => Some(Value::Null),
        Some(_) => None,
    };
    scalar.unwrap_or_else(|| Value::String(Arc::new(value.to_string())))
}

/// All classes, in order.
pub struct Classifier {
    env: Arc<Env>,
    classes: Vec<Class>,
    /// With it the recorder's own statements have a class apart: they must outlive what they speak of.
    retention: Option<Retention>,
    metrics: Arc<Metrics>,
    /// Names of classes that the log has spoken of.
    reported: RefCell<HashSet<String>>,
}

impl Classifier {
    /// Without classes every record is of the default class; without retention the recorder's own statements are too.
    pub fn new(classes: Vec<Class>, retention: Option<Retention>, metrics: Arc<Metrics>) -> Self {
        Self { env: Arc::new(Env::stdlib()), classes, retention, metrics, reported: RefCell::default() }
    }

    /// Once a class: senders that send one such record send many.
    fn report(&self, class: &Class, body: &Body<'_>) {
        self.metrics.class_errors.add(1);
        if self.reported.borrow_mut().insert(class.name.clone()) {
            let event = body.record.event_id;
            tracing::warn!(class = class.name, when = class.when, %event,
                "the expression of a retention class can't be evaluated on a record, which is kept as the longest of the classes \
                 that may take it; further ones are counted (tachograph_archive_class_errors_total)");
        }
    }
}

impl Classify for Classifier {
    fn class(&self, body: &Body<'_>, bytes: &[u8]) -> &str {
        let Some(retention) = &self.retention else { return DEFAULT_CLASS };
        if is_statement(&body.record) {
            return RECORDER_CLASS;
        }
        let mut attributes = Attributes { body: bytes, read: None };
        let mut may_take = Vec::new();
        let mut takes = DEFAULT_CLASS;
        for class in &self.classes {
            match class.takes(&self.env, body, &mut attributes) {
                Ok(false) => {}
                Ok(true) => {
                    takes = &class.name;
                    break;
                }
                Err(_) => {
                    self.report(class, body);
                    may_take.push(class.name.as_str());
                }
            }
        }
        let longer = |taken, other| if retention.keep(other) > retention.keep(taken) { other } else { taken };
        may_take.into_iter().fold(takes, longer)
    }
}

#[cfg(test)]
mod tests;
