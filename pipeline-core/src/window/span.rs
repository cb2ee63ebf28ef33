//! A length of event time as people write it.

use std::fmt;

/// So many milliseconds, shown as in `1h 30m`.
pub(super) struct Span(pub(super) i64);

const UNITS: [(i64, &str); 4] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut space = "";
        for (size, unit) in UNITS {
            let count = rest / size;
            rest %= size;
            // Of no time at all, the last unit is shown.
            if count != 0 || (size == 1 && space.is_empty()) {
                write!(f, "{space}{count}{unit}")?;
                space = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn every_unit_stands_once_if_at_all() {
        let shown = [0, 1, 1_000, 1_800_000, 5_400_000, 86_400_000, 3_661_001];
        let shown = shown.map(|millis| Span(millis).to_string());
        let expected = ["0ms", "1ms", "1s", "30m", "1h 30m", "24h", "1h 1m 1s 1ms"];
        assert_eq!(shown, expected);
    }
}
