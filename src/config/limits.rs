//! What callers may do on a host beside its mode, and what a person is asked for.

mod differences;

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use super::{Endpoint, Globs, Mode, Sources, permission::Permissions};

/// The limits of one host, those of the whole configuration included.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What is granted: what the mode implies or the complete list, and what was granted beside.
    pub permissions: Permissions,
    /// Which tools exist for the host.
    pub tools: Globs,
    /// Which containers exist for callers, by name.
    pub containers: Globs,
    /// Which images exist for callers and may be used, by canonical and familiar reference.
    pub images: Globs,
    /// From which effect on a person is asked.
    pub confirm: Confirm,
    /// What a create, an update, an exec may ask for.
    pub bodies: Bodies,
    /// Command lines, joined with blanks, that exec refuses: a guard against accidents.
    pub exec_deny: Globs,
    /// Whether the container that Quaymaster runs in may be stopped or removed like any other.
    pub own_container: bool,
    /// Variables and labels whose values are shown, by name.
    pub reveal: Vec<String>,
    /// From where a daemon may fetch a build or an import by itself.
    pub sources: Sources,
}

impl Limits {
    /// What holds for a host of which nothing was said.
    #[must_use]
    pub fn of(mode: Mode, endpoint: &Endpoint) -> Self {
        let local = endpoint.is_local();
        Self {
            permissions: Permissions::implied_by(mode),
            tools: Globs::default(),
            containers: Globs::default(),
            images: Globs::default(),
            confirm: if local { Confirm::Data } else { Confirm::Destroy },
            bodies: Bodies::of(if local { Profile::Open } else { Profile::Guarded }),
            exec_deny: Globs::default(),
            own_container: false,
            reveal: Vec::new(),
            sources: Sources::default(),
        }
    }
}

/// From which effect on a person is asked before a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// Never, beside what body rules ask.
    Never,
    /// Before a volume, a config, a secret or the state of a swarm is removed.
    Data,
    /// Before anything is destroyed.
    Destroy,
    /// Before anything is changed.
    Write,
}

impl Confirm {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Data => "data",
            Self::Destroy => "destroy",
            Self::Write => "write",
        }
    }
}

/// A set of verdicts for every rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Refuses what it can.
    Strict,
    /// Refuses what gives the machine away, asks about the rest.
    Guarded,
    /// Asks about what gives the machine away.
    Open,
}

impl Profile {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Guarded => "guarded",
            Self::Open => "open",
        }
    }
}

/// What a rule says of what hits it, from the mildest to the hardest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It passes, and the answer says so.
    Note,
    /// A person has to say yes.
    Ask,
    /// It is refused.
    Deny,
}

impl Verdict {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Note => "note",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $strict:ident $guarded:ident $open:ident;)*) => {
        /// A rule about what a create, an update, an exec asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Reads the word of the configuration.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|rule| rule.as_str() == text)
            }

            /// The word of the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// What a profile says.
            #[must_use]
            pub const fn verdict(self, profile: Profile) -> Verdict {
                match (self, profile) {
                    $(
                        (Self::$name, Profile::Strict) => Verdict::$strict,
                        (Self::$name, Profile::Guarded) => Verdict::$guarded,
                        (Self::$name, Profile::Open) => Verdict::$open,
                    )*
                }
            }
        }
    };
}

rules! {
    /// Every right of the machine's root.
    Privileged = "privileged", Deny Deny Ask;
    /// The machine's processes.
    HostPid = "host-pid", Deny Deny Ask;
    /// Devices of the machine.
    RawDevices = "raw-devices", Deny Deny Ask;
    /// Whole classes of devices.
    DeviceCgroup = "device-cgroup", Deny Deny Ask;
    /// Parts of `/proc` and `/sys` that are hidden or read-only by default.
    MaskedPaths = "masked-paths", Deny Deny Ask;
    /// The socket of an engine, or a directory with one.
    DockerSocket = "docker-socket", Deny Deny Ask;
    /// What a plugin asks for.
    PluginPrivileges = "plugin-privileges", Deny Deny Ask;
    /// A capability outside Docker's default set.
    Capability = "capability", Deny Deny Ask;
    /// A security option that loosens.
    SecurityOpt = "security-opt", Deny Deny Ask;
    /// The machine's users.
    HostUserns = "host-userns", Deny Deny Ask;
    /// The machine's control groups, or another parent.
    HostCgroup = "host-cgroup", Deny Deny Ask;
    /// The machine's shared memory.
    HostIpc = "host-ipc", Deny Deny Ask;
    /// The machine's name.
    HostUts = "host-uts", Deny Deny Ask;
    /// Another runtime than the engine's default.
    Runtime = "runtime", Deny Deny Ask;
    /// A volume that is a bind, or a device, by its options.
    DisguisedBind = "disguised-bind", Deny Deny Ask;
    /// A directory of the machine with its secrets or its own parts.
    SensitiveBind = "sensitive-bind", Deny Deny Ask;
    /// Any other directory of the machine.
    Bind = "bind", Deny Ask Allow;
    /// The machine's network.
    HostNet = "host-net", Deny Ask Allow;
    /// Another container's namespace.
    ContainerNamespace = "container-namespace", Deny Ask Allow;
    /// Another container's volumes.
    VolumesFrom = "volumes-from", Deny Ask Allow;
    /// A volume that another project or an unlabelled owner uses.
    ForeignVolume = "foreign-volume", Ask Note Allow;
    /// A graphics processor.
    Gpu = "gpu", Deny Ask Allow;
    /// A kernel setting outside `net.*`.
    Sysctl = "sysctl", Deny Ask Allow;
    /// A log driver that sends elsewhere.
    LogDriver = "log-driver", Deny Ask Allow;
    /// A port on all interfaces, or below 1024.
    Port = "port", Ask Note Allow;
    /// A name for the machine itself.
    HostGateway = "host-gateway", Ask Note Allow;
    /// No limit of memory or processes.
    Limits = "limits", Note Note Allow;
    /// It always starts again.
    RestartAlways = "restart-always", Note Note Allow;
    /// It is spared when memory runs out.
    Oom = "oom", Note Note Allow;
    /// An image without a digest.
    Image = "image", Note Note Allow;
    /// A label by which others find their own.
    ReservedLabel = "reserved-label", Deny Note Allow;
    /// A variable whose value looks like a secret.
    EnvSecret = "env-secret", Deny Note Allow;
    /// BuildKit's own channel, which no guard can look into.
    BuildChannel = "build-channel", Deny Ask Allow;
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The verdicts of a host: a profile, and single rules beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bodies {
    /// What holds where nothing else was said.
    pub profile: Profile,
    /// Rules with a verdict of their own.
    pub rules: BTreeMap<Rule, Verdict>,
    /// Directories of the machine, themselves and below, that need no question.
    pub binds_allow: Vec<String>,
}

impl Bodies {
    /// A profile as it is.
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        Self { profile, rules: BTreeMap::new(), binds_allow: Vec::new() }
    }

    /// What is said of what hits a rule.
    #[must_use]
    pub fn verdict(&self, rule: Rule) -> Verdict {
        self.rules.get(&rule).copied().unwrap_or_else(|| rule.verdict(self.profile))
    }
}
