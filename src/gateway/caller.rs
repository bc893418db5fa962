//! Who makes a call, as far as that is known.

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whom approvals, jobs and audit lines belong to: the account of the process on standard input, the
    /// authenticated subject over HTTP.
    pub principal: String,
    /// How the call came: `mcp 2026-07-28`, `command line`.
    pub protocol: String,
    /// What the client calls itself; a claim that proves nothing.
    pub client: Option<String>,
}

impl Caller {
    /// The account that the process runs as, which is whoever started it.
    #[must_use]
    pub fn account(user: Option<&str>, protocol: impl Into<String>) -> Self {
        let principal = format!("os:{}", user.unwrap_or("unknown"));
        Self { principal, protocol: protocol.into(), client: None }
    }

    /// Somebody in a test.
    #[cfg(test)]
    pub(crate) fn test() -> Self {
        Self::account(Some("tester"), "test")
    }
}
