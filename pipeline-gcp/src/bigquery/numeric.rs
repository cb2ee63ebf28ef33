//! NUMERIC text: 29 digits before the point and 9 behind it.

/// The greatest unscaled number: 38 nines.
const MAX_UNSCALED: i128 = 10_i128.pow(38) - 1;
const SCALE: usize = 9;

/// Brings a decimal number into one form: no `+`, no zeros that say nothing.
///
/// # Errors
/// A text that is no decimal number, and one that a NUMERIC cannot hold exactly.
pub fn normalised(text: &str) -> Result<String, String> {
    unscaled(text).map(format)
}

/// Returns the number in units of 10⁻⁹.
pub(crate) fn unscaled(text: &str) -> Result<i128, String> {
    let wrong = |reason: &str| {
        let text = super::timestamp::shorten(text);
        format!("`{text}` is not a NUMERIC: {reason}")
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(wrong("it has to be like -12.345"));
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > SCALE {
        return Err(wrong("more than 9 digits behind the point"));
    }
    let whole = whole.trim_start_matches('0');
    let padded = format!("{whole}{fraction:0<SCALE$}");
    let number = (padded.len() <= 38).then(|| padded.parse::<i128>().ok());
    let number = number.flatten();
    let number = number.ok_or_else(|| wrong("more than 29 digits before the point"))?;
    Ok(if negative { -number } else { number })
}

/// Writes a number in units of 10⁻⁹.
pub(crate) fn format(unscaled: i128) -> String {
    debug_assert!(unscaled.abs() <= MAX_UNSCALED);
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>10}", unscaled.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - SCALE);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_text() {
        for (text, normal) in [
            ("+012.340", "12.34"),
            ("-.5", "-0.5"),
            ("7.", "7"),
            ("-0", "0"),
            ("0.000000001", "0.000000001"),
            (
                "99999999999999999999999999999.999999999",
                "99999999999999999999999999999.999999999",
            ),
        ] {
            assert_eq!(normalised(text).as_deref(), Ok(normal), "{text}");
        }
        for text in [
            "",
            ".",
            "1e3",
            "1,5",
            "0.0000000001",
            "100000000000000000000000000000",
        ] {
            assert!(normalised(text).is_err(), "{text}");
        }
    }
}
