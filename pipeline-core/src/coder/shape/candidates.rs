//! The values that leaves are tried with, most likely ones first.

/// Strings that common validated types accept; some pairs are often equal without being the same.
pub(super) const STRINGS: &[&str] = &[
    "a",
    "A",
    "1",
    "",
    "2020-02-02T02:02:02Z",
    "2020-02-02T03:02:02+01:00",
    "2020-02-02T02:02:02",
    "2020-02-02",
    "02:02:02",
    "67e55044-10b1-426f-9247-bb680e5fe0c8",
    "1.5",
    "1.50",
    "0",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "https://example.com/",
    "a@example.com",
    "example.com",
    "1.0.0",
    "true",
    "UTC",
    "EUR",
    "en",
    "DE",
    "1s",
    "00000000",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
];

/// Characters.
pub(super) const CHARS: &[char] = &['a', 'A', '1', ' '];

/// Integers; one that does not fit the type is passed over.
pub(super) const INTEGERS: &[i128] = &[1, 0, 2, 10, 100, 1_000, 1_000_000, 1_600_000_000, -1];

/// Lengths of byte strings.
pub(super) const BYTE_LENGTHS: &[usize] = &[1, 16, 4, 8, 12, 20, 32, 64, 0];

/// Lengths of sequences and maps.
pub(super) const LENGTHS: &[usize] = &[1, 0, 2, 3, 4];
