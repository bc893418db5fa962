//! What the policy would say of a call, without making it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gateway, OwnTool};
use crate::{
    docker::Host,
    error::Result,
    gateway::{Explained, caller::Caller, policy::Decision},
    tool::{Call, Json, Summary},
};

/// Tells what the policy says of a call, with the rule behind it, without making the call.
///
/// It changes nothing.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainPolicy {
    /// The tool's name.
    tool: String,
    /// Its arguments, `host` among them.
    #[serde(default)]
    arguments: Json,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Explanation {
    tool: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// `allow`, `ask` or `deny`.
    decision: &'static str,
    /// What refuses it, or what is asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    because: Vec<Because>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// What the call would do: `read`, `mutate` or `destroy`.
    effect: &'static str,
    permissions: Vec<&'static str>,
    /// The objects it would act on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Because {
    rule: String,
    reason: String,
}

impl Summary for Explanation {
    fn summary(&self) -> String {
        let host = self.host.as_ref().map(|host| format!(" on host \"{host}\"")).unwrap_or_default();
        let said = match self.decision {
            "allow" => "is allowed",
            "ask" => "needs a person's approval",
            _ => "is refused",
        };
        format!("{}{host} {said}", self.tool)
    }
}

impl OwnTool for ExplainPolicy {
    const NAME: &'static str = "explain_policy";
    type Output = Explanation;

    async fn call(self, gateway: &Gateway, _: Vec<Arc<Host>>, caller: &Caller, _: &Call) -> Result<Explanation> {
        let Explained { tool, host, effect, permissions, objects, decision, notes } =
            gateway.explain(&self.tool, self.arguments, caller).await?;
        let (word, because, remedy) = match decision {
            Decision::Allow => ("allow", Vec::new(), None),
            Decision::Ask(reasons) => (
                "ask",
                reasons.into_iter().map(|reason| Because { rule: reason.rule, reason: reason.text }).collect(),
                Some("the person is asked when the call is made".to_owned()),
            ),
            Decision::Deny { rule, reason, remedy } => ("deny", vec![Because { rule, reason }], Some(remedy)),
        };
        let notes = notes.into_iter().map(|finding| Because {
            rule: format!("body:{}", finding.rule),
            reason: format!("{} is noted in the answer", finding.value),
        });
        Ok(Explanation {
            tool: tool.to_owned(),
            host,
            decision: word,
            because: because.into_iter().chain(notes).collect(),
            remedy,
            effect: effect.as_str(),
            permissions: permissions.iter().map(crate::tool::Permission::as_str).collect(),
            objects,
        })
    }
}
