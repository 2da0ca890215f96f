//! The one spelling of numbers and hashes in leaves, checkpoints and commits: decimal without leading zeros,
//! lowercase hex.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Most digits that a `u64` has.
const MAX_DIGITS: usize = 20;

/// Appends `number` in decimal.
pub(crate) fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; MAX_DIGITS];
    let mut at = MAX_DIGITS;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Reads a decimal number in the only spelling that [`write_decimal`] gives.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// Appends `bytes` in lowercase hex.
pub(crate) fn write_hex<const N: usize>(bytes: &[u8; N], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * N, 0);
    for (pair, byte) in out[start..].chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 0x0f)];
    }
}

/// Reads exactly `2 * N` lowercase hex digits.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0u8; N];
    // No branch inside: whether a digit of a hash is a letter can't be predicted, and half of a leaf are hashes.
    let mut seen = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen <= 0x0f).then_some(bytes)
}

/// For each byte its value as a lowercase hex digit, or 255.
const NIBBLES: [u8; 256] = {
    let mut nibbles = [u8::MAX; 256];
    let mut value = 0;
    while value < HEX.len() {
        nibbles[HEX[value] as usize] = value as u8;
        value += 1;
    }
    nibbles
};

/// Whether every byte is printable ASCII that a JSON string holds without an escape.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\')
}

/// Whether every byte is printable ASCII and none a backslash. It looks at all of them, many at a time.
pub(crate) fn is_without_escape(text: &str) -> bool {
    text.bytes().fold(true, |so_far, byte| so_far & (0x20..0x7f).contains(&byte) & (byte != b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_has_one_spelling() {
        for number in [0, 1, 9, 10, 12_345, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
            assert_eq!(parse_decimal(&number.to_string()), Some(number));
        }
        for bad in ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "１", "18446744073709551616"] {
            assert_eq!(parse_decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn hex_has_one_spelling() {
        let bytes = [0x00, 0x0f, 0xa5, 0xff];
        let mut out = Vec::new();
        write_hex(&bytes, &mut out);
        assert_eq!(out, b"000fa5ff");
        assert_eq!(parse_hex::<4>("000fa5ff"), Some(bytes));
        for bad in ["", "000fa5f", "000fa5ff0", "000FA5FF", "000fa5fg", "00 fa5ff"] {
            assert_eq!(parse_hex::<4>(bad), None, "{bad:?}");
        }
    }
}
