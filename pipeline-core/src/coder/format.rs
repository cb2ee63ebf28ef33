//! The specification of the private encoding.
//!
//! ```text
//! encoded = VERSION value
//! value   = tag [payload]
//! varint  = unsigned LEB128, at most ten bytes     name = varint(2 × length) UTF-8 | varint(2 × index + 1)
//! ```
//!
//! | tag | value | payload |
//! |---|---|---|
//! | `00…3F` | unsigned integer 0 … 63 | |
//! | `40…5F` | string of 0 … 31 bytes | UTF-8 |
//! | `60…7F` | signed integer −8 … 23 | |
//! | `80…8F` | sequence or tuple of 0 … 15 values | values |
//! | `90…97` | map of 0 … 7 entries | key, value, … |
//! | `98…AF` | struct of 0 … 23 fields | name, value, … |
//! | `B0` `B1` | unsigned, signed integer to 64 bits | varint, zigzag varint |
//! | `B2` `B3` | `u128`, `i128` | 16 bytes, little endian |
//! | `B4` `B5` | `f32`, `f64` | 4, 8 bytes, little endian, every bit kept |
//! | `B6` `B7` `B8` | false, true, char | –, –, varint |
//! | `B9` `BA` | string, bytes | varint length, data |
//! | `BB` `BC` `BD` | unit, none, some | –, –, value |
//! | `BE` `BF` `C0` | sequence, map, struct | varint count, as above |
//! | `C1` `C2` | variant without data, with data | name; name, value |
//!
//! A count is always the number really written, so that equal values have equal encodings whether or not their
//! iterators knew their length. Names of fields and variants of up to [`MAX_INTERNED_NAME`] bytes are numbered as they
//! first appear within a value, up to [`MAX_NAMES`] of them; a later appearance refers to the number. Newtypes are
//! transparent. The payload of a variant with data is its only value, a sequence (tuple variant) or a struct.

/// Gives the first byte of every encoded value; a change of the format changes it.
pub const VERSION: u8 = 1;

/// Limits how deep values may nest (sequences, maps, structs, variants with data and `Some` each count as one).
///
/// Both directions refuse what is deeper, so that neither a recursive value nor malformed bytes can exhaust the stack.
pub const MAX_DEPTH: u32 = 128;

/// The longest name, in bytes, that is numbered; it bounds what a reference of one byte can expand to.
pub(super) const MAX_INTERNED_NAME: usize = 63;

/// How many names are numbered within a value.
pub(super) const MAX_NAMES: usize = 1024;

/// The kinds of values with a count, each with short tags for small counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// The tag for a count of zero; small counts are added to it.
    pub(super) short: u8,
    /// The greatest count that has a short tag.
    pub(super) short_max: u8,
    /// The tag that is followed by a varint count.
    pub(super) long: u8,
}

pub(super) const SEQ: Counted = Counted {
    short: 0x80,
    short_max: 15,
    long: 0xBE,
};
pub(super) const MAP: Counted = Counted {
    short: 0x90,
    short_max: 7,
    long: 0xBF,
};
pub(super) const STRUCT: Counted = Counted {
    short: 0x98,
    short_max: 23,
    long: 0xC0,
};
pub(super) const STR: Counted = Counted {
    short: 0x40,
    short_max: 31,
    long: 0xB9,
};

pub(super) const SHORT_UINT_MAX: u8 = 0x3F;
pub(super) const SHORT_INT: u8 = 0x60;
pub(super) const SHORT_INT_MIN: i64 = -8;
pub(super) const SHORT_INT_MAX: i64 = 23;

pub(super) const UINT: u8 = 0xB0;
pub(super) const INT: u8 = 0xB1;
pub(super) const U128: u8 = 0xB2;
pub(super) const I128: u8 = 0xB3;
pub(super) const F32: u8 = 0xB4;
pub(super) const F64: u8 = 0xB5;
pub(super) const FALSE: u8 = 0xB6;
pub(super) const TRUE: u8 = 0xB7;
pub(super) const CHAR: u8 = 0xB8;
pub(super) const BYTES: u8 = 0xBA;
pub(super) const UNIT: u8 = 0xBB;
pub(super) const NONE: u8 = 0xBC;
pub(super) const SOME: u8 = 0xBD;
pub(super) const UNIT_VARIANT: u8 = 0xC1;
pub(super) const VARIANT: u8 = 0xC2;

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the tag of a value with a count.
pub(super) fn put_count(out: &mut Vec<u8>, kind: Counted, count: usize) {
    if count <= usize::from(kind.short_max) {
        out.push(kind.short + count as u8);
    } else {
        out.push(kind.long);
        put_varint(out, count as u64);
    }
}
