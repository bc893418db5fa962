//! The words of every decision: effects, permissions, and the ceiling that a connection is held to.

use std::fmt;

use crate::config::Mode;
pub use crate::config::permission::{Permission, Permissions};

/// What a call or a request does to an engine, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something that the reverse call brings back.
    Mutate,
    /// Ends something that no call brings back.
    Destroy,
}

impl Effect {
    /// `read`, `mutate` or `destroy`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Mutate => "mutate",
            Self::Destroy => "destroy",
        }
    }

    /// What it does, as a verb for sentences: `reads`, `changes things`, `destroys`.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Mutate => "changes things",
            Self::Destroy => "destroys",
        }
    }

    /// Whether a host of that mode allows it.
    #[must_use]
    pub const fn allowed_by(self, mode: Mode) -> bool {
        matches!((mode, self), (Mode::Rw, _) | (Mode::Nd, Self::Read | Self::Mutate) | (Mode::Ro, Self::Read))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The most that a connection lets through: what its call was decided to be, on a host of that mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// The host's mode, which holds whatever the call was decided to be.
    pub mode: Mode,
    /// The decided effect of the call.
    pub effect: Effect,
    /// The decided permissions of the call.
    pub permissions: Permissions,
}

impl Ceiling {
    /// The ceiling of every read and of every look before a decision.
    #[must_use]
    pub const fn reading(mode: Mode) -> Self {
        Self { mode, effect: Effect::Read, permissions: Permissions::READ }
    }
}
