//! Any JSON, with its members in their order and its doubled keys, as people read it: lists and tables.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::html::Html;

/// Lists and tables stand in one another this deep; what lies deeper is shown as JSON.
const DEPTH_LIMIT: usize = 6;

/// Longer lists and tables are shown as JSON: nobody reads them, and their markup would be many times their length.
const LENGTH_LIMIT: usize = 500;

/// The members of a JSON object in their order, each as it was written.
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// The elements of a JSON array, each as it was written.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;
        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

/// Writes `json`: a string as its text, an object as a table, an array as a list, and the rest as it stands there.
pub(super) fn write(json: &str, html: &mut Html) {
    write_within(json.trim(), DEPTH_LIMIT, html);
}

fn write_within(json: &str, depth: usize, html: &mut Html) {
    match json.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<String>(json) {
            Ok(text) if text.is_empty() => html.markup("<i>empty text</i>"),
            Ok(text) => html.value(&text),
            Err(_) => html.value(json),
        },
        Some(b'{') if depth > 0 => match serde_json::from_str::<Members<'_>>(json) {
            Ok(Members(members)) if members.is_empty() => html.markup("<i>no members</i>"),
            Ok(Members(members)) if members.len() <= LENGTH_LIMIT => {
                html.markup("<table class=\"inner\">");
                for (key, value) in members {
                    html.markup("<tr><th scope=\"row\">").recorded(&key).markup("</th><td>");
                    write_within(value.get(), depth - 1, html);
                    html.markup("</td></tr>");
                }
                html.markup("</table>")
            }
            _ => html.value(json),
        },
        Some(b'[') if depth > 0 => match serde_json::from_str::<Elements<'_>>(json) {
            Ok(Elements(elements)) if elements.is_empty() => html.markup("<i>empty list</i>"),
            Ok(Elements(elements)) if elements.len() <= LENGTH_LIMIT => {
                html.markup("<ol>");
                for element in elements {
                    html.markup("<li>");
                    write_within(element.get(), depth - 1, html);
                    html.markup("</li>");
                }
                html.markup("</ol>")
            }
            _ => html.value(json),
        },
        _ => html.value(json),
    };
}
