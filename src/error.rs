//! What went wrong, told twice: to the agent what happened and what to do next, to the person the detail.

use std::fmt;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of a failure, as an agent sees it in `error.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An argument, name or pattern was wrong.
    Invalid,
    /// The object does not exist on that host.
    NotFound,
    /// The object is in a state that forbids the request.
    Conflict,
    /// The policy refuses the call.
    Denied,
    /// A person has to say yes first.
    ApprovalNeeded,
    /// The daemon could not be reached, or what answered is not HTTP.
    Unreachable,
    /// A deadline passed.
    Timeout,
    /// The caller took the call back.
    Cancelled,
    /// The queue in front of the host is full.
    Busy,
    /// This daemon, or this gateway, cannot do that.
    Unsupported,
    /// The daemon answered with an error, or with something that makes no sense.
    Docker,
    /// The configuration is wrong.
    Config,
    /// A defect of ours.
    Internal,
}

impl Kind {
    /// The word that agents see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::ApprovalNeeded => "approval_needed",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Busy => "busy",
            Self::Unsupported => "unsupported",
            Self::Docker => "docker",
            Self::Config => "config",
            Self::Internal => "internal",
        }
    }

    /// Whether the same call may succeed later without anything being changed by the caller.
    const fn retryable(self) -> bool {
        matches!(self, Self::Timeout | Self::Busy)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A failure with its class, two texts for the agent and one for the person.
///
/// `message` and `hint` never carry addresses, user names, paths, fingerprints or a
/// remote machine's words: those belong to `detail`, which goes to stderr and to
/// `quaymaster check` only.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    host: Option<String>,
    message: String,
    hint: Option<String>,
    detail: Option<String>,
    retryable: bool,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(message: impl Into<String>) -> Self {
            Self::new(Kind::$kind, message)
        }
    )*};
}

impl Error {
    /// An error of a class: lower case, no full stop, names quoted.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            host: None,
            message: message.into(),
            hint: None,
            detail: None,
            retryable: kind.retryable(),
        }))
    }

    constructors! {
        /// An argument, name or pattern was wrong.
        invalid => Invalid;
        /// The object does not exist on that host.
        not_found => NotFound;
        /// The object is in a state that forbids the request.
        conflict => Conflict;
        /// The policy refuses the call.
        denied => Denied;
        /// The daemon could not be reached.
        unreachable => Unreachable;
        /// A deadline passed.
        timeout => Timeout;
        /// The caller took the call back.
        cancelled => Cancelled;
        /// The queue in front of the host is full.
        busy => Busy;
        /// This daemon, or this gateway, cannot do that.
        unsupported => Unsupported;
        /// The daemon answered with an error or with nonsense.
        docker => Docker;
        /// The configuration is wrong.
        config => Config;
        /// A defect of ours.
        internal => Internal;
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says to the person what the agent must not see.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Names the host, unless it is named already.
    #[must_use]
    pub fn on(mut self, host: &str) -> Self {
        self.0.host.get_or_insert_with(|| host.to_owned());
        self
    }

    /// Sets whether the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Rewrites both texts for the agent: a daemon's words may be in them.
    #[must_use]
    pub fn reworded(mut self, reword: impl Fn(&str) -> String) -> Self {
        self.0.message = reword(&self.0.message);
        self.0.hint = self.0.hint.as_deref().map(reword);
        self
    }

    /// The class.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The host that it is about.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// What happened, for the agent.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, for the agent.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What only the person may see.
    #[must_use]
    pub fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The error as agents get it: `kind`, `host`, `message`, `hint`, `retryable`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut fields = serde_json::Map::new();
        fields.insert("kind".into(), self.kind().as_str().into());
        if let Some(host) = self.host() {
            fields.insert("host".into(), host.into());
        }
        fields.insert("message".into(), self.message().into());
        if let Some(hint) = self.hint_text() {
            fields.insert("hint".into(), hint.into());
        }
        fields.insert("retryable".into(), self.is_retryable().into());
        fields.into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for Error {}

/// The nearest of `known` to `given`, for "did you mean".
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typing_errors_only() {
        assert_eq!(nearest("contaner", ["containers", "container"]), Some("container"));
        assert_eq!(nearest("pord", ["prod", "local"]), Some("prod"));
        assert_eq!(nearest("zzzzzz", ["prod", "local"]), None);
    }

    #[test]
    fn the_agent_never_gets_the_detail() {
        let error = Error::unreachable("gone").detail("ops@10.0.0.1").on("prod");
        assert!(!error.to_json().to_string().contains("10.0.0.1"));
        assert_eq!(error.on("other").host(), Some("prod"));
    }
}
