//! The bytes of segments and positions: `docs/format-spool.md`. Pure functions.

/// No entry is longer.
pub const LONGEST_RECORD: usize = 256 << 20;
const LONGEST_RESOURCE: usize = 1 << 20;
const SEGMENT_MAGIC: &[u8; 6] = b"TGSPOL";
const POSITION_MAGIC: &[u8; 6] = b"TGSPOS";
const VERSION: u16 = 1;
/// Bytes of an entry before its record.
pub const ENTRY_HEAD: usize = 20;
/// Bytes of a position.
pub const POSITION_BYTES: usize = 28;
const OWN: u32 = 1;
const LOG: u32 = 2;

/// What stands at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// The resource of its records, and how many bytes the header has.
    Read(&'a [u8], usize),
    /// It goes on behind these bytes: at least so many are needed.
    Short(usize),
    /// It was written by a release that writes another format.
    Version(u16),
    /// It is no header.
    Damaged,
}

/// What stands at some place behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An entry, and how many bytes it has.
    Entry(Entry<'a>, usize),
    /// It goes on behind these bytes: at least so many are needed.
    Short(usize),
    /// It is no entry.
    Damaged,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number in the sequence of its epoch.
    pub sequence: u64,
    /// It is of the producer itself.
    pub own: bool,
    /// It is a log record, not a span.
    pub log: bool,
    /// `ScopeSpans` with one span, or `ScopeLogs` with one log record.
    pub record: &'a [u8],
}

/// Where the first record begins that was not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Byte in it.
    pub offset: u64,
}

impl<'a> Header<'a> {
    /// Reads the beginning of a segment.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Self {
        let Some((magic, rest)) = bytes.split_first_chunk::<6>() else { return Self::Short(12) };
        if magic != SEGMENT_MAGIC {
            return Self::Damaged;
        }
        let Some((version, rest)) = rest.split_first_chunk::<2>() else { return Self::Short(12) };
        let version = u16::from_le_bytes(*version);
        if version != VERSION {
            // No release writes 0: that is a write that was torn, or damage.
            return if version == 0 { Self::Damaged } else { Self::Version(version) };
        }
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Self::Short(12) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > LONGEST_RESOURCE {
            return Self::Damaged;
        }
        let whole = 12 + length + 4;
        let (Some(resource), Some(sum)) = (rest.get(..length), rest.get(length..length + 4)) else {
            return Self::Short(whole);
        };
        if crc32c::crc32c(&bytes[..12 + length]).to_le_bytes() == *sum {
            Self::Read(resource, whole)
        } else {
            Self::Damaged
        }
    }

    /// A header for this resource; `None` if that is too long.
    #[must_use]
    pub fn write(resource: &[u8]) -> Option<Vec<u8>> {
        let length = u32::try_from(resource.len()).ok().filter(|_| resource.len() <= LONGEST_RESOURCE)?;
        let mut bytes = Vec::with_capacity(16 + resource.len());
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(resource);
        let sum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        Some(bytes)
    }
}

impl<'a> Entry<'a> {
    /// Reads what stands at the beginning of `bytes`.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Found<'a> {
        let Some((head, rest)) = bytes.split_first_chunk::<ENTRY_HEAD>() else { return Found::Short(ENTRY_HEAD) };
        let [l0, l1, l2, l3, c0, c1, c2, c3, s0, s1, s2, s3, s4, s5, s6, s7, f0, f1, f2, f3] = *head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > LONGEST_RECORD {
            return Found::Damaged;
        }
        let Some(record) = rest.get(..length) else { return Found::Short(ENTRY_HEAD + length) };
        let sum = u32::from_le_bytes([c0, c1, c2, c3]);
        let sequence = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let flags = u32::from_le_bytes([f0, f1, f2, f3]);
        if sum != checksum(length as u32, sequence, flags, record) || flags & !(OWN | LOG) != 0 {
            return Found::Damaged;
        }
        let (own, log) = (flags & OWN != 0, flags & LOG != 0);
        Found::Entry(Self { sequence, own, log, record }, ENTRY_HEAD + length)
    }

    /// Whether an entry with a number above `last` may begin here, as far as can be told without its checksum. No record is empty.
    #[must_use]
    pub fn may_begin(bytes: &[u8], last: Option<u64>) -> bool {
        let Some((head, rest)) = bytes.split_first_chunk::<ENTRY_HEAD>() else { return false };
        let [l0, l1, l2, l3, _, _, _, _, s0, s1, s2, s3, s4, s5, s6, s7, f0, f1, f2, f3] = *head;
        u32::from_le_bytes([f0, f1, f2, f3]) & !(OWN | LOG) == 0
            && (1..=rest.len()).contains(&(u32::from_le_bytes([l0, l1, l2, l3]) as usize))
            && last.is_none_or(|last| u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]) > last)
    }

    /// Adds the entry to a segment's bytes.
    ///
    /// # Panics
    ///
    /// If the record is longer than [`LONGEST_RECORD`].
    pub fn write(&self, bytes: &mut Vec<u8>) {
        assert!(self.record.len() <= LONGEST_RECORD, "a record of {} bytes", self.record.len());
        let (length, flags) = (self.record.len() as u32, (u32::from(self.own) * OWN) | (u32::from(self.log) * LOG));
        bytes.reserve(ENTRY_HEAD + self.record.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&checksum(length, self.sequence, flags, self.record).to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(self.record);
    }
}

impl Position {
    /// Reads a position file; `None` if it is none.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; POSITION_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let position = Self { segment: number(8), offset: number(16) };
        (position.write() == *bytes).then_some(position)
    }

    /// The position file.
    #[must_use]
    pub fn write(self) -> [u8; POSITION_BYTES] {
        let mut bytes = [0; POSITION_BYTES];
        bytes[..6].copy_from_slice(POSITION_MAGIC);
        bytes[6..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.segment.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

fn checksum(length: u32, sequence: u64, flags: u32, record: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&length.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &sequence.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &flags.to_le_bytes());
    crc32c::crc32c_append(sum, record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Golden bytes, computed apart from this code.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut segment = Header::write(b"\x0a\x00").unwrap();
        Entry { sequence: 7, own: true, log: false, record: b"abc" }.write(&mut segment);
        assert_eq!(hex(&segment), include_str!("golden.hex").lines().next().unwrap());
        let position = Position { segment: 3, offset: 4_294_967_297 };
        assert_eq!(hex(&position.write()), include_str!("golden.hex").lines().nth(1).unwrap());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sequence: u64, own: bool, log: bool, record: Vec<u8>, resource: Vec<u8>, behind: Vec<u8>) {
            let mut bytes = Header::write(&resource).unwrap();
            let begin = bytes.len();
            let entry = Entry { sequence, own, log, record: &record };
            entry.write(&mut bytes);
            let end = bytes.len();
            bytes.extend(behind);
            prop_assert_eq!(Header::read(&bytes), Header::Read(&resource, begin));
            prop_assert_eq!(Entry::read(&bytes[begin..]), Found::Entry(entry, end - begin));
            for cut in begin..end {
                prop_assert!(matches!(Entry::read(&bytes[begin..cut]), Found::Short(_)));
            }
            for cut in 0..begin {
                prop_assert!(matches!(Header::read(&bytes[..cut]), Header::Short(_)));
            }
        }

        #[test]
        fn a_changed_bit_is_seen(record in proptest::collection::vec(any::<u8>(), 0..64), bit: usize) {
            let mut bytes = Vec::new();
            Entry { sequence: 1, own: false, log: false, record: &record }.write(&mut bytes);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(Entry::read(&bytes), Found::Entry(..)));
        }

        #[test]
        fn a_position_is_read_whole_or_not(segment: u64, offset: u64, bit in 0..POSITION_BYTES * 8) {
            let position = Position { segment, offset };
            let mut bytes = position.write();
            prop_assert_eq!(Position::read(&bytes), Some(position));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Position::read(&bytes), None);
        }
    }
}
