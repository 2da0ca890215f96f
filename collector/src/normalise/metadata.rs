//! `metadata`: what did not map, typed as OTLP/JSON types it. Nothing that arrived is dropped without a trace.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tachograph_record::{Json, write_hex, write_str};

use crate::otlp::{
    AnyValue, Event, KeyValue, Link, Resource, Scope, write_key_value, write_key_values, write_list, write_value,
};

/// Writes a JSON object member by member; empty values leave no member.
pub(super) struct Object {
    json: Vec<u8>,
}

impl Object {
    pub(super) fn new() -> Self {
        let mut json = Vec::with_capacity(1024);
        json.push(b'{');
        Self { json }
    }

    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if self.json.len() > 1 {
            self.json.push(b',');
        }
        write_str(name, &mut self.json);
        self.json.push(b':');
        &mut self.json
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            write_str(text, self.member(name));
        }
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        if number != 0 {
            write_str(&number.to_string(), self.member(name));
        }
    }

    /// An id whose length breaks the protocol.
    pub(super) fn odd_id(&mut self, name: &str, id: &[u8], len: usize) {
        if !id.is_empty() && (id.len() != len || id.iter().all(|b| *b == 0)) {
            hex(id, self.member(name));
        }
    }

    pub(super) fn value(&mut self, name: &str, value: &AnyValue<'_>) {
        if *value != AnyValue::Empty {
            write_value(value, self.member(name));
        }
    }

    pub(super) fn attributes(&mut self, name: &str, attributes: &[KeyValue<'_>]) {
        if !attributes.is_empty() {
            write_key_values(attributes, self.member(name));
        }
    }

    pub(super) fn rest(&mut self, name: &str, attributes: &[&KeyValue<'_>]) {
        self.list(name, attributes, |attribute, out| write_key_value(attribute, out));
    }

    pub(super) fn events(&mut self, events: &[Event<'_>]) {
        self.list("events", events, |event, out| {
            let mut object = Object::new();
            object.number("time_unix_nano", event.time_unix_nano);
            object.text("name", event.name);
            object.attributes("attributes", &event.attributes);
            object.number("dropped_attributes_count", event.dropped_attributes_count);
            out.extend_from_slice(&object.close());
        });
    }

    pub(super) fn links(&mut self, links: &[Link<'_>]) {
        self.list("links", links, |link, out| {
            let mut object = Object::new();
            hex(link.trace_id, object.member("trace_id"));
            hex(link.span_id, object.member("span_id"));
            object.text("trace_state", link.trace_state);
            object.number("flags", link.flags.into());
            object.attributes("attributes", &link.attributes);
            object.number("dropped_attributes_count", link.dropped_attributes_count);
            out.extend_from_slice(&object.close());
        });
    }

    /// Protobuf fields from a later version of OTLP, as they came.
    pub(super) fn unknown(&mut self, fields: &[&[u8]]) {
        self.unknown_of("unknown_fields", fields);
    }

    fn unknown_of(&mut self, name: &str, fields: &[&[u8]]) {
        if !fields.is_empty() {
            write_str(&BASE64.encode(fields.concat()), self.member(name));
        }
    }

    pub(super) fn source(&mut self, resource: &Resource<'_>, resource_rest: &[&KeyValue<'_>], scope: &Scope<'_>) {
        self.rest("resource", resource_rest);
        self.number("resource_dropped_attributes_count", resource.dropped_attributes_count);
        self.text("resource_schema_url", resource.schema_url);
        self.unknown_of("resource_unknown_fields", &resource.unknown);
        self.text("scope_name", scope.name);
        self.text("scope_version", scope.version);
        self.attributes("scope_attributes", &scope.attributes);
        self.number("scope_dropped_attributes_count", scope.dropped_attributes_count);
        self.text("schema_url", scope.schema_url);
        self.unknown_of("scope_unknown_fields", &scope.unknown);
    }

    fn list<T>(&mut self, name: &str, values: &[T], write: impl FnMut(&T, &mut Vec<u8>)) {
        if !values.is_empty() {
            write_list(values, self.member(name), write);
        }
    }

    fn close(mut self) -> Vec<u8> {
        self.json.push(b'}');
        self.json
    }

    /// `None` if no member was written.
    pub(super) fn finish(self) -> Option<Json<'static>> {
        let json = self.close();
        (json.len() > 2).then(|| Json::written(json))
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    write_hex(bytes, out);
    out.push(b'"');
}
