//! Intervals, as they are written and read.

use std::time::Duration;

/// `150ms`, `3.300ms`.
pub(super) fn short(microseconds: u64) -> String {
    match microseconds % 1000 {
        0 => format!("{}ms", microseconds / 1000),
        rest => format!("{}.{rest:03}ms", microseconds / 1000),
    }
}

/// `100ms`, or a plain number of microseconds.
pub(super) fn microseconds(text: &str) -> Result<u64, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let time: Duration = humantime::parse_duration(text).map_err(|reason| {
        format!("is neither a time such as 100ms nor a number of microseconds: {reason}")
    })?;
    u64::try_from(time.as_micros()).map_err(|_| "is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_microseconds() {
        assert_eq!(microseconds("100000"), Ok(100_000));
        assert_eq!(microseconds("100ms"), Ok(100_000));
        assert_eq!(microseconds("3300us"), Ok(3300));
        assert_eq!(microseconds("1s"), Ok(1_000_000));
        for text in ["", "fast", "-1", "10 lightyears"] {
            assert!(microseconds(text).is_err(), "{text}");
        }
        assert_eq!([150_000, 3300, 0].map(short), ["150ms", "3.300ms", "0ms"]);
    }
}
