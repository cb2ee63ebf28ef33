//! Tests of the coder as its users see it.

mod keys;
mod malformed;
mod round_trip;
mod shapes;
mod strict;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{decode, decode_strictly, encode_to};

/// Encodes a value that can be encoded.
fn bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_to(value, &mut out).expect("encodes");
    out
}

/// Encodes and decodes a value and checks that it comes back, that what follows stays, and that it encodes alike again.
#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
    let mut encoded = bytes(&value);
    let length = encoded.len();
    encoded.extend_from_slice(b"rest");
    let mut input = &encoded[..];
    let back: T =
        decode(&mut input).unwrap_or_else(|e| panic!("{e}\nvalue {value:?}\nbytes {encoded:02x?}"));
    assert_eq!(back, value);
    assert_eq!(input, b"rest");
    assert_eq!(bytes(&back), encoded[..length]);
    let back: T = decode_strictly(&mut &encoded[..]).unwrap_or_else(|e| panic!("{e}\n{value:?}"));
    assert_eq!(back, value);
}
