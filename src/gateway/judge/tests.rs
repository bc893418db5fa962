//! The docker CLI, compose and buildx as they are, against the lab's engines, through the whole path of a call.

mod lab;
#[path = "../../../integration/tests/recorder.rs"]
mod recorder;
mod rig;

use crate::{
    config::limits::{Rule, Verdict},
    docker::guard::{Class, ROUTES},
    gateway::body::Finding,
};

use super::{CARRIED, ForeignJudge};

#[test]
fn every_route_that_is_carried_is_one_that_changes_something() {
    let changing: Vec<String> = ROUTES
        .iter()
        .filter(|route| matches!(route.class, Class::Mutate | Class::Destroy))
        .map(|route| format!("{} {}", route.method, route.template))
        .collect();
    for route in CARRIED {
        assert!(changing.iter().any(|known| known == route), "{route} is in no table");
    }
    for never in ["POST /plugins/pull", "POST /swarm/leave", "POST /volumes/prune", "PUT /volumes/{id}"] {
        assert!(!CARRIED.contains(&never) && changing.iter().any(|known| known == never), "{never}");
    }
}

#[test]
fn an_approval_is_for_what_was_asked_wherever_it_stands() {
    let finding = |rule, value: &str| Finding { rule, verdict: Verdict::Ask, value: value.to_owned() };
    let approved = finding(Rule::Bind, "a bind of \"/srv/a\" at \"HostConfig.Binds\"");
    let judge = ForeignJudge::new("x", None, vec![approved]);
    assert!(judge.has_approved(&finding(Rule::Bind, "a bind of \"/srv/a\" at \"HostConfig.Mounts\"")));
    assert!(!judge.has_approved(&finding(Rule::Bind, "a bind of \"/srv/b\" at \"HostConfig.Binds\"")));
    assert!(!judge.has_approved(&finding(Rule::HostNet, "a bind of \"/srv/a\" at \"HostConfig.Binds\"")));
}
