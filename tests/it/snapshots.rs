//! One snapshot for each tool: everything that a client sees of it, and what it may do.
//!
//! `INSTA_UPDATE=always cargo test --test it snapshots` writes them anew.

use std::{fs, panic, path::Path};

use quaymaster::{
    gateway::catalogue::{Entry, everything},
    tool::{HostArgument, Permission, Permissions},
};
use serde_json::{Value, json};

use crate::rig::three_hosts;

fn permissions(set: Permissions) -> Vec<&'static str> {
    set.iter().map(Permission::as_str).collect()
}

fn picture(entry: &Entry) -> Value {
    let card = &entry.card;
    let access = card.access;
    json!({
        "name": card.name,
        "title": card.title,
        "toolset": entry.toolset,
        "core": card.core,
        "access": {
            "effect": access.effect.as_str(),
            "mildest": access.mildest.as_str(),
            "always": permissions(access.always),
            "at_most": permissions(access.at_most),
            "course": card.course,
            "open_world": card.open_world,
        },
        "host": match card.host {
            HostArgument::None => "none",
            HostArgument::One => "one",
            HostArgument::Planned => "the plan's",
            HostArgument::Fleet { whole: false } => "fleet",
            HostArgument::Fleet { whole: true } => "whole fleet",
        },
        "description": card.about(),
        "input": entry.input_schema(&three_hosts()),
        "output": card.output(),
    })
}

#[test]
fn what_clients_see_of_each_tool() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let changed: Vec<&str> = everything()
        .iter()
        .filter(|entry| {
            // Every stale one is named, not just the first.
            let compare = || settings.bind(|| insta::assert_json_snapshot!(entry.card.name, picture(entry)));
            panic::catch_unwind(panic::AssertUnwindSafe(compare)).is_err()
        })
        .map(|entry| entry.card.name)
        .collect();
    assert!(changed.is_empty(), "changed: {changed:?}; look at each, then run with INSTA_UPDATE=always");
}

#[test]
fn no_snapshot_has_lost_its_tool() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
    for file in fs::read_dir(directory).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let Some(tool) = name.strip_suffix(".snap") else { continue };
        assert!(everything().iter().any(|entry| entry.card.name == tool), "{name} belongs to no tool: remove it");
    }
}
