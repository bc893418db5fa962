//! Prunes on engines of their own: what was listed goes, in the right order, and nothing else does.

use std::{collections::BTreeSet, fs, process::Command, sync::Arc};

use quaymaster::{
    config::{Config, Globs, limits::Confirm},
    gateway::{
        Gateway, Request,
        confirm::{Reply as Said, Voice},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    approvals::Desk,
    faults::{
        gate::Gate,
        own_engine::{OwnEngine, Release},
    },
    rig::{Reply, gateway, gateway_with, lab, open},
};

/// Both releases, each with an engine of the test's own.
const RELEASES: [Release; 2] = [Release::Old, Release::New];

/// An engine with the gateway before it.
struct Site {
    engine: Arc<OwnEngine>,
    gateway: Arc<Gateway>,
}

impl Site {
    fn of(release: Release) -> Self {
        let engine = Arc::new(OwnEngine::of(release));
        let gateway = gateway(&[format!("lab={}", engine.endpoint())]);
        Self { engine, gateway }
    }

    fn set(&mut self, set: impl FnOnce(&mut Config)) {
        self.gateway = gateway_with(&[format!("lab={}", self.engine.endpoint())], |config| {
            open(config);
            set(config);
        });
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let arguments = arguments.as_object().unwrap().clone();
        Reply::of(self.gateway.call(Request::new(self.gateway.caller("test"), tool, arguments)).await).ok()
    }

    fn lines(&self, arguments: &[&str]) -> BTreeSet<String> {
        self.engine.docker(arguments).lines().map(str::to_owned).collect()
    }

    fn images(&self) -> BTreeSet<String> {
        self.lines(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
    }

    /// Every image, those in the middle of a build included.
    fn all_images(&self) -> BTreeSet<String> {
        self.lines(&["images", "--all", "--quiet", "--no-trunc"])
    }

    fn cache(&self) -> BTreeSet<String> {
        cache(&self.engine)
    }
}

/// The builder's records.
fn cache(engine: &OwnEngine) -> BTreeSet<String> {
    let told = engine.docker(&["system", "df", "--verbose", "--format", "{{range .BuildCache}}{{.ID}}\n{{end}}"]);
    told.lines().filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// Builds an image with the classic builder, or with BuildKit, which keeps a cache.
fn build(engine: &OwnEngine, kit: bool, tag: &str, dockerfile: &str) {
    let directory = TempDir::new().unwrap();
    let plugins = directory.path().join("config/cli-plugins");
    fs::create_dir_all(&plugins).unwrap();
    std::os::unix::fs::symlink(format!("{}/docker-buildx", lab("LAB_COMPOSE_PLUGINS")), plugins.join("docker-buildx"))
        .unwrap();
    let context = directory.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    fs::write(context.join("data"), tag.repeat(2000)).unwrap();
    let built = Command::new(lab("LAB_DOCKER"))
        .args(if kit { &["buildx", "build"][..] } else { &["build"][..] })
        .args(["--tag", tag, &context.display().to_string()])
        .env("DOCKER_HOST", engine.endpoint())
        .env("DOCKER_CONFIG", directory.path().join("config"))
        .env("DOCKER_BUILDKIT", if kit { "1" } else { "0" })
        .output()
        .expect("the docker CLI");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn base() -> String {
    format!("FROM {}\n", lab("LAB_IMAGE"))
}

/// `app:1` of two layers, `child:1` upon it, and a nameless one that was `app:1` before.
fn family(engine: &OwnEngine) {
    let app = |word: &str| format!("{}ENV A={word}\nLABEL tier=app\nCMD [\"true\"]\n", base());
    build(engine, false, "app:1", &app("first"));
    build(engine, false, "app:1", &app("second"));
    build(engine, false, "child:1", "FROM app:1\nENV B=1\nENV C=2\n");
}

fn names(pruned: &Value, field: &str) -> Vec<String> {
    let rows = pruned[field].as_array().into_iter().flatten();
    rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// The group of a kind in the answer of `prune_system`.
fn group(pruned: &Value, kind: &str) -> Value {
    let mut kinds = pruned["kinds"].as_array().unwrap().iter();
    kinds.find(|group| group["kind"] == kind).cloned().unwrap_or_default()
}

#[tokio::test]
async fn images_go_children_first_and_only_those_that_nothing_needs() {
    for release in RELEASES {
        let site = Site::of(release);
        family(&site.engine);
        site.engine.docker(&["tag", "child:1", "other/child:2"]);
        let before = site.all_images();

        let would = site.call("prune_images", json!({})).await;
        assert_eq!(site.all_images(), before, "{release:?}: a dry run removes nothing");
        assert!(would["would_remove"].as_array().unwrap().iter().all(|row| row["reason"] != "unused"), "{would}");
        let pruned = site.call("prune_images", json!({"dry_run": false})).await;
        assert_eq!(names(&pruned, "removed"), names(&would, "would_remove"), "{release:?}");
        assert!(pruned.get("failed").is_none(), "{release:?}: {pruned}");
        assert_eq!(
            site.images(),
            ["app:1", "child:1", "other/child:2", &lab("LAB_IMAGE")].map(str::to_owned).into(),
            "{release:?}"
        );

        // A stopped container needs its image, and that its parents, with names or without.
        site.engine.docker(&["create", "--name", "old", "child:1"]);
        site.engine.docker(&["create", "--name", "older", &lab("LAB_IMAGE")]);
        let spared = site.call("prune_images", json!({"all": true})).await;
        assert!(spared.get("would_remove").is_none(), "{release:?}: {spared}");
        site.engine.docker(&["rm", "old"]);

        let labelled = site.call("prune_images", json!({"all": true, "label": ["tier=app"], "until": "1h"})).await;
        assert!(labelled.get("would_remove").is_none(), "{release:?}: nothing is that old: {labelled}");
        let would = site.call("prune_images", json!({"all": true})).await;
        let listed = names(&would, "would_remove");
        let place = |name: &str| listed.iter().position(|listed| listed == name);
        assert!(place("child:1") < place("app:1") && place("app:1").is_some(), "{release:?}: {would}");
        let pruned = site.call("prune_images", json!({"all": true, "dry_run": false})).await;
        assert!(pruned.get("failed").is_none(), "{release:?}: {pruned}");
        assert_eq!(names(&pruned, "removed"), listed, "{release:?}");
        assert_eq!(site.images(), [lab("LAB_IMAGE")].into(), "{release:?}");
        assert_eq!(site.all_images().len(), 1, "{release:?}: nothing in the middle is left either");
    }
}

#[tokio::test]
async fn what_nobody_sees_is_spared() {
    let mut site = Site::of(Release::New);
    family(&site.engine);
    for (image, container) in [("app:1", "vault"), (&*lab("LAB_IMAGE"), "web")] {
        site.engine.docker(&["create", "--name", container, image]);
    }
    site.engine.docker(&["rmi", "child:1"]);
    let image = site.engine.docker(&["images", "--quiet", "--no-trunc", "app:1"]);
    site.set(|config| config.hosts[0].limits.containers = Globs::new(&[], &["vault".to_owned()]).unwrap());
    let all = json!({"all": true, "dry_run": false});
    let pruned = site.call("prune_images", all.clone()).await;
    assert!(!names(&pruned, "removed").contains(&"app:1".to_owned()), "{pruned}");
    assert!(pruned.get("failed").is_none(), "{pruned}");
    assert!(site.all_images().contains(&image));

    // By a name that nobody sees.
    site.engine.docker(&["rm", "vault"]);
    site.engine.docker(&["tag", "app:1", "secret/app:1"]);
    site.set(|config| config.hosts[0].limits.images = Globs::of_images(&[], &["secret/*".to_owned()]).unwrap());
    let pruned = site.call("prune_images", all.clone()).await;
    assert!(pruned.get("removed").is_none() && pruned.get("failed").is_none(), "{pruned}");
    assert_eq!(site.images(), ["app:1", "secret/app:1", &lab("LAB_IMAGE")].map(str::to_owned).into());
    // By one that is built upon it.
    build(&site.engine, false, "secret/child:1", "FROM app:1\nENV B=1\n");
    site.engine.docker(&["rmi", "secret/app:1"]);
    let pruned = site.call("prune_images", all).await;
    assert!(pruned.get("removed").is_none() && pruned.get("failed").is_none(), "{pruned}");
}

#[tokio::test]
async fn the_system_is_pruned_from_the_containers_down() {
    for release in RELEASES {
        let site = Site::of(release);
        build(&site.engine, true, "kit:1", &format!("{}COPY data /data\n", base()));
        site.engine.docker(&["network", "create", "front"]);
        site.engine.docker(&["network", "create", "gone"]);
        site.engine.docker(&["volume", "create", "named"]);
        let image = lab("LAB_IMAGE");
        site.engine.docker(&["create", "--name", "old", "--network", "gone", "-v", "/own", "-v", "named:/n", "kit:1"]);
        let web = ["run", "-d", "--name", "web", "--network", "front", "-v", "/data", &image, "sleep", "600"];
        site.engine.docker(&web);
        let anonymous: Vec<String> =
            site.lines(&["volume", "ls", "--quiet"]).into_iter().filter(|name| name != "named").collect();
        assert_eq!(anonymous.len(), 2, "{release:?}");

        let everything = || {
            ["ps --all --quiet", "network ls --quiet", "images --all --quiet", "volume ls --quiet"]
                .map(|command| site.lines(&command.split(' ').collect::<Vec<_>>()))
        };
        let (before, cached) = (everything(), site.cache());
        let would = site.call("prune_system", json!({"all": true, "volumes": true})).await;
        assert_eq!((everything(), site.cache()), (before, cached.clone()), "{release:?}: a dry run removes nothing");
        let kinds: Vec<&str> =
            would["kinds"].as_array().unwrap().iter().map(|group| group["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["containers", "networks", "images", "build_cache", "volumes"], "{release:?}: {would}");
        for (kind, listed) in [("containers", "old"), ("networks", "gone"), ("images", "kit:1")] {
            assert_eq!(names(&group(&would, kind), "would_remove"), [listed], "{release:?}: {would}");
        }
        assert_eq!(names(&group(&would, "volumes"), "would_remove").len(), 1, "{release:?}: {would}");
        // Without `all` and `volumes`, the image with a name stays, and so do the volumes.
        let less = site.call("prune_system", json!({})).await;
        assert!(group(&less, "images").is_null() && group(&less, "volumes").is_null(), "{release:?}: {less}");

        let pruned = site.call("prune_system", json!({"all": true, "volumes": true, "dry_run": false})).await;
        for kind in kinds {
            let (would, pruned) = (group(&would, kind), group(&pruned, kind));
            let listed: BTreeSet<String> = names(&would, "would_remove").into_iter().collect();
            assert_eq!(names(&pruned, "removed").into_iter().collect::<BTreeSet<_>>(), listed, "{release:?}: {pruned}");
            assert!(pruned.get("failed").is_none(), "{release:?}: {pruned}");
        }
        assert_eq!(site.lines(&["ps", "--all", "--format", "{{.Names}}"]), ["web".to_owned()].into(), "{release:?}");
        assert_eq!(site.images(), [image].into(), "{release:?}");
        let networks = ["bridge", "front", "host", "none"].map(str::to_owned);
        assert_eq!(site.lines(&["network", "ls", "--format", "{{.Name}}"]), networks.into(), "{release:?}");
        let volumes = site.lines(&["volume", "ls", "--quiet"]);
        assert!(volumes.len() == 2 && volumes.contains("named"), "{release:?}: {volumes:?}");
        assert_eq!(site.cache(), BTreeSet::new(), "{release:?}");
        let usage = site.call("disk_usage", json!({"kind": "build_cache"})).await;
        assert_eq!(usage["totals"][0]["count"], 0, "{release:?}: {usage}");
        assert_eq!(site.call("prune_system", json!({"all": true})).await["kinds"], json!([]), "{release:?}");
    }
}

#[tokio::test]
async fn the_build_cache_goes_as_far_as_it_was_listed() {
    for release in RELEASES {
        let site = Site::of(release);
        build(&site.engine, true, "kit:1", &format!("{}COPY data /data\nRUN echo 1 > /one\n", base()));
        let usage = site.call("disk_usage", json!({"kind": "build_cache"})).await;
        assert_eq!(usage["totals"][0]["count"].as_u64(), Some(site.cache().len() as u64), "{release:?}: {usage}");
        let recent = site.call("prune_build_cache", json!({"all": true, "until": "1h"})).await;
        assert!(recent.get("would_remove").is_none(), "{release:?}: {recent}");
        let ids = |pruned: &Value, field: &str| -> BTreeSet<String> {
            pruned[field].as_array().into_iter().flatten().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
        };
        let short = |ids: BTreeSet<String>| -> BTreeSet<String> { ids.iter().map(|id| id[..12].to_owned()).collect() };
        let would = site.call("prune_build_cache", json!({})).await;
        let listed = ids(&would, "would_remove");
        assert!(!listed.is_empty() && listed.len() < site.cache().len(), "{release:?}: images share some: {would}");

        // What comes between the list and the removal stays, although the engine's own prune would take it.
        let engine = site.engine.clone();
        let gate = Gate::before(site.engine.socket(), "/build/prune?", move || {
            build(&engine, true, "kit:2", "FROM scratch\nCOPY data /two\n");
        });
        let behind = gateway(&[format!("lab={}", gate.endpoint())]);
        let before = short(site.cache());
        let prune = json!({"dry_run": false}).as_object().unwrap().clone();
        let pruned = Reply::of(behind.call(Request::new(behind.caller("test"), "prune_build_cache", prune)).await).ok();
        assert_eq!(ids(&pruned, "removed"), listed, "{release:?}: {pruned}");
        let after = short(site.cache());
        assert!(listed.is_disjoint(&after), "{release:?}: {after:?}");
        assert!(after.difference(&before).count() > 0, "{release:?}: what is new is still there: {after:?}");

        let pruned = site.call("prune_build_cache", json!({"all": true, "dry_run": false})).await;
        assert!(pruned.get("failed").is_none(), "{release:?}: {pruned}");
        assert_eq!(site.cache(), BTreeSet::new(), "{release:?}");
    }
}

/// Each prune, what makes it find something, and how to look whether that is still there.
const BOUND: [(&str, &str, &str); 4] = [
    ("prune_containers", "create --name NAME IMAGE true", "ps --all --format {{.Names}}"),
    ("prune_networks", "network create NAME", "network ls --format {{.Name}}"),
    ("prune_volumes", "volume create NAME", "volume ls --quiet"),
    ("prune_images", "tag IMAGE NAME:1", "images --format {{.Repository}}"),
];

#[tokio::test]
async fn an_approval_is_for_what_was_listed_and_for_nothing_else() {
    for release in RELEASES {
        let engine = Arc::new(OwnEngine::of(release));
        for (tool, make, look) in BOUND {
            let desk = Desk::before(&engine.endpoint(), Confirm::Destroy);
            let run = |command: &str| {
                let words: Vec<String> =
                    command.split(' ').map(|word| word.replace("IMAGE", &lab("LAB_IMAGE"))).collect();
                engine.docker(&words.iter().map(String::as_str).collect::<Vec<_>>())
            };
            let there = |name: &str| run(look).lines().any(|line| line == name);
            let make = |name: &str| run(&make.replace("NAME", name));
            let mut prune = json!({"dry_run": false});
            match tool {
                "prune_volumes" => prune["named"] = true.into(),
                "prune_images" => prune["all"] = true.into(),
                _ => {}
            }
            make("first");
            let waiting = desk.waits(tool, &prune).await;
            assert!(
                waiting.sheet.objects.iter().any(|object| object.name.starts_with("first") || tool == "prune_images")
            );
            desk.tickets.approve(&waiting, None).unwrap();
            // Another one appears: the yes was not for that.
            make("second");
            let again = desk.waits(tool, &prune).await;
            assert_ne!(again.ticket, waiting.ticket, "{release:?} {tool}");
            assert!(there("first") && there("second"), "{release:?} {tool}");

            // And while a person thinks about it in front of the client.
            let (late, words) = (engine.clone(), make_words(tool, "third"));
            let voice = Voice::Live(Arc::new(move |_| {
                late.docker(&words.iter().map(String::as_str).collect::<Vec<_>>());
                Box::pin(async move { Said::Accepted { host: "lab".into() } })
            }));
            let failure = Reply::of(desk.call(voice, tool, &prune).await).error();
            assert_eq!(failure["kind"], "conflict", "{release:?} {tool}: {failure}");
            assert!(["first", "second", "third"].into_iter().all(there), "{release:?} {tool}");

            // The yes for all three is for all three.
            let third = desk.waits(tool, &prune).await;
            desk.tickets.approve(&third, None).unwrap();
            desk.passes(tool, &prune).await;
            assert!(!["first", "second", "third"].into_iter().any(there), "{release:?} {tool}");
        }
    }
}

fn make_words(tool: &str, name: &str) -> Vec<String> {
    let make = BOUND.iter().find(|(each, ..)| *each == tool).unwrap().1.replace("NAME", name);
    make.split(' ').map(|word| word.replace("IMAGE", &lab("LAB_IMAGE"))).collect()
}

#[tokio::test]
async fn what_comes_into_use_after_the_list_stays() {
    for release in RELEASES {
        let site = Site::of(release);
        build(&site.engine, false, "app:1", &format!("{}ENV A=1\nCMD [\"sleep\",\"600\"]\n", base()));
        site.engine.docker(&["network", "create", "gone"]);
        site.engine.docker(&["create", "--name", "old", "--network", "gone", "-v", "/data", "app:1"]);
        let engine = site.engine.clone();
        // Somebody starts the container in the last moment: what it needs stays with it.
        let gate = Gate::before(site.engine.socket(), "DELETE /", move || {
            engine.docker(&["start", "old"]);
        });
        let behind = gateway(&[format!("lab={}", gate.endpoint())]);
        let prune = json!({"all": true, "volumes": true, "dry_run": false}).as_object().unwrap().clone();
        let pruned = Reply::of(behind.call(Request::new(behind.caller("test"), "prune_system", prune)).await).ok();
        for kind in ["containers", "networks", "volumes"] {
            let group = group(&pruned, kind);
            assert!(group.get("removed").is_none(), "{release:?} {kind}: {pruned}");
            assert_eq!(group["failed"].as_array().unwrap().len(), 1, "{release:?} {kind}: {pruned}");
        }
        assert_eq!(site.engine.docker(&["inspect", "--format", "{{.State.Running}}", "old"]), "true");
        assert!(site.images().contains("app:1"), "{release:?}: {pruned}");
        assert!(site.lines(&["network", "ls", "--format", "{{.Name}}"]).contains("gone"), "{release:?}");
        site.engine.docker(&["kill", "old"]);
    }
}
