//! What the parameters of a request ask for that has no document: a build, and the channels that nobody can look into.

use super::{Finding, Hit};
use crate::{
    config::limits::{Bodies, Rule, Verdict},
    docker::names::quote,
};

/// The rules that a request hits by itself; what passes in silence is left out.
#[must_use]
pub fn of_request(template: &str, query: &[(String, String)], bodies: &Bodies) -> Vec<Finding> {
    let findings = hits(template, query).into_iter().map(|hit| {
        let verdict = bodies.verdict(hit.rule);
        Finding { rule: hit.rule, verdict, value: hit.value }
    });
    findings.filter(|finding| finding.verdict != Verdict::Allow).collect()
}

fn hits(template: &str, query: &[(String, String)]) -> Vec<Hit> {
    match template {
        "/session" | "/grpc" => vec![channel()],
        "/build" => query.iter().filter_map(|(name, value)| of_build(name, value)).collect(),
        _ => Vec::new(),
    }
}

/// What opening `BuildKit`'s own channel hits.
pub(super) fn channel() -> Hit {
    Hit::new(Rule::BuildChannel, "BuildKit's own channel (build-channel)".to_owned())
}

fn of_build(name: &str, value: &str) -> Option<Hit> {
    let folded = value.trim().to_lowercase();
    if folded.is_empty() {
        return None;
    }
    let rule = match name {
        "networkmode" if folded == "host" => Rule::HostNet,
        "networkmode" if folded.starts_with("container:") => Rule::ContainerNamespace,
        "extrahosts" if folded.contains("host-gateway") => Rule::HostGateway,
        "securityopt" => Rule::SecurityOpt,
        "cgroupparent" => Rule::HostCgroup,
        _ => return None,
    };
    Some(Hit::at(rule, quote(value), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::Profile;

    #[test]
    fn what_a_build_asks_for_is_judged() {
        let bodies = Bodies::of(Profile::Guarded);
        let rules = |template: &str, query: &[(&str, &str)]| {
            let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            of_request(template, &query, &bodies)
                .into_iter()
                .map(|finding| (finding.rule.as_str(), finding.verdict))
                .collect::<Vec<_>>()
        };
        assert_eq!(rules("/build", &[("networkmode", "default"), ("t", "a:1"), ("extrahosts", "a:10.0.0.1")]), []);
        assert_eq!(rules("/build", &[("networkmode", "Host")]), [("host-net", Verdict::Ask)]);
        assert_eq!(rules("/build", &[("networkmode", "container:x")]), [("container-namespace", Verdict::Ask)]);
        assert_eq!(rules("/build", &[("extrahosts", "up:host-gateway")]), [("host-gateway", Verdict::Note)]);
        assert_eq!(rules("/build", &[("securityopt", "x"), ("cgroupparent", "/y")]).len(), 2);
        assert_eq!(rules("/grpc", &[]), [("build-channel", Verdict::Ask)]);
        assert_eq!(of_request("/session", &[], &Bodies::of(Profile::Open)), []);
    }
}
