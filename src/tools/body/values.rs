//! The small notations of `docker run`: sizes, durations, moments, restart policies, devices.

use bollard::models::{DeviceMapping, DeviceRequest, RestartPolicy, RestartPolicyNameEnum};

use crate::{
    docker::names::quote,
    error::{Error, Result},
};

/// `512m`, `2g`, `1.5GiB`, or bytes; all units are binary.
pub(crate) fn size(argument: &str, text: &str) -> Result<i64> {
    let refused = || wrong(argument, text, "no size", "a number of bytes, or one with k, m, g or t, such as \"512m\"");
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(refused()),
    };
    scaled(number, 1024_i128.pow(power)).filter(|bytes| *bytes > 0).ok_or_else(refused)
}

/// Nanoseconds of `30s`, `1m30s`, `500ms`, `2h`, `1d`.
pub(crate) fn duration(argument: &str, text: &str) -> Result<i64> {
    nanoseconds(text).filter(|length| *length > 0).ok_or_else(|| {
        wrong(argument, text, "no duration", "numbers with ms, s, m, h or d, such as \"30s\" or \"1m30s\"")
    })
}

fn nanoseconds(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit: i128 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        total = total.checked_add(scaled(number, unit)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// A decimal number times a unit, without the errors of binary fractions.
fn scaled(number: &str, unit: i128) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.len() > 18 || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<i128>().ok()?.checked_mul(unit)?;
    let fraction = fraction.parse::<i128>().ok()? * unit / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    i64::try_from(whole + fraction).ok()
}

/// Billionths of a CPU.
pub(crate) fn cpus(number: f64) -> Result<i64> {
    if !(0.01..=4096.0).contains(&number) {
        return Err(Error::invalid(format!("argument \"cpus\" is {number}")).hint("a number such as 0.5 or 2"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is between 10 million and 4096 billion")]
    let billionths = (number * 1e9).round() as i64;
    Ok(billionths)
}

/// `no`, `always`, `unless-stopped`, `on-failure`, `on-failure:3`.
pub(crate) fn restart(text: &str) -> Result<RestartPolicy> {
    let (name, retries) = text.split_once(':').map_or((text, None), |(name, retries)| (name, Some(retries)));
    let name = match (name, retries) {
        ("no", None) => RestartPolicyNameEnum::NO,
        ("always", None) => RestartPolicyNameEnum::ALWAYS,
        ("unless-stopped", None) => RestartPolicyNameEnum::UNLESS_STOPPED,
        ("on-failure", _) => RestartPolicyNameEnum::ON_FAILURE,
        _ => return Err(wrong("restart", text, "no restart policy", RESTART)),
    };
    let retries = match retries {
        Some(number) => {
            Some(i64::from(number.parse::<u16>().map_err(|_| wrong("restart", text, "no restart policy", RESTART))?))
        }
        None => None,
    };
    Ok(RestartPolicy { name: Some(name), maximum_retry_count: retries })
}

const RESTART: &str = "allowed: no, always, unless-stopped, on-failure, on-failure:N";

/// `/dev/a`, `/dev/a:/dev/b`, `/dev/a:/dev/b:rwm`.
pub(crate) fn device(text: &str) -> Result<DeviceMapping> {
    let refused = || wrong("devices", text, "no device", "\"/dev/on-host[:/dev/in-container][:rwm]\"");
    let is_rights = |part: &str| !part.is_empty() && part.chars().all(|character| "rwm".contains(character));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, inside, rights) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, rights] if is_rights(rights) => (*host, *host, *rights),
        [host, inside] => (*host, *inside, "rwm"),
        [host, inside, rights] if is_rights(rights) => (*host, *inside, *rights),
        _ => return Err(refused()),
    };
    if !host.starts_with('/') || !inside.starts_with('/') || text.chars().any(char::is_control) {
        return Err(refused());
    }
    Ok(DeviceMapping {
        path_on_host: Some(host.to_owned()),
        path_in_container: Some(inside.to_owned()),
        cgroup_permissions: Some(rights.to_owned()),
    })
}

/// `all`, or how many.
pub(crate) fn gpus(text: &str) -> Result<DeviceRequest> {
    let count = match text {
        "all" => -1,
        number => number
            .parse::<u16>()
            .ok()
            .filter(|count| *count > 0)
            .map(i64::from)
            .ok_or_else(|| wrong("gpus", text, "no number of GPUs", "\"all\", or a number such as \"1\""))?,
    };
    Ok(DeviceRequest { count: Some(count), capabilities: Some(vec![vec!["gpu".to_owned()]]), ..Default::default() })
}

/// A refusal that names the argument, what was given, and what is allowed.
pub(crate) fn wrong(argument: &str, given: &str, what: &str, allowed: &str) -> Error {
    Error::invalid(format!("argument \"{argument}\": {} is {what}", quote(given))).hint(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        for (text, bytes) in [
            ("1024", 1024),
            ("512m", 512 << 20),
            ("2g", 2 << 30),
            ("2GiB", 2 << 30),
            ("1.5k", 1536),
            ("1t", 1 << 40),
            ("7b", 7),
        ] {
            assert_eq!(size("memory", text).unwrap(), bytes, "{text}");
        }
        for text in ["", "m", "-1", "1x", "1.m", "0", "1e9", "99999999999999t", "1..5g", "512 m!", "\u{ff11}g"] {
            assert!(size("memory", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn durations_add_up() {
        for (text, milliseconds) in
            [("30s", 30_000), ("1m30s", 90_000), ("500ms", 500), ("1.5s", 1_500), ("1d", 86_400_000)]
        {
            assert_eq!(duration("health_interval", text).unwrap(), milliseconds * 1_000_000, "{text}");
        }
        for text in ["", "30", "s", "0s", "-1s", "1w", "1s ", "99999999999d"] {
            assert!(duration("health_interval", text).is_err(), "{text:?}");
        }
    }
    #[test]
    fn restart_policies_are_the_engines() {
        let policy = restart("on-failure:3").unwrap();
        assert_eq!((policy.name, policy.maximum_retry_count), (Some(RestartPolicyNameEnum::ON_FAILURE), Some(3)));
        for text in ["no", "always", "unless-stopped", "on-failure"] {
            assert_eq!(restart(text).unwrap().name.unwrap().to_string(), text);
        }
        for text in ["", "never", "always:3", "on-failure:", "on-failure:-1"] {
            assert!(restart(text).is_err(), "{text}");
        }
    }

    #[test]
    fn devices_and_gpus() {
        let mapping = device("/dev/fuse:/dev/x:r").unwrap();
        assert_eq!(
            [mapping.path_on_host, mapping.path_in_container, mapping.cgroup_permissions].map(Option::unwrap),
            ["/dev/fuse", "/dev/x", "r"]
        );
        assert_eq!(device("/dev/fuse:rw").unwrap().path_in_container.unwrap(), "/dev/fuse");
        for text in ["", "fuse", "/dev/a:b", "/dev/a:/dev/b:q", "/dev/a:/dev/b:r:w"] {
            assert!(device(text).is_err(), "{text}");
        }
        assert_eq!(gpus("all").unwrap().count, Some(-1));
        assert_eq!(gpus("2").unwrap().count, Some(2));
        assert!(gpus("0").is_err() && gpus("some").is_err());
    }

    #[test]
    fn processors_are_counted_in_billionths() {
        assert_eq!(cpus(0.5).unwrap(), 500_000_000);
        assert_eq!(cpus(1.1).unwrap(), 1_100_000_000);
        for number in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6] {
            assert!(cpus(number).is_err(), "{number}");
        }
    }
}
