//! Points in time: nanoseconds since the Unix epoch, written as RFC 3339 in UTC with nine decimals.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// Nanoseconds since 1970-01-01T00:00:00Z, at most `i64::MAX` (2262-04-11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

/// A time that can't be represented or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Later than `i64::MAX` nanoseconds.
    #[error("a time of {0} ns after 1970 lies behind 2262-04-11, the last that 64 bits hold")]
    TooLate(u64),
    /// Not of the form `YYYY-MM-DDThh:mm:ss.nnnnnnnnnZ`.
    #[error("not a time of the form YYYY-MM-DDThh:mm:ss.nnnnnnnnnZ")]
    Form,
}

impl Time {
    /// Bytes of the text form.
    pub const TEXT_LEN: usize = 30;

    /// The time that many nanoseconds after the Unix epoch.
    pub const fn from_unix_nanos(nanos: u64) -> Result<Self, TimeError> {
        if nanos > i64::MAX as u64 { Err(TimeError::TooLate(nanos)) } else { Ok(Self(nanos)) }
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn unix_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Appends the 30 bytes of the text form.
    pub fn write(self, out: &mut Vec<u8>) {
        let seconds = self.0 / NANOS_PER_SECOND;
        let (year, month, day) = civil_from_days(seconds / SECONDS_PER_DAY);
        let second_of_day = seconds % SECONDS_PER_DAY;
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        put(&mut text[0..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put(&mut text[11..13], second_of_day / 3600);
        put(&mut text[14..16], second_of_day / 60 % 60);
        put(&mut text[17..19], second_of_day % 60);
        put(&mut text[20..29], self.0 % NANOS_PER_SECOND);
        out.extend_from_slice(&text);
    }

    /// The UTC day as `YYYY-MM-DD`.
    pub fn day(self) -> String {
        self.to_string()[..10].to_owned()
    }

    /// Days since the Unix epoch.
    pub const fn day_number(self) -> u64 {
        self.0 / NANOS_PER_SECOND / SECONDS_PER_DAY
    }

    /// Reads the text form and nothing else.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let bytes = text.as_bytes();
        let form = b"dddd-dd-ddTdd:dd:dd.dddddddddZ";
        let fits = bytes.len() == form.len()
            && bytes.iter().zip(form).all(|(b, f)| if *f == b'd' { b.is_ascii_digit() } else { b == f });
        if !fits {
            return Err(TimeError::Form);
        }
        let number =
            |range: std::ops::Range<usize>| bytes[range].iter().fold(0u64, |n, b| n * 10 + u64::from(b - b'0'));
        let (year, month, day) = (number(0..4), number(5..7), number(8..10));
        let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
        if year < 1970 || hour > 23 || minute > 59 || second > 59 {
            return Err(TimeError::Form);
        }
        let days = days_from_civil(year, month, day).ok_or(TimeError::Form)?;
        let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
        seconds
            .checked_mul(NANOS_PER_SECOND)
            .and_then(|nanos| nanos.checked_add(number(20..29)))
            .map_or(Err(TimeError::TooLate(u64::MAX)), Self::from_unix_nanos)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(Self::TEXT_LEN);
        self.write(&mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeVisitor;
        impl Visitor<'_> for TimeVisitor {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time of the form YYYY-MM-DDThh:mm:ss.nnnnnnnnnZ")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                Time::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(TimeVisitor)
    }
}

fn put(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Howard Hinnant's `civil_from_days`, for days from 1970 on
/// (<https://howardhinnant.github.io/date_algorithms.html>).
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The inverse; `None` if there is no such day. Years from 1970 on.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || day == 0 || day > 31 {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y / 400;
    let year_of_era = y % 400;
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        // `date -u -d @1790000000 +%FT%TZ` and its like.
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_790_000_000_123_456_789, "2026-09-21T14:13:20.123456789Z"),
            (i64::MAX as u64, "2262-04-11T23:47:16.854775807Z"),
        ] {
            let time = Time::from_unix_nanos(nanos).unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(Time::parse(text), Ok(time));
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "2026-02-30T00:00:00.000000000Z",
            "2026-00-10T00:00:00.000000000Z",
            "2026-09-21T24:00:00.000000000Z",
            "2026-09-21T14:13:20.123456789",
            "2026-09-21 14:13:20.123456789Z",
            "1969-12-31T23:59:59.000000000Z",
            "9999-12-31T23:59:59.000000000Z",
        ] {
            assert!(Time::parse(text).is_err(), "{text}");
        }
        assert!(Time::from_unix_nanos(u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn text_and_number_agree(nanos in 0..=i64::MAX as u64) {
            let time = Time::from_unix_nanos(nanos).unwrap();
            prop_assert_eq!(Time::parse(&time.to_string()), Ok(time));
        }
    }
}
