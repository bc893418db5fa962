//! The scout tools with the real docker CLI, which has no such plugin in the lab: arguments, guard, and what is said.

use std::{fs, os::unix::fs::PermissionsExt};

use quaymaster::tool::{Permission, Permissions};
use serde_json::json;

use crate::{
    recorder::{Recorded, Recorder},
    rig::{LINKS, Link, Rig, environment, gateway_in, lab, open},
};

#[tokio::test]
async fn a_missing_plugin_is_named() {
    for link in LINKS {
        let rig = Rig::of(gateway_in(environment(), &[format!("lab={}", link.endpoint())], open));
        for tool in ["scout_cves", "scout_quickview", "scout_recommendations", "scout_sbom"] {
            for arguments in [json!({"image": "busybox"}), json!({"image": lab("LAB_IMAGE"), "local": true})] {
                let error = rig.call(tool, arguments).await.error();
                assert_eq!(error["kind"], "unsupported", "{link:?} {tool}: {error}");
                assert!(error["hint"].as_str().unwrap().contains("docker-scout-plugin"), "{error}");
            }
        }
        let error = rig.call("scout_compare", json!({"image": "busybox:2", "to": "busybox:1"})).await.error();
        assert_eq!(error["kind"], "unsupported", "{error}");
        assert!(rig.gateway.catalogue().listed().all(|entry| entry.toolset != "scout"));
        let error =
            rig.call("call_tool", json!({"name": "scout_cves", "arguments": {"image": "busybox"}})).await.error();
        assert!(error["hint"].as_str().unwrap().contains("docker-scout-plugin"), "{error}");
    }
}

/// A plugin that says what it was asked: it stands where Docker's own cannot be had, to see what the docker CLI hands on.
const SAYS: &str = "#!/bin/sh
if [ \"$1\" = docker-cli-plugin-metadata ]; then
  echo '{\"SchemaVersion\": \"0.1.0\", \"Vendor\": \"lab\", \"Version\": \"0\"}'
  exit 0
fi
echo \"asked: $*\"
";

#[tokio::test]
async fn what_is_asked_is_an_image_of_a_known_registry_or_one_that_may_be_exported() {
    let plugins = tempfile::tempdir().unwrap();
    let program = plugins.path().join("docker-scout");
    fs::write(&program, SAYS).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut environment = environment();
    environment.variables.insert("QUAYMASTER_CLI_PLUGINS".into(), plugins.path().display().to_string());
    for link in [Link::Unix, Link::Tls] {
        let recorder = Recorder::before(&link.socket());
        let rig = |markers: &str, permissions: &[Permission]| {
            let gateway = gateway_in(environment.clone(), &[recorder.spec(markers)], |config| {
                open(config);
                config.hosts[0].limits.permissions = Permissions::of(permissions);
            });
            Rig::of(gateway)
        };
        let (reads, files) = (rig("(ro)", &[]), rig("(ro)", &[Permission::Files]));
        let own = json!({"image": lab("LAB_IMAGE"), "local": true});
        for (rig, tool, arguments, words) in [
            (
                &reads,
                "scout_cves",
                json!({"image": "busybox", "severity": ["high"], "only_fixed": true}),
                "asked: scout cves --only-severity=high --only-fixed registry://docker.io/library/busybox:latest",
            ),
            (
                &reads,
                "scout_quickview",
                json!({"image": "lab/base:1"}),
                "asked: scout quickview registry://docker.io/lab/base:1",
            ),
            (&reads, "scout_recommendations", json!({"image": "busybox:1"}), "registry://docker.io/library/busybox:1"),
            (
                &reads,
                "scout_compare",
                json!({"image": "busybox:2", "to": "busybox:1"}),
                "asked: scout compare --to=registry://docker.io/library/busybox:1 registry://docker.io/library/busybox:2",
            ),
            (&files, "scout_sbom", own.clone(), "asked: scout sbom --format=list local://sha256:"),
        ] {
            let text = rig.call(tool, arguments.clone()).await.text();
            assert!(text.contains(words), "{link:?} {arguments}: {text}");
        }
        for (arguments, kind, words) in [
            (json!({"image": "strange.example.com/x:1"}), "denied", "registries"),
            (own, "denied", "files"),
            (json!({"image": "lab-nothing:1", "local": true}), "not_found", "lab-nothing"),
            (json!({"image": "--help"}), "invalid", "image"),
            (json!({"image": "busybox", "platform": "--x"}), "invalid", "platform"),
        ] {
            let error = reads.call("scout_cves", arguments.clone()).await.error();
            let said = format!("{} {}", error["message"], error["hint"]);
            assert!(error["kind"] == kind && said.contains(words), "{arguments}: {error}");
        }
        let sent = recorder.take();
        assert!(!sent.is_empty() && sent.iter().all(Recorded::looks), "{sent:?}");
    }
}
