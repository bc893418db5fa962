//! The fields of documents that are known to hold secrets.

/// What a field is known to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Variables,
    /// A part of a command line: the lower number is said first.
    Command(u8),
    Test,
    Script,
    Processes,
    Instruction,
    Labels,
    LogConfig,
    Options,
    Settings,
    Health,
    Action,
    Address,
    Free,
    Secret,
}

impl Place {
    /// By its name, whatever the case: engines and arguments of tools spell it differently.
    pub(super) fn of(name: &str) -> Option<Self> {
        // Almost no field gets beyond the length: this is asked for every field of every document.
        let known: &[(&str, Self)] = match name.len() {
            3 => &[("env", Self::Variables), ("cmd", Self::Command(3))],
            4 => {
                &[("args", Self::Command(4)), ("path", Self::Command(0)), ("test", Self::Test), ("auth", Self::Secret)]
            }
            5 => &[("shell", Self::Script), ("error", Self::Free), ("stdin", Self::Free)],
            6 => &[
                ("labels", Self::Labels),
                ("health", Self::Health),
                ("action", Self::Action),
                ("status", Self::Action),
                ("passwd", Self::Secret),
            ],
            7 => &[
                ("command", Self::Command(2)),
                ("options", Self::Options),
                ("logopts", Self::Options),
                ("comment", Self::Instruction),
                ("mirrors", Self::Address),
                ("noproxy", Self::Address),
                ("onbuild", Self::Instruction),
                ("changes", Self::Instruction),
                ("message", Self::Free),
            ],
            8 => &[
                ("no_proxy", Self::Address),
                ("settings", Self::Settings),
                ("log_opts", Self::Options),
                ("password", Self::Secret),
            ],
            9 => &[
                ("createdby", Self::Instruction),
                ("processes", Self::Processes),
                ("arguments", Self::Command(5)),
                ("buildargs", Self::Variables),
                ("logconfig", Self::LogConfig),
                ("httpproxy", Self::Address),
            ],
            10 => &[
                ("entrypoint", Self::Command(1)),
                ("attributes", Self::Labels),
                ("driveropts", Self::Options),
                ("created_by", Self::Instruction),
                ("build_args", Self::Variables),
                ("httpsproxy", Self::Address),
                ("http_proxy", Self::Address),
                ("passphrase", Self::Secret),
            ],
            11 => &[
                ("environment", Self::Variables),
                ("description", Self::Instruction),
                ("driver_opts", Self::Options),
                ("log_options", Self::Options),
                ("https_proxy", Self::Address),
            ],
            14 => &[("health_command", Self::Script)],
            13 => &[("identitytoken", Self::Secret), ("registrytoken", Self::Secret)],
            _ => return None,
        };
        known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, place)| *place)
    }
}
