//! Waiting for a node of a swarm, as its managers see it.

use serde_json::Value;

use super::{Condition, Seen, Verdict};
use crate::{redact, tool::Object};

pub(super) fn seen(node: &Object) -> Seen {
    Seen { state: redact::shown(state(node)), ..Seen::default() }
}

pub(super) fn judge(until: Condition, node: &Object) -> Verdict {
    let met = match until {
        Condition::Ready => state(node) == "ready",
        // One that has not been heard of for a while is down for the swarm.
        Condition::Down => matches!(state(node), "down" | "disconnected"),
        _ => false,
    };
    if met { Verdict::Met } else { Verdict::NotYet }
}

fn state(node: &Object) -> &str {
    node.fact("/Status/State").and_then(Value::as_str).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::judge, *};
    use crate::tool::ObjectKind;

    #[test]
    fn the_table() {
        use Condition::{Down, Present, Ready, Removed};
        use Verdict::{Met, NotYet};
        let node = |state: &str| {
            Object::listed(ObjectKind::Node, "0".into(), "first".into(), json!({"Status": {"State": state}}))
        };
        for (until, state, verdict) in [
            (Ready, "ready", Met),
            (Ready, "down", NotYet),
            (Ready, "unknown", NotYet),
            (Down, "down", Met),
            (Down, "disconnected", Met),
            (Down, "unknown", NotYet),
            (Present, "down", Met),
            (Removed, "down", NotYet),
        ] {
            assert_eq!(judge(until, Some(&node(state)), true), verdict, "{until:?} {state}");
        }
        assert_eq!(judge(Removed, None, true), Met);
        assert_eq!(judge(Down, None, true), NotYet);
    }
}
