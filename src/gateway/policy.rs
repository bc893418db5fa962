//! May this call happen, here, with these arguments? One pure function over facts.

use super::body::Finding;
use crate::{
    config::{
        Mode,
        limits::{Confirm, Verdict},
    },
    docker::access::{Effect, Permission, Permissions},
};

/// What a decision is made of.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// The host's name.
    pub host: &'a str,
    /// Whether the tool exists for the host.
    pub admitted: bool,
    /// The host's mode.
    pub mode: Mode,
    /// What callers may do on the host.
    pub granted: Permissions,
    /// What the call does.
    pub effect: Effect,
    /// The most that it may do on the way it came.
    pub ceiling: Effect,
    /// What the call needs.
    pub needed: Permissions,
    /// An image that it would fetch, make or use and that is not among those allowed.
    pub foreign_image: Option<&'a str>,
    /// A command line that the host's `exec.deny` names.
    pub denied_command: Option<&'a str>,
    /// The rules that its body, or what it enters, hits.
    pub findings: &'a [Finding],
    /// The name of the container that Quaymaster itself runs in, if the call would stop, change or remove it.
    pub own_container: Option<&'a str>,
    /// Whether it loses state that no call brings back, whatever its effect is called.
    pub loses: bool,
    /// From which effect on a person is asked.
    pub confirm: Confirm,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The call may happen.
    Allow,
    /// It may happen once a person has said yes.
    Ask(Vec<Reason>),
    /// It may not.
    Deny {
        /// The rule that hit, such as `mode`, `permission:exec` or `body:privileged`.
        rule: String,
        /// What is refused, and why.
        reason: String,
        /// What could be done instead.
        remedy: String,
    },
}

/// Why a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `confirm`, or the rule of a body.
    pub rule: String,
    /// What it is about, in one sentence.
    pub text: String,
}

/// Refuses what would do more than a call may on the way it came: through `read_tool`.
#[must_use]
pub fn beyond(tool: &str, effect: Effect, ceiling: Effect) -> Option<Decision> {
    let refused = || {
        let reason = format!("this call of {tool} {}; read_tool runs only what reads", effect.verb());
        deny("read_tool", reason, "make the call with call_tool".to_owned())
    };
    (effect > ceiling).then(refused)
}

/// Refuses a tool that sees the operator's own configuration of the docker CLI, which nobody has granted.
#[must_use]
pub fn ungranted(tool: &str) -> Decision {
    deny(
        "grant:cli-config",
        format!("{tool} sees the operator's own configuration of the docker CLI, which is not granted"),
        "ask the person to run \"docker context\", or to add \"cli-config\" to grant at the top of the configuration"
            .to_owned(),
    )
}

/// Decides; the first rule that hits wins, then all questions are put together.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    let Facts { tool, host, mode, .. } = *facts;
    if !facts.admitted {
        return deny(
            "tools",
            format!("{tool} does not exist for host \"{host}\""),
            "ask the person to run it, or to change \"tools\" in the configuration".to_owned(),
        );
    }
    let worst = if facts.loses { Effect::Destroy } else { facts.effect };
    if !worst.allowed_by(mode) {
        let limit = match mode {
            Mode::Ro => "is read-only",
            Mode::Nd => "lets nothing be destroyed",
            Mode::Rw => "allows everything",
        };
        return deny(
            "mode",
            format!("host \"{host}\" {limit}; {tool} {}", worst.verb()),
            format!("ask the person to run it, or use a host that is not ({})", mode.as_str()),
        );
    }
    if let Some(missing) = facts.needed.iter().find(|permission| !facts.granted.has(*permission)) {
        return deny(
            &format!("permission:{missing}"),
            format!("host \"{host}\" does not grant \"{missing}\", which this call of {tool} needs"),
            format!("ask the person to run it, or to set {} for the host in the configuration", grant(missing, mode)),
        );
    }
    if let Some(decision) = beyond(tool, facts.effect, facts.ceiling) {
        return decision;
    }
    if let Some(image) = facts.foreign_image {
        return deny(
            "images",
            format!("image {image:?} is not among those that host \"{host}\" allows"),
            "use an image that it allows, or ask the person to change \"images\" in the configuration".to_owned(),
        );
    }
    if let Some(finding) = facts.findings.iter().find(|finding| finding.verdict == Verdict::Deny) {
        let rule = finding.rule;
        return deny(
            &format!("body:{rule}"),
            format!("host \"{host}\" refuses {}", finding.value),
            format!(
                "leave it out, or ask the person to set rules = {{ {rule} = \"ask\" }} or \"allow\" for the host \
                 in the configuration"
            ),
        );
    }
    if let Some(command) = facts.denied_command {
        return deny(
            "exec.deny",
            format!("host \"{host}\" refuses the command {command:?}"),
            "ask the person to run it, or to change \"exec\" in the configuration".to_owned(),
        );
    }
    if let Some(container) = facts.own_container {
        return deny(
            "own-container",
            format!("Quaymaster itself runs in container {container:?}; {tool} would end this session"),
            "ask the person to run it, or to set own_container = \"allow\" in the configuration".to_owned(),
        );
    }
    let mut reasons: Vec<Reason> = facts
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Ask)
        .map(|finding| Reason { rule: format!("body:{}", finding.rule), text: finding.value.clone() })
        .collect();
    if let Some(text) = question(facts) {
        reasons.push(Reason { rule: "confirm".to_owned(), text });
    }
    if reasons.is_empty() { Decision::Allow } else { Decision::Ask(reasons) }
}

/// What `confirm` asks about, if it does.
fn question(facts: &Facts<'_>) -> Option<String> {
    let Facts { tool, effect, needed, loses, .. } = facts;
    // What these two hold cannot be made again by anybody.
    let holds = needed.has(Permission::Volumes) || needed.has(Permission::Swarm);
    let data = *loses || (*effect == Effect::Destroy && holds);
    let asks = match facts.confirm {
        Confirm::Never => false,
        Confirm::Data => data,
        Confirm::Destroy => data || *effect == Effect::Destroy,
        Confirm::Write => *effect != Effect::Read,
    };
    asks.then(|| if data { format!("{tool} destroys data") } else { format!("{tool} {}", effect.verb()) })
}

/// The setting that grants a permission.
fn grant(missing: Permission, mode: Mode) -> String {
    if missing == Permission::Credentials || (missing == Permission::Files && mode == Mode::Ro) {
        format!("grant = [\"{missing}\"]")
    } else {
        format!("\"{missing}\" among its permissions")
    }
}

fn deny(rule: &str, reason: String, remedy: String) -> Decision {
    Decision::Deny { rule: rule.to_owned(), reason, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::Rule;

    fn facts(mode: Mode, effect: Effect, needed: Permissions) -> Facts<'static> {
        Facts {
            tool: "remove_container",
            host: "prod",
            admitted: true,
            mode,
            granted: Permissions::implied_by(mode),
            effect,
            ceiling: Effect::Destroy,
            needed,
            foreign_image: None,
            denied_command: None,
            findings: &[],
            own_container: None,
            loses: false,
            confirm: Confirm::Never,
        }
    }

    fn rule(facts: &Facts<'_>) -> Option<String> {
        match decide(facts) {
            Decision::Allow => None,
            Decision::Ask(reasons) => {
                Some(reasons.iter().map(|reason| format!("ask {}", reason.rule)).collect::<Vec<_>>().join(", "))
            }
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
            let facts = facts(mode, effect, Permissions::of(needed));
            assert_eq!(rule(&facts).as_deref(), expected, "{mode:?} {effect} {needed:?}");
        }
    }

    #[test]
    fn the_order_of_rules() {
        let denied = [Finding { rule: Rule::Privileged, verdict: Verdict::Deny, value: "privileged".to_owned() }];
        let mut facts = Facts {
            admitted: false,
            granted: Permissions::READ,
            foreign_image: Some("evil"),
            denied_command: Some("rm -rf /"),
            findings: &denied,
            own_container: Some("quaymaster"),
            confirm: Confirm::Write,
            ..facts(Mode::Ro, Effect::Destroy, Permissions::of(&[Permission::Create]))
        };
        assert_eq!(rule(&facts).unwrap(), "tools");
        facts.admitted = true;
        assert_eq!(rule(&facts).unwrap(), "mode");
        facts.mode = Mode::Rw;
        assert_eq!(rule(&facts).unwrap(), "permission:create");
        facts.granted = Permissions::implied_by(Mode::Rw);
        assert_eq!(rule(&facts).unwrap(), "images");
        facts.foreign_image = None;
        assert_eq!(rule(&facts).unwrap(), "body:privileged");
        facts.findings = &[];
        assert_eq!(rule(&facts).unwrap(), "exec.deny");
        facts.denied_command = None;
        assert_eq!(rule(&facts).unwrap(), "own-container");
        facts.own_container = None;
        assert_eq!(rule(&facts).unwrap(), "ask confirm");
        facts.confirm = Confirm::Never;
        assert_eq!(rule(&facts), None);
    }

    #[test]
    fn questions_are_put_together() {
        let asked = [
            Finding { rule: Rule::Bind, verdict: Verdict::Ask, value: "a bind of \"/srv\"".to_owned() },
            Finding { rule: Rule::Port, verdict: Verdict::Note, value: "port 80".to_owned() },
        ];
        let facts = Facts {
            findings: &asked,
            confirm: Confirm::Write,
            ..facts(Mode::Rw, Effect::Mutate, Permissions::of(&[Permission::Create]))
        };
        assert_eq!(rule(&facts).unwrap(), "ask body:bind, ask confirm");
        assert_eq!(rule(&Facts { confirm: Confirm::Never, ..facts }).unwrap(), "ask body:bind");
    }

    #[test]
    fn confirm_by_effect_and_data() {
        use Effect::{Destroy, Mutate, Read};
        let volumes = Permissions::of(&[Permission::Volumes]);
        let create = Permissions::of(&[Permission::Create]);
        for (confirm, effect, needed, asks) in [
            (Confirm::Never, Destroy, volumes, false),
            (Confirm::Data, Destroy, volumes, true),
            (Confirm::Data, Destroy, create, false),
            (Confirm::Data, Mutate, volumes, false),
            (Confirm::Destroy, Destroy, create, true),
            (Confirm::Destroy, Mutate, create, false),
            (Confirm::Write, Mutate, create, true),
            (Confirm::Write, Read, create, false),
        ] {
            let facts = Facts { confirm, ..facts(Mode::Rw, effect, needed) };
            assert_eq!(rule(&facts).is_some(), asks, "{confirm:?} {effect}");
        }
    }

    #[test]
    fn what_loses_state_counts_as_a_removal() {
        let swarm = Permissions::of(&[Permission::Swarm]);
        let lossy = |mode, confirm| Facts { loses: true, confirm, ..facts(mode, Effect::Mutate, swarm) };
        assert_eq!(rule(&lossy(Mode::Nd, Confirm::Never)).unwrap(), "mode");
        assert_eq!(rule(&lossy(Mode::Rw, Confirm::Never)), None);
        for confirm in [Confirm::Data, Confirm::Destroy, Confirm::Write] {
            assert_eq!(rule(&lossy(Mode::Rw, confirm)).unwrap(), "ask confirm");
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
