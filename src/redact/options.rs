//! Options of log and volume drivers: which values are harmless, and what is masked inside of mount options.

use super::{command::Sink, marks, names, shapes};

/// Options that describe and hold nothing.
const HARMLESS: [&str; 44] = [
    "cache-compress",
    "cache-disabled",
    "cache-max-file",
    "cache-max-size",
    "compress",
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "max-buffer-size",
    "max-file",
    "max-size",
    "mode",
    "tag",
    "format",
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "gelf-address",
    "gelf-compression-level",
    "gelf-compression-type",
    "fluentd-address",
    "fluentd-async",
    "fluentd-max-retries",
    "fluentd-retry-wait",
    "awslogs-create-group",
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream",
    "splunk-format",
    "splunk-index",
    "splunk-source",
    "splunk-sourcetype",
    "loki-url",
    "loki-batch-size",
    "loki-batch-wait",
    "loki-retries",
    "type",
    "size",
    "parent",
    "macvlan_mode",
    "ipvlan_mode",
    "ipvlan_flag",
    "encrypted",
];

/// Mount options without a value, which end a password in front of them.
const FLAGS: [&str; 34] = [
    "ro",
    "rw",
    "bind",
    "rbind",
    "soft",
    "hard",
    "intr",
    "nointr",
    "lock",
    "nolock",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "atime",
    "noatime",
    "nodiratime",
    "relatime",
    "seal",
    "guest",
    "nobrl",
    "nounix",
    "noperm",
    "mfsymlinks",
    "noserverino",
    "serverino",
    "tcp",
    "udp",
    "_netdev",
    "defaults",
];

/// An option's value as it may be shown, where that is another one.
pub(super) fn shown(name: &str, value: &str, is_asked: bool, sink: Sink<'_>) -> Option<String> {
    if value.is_empty() {
        return None;
    }
    let is_harmless = HARMLESS.contains(&name) || name.starts_with("com.docker.network.");
    let is_plain_device = name == "device" && (!value.contains('@') || value.contains("://"));
    if is_asked || is_harmless || is_plain_device {
        return match shapes::hide(value) {
            (std::borrow::Cow::Owned(hidden), _) => Some(hidden),
            _ => None,
        };
    }
    if matches!(name, "o" | "mountOptions" | "mount_options") {
        return mount(value, sink);
    }
    if marks::all(value).next().is_none() && names::hides_value(name) {
        sink(value);
    }
    marks::cover(value)
}

/// `addr=x,username=u,password=<redacted ...>,ro`
fn mount(options: &str, sink: Sink<'_>) -> Option<String> {
    let mut shown: Vec<String> = Vec::new();
    let mut open: Option<(&str, String)> = None;
    let mut close = |(name, value): (&str, String)| {
        if marks::all(&value).next().is_none() {
            sink(&value);
        }
        format!("{name}={}", marks::cover(&value).unwrap_or(value))
    };
    for part in options.split(',') {
        match (part.split_once('='), &mut open) {
            (Some((name, value)), _) => {
                shown.extend(open.take().map(&mut close));
                if names::hides_value(name) || names::family(name).is_some() {
                    open = Some((name, value.to_owned()));
                } else {
                    shown.push(shapes::hide(part).0.into_owned());
                }
            }
            // A comma in a password: what is no option of its own belongs to it.
            (None, Some((_, value))) if !FLAGS.contains(&part) => {
                value.push(',');
                value.push_str(part);
            }
            (None, _) => {
                shown.extend(open.take().map(&mut close));
                shown.push(part.to_owned());
            }
        }
    }
    shown.extend(open.map(close));
    let shown = shown.join(",");
    (shown != options).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str, value: &str) -> String {
        shown(name, value, false, &mut |_| {}).unwrap_or_else(|| value.to_owned())
    }

    #[test]
    fn mount_options_lose_their_credentials_only() {
        let shown = option("o", "addr=10.0.0.1,username=me,password=hunter2,ro,vers=3.0");
        assert!(shown.starts_with("addr=10.0.0.1,username=me,password=<redacted len=7 h="), "{shown}");
        assert!(shown.ends_with(">,ro,vers=3.0"), "{shown}");
        assert_eq!(option("o", &shown), shown);
        let comma = option("o", "password=hunter,2x,vers=3.0,seal");
        assert!(comma.starts_with("password=<redacted len=9 ") && comma.ends_with(",vers=3.0,seal"), "{comma}");
        assert_eq!(option("o", "bind,ro"), "bind,ro");
    }

    #[test]
    fn what_is_not_known_is_masked() {
        for (name, value) in [("splunk-token", "a"), ("anything", "b"), ("device", "//u:hunter2@files/share")] {
            let shown = option(name, value);
            assert!(shown.starts_with("<redacted") && option(name, &shown) == shown, "{shown}");
        }
        for (name, value) in [("max-size", "10m"), ("device", "//files/share"), ("type", "cifs"), ("x", "")] {
            assert_eq!(option(name, value), value);
        }
        assert!(option("loki-url", "https://me:hunter2@loki/push").starts_with("https://me:<redacted"));
    }
}
