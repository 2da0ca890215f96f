//! Which retention class a record belongs to: expressions in CEL (<https://cel.dev>), the first that is true wins.
//!
//! An expression sees the record's columns by their names, `attributes` (what the sender gave beyond them, by name), and `risk`. All
//! is checked when the configuration is read, so that a record is never met by an expression that nobody understood. One that
//! can't be evaluated on a record (a number compared with nothing, say) does not match.

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Env, Program, Value};
use serde_json::Value as Json;
use tachograph_exporters::archive::{Classify, DEFAULT_CLASS, RECORDER_CLASS};
use tachograph_record::{Body, COLUMNS, Hex, Value as Cell};

use crate::statements::is_statement;

/// Attributes that the sender gave and that no column has.
const ATTRIBUTES: &str = "attributes";
/// The attribute `tachograph.risk`, else `risk`.
const RISK: &str = "risk";
const RISK_ATTRIBUTES: [&str; 2] = ["tachograph.risk", "risk"];
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
        Ok(Self { name: name.to_owned(), when: when.to_owned(), program: Arc::new(program), variables })
    }

    fn matches(&self, env: &Arc<Env>, body: &Body<'_>, attributes: &mut Attributes<'_>) -> bool {
        let mut context = Context::with_env(Arc::clone(env));
        for variable in &self.variables {
            let (name, value) = match variable {
                Variable::Column(at) => (COLUMNS[*at].name, of_cell(COLUMNS[*at].derive(body))),
                Variable::Attributes => (ATTRIBUTES, attributes.all()),
                Variable::Risk => (RISK, attributes.risk()),
            };
            context.add_variable_from_value(name, value);
        }
        matches!(self.program.execute(&context), Ok(Value::Bool(true)))
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

/// A value as OTLP/JSON types it; lists and maps are left out.
fn of_json(value: &Json) -> Value {
    let typed = value.as_object().and_then(|object| object.iter().next());
    match typed.map(|(kind, value)| (kind.as_str(), value)) {
        Some(("stringValue", Json::String(text))) => Value::String(Arc::new(text.clone())),
        Some(("boolValue", Json::Bool(yes))) => Value::Bool(*yes),
        Some(("intValue", Json::String(digits))) => digits.parse().map_or(Value::Null, Value::Int),
        Some(("intValue", Json::Number(number))) => number.as_i64().map_or(Value::Null, Value::Int),
        Some(("doubleValue", Json::Number(number))) => number.as_f64().map_or(Value::Null, Value::Float),
        _ => Value::Null,
    }
}

/// All classes, in order.
pub struct Classifier {
    env: Arc<Env>,
    classes: Vec<Class>,
    /// Whether the recorder's own statements have a class apart: they must outlive what they speak of.
    retention: bool,
}

impl Classifier {
    /// Without classes every record is of the default class; without retention the recorder's own statements are too.
    pub fn new(classes: Vec<Class>, retention: bool) -> Self {
        Self { env: Arc::new(Env::stdlib()), classes, retention }
    }
}

impl Classify for Classifier {
    fn class(&self, body: &Body<'_>, bytes: &[u8]) -> &str {
        if self.retention && is_statement(&body.record) {
            return RECORDER_CLASS;
        }
        let mut attributes = Attributes { body: bytes, read: None };
        let class = self.classes.iter().find(|class| class.matches(&self.env, body, &mut attributes));
        class.map_or(DEFAULT_CLASS, |class| &class.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements::HOLD_ADD;
    use tachograph_exporters::verify::RECORDER_PRODUCER;
    use tachograph_record::{EventId, Json as RecordJson, Kind, Record, Time, write_body};

    fn body(change: impl FnOnce(&mut Record<'_>)) -> Vec<u8> {
        let mut record = Record::new(EventId([7; 16]), Time::default(), Kind::Generation);
        change(&mut record);
        let mut bytes = Vec::new();
        write_body(&record, &[1; 16], Time::default(), &mut bytes);
        bytes
    }

    fn class_of(classifier: &Classifier, bytes: &[u8]) -> String {
        classifier.class(&Body::parse_columns(bytes).unwrap(), bytes).to_owned()
    }

    fn classifier() -> Classifier {
        let classes = [
            ("high-risk", "risk == 'high'"),
            ("costly", "cost > 0.5 || tokens_in > 1000"),
            ("eu", "attributes['region'] == 'eu' && !(tenant == 'test')"),
            ("prompts", "kind == 'generation'"),
        ];
        Classifier::new(classes.map(|(name, when)| Class::new(name, when).unwrap()).to_vec(), true)
    }

    #[test]
    fn the_first_match_wins() {
        let metadata = |json: &str| {
            let json = json.to_owned();
            body(|record| record.metadata = Some(RecordJson::trusted(json)))
        };
        let classes = classifier();
        assert_eq!(class_of(&classes, &body(|_| {})), "prompts");
        assert_eq!(class_of(&classes, &body(|record| record.kind = Kind::ToolCall)), DEFAULT_CLASS);
        assert_eq!(class_of(&classes, &body(|record| record.cost = Some(tachograph_record::Number(0.75)))), "costly");
        let attribute = |key: &str, value: &str| {
            metadata(&format!(r#"{{"attributes":[{{"key":"{key}","value":{{"stringValue":"{value}"}}}}]}}"#))
        };
        assert_eq!(class_of(&classes, &attribute("tachograph.risk", "high")), "high-risk");
        assert_eq!(class_of(&classes, &attribute("risk", "high")), "high-risk");
        assert_eq!(class_of(&classes, &attribute("risk", "low")), "prompts");
        assert_eq!(class_of(&classes, &attribute("region", "eu")), "eu");
    }

    #[test]
    fn statements_of_the_recorder_are_apart_and_cannot_be_imitated() {
        let statement = |producer: &'static str| {
            body(|record| {
                record.kind = Kind::Lifecycle;
                record.action_type = Some(HOLD_ADD.into());
                record.producer = Some(producer.into());
            })
        };
        assert_eq!(class_of(&classifier(), &statement(RECORDER_PRODUCER)), RECORDER_CLASS);
        assert_eq!(class_of(&classifier(), &statement("somebody")), DEFAULT_CLASS);
        assert_eq!(class_of(&Classifier::new(Vec::new(), false), &statement(RECORDER_PRODUCER)), DEFAULT_CLASS);
    }

    #[test]
    fn mistakes_are_named() {
        for (when, word) in [("kinde == 'x'", "`kinde`"), ("kind ==", "1:8"), ("(", "1:")] {
            let error = Class::new("x", when).unwrap_err();
            assert!(error.contains(word), "{when}: {error}");
        }
        assert!(Class::new("x", &"a".repeat(5_000)).is_err());
    }
}
