//! The layers around spans and log records: resource and scope.

use super::any_value::KeyValue;
use super::span::push_attribute;
use super::wire::{DecodeError, Fields, Wire, text};

/// Who sent: the resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource<'a> {
    /// Attributes, in order, duplicates kept.
    pub attributes: Vec<KeyValue<'a>>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u64,
    /// Schema of the resource's attributes.
    pub schema_url: &'a str,
    /// Fields here and in the layer around that this program does not know, as they came.
    pub unknown: Vec<&'a [u8]>,
}

/// Which instrumentation made it: the scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope<'a> {
    /// Name of the instrumentation.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Attributes.
    pub attributes: Vec<KeyValue<'a>>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u64,
    /// Schema of the attributes within.
    pub schema_url: &'a str,
    /// Fields here and in the layer around that this program does not know, as they came.
    pub unknown: Vec<&'a [u8]>,
}

/// The resource and scope around a record. If one of them can't be decoded, the records within can't be told apart from
/// another sender's, and each is recorded as rejected.
pub type Source<'s, 'a> = Result<(&'s Resource<'a>, &'s Scope<'a>), &'s DecodeError>;

/// Calls `each` with every span of an `ExportTraceServiceRequest`, undecoded, and where it stands.
///
/// # Errors
/// If the layers around the spans are not the protobuf they should be. `each` may have been called by then.
pub fn walk_traces<'a>(
    request: &'a [u8],
    max_bytes: usize,
    each: &mut dyn FnMut(Source<'_, 'a>, &'a [u8]),
) -> Result<(), DecodeError> {
    let names = Names { resources: "resource_spans", scopes: "scope_spans" };
    walk(request, max_bytes, &names, each)
}

/// The same for the log records of an `ExportLogsServiceRequest`.
///
/// # Errors
/// As for traces.
pub fn walk_logs<'a>(
    request: &'a [u8],
    max_bytes: usize,
    each: &mut dyn FnMut(Source<'_, 'a>, &'a [u8]),
) -> Result<(), DecodeError> {
    let names = Names { resources: "resource_logs", scopes: "scope_logs" };
    walk(request, max_bytes, &names, each)
}

/// Both signals have the same layers with the same field numbers, only other names.
struct Names {
    resources: &'static str,
    scopes: &'static str,
}

type Each<'e, 'a> = &'e mut dyn FnMut(Source<'_, 'a>, &'a [u8]);

fn walk<'a>(request: &'a [u8], max_bytes: usize, names: &Names, each: Each<'_, 'a>) -> Result<(), DecodeError> {
    let mut fields = Fields::new(request);
    let mut at = 0;
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(message)) => {
                walk_resource(message, max_bytes, names, each)
                    .map_err(|e| e.within(format_args!("{}[{at}]", names.resources)))?;
                at += 1;
            }
            (1, _) => return Err(DecodeError::new("not a message").within(names.resources)),
            _ => {}
        }
    }
    Ok(())
}

fn walk_resource<'a>(
    message: &'a [u8],
    max_bytes: usize,
    names: &Names,
    each: Each<'_, 'a>,
) -> Result<(), DecodeError> {
    // Fields may come in any order, and the resource must be known before the first span: two passes.
    let mut resource = Ok(Resource::default());
    let mut schema_url = Ok("");
    let mut unknown = Vec::new();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(bytes)) => resource = Resource::decode(bytes, max_bytes).map_err(|e| e.within("resource")),
            (2, Wire::Bytes(_)) => {}
            (3, Wire::Bytes(bytes)) => schema_url = text(bytes, max_bytes).map_err(|e| e.within("schema_url")),
            (1000, _) => {
                return Err(DecodeError::new(
                    "the OTLP layout before version 0.15 (instrumentation_library) is not read; update the sender's SDK",
                ));
            }
            (1..=3, _) => return Err(DecodeError::new(format!("field {} is not a message", field.number))),
            _ => unknown.push(field.raw),
        }
    }
    let resource = match (resource, schema_url) {
        (Ok(mut resource), Ok(schema_url)) => {
            resource.unknown.append(&mut unknown);
            Ok(Resource { schema_url, ..resource })
        }
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    let mut fields = Fields::new(message);
    let mut at = 0;
    while let Some(field) = fields.next()? {
        if let (2, Wire::Bytes(bytes)) = (field.number, field.value) {
            walk_scope(bytes, max_bytes, &resource, each)
                .map_err(|e| e.within(format_args!("{}[{at}]", names.scopes)))?;
            at += 1;
        }
    }
    Ok(())
}

fn walk_scope<'a>(
    message: &'a [u8],
    max_bytes: usize,
    resource: &Result<Resource<'a>, DecodeError>,
    each: Each<'_, 'a>,
) -> Result<(), DecodeError> {
    let mut scope = Ok(Scope::default());
    let mut schema_url = Ok("");
    let mut unknown = Vec::new();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(bytes)) => scope = Scope::decode(bytes, max_bytes).map_err(|e| e.within("scope")),
            (2, Wire::Bytes(_)) => {}
            (3, Wire::Bytes(bytes)) => schema_url = text(bytes, max_bytes).map_err(|e| e.within("schema_url")),
            (1..=3, _) => return Err(DecodeError::new(format!("field {} is not a message", field.number))),
            _ => unknown.push(field.raw),
        }
    }
    let scope = match (scope, schema_url) {
        (Ok(mut scope), Ok(schema_url)) => {
            scope.unknown.append(&mut unknown);
            Ok(Scope { schema_url, ..scope })
        }
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    let source = match (resource, &scope) {
        (Ok(resource), Ok(scope)) => Ok((resource, scope)),
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if let (2, Wire::Bytes(record)) = (field.number, field.value) {
            each(source, record);
        }
    }
    Ok(())
}

impl<'a> Resource<'a> {
    fn decode(message: &'a [u8], max_bytes: usize) -> Result<Self, DecodeError> {
        let mut resource = Self::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Bytes(bytes)) => {
                    push_attribute(&mut resource.attributes, bytes, max_bytes, &mut resource.unknown)?
                }
                (2, Wire::Varint(count)) => resource.dropped_attributes_count = count,
                _ => resource.unknown.push(field.raw),
            }
        }
        Ok(resource)
    }
}

impl<'a> Scope<'a> {
    fn decode(message: &'a [u8], max_bytes: usize) -> Result<Self, DecodeError> {
        let mut scope = Self::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Bytes(bytes)) => scope.name = text(bytes, max_bytes).map_err(|e| e.within("name"))?,
                (2, Wire::Bytes(bytes)) => scope.version = text(bytes, max_bytes).map_err(|e| e.within("version"))?,
                (3, Wire::Bytes(bytes)) => push_attribute(&mut scope.attributes, bytes, max_bytes, &mut scope.unknown)?,
                (4, Wire::Varint(count)) => scope.dropped_attributes_count = count,
                _ => scope.unknown.push(field.raw),
            }
        }
        Ok(scope)
    }
}
