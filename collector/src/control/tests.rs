use serde_json::json;

use super::*;

fn request(action: &str, details: Json) -> Request {
    Request { v: VERSION.to_owned(), action: action.to_owned(), details }
}

#[test]
fn a_statement_is_checked_before_it_is_made() {
    let wrong = |request: Request| request.statement(Time::default()).unwrap_err();
    assert!(wrong(Request { v: "2".to_owned(), ..request(HOLD_ADD, json!({})) }).contains("version 2"));
    assert!(wrong(request("collector.start", json!({}))).contains("hold.add"));
    assert!(wrong(request("archive.orphans", json!({ "objects": ["x"] }))).contains("no statement"));
    assert!(wrong(request(HOLD_ADD, json!({ "query": {}, "reason": "x" }))).contains("at least one"));
    assert!(wrong(request(HOLD_ADD, json!({ "query": { "session_id": "s" }, "reason": "" }))).contains("--reason"));
    assert!(wrong(request(HOLD_RELEASE, json!({ "reason": "x" }))).contains("hold"));
    assert!(wrong(request(RETENTION_DESTROY, json!({ "objects": [{}] }))).contains("path"));
    let good = request(HOLD_ADD, json!({ "query": { "session_id": "s" }, "reason": "court" }));
    assert_eq!(good.statement(Time::default()).unwrap().0, HOLD_ADD);
}
