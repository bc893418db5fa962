//! Whether a call may happen: what the policy says of it, who has to say yes, and the connection that comes of it.

use std::sync::Arc;

use super::{
    Failure, Gateway, PATIENCE,
    body::{self, Finding},
    caller::Caller,
    catalogue::Entry,
    confirm::{Identity, Pause, Question, Voice},
    judge::ForeignJudge,
    policy::{self, Decision, Facts},
    record::Record,
};
use crate::{
    config::limits::{Limits, Verdict as Says},
    docker::{Docker, Host, access::Ceiling, names},
    error::{Error, Result},
    tool::{Access, Effect, Json, ObjectKind, Permission, Permissions, Plan},
};

/// What a person types to approve a call that is about no host but this machine.
const HERE: &str = "default";

/// What the policy said of a plan, and what it was said of.
pub(super) struct Verdict {
    pub(super) decision: Decision,
    pub(super) findings: Vec<Finding>,
}

/// A call of a tool for one host that was planned and decided.
pub(super) struct Decided<'a> {
    pub(super) entry: &'a Entry,
    pub(super) host: &'a Arc<Host>,
    pub(super) arguments: Json,
    pub(super) plan: Plan,
    pub(super) verdict: Verdict,
}

impl Gateway {
    /// Refuses a tool without `host` that is not granted, or that no host lets be; answers the first that does.
    pub(super) fn admit_anywhere(&self, entry: &Entry, record: &Record) -> Result<Arc<Host>> {
        let Access { effect, always, .. } = entry.card.access;
        if let Decision::Deny { rule, reason, remedy } = self.granted(entry) {
            record.denied(effect, always, &rule);
            return Err(Error::denied(reason).hint(remedy));
        }
        let mut refused = None;
        for host in self.fleet.all() {
            match admit(entry, &host, effect, always, Some(record)) {
                Ok(()) => return Ok(host),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| Error::internal("there is no host")))
    }

    /// Whether a tool that is about this machine is granted.
    pub(super) fn granted(&self, entry: &Entry) -> Decision {
        let is_granted = !entry.card.cli_config || self.config.cli_config;
        if is_granted { Decision::Allow } else { policy::ungranted(entry.card.name) }
    }

    /// Lets a call without a host pass that needs no yes, or has one: as the strictest of the hosts asks for it.
    pub(super) async fn approved_here(
        &self,
        entry: &Entry,
        host: &Arc<Host>,
        arguments: Json,
        caller: &Caller,
        voice: &Voice,
        record: &Record,
    ) -> Result<Option<String>, Failure> {
        let Access { effect, always, .. } = entry.card.access;
        let strictest = self.config.hosts.iter().map(|host| host.limits.confirm).max();
        let asked = facts(entry, host, effect, always);
        let decision = policy::decide(&Facts { confirm: strictest.unwrap_or(asked.confirm), ..asked });
        let Decision::Ask(reasons) = decision else { return Ok(None) };
        let rules = reasons.iter().map(|reason| reason.rule.as_str()).collect::<Vec<_>>().join(", ");
        let question = Question {
            principal: caller.principal.clone(),
            // No host can be called so.
            host: HERE.to_owned(),
            tool: entry.card.name,
            effect,
            reasons: reasons.into_iter().map(|reason| reason.text).collect(),
            arguments,
            objects: Vec::new(),
        };
        match self.approvals.settle(&question, &voice.for_at_most(record.left_of(PATIENCE))).await {
            Ok(()) => Ok(Some(format!("approved: {rules}"))),
            Err(pause) => {
                record.refused(&self.audit, effect, always, "ask", &rules).await;
                Err(match pause {
                    Pause::Asked { form, state } => Failure::Asked { form, state },
                    Pause::Refused(error) => error.into(),
                })
            }
        }
    }

    /// What the policy says of a plan, by what it does, what it acts on and what it sends.
    pub(super) async fn decide(&self, entry: &Entry, host: &Arc<Host>, plan: &Plan) -> Result<Verdict> {
        let access = entry.card.access;
        if plan.effect > access.effect || plan.effect < access.mildest || !access.at_most.covers(plan.permissions) {
            return Err(Error::internal(format!("{} planned more than it declares", entry.card.name)));
        }
        let limits = &host.config().limits;
        let facts = Facts { loses: plan.loses, ..facts(entry, host, plan.effect, plan.permissions) };
        // What is refused already is not looked at any closer.
        let refused = policy::decide(&facts);
        if matches!(refused, Decision::Deny { .. }) {
            return Ok(Verdict { decision: refused, findings: Vec::new() });
        }
        let findings = body::judge(plan, &limits.bodies, &host.reading()).await?;
        let decision = weighed(&Facts { findings: &findings, ..facts }, plan, limits, self.own_container.as_deref());
        Ok(Verdict { decision, findings })
    }

    /// Lets a call pass that needs no yes, or has one: then it answers what the yes was for.
    pub(super) async fn approved(
        &self,
        decided: &Decided<'_>,
        caller: &Caller,
        voice: &Voice,
        record: &Record,
    ) -> Result<Option<String>, Failure> {
        let Decided { entry, host, arguments, plan, verdict } = decided;
        let name = host.config().name.as_str();
        match &verdict.decision {
            Decision::Allow => Ok(None),
            Decision::Deny { rule, reason, remedy } => {
                record.refused(&self.audit, plan.effect, plan.permissions, "deny", rule).await;
                Err(Error::denied(reason.as_str()).hint(remedy.as_str()).on(name).into())
            }
            Decision::Ask(reasons) => {
                let rules = reasons.iter().map(|reason| reason.rule.as_str()).collect::<Vec<_>>().join(", ");
                let question = Question {
                    principal: caller.principal.clone(),
                    host: name.to_owned(),
                    tool: entry.card.name,
                    effect: plan.effect,
                    reasons: reasons.iter().map(|reason| reason.text.clone()).collect(),
                    arguments: arguments.clone(),
                    objects: plan.objects.iter().map(Identity::of).collect(),
                };
                let voice = voice.for_at_most(record.left_of(PATIENCE));
                match self.approvals.settle(&question, &voice).await {
                    Ok(()) => Ok(Some(format!("approved: {rules}"))),
                    Err(pause) => {
                        record.refused(&self.audit, plan.effect, plan.permissions, "ask", &rules).await;
                        Err(match pause {
                            Pause::Asked { form, state } => Failure::Asked { form, state },
                            Pause::Refused(error) => error.on(name).into(),
                        })
                    }
                }
            }
        }
    }

    /// The only place that hands out a connection which may do more than read: after the decision, the
    /// person's yes where one is needed, and the line in the audit.
    pub(super) async fn permit(
        &self,
        decided: &Decided<'_>,
        approved: Option<String>,
        record: &Record,
    ) -> Result<Docker> {
        let Decided { entry, host, plan: Plan { effect, permissions, .. }, verdict, .. } = decided;
        let config = host.config();
        let asked = |finding: &&Finding| finding.verdict == Says::Ask && approved.is_some();
        let approved_findings = verdict.findings.iter().filter(asked).cloned().collect();
        let judge = ForeignJudge::new(entry.card.name, self.own_container.clone(), approved_findings);
        let written = record.allowed(&self.audit, *effect, *permissions, approved).await;
        written.map_err(|error| error.on(&config.name))?;
        if *effect != Effect::Read && !record.begins() {
            return Err(Error::cancelled("the call was taken back before anything was sent").on(&config.name));
        }
        let ceiling = Ceiling { mode: config.mode, effect: *effect, permissions: *permissions };
        Ok(host.with_ceiling(ceiling).judged_by(Arc::new(judge)))
    }
}

/// The facts of a call before its objects and its body are looked at.
pub(super) fn facts<'a>(entry: &'a Entry, host: &'a Host, effect: Effect, needed: Permissions) -> Facts<'a> {
    let config = host.config();
    Facts {
        tool: entry.card.name,
        host: &config.name,
        admitted: config.limits.tools.admit([entry.card.name]),
        mode: config.mode,
        granted: config.limits.permissions,
        effect,
        ceiling: entry.ceiling,
        needed,
        foreign_image: None,
        denied_command: None,
        findings: &[],
        own_container: None,
        loses: false,
        confirm: config.limits.confirm,
    }
}

/// Decides with what a plan is about: the images, the command and the containers in it.
pub(super) fn weighed(facts: &Facts<'_>, plan: &Plan, limits: &Limits, own_container: Option<&str>) -> Decision {
    let command = plan.bodies.iter().find_map(body::command_line);
    let own = (plan.effect != Effect::Read && !limits.own_container && touches_life(plan.permissions))
        .then(|| {
            let mut containers = plan.objects.iter().filter(|object| object.kind == ObjectKind::Container);
            containers.find(|object| Some(object.id.as_str()) == own_container).map(|object| object.name.as_str())
        })
        .flatten();
    policy::decide(&Facts {
        foreign_image: plan.images.iter().map(String::as_str).find(|image| {
            // What was found by its id was judged by its references when it was found.
            let is_found = names::is_image_id(image)
                && !plan.permissions.has(Permission::Images)
                && plan.objects.iter().any(|object| object.kind == ObjectKind::Image && object.asked == **image);
            !is_found && !limits.images.admit(names::spellings(image).iter().map(String::as_str))
        }),
        denied_command: command.as_deref().filter(|command| !limits.exec_deny.admit([*command])),
        own_container: own,
        ..facts.clone()
    })
}

/// Refuses what no plan could make allowed, and notes it where that refuses the whole call.
pub(super) fn admit(
    entry: &Entry,
    host: &Host,
    effect: Effect,
    needed: Permissions,
    record: Option<&Record>,
) -> Result<()> {
    match policy::decide(&facts(entry, host, effect, needed)) {
        Decision::Deny { rule, reason, remedy } => {
            if let Some(record) = record {
                record.denied(effect, needed, &rule);
            }
            Err(Error::denied(reason).hint(remedy).on(&host.config().name))
        }
        Decision::Allow | Decision::Ask(_) => Ok(()),
    }
}

/// Whether a call with these permissions can end, change or remove a container.
fn touches_life(permissions: Permissions) -> bool {
    permissions.has(Permission::Lifecycle) || permissions.has(Permission::Create)
}
