//! Conversions from an application's values to attribute values.
//!
//! Each trait serves one shape of field. `None` emits nothing. The macros take every value by
//! reference, so that nothing is moved out of the application's hands.

use crate::values::Values;
use opentelemetry::{Array, StringValue, Value};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// A value that is recorded as text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be recorded as text",
    label = "not text",
    note = "write `%expression` to record it with `Display` or `?expression` to record it with `Debug`"
)]
pub trait Text {
    /// The text, or nothing.
    fn text(&self) -> Option<Cow<'_, str>>;
}

/// A value that is recorded as a whole number.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be recorded as a whole number",
    label = "not an integer",
    note = "write `%expression` if its `Display` is a decimal number"
)]
pub trait Integer {
    /// The number, or nothing.
    fn integer(&self) -> Option<Value>;

    /// Adds it to a record's values; numbers go without the detour.
    #[doc(hidden)]
    #[inline]
    fn put_integer(&self, attribute: &'static str, values: &mut Values) {
        if let Some(number) = self.integer() {
            values.push(attribute, number);
        }
    }
}

/// A value that is recorded as a number.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be recorded as a number",
    label = "not a number",
    note = "write `%expression` if its `Display` is a decimal number"
)]
pub trait Number {
    /// The number, or nothing.
    fn number(&self) -> Option<f64>;
}

/// A value that is recorded as a scalar or a list of scalars: a parameter of a model.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be recorded as a parameter",
    label = "neither a number, a truth value, text, nor a list of one of these",
    note = "write `%expression` to record it with `Display` or `?expression` to record it with `Debug`"
)]
pub trait Scalar {
    /// The value, or nothing.
    fn scalar(&self) -> Option<Value>;

    /// Adds it to a record's values; what is simple goes without the detour.
    #[doc(hidden)]
    #[inline]
    fn put_scalar(&self, attribute: &'static str, values: &mut Values) {
        if let Some(value) = self.scalar() {
            values.push(attribute, value);
        }
    }
}

/// A value that is recorded as a list of strings.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be recorded as a list of strings",
    label = "not a list of strings",
    note = "give an array, slice or `Vec` of `String` or `&str`"
)]
pub trait TextList {
    /// The list, or nothing.
    fn text_list(&self) -> Option<Vec<StringValue>>;
}

/// A value that has bytes to hash.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no bytes to hash",
    label = "neither text nor bytes",
    note = "give the exact bytes (`&str`, `String`, `&[u8]`, `Vec<u8>`), or write `%expression` if the value already is `sha256:<hex>`"
)]
pub trait Hashed {
    /// `sha256:<64 hex>` of the bytes, or nothing.
    fn sha256(&self) -> Option<String>;
}

/// `sha256:<64 hex>`, the form in which records carry hashes.
///
/// ```
/// assert!(tachograph::sha256("abc").starts_with("sha256:ba7816bf8f01cfea"));
/// ```
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hash_text(&Sha256::digest(bytes.as_ref()))
}

/// A finished SHA-256 in that form.
pub(crate) fn hash_text(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in digest {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The value as JSON text; nothing if it is JSON's `null`.
///
/// A value that its own serialiser refuses is recorded as the refusal, so that its absence is seen.
pub(crate) fn json_text<T: Serialize + ?Sized>(value: &T) -> Option<String> {
    match serde_json::to_string(value) {
        Ok(text) if text == "null" => None,
        Ok(text) => Some(text),
        Err(error) => Some(serde_json::json!({ "tachograph.not_serialised": error.to_string() }).to_string()),
    }
}

/// Any text as a JSON string.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

macro_rules! text_by_str {
    ($($t:ty),+) => { $(
        impl Text for $t {
            fn text(&self) -> Option<Cow<'_, str>> {
                let text: &str = self.as_ref();
                Some(Cow::Borrowed(text))
            }
        }
        impl Scalar for $t {
            fn scalar(&self) -> Option<Value> {
                self.text().map(|text| Value::from(text.into_owned()))
            }

            #[inline]
            fn put_scalar(&self, attribute: &'static str, values: &mut Values) {
                let text: &str = self.as_ref();
                values.push_text(attribute, text);
            }
        }
    )+ };
}
text_by_str!(str, String, Box<str>, Rc<str>, Arc<str>, Cow<'_, str>);

impl Text for Path {
    fn text(&self) -> Option<Cow<'_, str>> {
        Some(self.to_string_lossy())
    }
}

impl Text for PathBuf {
    fn text(&self) -> Option<Cow<'_, str>> {
        self.as_path().text()
    }
}

macro_rules! integers {
    ($($t:ty),+) => { $(
        impl Integer for $t {
            fn integer(&self) -> Option<Value> {
                // What does not fit OpenTelemetry's 64 signed bits goes as decimal text.
                Some(match i64::try_from(*self) {
                    Ok(number) => Value::I64(number),
                    Err(_) => Value::from(self.to_string()),
                })
            }

            #[inline]
            fn put_integer(&self, attribute: &'static str, values: &mut Values) {
                match i64::try_from(*self) {
                    Ok(number) => values.push_integer(attribute, number),
                    Err(_) => values.push_display(attribute, self),
                }
            }
        }
        impl Number for $t {
            fn number(&self) -> Option<f64> {
                Some(*self as f64)
            }
        }
        impl Scalar for $t {
            fn scalar(&self) -> Option<Value> {
                self.integer()
            }

            #[inline]
            fn put_scalar(&self, attribute: &'static str, values: &mut Values) {
                self.put_integer(attribute, values);
            }
        }
    )+ };
}
integers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl Number for f64 {
    fn number(&self) -> Option<f64> {
        Some(*self)
    }
}

impl Number for f32 {
    /// The number that its shortest decimal is: `0.7`, and not what the nearest `f32` is in a `f64`, 0.699999988.
    fn number(&self) -> Option<f64> {
        Some(self.to_string().parse().unwrap_or_else(|_| f64::from(*self)))
    }
}

macro_rules! floats {
    ($($t:ty),+) => { $(
        impl Scalar for $t {
            fn scalar(&self) -> Option<Value> {
                self.number().map(Value::F64)
            }

            #[inline]
            fn put_scalar(&self, attribute: &'static str, values: &mut Values) {
                if let Some(number) = self.number() {
                    values.push_number(attribute, number);
                }
            }
        }
    )+ };
}
floats!(f32, f64);

impl Scalar for bool {
    fn scalar(&self) -> Option<Value> {
        Some(Value::Bool(*self))
    }

    #[inline]
    fn put_scalar(&self, attribute: &'static str, values: &mut Values) {
        values.push_truth(attribute, *self);
    }
}

impl<T: AsRef<str>> TextList for [T] {
    fn text_list(&self) -> Option<Vec<StringValue>> {
        let owned = |text: &T| StringValue::from(text.as_ref().to_owned());
        Some(self.iter().map(owned).collect())
    }
}

impl<T: AsRef<str>, const N: usize> TextList for [T; N] {
    fn text_list(&self) -> Option<Vec<StringValue>> {
        self.as_slice().text_list()
    }
}

impl<T: AsRef<str>> TextList for Vec<T> {
    fn text_list(&self) -> Option<Vec<StringValue>> {
        self.as_slice().text_list()
    }
}

impl<T: Scalar> Scalar for [T] {
    fn scalar(&self) -> Option<Value> {
        list(self.iter().filter_map(Scalar::scalar).collect())
    }
}

impl<T: Scalar, const N: usize> Scalar for [T; N] {
    fn scalar(&self) -> Option<Value> {
        self.as_slice().scalar()
    }
}

impl<T: Scalar> Scalar for Vec<T> {
    fn scalar(&self) -> Option<Value> {
        self.as_slice().scalar()
    }
}

/// OpenTelemetry's lists hold one type; a list that mixes them becomes a list of texts.
fn list(values: Vec<Value>) -> Option<Value> {
    let mut numbers = Vec::with_capacity(values.len());
    let mut floats = Vec::with_capacity(values.len());
    let mut truths = Vec::with_capacity(values.len());
    for value in &values {
        match value {
            Value::I64(number) => numbers.push(*number),
            Value::F64(number) => floats.push(*number),
            Value::Bool(truth) => truths.push(*truth),
            _ => {}
        }
    }
    let all = values.len();
    let array = if numbers.len() == all && all > 0 {
        Array::I64(numbers)
    } else if floats.len() == all && all > 0 {
        Array::F64(floats)
    } else if truths.len() == all && all > 0 {
        Array::Bool(truths)
    } else {
        Array::String(values.into_iter().map(StringValue::from).collect())
    };
    Some(Value::Array(array))
}

macro_rules! hashed_bytes {
    ($($t:ty),+) => { $(
        impl Hashed for $t {
            fn sha256(&self) -> Option<String> {
                let bytes: &[u8] = self;
                Some(sha256(bytes))
            }
        }
    )+ };
}
hashed_bytes!([u8], Vec<u8>, Box<[u8]>, Arc<[u8]>);

macro_rules! hashed_text {
    ($($t:ty),+) => { $(
        impl Hashed for $t {
            fn sha256(&self) -> Option<String> {
                let text: &str = self;
                Some(sha256(text))
            }
        }
    )+ };
}
hashed_text!(str, String, Box<str>, Arc<str>, Cow<'_, str>);

impl<const N: usize> Hashed for [u8; N] {
    fn sha256(&self) -> Option<String> {
        self.as_slice().sha256()
    }
}

/// A reference is recorded as what it refers to, an `Option` as its value or not at all.
macro_rules! through {
    ($($trait:ident :: $method:ident -> $out:ty $(, $put:ident)?;)+) => { $(
        impl<T: $trait + ?Sized> $trait for &T {
            fn $method(&self) -> Option<$out> {
                (**self).$method()
            }
            $(
                #[inline]
                fn $put(&self, attribute: &'static str, values: &mut Values) {
                    (**self).$put(attribute, values);
                }
            )?
        }
        impl<T: $trait + ?Sized> $trait for &mut T {
            fn $method(&self) -> Option<$out> {
                (**self).$method()
            }
            $(
                #[inline]
                fn $put(&self, attribute: &'static str, values: &mut Values) {
                    (**self).$put(attribute, values);
                }
            )?
        }
        impl<T: $trait> $trait for Option<T> {
            fn $method(&self) -> Option<$out> {
                self.as_ref().and_then($trait::$method)
            }
            $(
                #[inline]
                fn $put(&self, attribute: &'static str, values: &mut Values) {
                    if let Some(value) = self {
                        value.$put(attribute, values);
                    }
                }
            )?
        }
    )+ };
}
through! {
    Text::text -> Cow<'_, str>;
    Integer::integer -> Value, put_integer;
    Number::number -> f64;
    Scalar::scalar -> Value, put_scalar;
    TextList::text_list -> Vec<StringValue>;
    Hashed::sha256 -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_nothing_in_every_shape() {
        assert!(None::<String>.text().is_none());
        assert!(None::<u64>.integer().is_none());
        assert!(None::<f64>.number().is_none());
        assert!(None::<bool>.scalar().is_none());
        assert!(None::<Vec<String>>.text_list().is_none());
        assert!(None::<&[u8]>.sha256().is_none());
        assert!(json_text(&None::<u8>).is_none());
    }

    #[test]
    fn an_integer_too_large_is_text() {
        assert_eq!(u64::MAX.integer(), Some(Value::from("18446744073709551615")));
        assert_eq!(Some(7_u32).integer(), Some(Value::I64(7)));
    }

    #[test]
    fn sha256_of_known_bytes() {
        assert_eq!(sha256("abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!("abc".sha256(), Some(sha256(b"abc")));
    }

    #[test]
    fn lists_keep_their_type() {
        assert_eq!([1, 2].scalar(), Some(Value::Array(Array::I64(vec![1, 2]))));
        assert_eq!(vec!["a", "b"].scalar(), Some(Value::Array(Array::String(vec!["a".into(), "b".into()]))));
    }

    #[test]
    fn what_serde_refuses_says_so() {
        let odd = std::collections::BTreeMap::from([(vec![1_u8], 2)]);
        let text = json_text(&odd).expect("some text");
        assert!(text.contains("tachograph.not_serialised"), "{text}");
    }
}
