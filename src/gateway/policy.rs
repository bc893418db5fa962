//! May this call happen, here, with these arguments? One pure function over facts.

use crate::{
    config::Mode,
    docker::access::{Effect, Permissions},
};

/// What a decision is made of.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// The host's name.
    pub host: &'a str,
    /// The host's mode.
    pub mode: Mode,
    /// What callers may do on the host.
    pub granted: Permissions,
    /// What the call does.
    pub effect: Effect,
    /// What the call needs.
    pub needed: Permissions,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The call may happen.
    Allow,
    /// It may not.
    Deny {
        /// The rule that hit, such as `mode` or `permission:exec`.
        rule: String,
        /// What is refused, and why.
        reason: String,
        /// What could be done instead.
        remedy: String,
    },
}

/// Decides; the first rule that hits wins.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    let Facts { tool, host, mode, .. } = *facts;
    if !facts.effect.allowed_by(mode) {
        let limit = match mode {
            Mode::Ro => "is read-only",
            Mode::Nd => "lets nothing be destroyed",
            Mode::Rw => "allows everything",
        };
        return Decision::Deny {
            rule: "mode".to_owned(),
            reason: format!("host \"{host}\" {limit}; {tool} {}", facts.effect.verb()),
            remedy: format!("ask the person to run it, or use a host that is not ({})", mode.as_str()),
        };
    }
    if let Some(missing) = facts.needed.iter().find(|permission| !facts.granted.has(*permission)) {
        return Decision::Deny {
            rule: format!("permission:{missing}"),
            reason: format!("host \"{host}\" does not grant \"{missing}\", which this call of {tool} needs"),
            remedy: "ask the person to run it, or to grant it in the configuration".to_owned(),
        };
    }
    Decision::Allow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::access::Permission;

    fn facts(mode: Mode, effect: Effect, needed: Permissions) -> Facts<'static> {
        Facts { tool: "remove_container", host: "prod", mode, granted: Permissions::implied_by(mode), effect, needed }
    }

    fn rule(mode: Mode, effect: Effect, needed: &[Permission]) -> Option<String> {
        match decide(&facts(mode, effect, Permissions::of(needed))) {
            Decision::Allow => None,
            Decision::Deny { rule, .. } => Some(rule),
        }
    }

    #[test]
    fn the_table() {
        use Effect::{Destroy, Mutate, Read};
        let create = &[Permission::Create][..];
        for (mode, effect, needed, expected) in [
            (Mode::Ro, Read, &[][..], None),
            (Mode::Ro, Mutate, create, Some("mode")),
            (Mode::Ro, Destroy, create, Some("mode")),
            (Mode::Ro, Read, &[Permission::Files], Some("permission:files")),
            (Mode::Nd, Mutate, create, None),
            (Mode::Nd, Destroy, create, Some("mode")),
            (Mode::Rw, Destroy, create, None),
            (Mode::Rw, Read, &[Permission::Credentials], Some("permission:credentials")),
        ] {
            assert_eq!(rule(mode, effect, needed).as_deref(), expected, "{mode:?} {effect} {needed:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let Decision::Deny { reason, remedy, .. } = decide(&facts(Mode::Ro, Effect::Destroy, Permissions::READ)) else {
            panic!("it was allowed");
        };
        assert_eq!(reason, "host \"prod\" is read-only; remove_container destroys");
        assert_eq!(remedy, "ask the person to run it, or use a host that is not (ro)");
    }
}
