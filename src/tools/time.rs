//! Moments as callers write them and as the engine takes them: RFC 3339, unix seconds, or so long ago.

use jiff::{SignedDuration, Timestamp};

use crate::{
    docker::names::quote,
    error::{Error, Result},
};

/// What `since` and `until` accept.
const ALLOWED: &str = "RFC 3339 (2026-11-20T08:00:00Z), unix seconds, or so long ago: 15m, 2h30m, 1d";

/// The part of the past that a call is about; both ends belong to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// Where it begins; from the first if absent.
    pub(crate) since: Option<Timestamp>,
    /// Where it ends; now if absent.
    pub(crate) until: Option<Timestamp>,
}

impl Window {
    /// Reads the arguments `since` and `until`.
    ///
    /// # Errors
    /// `invalid`, naming the argument, also for a window that ends before it begins.
    pub(crate) fn parse(since: Option<&str>, until: Option<&str>) -> Result<Self> {
        let now = Timestamp::now();
        let read = |argument: &str, text: Option<&str>| text.map(|text| moment(argument, text, now)).transpose();
        let window = Self { since: read("since", since)?, until: read("until", until)? };
        if let (Some(since), Some(until)) = (window.since, window.until)
            && since > until
        {
            return Err(Error::invalid("argument \"until\" is before \"since\"").hint(format!(
                "since is {}, until is {}",
                seconds(since),
                seconds(until)
            )));
        }
        Ok(window)
    }

    /// Whether a moment lies in it.
    #[must_use]
    pub(crate) fn holds(&self, moment: Timestamp) -> bool {
        self.since.is_none_or(|since| moment >= since) && self.until.is_none_or(|until| moment <= until)
    }
}

/// Reads one moment; a duration counts back from `now`.
///
/// # Errors
/// `invalid`, naming the argument and what is allowed.
pub(crate) fn moment(argument: &str, text: &str, now: Timestamp) -> Result<Timestamp> {
    let text = text.trim();
    let read = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| unix(text))
        .or_else(|| now.checked_sub(SignedDuration::from_secs(ago(text)?)).ok());
    read.ok_or_else(|| Error::invalid(format!("argument \"{argument}\": {} is no time", quote(text))).hint(ALLOWED))
}

/// As the engine's parameters take it: seconds and nanoseconds, not before 1970.
#[must_use]
pub(crate) fn parameter(moment: Timestamp) -> String {
    let moment = moment.max(Timestamp::UNIX_EPOCH);
    format!("{}.{:09}", moment.as_second(), moment.subsec_nanosecond())
}

/// As answers show it: RFC 3339 in UTC, to the second.
#[must_use]
pub(crate) fn seconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As answers show what has to be told apart: RFC 3339 in UTC, to the millisecond.
#[must_use]
pub(crate) fn milliseconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// `1700000000` or `1700000000.123456789`.
fn unix(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    Timestamp::new(whole.parse().ok()?, format!("{fraction:0<9}").parse().ok()?).ok()
}

/// The seconds of `15m`, `2h30m`, `1d`.
fn ago(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.chars().next()?;
        let length: i64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = tail.get(1..)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn three_ways_to_say_when() {
        for (given, meant) in [
            ("2026-11-20T10:00:00+02:00", "2026-11-20T08:00:00Z"),
            ("1763625600", "2025-11-20T08:00:00Z"),
            ("1763625600.5", "2025-11-20T08:00:00Z"),
            ("15m", "2026-11-20T11:45:00Z"),
            ("2h30m", "2026-11-20T09:30:00Z"),
            ("1d", "2026-11-19T12:00:00Z"),
            (" 90s ", "2026-11-20T11:58:30Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("0s", "2026-11-20T12:00:00Z"),
        ] {
            assert_eq!(seconds(moment("since", given, now()).unwrap()), meant, "{given}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_by_name() {
        let long = "9".repeat(10_240);
        for given in
            ["", "yesterday", "m", "-5m", "1y", "5m-", "1.2.3", "1e9", "99999999999999999d", "ä", long.as_str()]
        {
            let error = moment("until", given, now()).unwrap_err();
            assert!(error.message().starts_with("argument \"until\""), "{given}: {error}");
        }
        assert!(Window::parse(Some("1m"), Some("2m")).is_err());
        assert!(Window::parse(Some("2m"), Some("1m")).is_ok());
    }

    #[test]
    fn nanoseconds_survive() {
        let moment: Timestamp = "2026-11-20T08:00:00.000000042Z".parse().unwrap();
        assert_eq!(parameter(moment), "1795161600.000000042");
        assert_eq!(self::moment("since", &parameter(moment), now()).unwrap(), moment);
    }
}
