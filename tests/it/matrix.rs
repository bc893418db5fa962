//! Modes by permissions by tools: what leaves never exceeds what its host grants, and what it grants is not refused.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use quaymaster::{
    config::{
        Mode,
        limits::{Bodies, Confirm, Profile, Rule, Verdict},
    },
    docker::guard::Class,
    error::Kind,
    gateway::{
        Gateway,
        catalogue::{Entry, everything},
    },
    tool::{Effect, Permission, Permissions},
};
use serde_json::{Value, json};

use crate::{
    arguments::plausible,
    rig::{call, gateway_with},
    simulated::{Daemon, Heard, engine, world},
};

/// One cell: a tool on a host of a mode that grants some permissions, called itself or through another.
#[derive(Clone)]
struct Cell {
    entry: Entry,
    mode: Mode,
    granted: Permissions,
    confirm: Confirm,
    via: Option<&'static str>,
}

/// None, all, just what the tool may need, and both of the latter without each of it.
fn grants(entry: &Entry) -> Vec<Permissions> {
    let (all, needed) = (Permissions::of(&Permission::ALL), entry.card.access.at_most);
    let without = |set: Permissions, missing: Permission| {
        let rest: Vec<Permission> = set.iter().filter(|permission| *permission != missing).collect();
        Permissions::of(&rest)
    };
    let mut grants = vec![Permissions::READ, all, needed];
    for missing in needed.iter().filter(|permission| *permission != Permission::Read) {
        grants.extend([without(all, missing), without(needed, missing)]);
    }
    let mut different: Vec<Permissions> = Vec::new();
    for grant in grants {
        if !different.contains(&grant) {
            different.push(grant);
        }
    }
    different
}

impl Cell {
    fn host(&self, daemon: &Daemon) -> Arc<Gateway> {
        gateway_with(&[daemon.spec("a", "")], |config| {
            config.cli_config = true;
            let host = &mut config.hosts[0];
            host.mode = self.mode;
            host.limits.permissions = self.granted;
            host.limits.confirm = self.confirm;
            host.limits.bodies = Bodies::of(Profile::Open);
            host.limits.bodies.rules = Rule::ALL.iter().map(|rule| (*rule, Verdict::Allow)).collect();
        })
    }

    /// What is wrong with what happened.
    async fn verdicts(self) -> Vec<String> {
        let (name, access) = (self.entry.card.name, self.entry.card.access);
        let daemon = Daemon::new(engine);
        let gateway = self.host(&daemon);
        let arguments = Value::Object(plausible(&self.entry, &world()));
        let outcome = match self.via {
            None => call(&gateway, name, arguments.clone(), 60).await,
            Some(via) => call(&gateway, via, json!({"name": name, "arguments": arguments}), 60).await,
        };
        let mut verdicts: Vec<String> = daemon.asked().iter().filter_map(|heard| self.excess(heard)).collect();
        let granted = access.effect.allowed_by(self.mode) && self.granted.covers(access.at_most);
        let granted = granted && (self.via != Some("read_tool") || access.effect == Effect::Read);
        match &outcome {
            Err(error) if error.kind() == Kind::Internal || error.message().contains("the guard refused") => {
                verdicts.push(error.to_string());
            }
            Err(error) if granted && self.confirm == Confirm::Never && error.kind() == Kind::Denied => {
                verdicts.push(format!("it is granted and refused: {error}"));
            }
            Ok(_) if self.via == Some("read_tool") && access.mildest > Effect::Read => {
                verdicts.push("it never is a read and succeeds".to_owned());
            }
            Ok(_) if !access.mildest.allowed_by(self.mode) || !self.granted.covers(access.always) => {
                verdicts.push("it is not granted and succeeds".to_owned());
            }
            _ => {}
        }
        let granted: Vec<&str> = self.granted.iter().map(Permission::as_str).collect();
        let via = self.via.unwrap_or("itself");
        verdicts.into_iter().map(|why| format!("{name} ({via}) {:?} {granted:?}: {why}", self.mode)).collect()
    }

    /// Why a request should not have been sent.
    fn excess(&self, heard: &Heard) -> Option<String> {
        let wire = heard.wire();
        let effect = match wire.class {
            Class::Read | Class::Files | Class::Credentials => Effect::Read,
            Class::Mutate => Effect::Mutate,
            Class::Destroy | Class::Never => Effect::Destroy,
        };
        let needed = match wire.class {
            Class::Files => Permission::Files,
            Class::Credentials => Permission::Credentials,
            // A container that the call itself makes may be started and removed with the permission to make it.
            _ if wire.route.permission == Permission::Lifecycle
                && ["run_container", "recreate_container"].contains(&self.entry.card.name) =>
            {
                Permission::Create
            }
            _ => wire.route.permission,
        };
        if self.via == Some("read_tool") && effect != Effect::Read {
            return Some(format!("{} {} was sent by a read", heard.method, heard.target));
        }
        let asks = effect != Effect::Read && self.confirm == Confirm::Write;
        let fits = effect.allowed_by(self.mode) && self.granted.has(needed) && wire.class != Class::Never && !asks;
        (!fits).then(|| format!("{} {} was sent", heard.method, heard.target))
    }
}

/// What runs the calls of others has no effect of its own.
fn tools() -> impl Iterator<Item = Entry> {
    everything().into_iter().filter(|entry| !entry.is_forwarding())
}

async fn judged(cells: Vec<Cell>) {
    let verdicts: Vec<Vec<String>> = stream::iter(cells).map(Cell::verdicts).buffer_unordered(60).collect().await;
    let verdicts: Vec<String> = verdicts.into_iter().flatten().collect();
    assert!(verdicts.is_empty(), "{verdicts:#?}");
}

#[tokio::test]
async fn no_cell_sends_more_than_its_host_grants() {
    let mut cells = Vec::new();
    for entry in tools() {
        for mode in [Mode::Ro, Mode::Nd, Mode::Rw] {
            let cell = |via, granted| Cell { entry: entry.clone(), mode, granted, confirm: Confirm::Never, via };
            cells.extend(grants(&entry).into_iter().map(|granted| cell(None, granted)));
            for via in ["read_tool", "call_tool"] {
                let ends = [Permissions::READ, Permissions::of(&Permission::ALL)];
                cells.extend(ends.map(|granted| cell(Some(via), granted)));
            }
        }
    }
    judged(cells).await;
}

#[tokio::test]
async fn nothing_is_sent_before_the_question_is_answered() {
    let all = Permissions::of(&Permission::ALL);
    for via in [None, Some("read_tool"), Some("call_tool")] {
        let cell = |entry| Cell { entry, mode: Mode::Rw, granted: all, confirm: Confirm::Write, via };
        judged(tools().map(cell).collect()).await;
    }
}
