//! Several attributes for one field.

use super::document::{fitting, resource_rows, span_rows, unfitting};
use super::*;

/// Rows in which several names fill one field, with a value for each name.
fn contested() -> impl Iterator<Item = (super::document::Row, Vec<(AnyValue<'static>, Value)>)> {
    // `gen_ai.response.model` has a rule of its own, below.
    let rows = span_rows().into_iter().filter(|row| row.names.len() > 1 && !row.field.starts_with("model"));
    rows.map(|row| {
        let values = (0..row.names.len()).map(|n| fitting(&row, n)).collect();
        (row, values)
    })
}

#[test]
fn the_name_that_stands_first_wins_and_the_others_are_kept() {
    let mut rows = 0;
    for (row, values) in contested() {
        rows += 1;
        let attributes: Vec<_> =
            row.names.iter().zip(&values).map(|(name, (value, _))| attribute(name, value.clone())).collect();
        for reversed in [false, true] {
            let mut sent = attributes.clone();
            if reversed {
                sent.reverse();
            }
            let got = of_attributes(sent);
            assert_eq!(got[row.field], values[0].1, "{}", row.field);
            let others: Vec<Value> = attributes[1..].iter().map(listed).collect();
            assert_eq!(kept(&got, "attributes"), others, "{}", row.field);
        }
    }
    assert!(rows >= 12, "{rows}");
}

#[test]
fn a_name_whose_value_does_not_fit_leaves_the_field_to_the_next() {
    for (row, values) in contested() {
        let wrong = attribute(&row.names[0], unfitting(&row));
        let right = attribute(&row.names[1], values[1].0.clone());
        let got = of_attributes(vec![wrong.clone(), right]);
        assert_eq!(got[row.field], values[1].1, "{}", row.field);
        assert_eq!(kept(&got, "attributes"), [listed(&wrong)], "{}", row.field);
    }
}

#[test]
fn of_one_name_twice_the_first_counts_and_the_second_is_kept() {
    for row in span_rows() {
        let (value, in_body) = fitting(&row, 0);
        let again = attribute(&row.names[0], unfitting(&row));
        let got = of_attributes(vec![attribute(&row.names[0], value), again.clone()]);
        assert_eq!(got[row.field], in_body, "{}", row.names[0]);
        assert_eq!(kept(&got, "attributes"), [listed(&again)], "{}", row.names[0]);
    }
    for row in resource_rows() {
        let got = of_resource(vec![text(&row.names[0], "first"), text(&row.names[0], "second")]);
        assert_eq!(got[row.field], "first");
        assert_eq!(kept(&got, "resource"), [listed(&text(&row.names[0], "second"))]);
    }
}

#[test]
fn the_resource_has_names_in_order_too() {
    let (new, old) = (text("deployment.environment.name", "new"), text("deployment.environment", "old"));
    let got = of_resource(vec![old.clone(), new]);
    assert_eq!(got["environment"], "new");
    assert_eq!(kept(&got, "resource"), [listed(&old)]);
}

#[test]
fn the_spans_own_tenant_goes_before_the_resources() {
    let resource = Resource { attributes: vec![text("tachograph.tenant", "resource")], ..Resource::default() };
    let got = |attributes| members(&super::super::span(&bare_span(attributes), &resource, &Scope::default()).unwrap());
    let both = got(vec![text("tachograph.tenant", "own")]);
    assert_eq!(both["tenant"], "own");
    assert_eq!(kept(&both, "resource"), [listed(&text("tachograph.tenant", "resource"))]);
    let wrong = attribute("tachograph.tenant", AnyValue::Int(5));
    let one = got(vec![wrong.clone()]);
    assert_eq!(one["tenant"], "resource");
    assert_eq!(kept(&one, "attributes"), [listed(&wrong)]);
}

#[test]
fn the_model_that_was_asked_for_and_the_one_that_answered() {
    let (asked, answered, version) =
        (text("gen_ai.request.model", "a"), text("gen_ai.response.model", "b"), text("tachograph.model.version", "c"));
    let models = |sent: Vec<KeyValue<'_>>| {
        let got = of_attributes(sent);
        (got.get("model").cloned(), got.get("model_version").cloned(), kept(&got, "attributes").to_vec())
    };
    let some = |text: &str| Some(Value::from(text));
    assert_eq!(models(vec![answered.clone(), asked.clone()]), (some("a"), some("b"), vec![]));
    assert_eq!(models(vec![answered.clone()]), (some("b"), None, vec![]));
    assert_eq!(models(vec![answered.clone(), version.clone()]), (some("b"), some("c"), vec![]));
    assert_eq!(models(vec![version, answered.clone(), asked]), (some("a"), some("c"), vec![listed(&answered)]));
}

#[test]
fn parameters_have_one_value_a_name_and_a_bound() {
    let twice =
        [attribute("gen_ai.request.seed", AnyValue::Int(1)), attribute("tachograph.parameter.seed", AnyValue::Int(2))];
    let got = of_attributes(twice.to_vec());
    assert_eq!(got["parameters"], serde_json::json!({ "seed": 1 }));
    assert_eq!(kept(&got, "attributes"), [listed(&twice[1])]);
    let nameless = text("gen_ai.request.", "x");
    assert_eq!(kept(&of_attributes(vec![nameless.clone()]), "attributes"), [listed(&nameless)]);

    let names: Vec<String> = (0..300).map(|n| format!("tachograph.parameter.p{n}")).collect();
    let got = of_attributes(names.iter().map(|name| attribute(name, AnyValue::Bool(true))).collect());
    assert_eq!(got["parameters"].as_object().unwrap().len(), 256);
    assert_eq!(kept(&got, "attributes").len(), 44);
}

#[test]
fn a_tool_is_a_resource_unless_the_sender_says_otherwise() {
    let tool = || text("gen_ai.tool.name", "search");
    assert_eq!(of_attributes(vec![tool()])["resource_type"], "tool");
    assert_eq!(of_attributes(vec![tool(), text("tachograph.resource.type", "index")])["resource_type"], "index");
    let other = of_attributes(vec![tool(), text("tachograph.resource.id", "42")]);
    assert_eq!((other.get("resource_id"), other.get("resource_type")), (Some(&"42".into()), None));
}

#[test]
fn an_actor_of_a_kind_that_we_do_not_know_is_not_called_a_user() {
    let robot = text("tachograph.actor.type", "robot");
    let got = of_attributes(vec![robot.clone(), text("user.id", "r2")]);
    assert_eq!((got.get("actor_type"), &got["actor_id"]), (None, &"r2".into()));
    assert_eq!(kept(&got, "attributes"), [listed(&robot)]);
}

#[test]
fn a_sender_can_not_speak_as_the_recorder() {
    let record = of_attributes(vec![text("tachograph.kind", "lifecycle")]);
    assert_eq!(record["kind"], "audit_event");
    assert_eq!(record["metadata"]["attributes"][0]["key"], "tachograph.kind");
}

#[test]
fn a_producer_can_speak_of_its_own_life_and_nothing_else() {
    for action in ["producer.open", "producer.heartbeat", "producer.close"] {
        let record = of_attributes(vec![text("tachograph.kind", "lifecycle"), text("tachograph.action.type", action)]);
        assert_eq!((&record["kind"], &record["action_type"]), (&"lifecycle".into(), &action.into()));
    }
    for action in ["clock.jump_back", "hold.add", "producer.gap", "producer.closed"] {
        let record = of_attributes(vec![text("tachograph.kind", "lifecycle"), text("tachograph.action.type", action)]);
        assert_eq!(record["kind"], "audit_event", "{action}");
    }
}

#[test]
fn a_sender_can_not_take_the_recorders_name_or_words() {
    let record = of_attributes(vec![
        text("tachograph.action.type", "telemetry.rejected"),
        text("tachograph.producer.id", "tachograph-collector"),
    ]);
    assert!(record.get("action_type").is_none());
    assert!(record.get("producer").is_none());
    assert_eq!(record["metadata"]["attributes"].as_array().map(Vec::len), Some(2));
}
