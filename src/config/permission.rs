//! The permissions that a call may need and a host may grant.

use std::fmt;

use super::Mode;

/// What a caller may be allowed to do; one bit of [`Permissions`] each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Permission {
    /// Whatever only looks.
    Read = 1,
    /// File contents out of or into containers and images.
    Files = 1 << 1,
    /// Join tokens and unlock keys.
    Credentials = 1 << 2,
    /// Start, stop, restart, pause, kill.
    Lifecycle = 1 << 3,
    /// Code in a running container.
    Exec = 1 << 4,
    /// Make, change and remove containers.
    Create = 1 << 5,
    /// Pull, push, build, tag and remove images.
    Images = 1 << 6,
    /// Make and remove volumes.
    Volumes = 1 << 7,
    /// Make, connect and remove networks.
    Networks = 1 << 8,
    /// Everything of swarm.
    Swarm = 1 << 9,
    /// Plugins and the daemon itself.
    System = 1 << 10,
}

impl Permission {
    /// Every permission, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Read,
        Self::Files,
        Self::Credentials,
        Self::Lifecycle,
        Self::Exec,
        Self::Create,
        Self::Images,
        Self::Volumes,
        Self::Networks,
        Self::Swarm,
        Self::System,
    ];

    /// Reads the word of the configuration.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text)
    }

    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Files => "files",
            Self::Credentials => "credentials",
            Self::Lifecycle => "lifecycle",
            Self::Exec => "exec",
            Self::Create => "create",
            Self::Images => "images",
            Self::Volumes => "volumes",
            Self::Networks => "networks",
            Self::Swarm => "swarm",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A set of [`Permission`]s; `read` is in every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permissions(u16);

impl Permissions {
    /// Reading and nothing else.
    pub const READ: Self = Self(Permission::Read as u16);

    /// The given ones and `read`.
    #[must_use]
    pub const fn of(permissions: &[Permission]) -> Self {
        let mut bits = Self::READ.0;
        let mut rest = permissions;
        while let [first, tail @ ..] = rest {
            bits |= *first as u16;
            rest = tail;
        }
        Self(bits)
    }

    /// What a mode implies: an `(ro)` host reads, the others do all but hand out credentials.
    #[must_use]
    pub const fn implied_by(mode: Mode) -> Self {
        match mode {
            Mode::Ro => Self::READ,
            Mode::Nd | Mode::Rw => Self(Self::of(&Permission::ALL).0 & !(Permission::Credentials as u16)),
        }
    }

    /// Whether it holds one permission.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission as u16 != 0
    }

    /// Adds one permission.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | permission as u16)
    }

    /// Takes one permission away; `read` stays.
    #[must_use]
    pub const fn without(self, permission: Permission) -> Self {
        Self(self.0 & !(permission as u16) | Self::READ.0)
    }

    /// The members of both sets.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it holds all of the other set.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The members, in the order of the documentation.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }
}
