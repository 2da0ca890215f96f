//! A filter that says of an id "not in this run", wrong never, or "perhaps", wrong one time in fifty.
//!
//! It is made of 64-byte blocks of which an id concerns just one, so that asking it costs one small read. Each block
//! carries its own checksum: a bit that fell over would otherwise hide an entry.

use crate::journal::layout::array;

use super::entry::EventId;

/// Bytes of a block: 60 of bits, then the CRC-32C of these.
pub(super) const BLOCK_BYTES: usize = 64;
const BITS: u64 = 480;
const BITS_PER_ENTRY: u64 = 10;
const BITS_SET: u32 = 6;

/// How many blocks a run of `count` entries has.
pub(super) fn blocks_for(count: u64) -> u64 {
    (count * BITS_PER_ENTRY).div_ceil(BITS).max(1)
}

/// Where an id stands in the filter.
pub(super) struct Place {
    pub(super) block: u64,
    bits: u64,
}

/// `keys` are the run's own random numbers.
pub(super) fn place(id: &EventId, keys: [u64; 2], blocks: u64) -> Place {
    let high = u64::from_be_bytes(array(id, 0));
    let low = u64::from_be_bytes(array(id, 8));
    let first = mix(mix(high ^ keys[0], 0x9E37_79B9_7F4A_7C15) ^ low, keys[1] | 1);
    let bits = mix(first ^ keys[0], 0xD6E8_FEB8_6659_FD93);
    Place { block: ((u128::from(first) * u128::from(blocks)) >> 64) as u64, bits }
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Place {
    fn positions(&self) -> impl Iterator<Item = (usize, u8)> + use<> {
        let bits = self.bits;
        (0..BITS_SET).map(move |nth| {
            let bit = (((bits >> (10 * nth)) & 1023) * BITS) >> 10;
            ((bit / 8) as usize, 1 << (bit % 8))
        })
    }

    pub(super) fn set(&self, block: &mut [u8]) {
        for (byte, mask) in self.positions() {
            block[byte] |= mask;
        }
    }

    pub(super) fn is_set(&self, block: &[u8]) -> bool {
        self.positions().all(|(byte, mask)| block[byte] & mask != 0)
    }
}

/// Puts the checksum into a block.
pub(super) fn seal(block: &mut [u8]) {
    let crc = crc32c::crc32c(&block[..BLOCK_BYTES - 4]);
    block[BLOCK_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
}

/// Whether the block is what was written.
pub(super) fn is_whole(block: &[u8]) -> bool {
    u32::from_le_bytes(array(block, BLOCK_BYTES - 4)) == crc32c::crc32c(&block[..BLOCK_BYTES - 4])
}
