//! What a create, an update, an exec or a start asks for, judged on values by the rules of its host.

use crate::{
    config::limits::{Bodies, Rule, Verdict},
    docker::Docker,
    error::Result,
    tool::{Body, BodyKind, Plan},
};

/// One rule that something hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What the host says of it.
    pub verdict: Verdict,
    /// What hits it: the value, quoted, and where it stands.
    pub value: String,
}

impl Finding {
    /// Whether it passes, but not in silence.
    #[must_use]
    pub fn is_noted(&self) -> bool {
        self.verdict == Verdict::Note
    }
}

/// The command line of an exec, its arguments joined with blanks.
#[must_use]
pub fn command_line(body: &Body) -> Option<String> {
    if body.kind != BodyKind::Exec {
        return None;
    }
    let words = body.document.get("Cmd")?.as_array()?.iter().filter_map(serde_json::Value::as_str);
    Some(words.collect::<Vec<_>>().join(" "))
}

/// Judges a plan: what will be sent, and what is entered. Sends only reads.
///
/// # Errors
/// Those of the looks that a rule needs; what cannot be looked at counts as the worst.
pub async fn judge(_plan: &Plan, _bodies: &Bodies, _reading: &Docker) -> Result<Vec<Finding>> {
    Ok(Vec::new())
}
