//! Clean-up by plan on engines of their own: what was planned goes, what changed since stays.

use std::sync::Arc;

use quaymaster::{
    gateway::{Failure, Gateway, Request},
    tool::Answer,
};
use serde_json::{Value, json};

use crate::{
    faults::own_engine::{OwnEngine, Release, whole_second},
    rig::{gateway, lab},
};

struct Yard {
    engine: OwnEngine,
    gateway: Arc<Gateway>,
}

impl Yard {
    fn new(release: Release) -> Self {
        let engine = OwnEngine::of(release);
        let gateway = gateway(&[format!("lab={}", engine.endpoint())]);
        let yard = Self { engine, gateway };
        for network in ["back", "front", "spare"] {
            yard.docker(&["network", "create", network]);
        }
        for volume in ["data", "busy", "orphan"] {
            yard.docker(&["volume", "create", volume]);
        }
        let project = "com.docker.compose.project=shop";
        yard.run(
            &["--name", "old", "--network", "none", "-v", "data:/d", "--label", project, "--label", "a=b"],
            "true",
        );
        yard.docker(&["create", "--name", "never", "--network", "back", &Self::base(), "true"]);
        yard.run(&["--name", "keep-me", "--network", "none"], "true");
        yard.run(&["-d", "--name", "runs", "--network", "none", "-v", "busy:/d"], "sleep 600");
        yard.docker(&["create", "--name", "keep-front", "--network", "front", &Self::base(), "true"]);
        // An image of its own with two names, and one with one.
        yard.docker(&["commit", "old", "lab/two:1"]);
        yard.docker(&["tag", "lab/two:1", "lab/two:2"]);
        yard.docker(&["commit", "--change", "ENV A=1", "old", "lab/one:1"]);
        yard.docker(&["commit", "--change", "ENV A=2", "old", "lab/kept:1"]);
        yard
    }

    #[track_caller]
    fn docker(&self, arguments: &[&str]) -> String {
        self.engine.docker(arguments)
    }

    fn base() -> String {
        lab("LAB_IMAGE")
    }

    #[track_caller]
    fn run(&self, options: &[&str], command: &str) {
        let base = Self::base();
        let image = [base.as_str(), "sh", "-c", command];
        self.docker(&[&["run"], options, &image[..]].concat());
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<Answer, String> {
        let arguments = arguments.as_object().unwrap().clone();
        let request = Request::new(self.gateway.caller("test"), tool, arguments);
        self.gateway.call(request).await.map_err(|failure| match failure {
            Failure::Tool(error) | Failure::UnknownTool(error) => format!("{}: {error}", error.kind()),
            Failure::Asked { form, .. } => panic!("it asked: {form:?}"),
        })
    }

    async fn plan(&self, arguments: Value) -> Value {
        Value::Object(self.call("plan_cleanup", arguments).await.unwrap().structured.unwrap())
    }

    async fn apply(&self, plan: &Value) -> Value {
        let answer = self.call("apply_plan", json!({"plan": plan["plan"]})).await.unwrap();
        Value::Object(answer.structured.unwrap())
    }

    /// The names of everything that is there, sorted.
    fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (kind, list) in [
            ("container", &["ps", "-a", "--format", "{{.Names}}"][..]),
            ("image", &["images", "--format", "{{.Repository}}:{{.Tag}}"]),
            ("network", &["network", "ls", "--format", "{{.Name}}"]),
            ("volume", &["volume", "ls", "--format", "{{.Name}}"]),
        ] {
            all.extend(self.docker(list).lines().map(|name| format!("{kind} {name}")));
        }
        all.sort();
        all
    }
}

/// `kind name` of every row.
fn named(rows: &Value) -> Vec<String> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let rows = rows.as_array().into_iter().flatten();
    let mut names: Vec<String> = rows.map(|row| format!("{} {}", text(row, "kind"), text(row, "name"))).collect();
    names.sort();
    names
}

fn wish() -> Value {
    json!({"keep": ["keep-*", "lab/kept"], "include_volumes": true, "limit": 100})
}

async fn what_was_planned_goes(release: Release) {
    let yard = Yard::new(release);
    let before = yard.everything();
    let plan = yard.plan(wish()).await;
    let expected = [
        "container never",
        "container old",
        "image lab/one:1",
        "image lab/two:1",
        "network back",
        "network spare",
        "volume data",
        "volume orphan",
    ];
    assert_eq!(named(&plan["objects"]), expected, "{plan:#}");
    assert_eq!(yard.everything(), before, "a plan only looks");
    let row = |name: &str| {
        plan["objects"].as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(row("old")["owner"], "compose shop", "{plan:#}");
    assert_eq!(row("data")["owner"], "container old", "{plan:#}");
    assert_eq!(row("back")["owner"], "container never", "{plan:#}");
    assert!(row("old")["last_use"].as_str().unwrap().starts_with("ended 2"), "{plan:#}");
    assert!(row("lab/two:1")["last_use"].as_str().unwrap().starts_with("tagged 2"), "{plan:#}");
    assert!(row("orphan")["last_use"].as_str().unwrap().starts_with("created 2"), "{plan:#}");
    assert!(row("data")["size"].is_string() && row("lab/one:1")["size"].is_string(), "{plan:#}");

    let applied = yard.apply(&plan).await;
    assert_eq!(named(&applied["removed"]), expected, "{applied:#}");
    assert!(applied["left"].is_null(), "{applied:#}");
    let gone: Vec<String> = before.into_iter().filter(|name| !yard.everything().contains(name)).collect();
    let mut names: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    names.push("image lab/two:2".to_owned());
    names.sort();
    assert_eq!(gone, names, "and nothing else");
    let again = yard.call("apply_plan", json!({"plan": plan["plan"]})).await.unwrap_err();
    assert!(again.starts_with("not_found: "), "{again}");
}

async fn what_changed_stays(release: Release) {
    let yard = Yard::new(release);
    let plan = yard.plan(wish()).await;
    assert_eq!(named(&plan["objects"]).len(), 8, "{plan:#}");
    whole_second();
    // Run again, made anew under the same name, used, tagged: each is left as it is now.
    yard.docker(&["start", "-a", "old"]);
    yard.docker(&["network", "rm", "spare"]);
    yard.docker(&["network", "create", "spare"]);
    yard.docker(&["volume", "rm", "orphan"]);
    yard.docker(&["volume", "create", "orphan"]);
    yard.docker(&["tag", "lab/two:1", "lab/three:1"]);
    yard.docker(&["create", "--name", "user", "--network", "none", "lab/one:1", "true"]);
    let before = yard.everything();
    let applied = yard.apply(&plan).await;
    assert_eq!(named(&applied["removed"]), ["container never", "network back"], "{applied:#}");
    let why = |name: &str| {
        let row = applied["left"].as_array().unwrap().iter().find(|row| row["name"] == name);
        row.map_or_else(|| panic!("{name}: {applied:#}"), |row| row["why"].as_str().unwrap().to_owned())
    };
    assert_eq!(why("old"), "it was started since");
    assert_eq!(why("data"), "it is in use now", "its container stays");
    assert_eq!(why("spare"), "it is gone");
    assert_eq!(why("orphan"), "it is not what was planned any more");
    assert_eq!(why("lab/two:1"), "its names have changed");
    assert_eq!(why("lab/one:1"), "it is in use now");
    let gone: Vec<String> = before.into_iter().filter(|name| !yard.everything().contains(name)).collect();
    assert_eq!(gone, ["container never", "network back"]);

    // Where nothing of a plan is left, nobody is asked and nothing is sent.
    let plan = yard.plan(json!({"kinds": ["networks"], "keep": ["front"]})).await;
    assert_eq!(named(&plan["objects"]), ["network spare"], "{plan:#}");
    yard.docker(&["network", "rm", "spare"]);
    let error = yard.call("apply_plan", json!({"plan": plan["plan"]})).await.unwrap_err();
    assert!(error.starts_with("conflict: nothing of the plan can go any more"), "{error}");
}

#[tokio::test]
async fn what_was_planned_goes_on_26_1() {
    what_was_planned_goes(Release::New).await;
}

#[tokio::test]
async fn what_was_planned_goes_on_20_10() {
    what_was_planned_goes(Release::Old).await;
}

#[tokio::test]
async fn what_changed_since_stays_on_26_1() {
    what_changed_stays(Release::New).await;
}

#[tokio::test]
async fn what_changed_since_stays_on_20_10() {
    what_changed_stays(Release::Old).await;
}
