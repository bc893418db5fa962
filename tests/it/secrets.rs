//! Secrets stay home: planted wherever an engine may tell one, they appear in nothing that leaves, and no
//! argument of any tool answers a guess at one.

mod garden;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use quaymaster::{
    config::{
        Flags,
        limits::{Confirm, Rule, Verdict},
    },
    gateway::{
        Failure, Gateway, Request,
        catalogue::{Entry, everything},
    },
    tool::Json,
};
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    arguments::plausible,
    hostile::properties,
    mcp::Client,
    rig::gateway_with,
    simulated::{Daemon, world},
};
use garden::{Garden, Mood};

/// How many secrets have to be told for the test to mean something.
const ENOUGH: usize = 200;
/// How many calls are made at once.
const AT_ONCE: usize = 12;

fn gateway(daemon: &Daemon) -> Arc<Gateway> {
    gateway_with(&[daemon.spec("a", "")], |config| {
        for host in &mut config.hosts {
            host.limits.confirm = Confirm::Never;
            // A ticket is another one every time.
            host.limits.bodies.rules = Rule::ALL.iter().map(|rule| (*rule, Verdict::Allow)).collect();
        }
    })
}

/// The tools that speak to a daemon.
fn tools() -> Vec<Entry> {
    everything().into_iter().filter(|entry| entry.card.names_host()).collect()
}

/// Sensible calls of a tool: the plain one, each switch on, each choice of an enum.
fn calls(entry: &Entry) -> Vec<Json> {
    let base = plausible(entry, &world());
    let mut calls = vec![base.clone()];
    let mut with = |name: &str, value: Value| {
        let mut arguments = base.clone();
        arguments.insert(name.to_owned(), value);
        calls.push(arguments);
    };
    for (name, schema) in properties(entry) {
        match (schema.get("enum").and_then(Value::as_array), schema["type"].as_str()) {
            (Some(choices), _) if name != "until" && name != "kind" => {
                for choice in choices {
                    with(name, choice.clone());
                }
            }
            (None, Some("boolean")) => with(name, json!(true)),
            _ => {}
        }
    }
    match entry.card.name {
        "events" => {
            with("since", json!("2025-01-01T00:00:00Z"));
            with("action", json!("exec_create"));
        }
        "container_logs" => {
            with("grep", json!("."));
            with("tail", json!(4));
            with("since", json!("2025-01-01T00:00:00Z"));
        }
        "wait_for" => {
            // The last three are in no line that may be shown: they are waited for to the end.
            for (pattern, timeout) in
                [("said", 20), ("BEGIN", 20), ("connecting", 20), ("MII", 1), ("Zq", 1), ("ghp_", 1)]
            {
                let more = json!({"until": "log_match", "pattern": pattern, "timeout": timeout});
                let mut arguments = base.clone();
                arguments.extend(more.as_object().unwrap().clone());
                calls.push(arguments);
            }
        }
        "find" => {
            for query in ["secret", "tier=front", "note", "web", "password", "said"] {
                with("query", json!(query));
            }
        }
        "run_container" => with("wait", json!(1)),
        _ => {}
    }
    calls
}

/// Every call of every tool.
fn every_call() -> Vec<(&'static str, Json)> {
    let calls = |entry: Entry| calls(&entry).into_iter().map(move |arguments| (entry.card.name, arguments)).collect();
    let mut all = tools().into_iter().flat_map::<Vec<_>, _>(calls).collect::<Vec<(&str, Json)>>();
    // Calls go out together, and no two may want the same new file: who comes second would be refused.
    for (number, (_, arguments)) in all.iter_mut().enumerate() {
        if let Some(to) = arguments.get_mut("to").filter(|to| **to == "made.tar") {
            *to = format!("made-{number}.tar").into();
        }
    }
    all
}

/// Everything that a call sends out: both channels, the error, the progress.
async fn leaves(gateway: &Arc<Gateway>, tool: &str, arguments: Json) -> Vec<(&'static str, String)> {
    let progress = Arc::<Mutex<Vec<String>>>::default();
    let heard = progress.clone();
    let mut request = Request::new(gateway.caller("test"), tool, arguments);
    request.progress = Arc::new(move |progress| heard.lock().unwrap().push(progress.message));
    let ended = tokio::time::timeout(Duration::from_secs(30), gateway.call(request)).await;
    let mut all = match ended.unwrap_or_else(|_| panic!("{tool} hangs")) {
        Ok(answer) => {
            vec![
                ("text", answer.text),
                ("structured", answer.structured.map(Value::Object).unwrap_or_default().to_string()),
            ]
        }
        Err(Failure::Tool(error) | Failure::UnknownTool(error)) => vec![("error", error.to_json().to_string())],
        Err(Failure::Asked { form, state }) => vec![("question", form.message), ("state", state)],
    };
    all.extend(progress.lock().unwrap().iter().map(|message| ("progress", message.clone())));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_planted_secret_leaves_by_any_tool() {
    let mut told = BTreeMap::new();
    let mut leaks = BTreeSet::new();
    for mood in [Mood::Sane, Mood::RefusesWrites, Mood::Refuses] {
        let garden = Garden::new(1, mood);
        let daemon = garden.daemon();
        let gateway = gateway(&daemon);
        let answers: Vec<_> = stream::iter(every_call())
            .map(|(tool, arguments)| {
                let gateway = gateway.clone();
                async move { (tool, leaves(&gateway, tool, arguments).await) }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (tool, texts) in answers {
            for (channel, text) in texts {
                let shown = garden.shown(&text).into_iter();
                leaks.extend(shown.map(|place| format!("{mood:?}: {tool} shows \"{place}\" in its {channel}")));
            }
        }
        // Whatever was written down meanwhile: the audit, the approvals.
        let written = gateway.config().state.as_deref().map(written).unwrap_or_default();
        for place in garden.shown(&written) {
            leaks.insert(format!("{mood:?}: the state directory holds \"{place}\""));
        }
        told.extend(garden.told().into_iter().map(|(place, secret)| (format!("{mood:?} {place}"), secret)));
    }
    let distinct: BTreeSet<&String> = told.values().collect();
    assert!(distinct.len() >= ENOUGH, "only {} secrets were told", distinct.len());
    assert!(leaks.is_empty(), "{} of {} secrets: {leaks:#?}", leaks.len(), distinct.len());
}

/// All files below a directory, as one text.
fn written(directory: &Path) -> String {
    let Ok(entries) = fs::read_dir(directory) else { return String::new() };
    let texts = entries.flatten().map(|entry| match entry.path() {
        path if path.is_dir() => written(&path),
        path => String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned(),
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_planted_secret_leaves_by_resources_and_prompts() {
    for mood in [Mood::Sane, Mood::Refuses] {
        let garden = Garden::new(2, mood);
        let daemon = garden.daemon();
        let token = "ghp_0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX";
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hosts.toml");
        let host = format!("[[host]]\nname = \"a\"\nendpoint = \"unix://{}\"\n", daemon.socket().display());
        fs::write(&file, format!("{host}note = \"deploys with {token}\"\n")).unwrap();
        let flags = Flags { config: Some(file), ..Flags::default() };
        let mut client = Client::legacy(&flags, "2025-11-25").await;
        let mut answers = Vec::new();
        for uri in [
            "quaymaster://hosts",
            "docker://containers",
            "docker://a/containers",
            "docker-logs://a/web",
            "docker-stats://a/web",
            "docker-logs://a/nobody",
            "docker://a/nonsense",
        ] {
            answers.push((uri, client.ask("resources/read", json!({"uri": uri})).await));
        }
        for method in ["resources/list", "resources/templates/list", "prompts/list", "tools/list"] {
            answers.push((method, client.ask(method, json!({})).await));
        }
        let prompt = json!({"name": "survey_hosts", "arguments": {"focus": "the shop"}});
        answers.push(("the prompt", client.ask("prompts/get", prompt).await));
        answers.push(("the list of hosts", client.call("list_hosts", json!({"probe": true})).await));
        client.leave().await;
        let leaks: Vec<String> = answers
            .iter()
            .flat_map(|(what, answer)| {
                let text = answer.to_string();
                let mut found: Vec<String> =
                    garden.shown(&text).into_iter().map(|place| format!("{what} shows \"{place}\"")).collect();
                found.extend(text.contains(token).then(|| format!("{what} shows the note's token")));
                found
            })
            .collect();
        assert!(garden.told().len() > 5, "{mood:?}: hardly anything was told");
        assert!(leaks.is_empty(), "{mood:?}: {leaks:#?}");
    }
}

/// The process: what it prints, and what it writes to its log with everything that can be logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_planted_secret_is_logged_or_printed() {
    let mut leaks = Vec::new();
    for mood in [Mood::Sane, Mood::Refuses] {
        let garden = Garden::new(3, mood);
        let daemon = garden.daemon();
        let host = daemon.spec("a", "");
        for arguments in [
            &["call", "container_logs", "container=web"][..],
            &["call", "inspect_container", "container=web", "raw=true"],
            &["call", "exec_in_container", "host=a", "container=web", "command=id"],
            &["call", "info", "section=all"],
            &["--json", "call", "events", "since=2025-01-01T00:00:00Z"],
            &["hosts"],
            &["check"],
        ] {
            let home = tempfile::tempdir().unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_quaymaster"));
            command.args(["--host", &host, "-vvv"]).args(arguments);
            command.env_clear().env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null());
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            for (stream, bytes) in [("out", output.stdout), ("err", output.stderr)] {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                leaks.extend(
                    garden
                        .shown(&text)
                        .into_iter()
                        .map(|place| format!("{mood:?}: {arguments:?} shows \"{place}\" on {stream}")),
                );
            }
        }
        let least = if mood == Mood::Sane { 50 } else { 5 };
        assert!(garden.told().len() >= least, "{mood:?}: hardly anything was told");
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// A property, and how it takes a guess.
type Guess = (String, fn(&str) -> Value);

/// What a tool compares with what an engine tells: its property, and the guess as the argument takes it.
fn guesses(entry: &Entry) -> Vec<Guess> {
    const TEXTS: [&str; 12] = [
        "grep",
        "pattern",
        "query",
        "reference",
        "name",
        "image",
        "network",
        "volume",
        "project",
        "driver",
        "action",
        "term",
    ];
    let is_reading = entry.card.access.mildest == quaymaster::docker::access::Effect::Read;
    let mut guesses: Vec<Guess> = Vec::new();
    for (name, schema) in properties(entry).filter(|_| is_reading) {
        match (name, schema["type"].as_str()) {
            ("label", _) => {
                guesses.push(("label".to_owned(), |guess| json!([format!("secret={guess}")])));
                guesses.push(("label".to_owned(), |guess| json!([format!("note={guess}")])));
                guesses.push(("label".to_owned(), |guess| json!([guess])));
            }
            ("query", _) => {
                guesses.push(("query".to_owned(), |guess| json!(guess)));
                guesses.push(("query".to_owned(), |guess| json!(format!("secret={guess}"))));
            }
            ("grep" | "pattern", _) => {
                guesses.push((name.to_owned(), |guess| json!(regex::escape(guess))));
                guesses.push((name.to_owned(), |guess| json!(format!("^[^ ]* ?{}", regex::escape(guess)))));
            }
            ("action", _) => {
                guesses.push(("action".to_owned(), |guess| json!(guess)));
                guesses.push(("action".to_owned(), |guess| json!(format!("exec_create: {guess}"))));
            }
            (name, Some("string")) if TEXTS.contains(&name) && schema.get("enum").is_none() => {
                guesses.push((name.to_owned(), |guess| json!(guess)));
            }
            ("container" | "target", Some("string")) => guesses.push((name.to_owned(), |guess| json!(guess))),
            ("containers", Some("array")) => guesses.push((name.to_owned(), |guess| json!([guess]))),
            _ => {}
        }
    }
    guesses
}

/// An answer without what differs from call to call: marks of equal values, boundaries, times, cursors, the guess itself.
fn comparable(text: &str, guess: &str) -> String {
    static VARIES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#" h=[0-9a-f]{8}|boundary [0-9a-f]{16}|"(?:seconds|age_seconds)":[0-9]+|\b[0-9]+\.[0-9]+\b|after \d+ s|seconds: \d+|[0-9-]{10}T[0-9:.]+Z|cursor\W{1,5}[A-Za-z0-9_-]{20,}|plan-[0-9a-f]{16}"#)
            .unwrap()
    });
    VARIES.replace_all(text, "").replace(guess, "GUESS")
}

/// Two engines that differ in nothing but their secrets have to look the same, whatever is guessed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_argument_answers_a_guess() {
    let gardens = [Garden::new(4, Mood::Sane), Garden::new(5, Mood::Sane)];
    let daemons = gardens.each_ref().map(Garden::daemon);
    let gateways = daemons.each_ref().map(gateway);
    // A look at everything, so that it is known what there is to guess.
    let differ: Vec<String> = stream::iter(every_call())
        .map(|(tool, arguments)| {
            let gateways = &gateways;
            async move {
                let compared = compare(gateways, tool, &arguments, "\u{0}").await;
                compared.err().map(|why| format!("{tool} {arguments:?}: {why}"))
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;
    let told = gardens[0].told();
    assert!(told.len() >= ENOUGH / 2 && told.keys().eq(gardens[1].told().keys()), "{} were told", told.len());
    assert!(differ.is_empty(), "what is hidden shows in what is answered: {differ:#?}");
    // Their first characters are no digit of a mark, which differs with the secret.
    let sample =
        ["container/env/DB_PASSWORD", "container row/label/secret", "volume row/label/secret", "log/out/GitHub"];
    let guessed: Vec<&String> = sample.iter().map(|place| &told[*place]).collect();
    let work: Vec<(Entry, String, Json, String)> = tools()
        .into_iter()
        .flat_map(|entry| {
            let base = plausible(&entry, &world());
            let mut work = Vec::new();
            for (name, argument) in guesses(&entry) {
                for secret in &guessed {
                    let all = 1..=secret.len();
                    // What is not there is waited for to the end; a log has a test of its own.
                    let least = if ["wait_for", "container_logs"].contains(&entry.card.name) { 12 } else { 1 };
                    let is_tried =
                        |length: &usize| *length < 4 || length.is_multiple_of(6) || *length + 1 >= secret.len();
                    for length in all.filter(is_tried).filter(|length| *length >= least) {
                        let guess = &secret[..length];
                        let mut arguments = base.clone();
                        arguments.insert(name.clone(), argument(guess));
                        if name == "pattern" {
                            arguments.insert("until".to_owned(), json!("log_match"));
                        }
                        work.push((entry.clone(), name.clone(), arguments, guess.to_owned()));
                    }
                }
            }
            work
        })
        .collect();
    assert!(work.len() > 500, "{} guesses", work.len());
    let differ: Vec<String> = stream::iter(work)
        .map(|(entry, name, arguments, guess)| {
            let gateways = &gateways;
            async move {
                let compared = compare(gateways, entry.card.name, &arguments, &guess).await;
                compared.err().map(|why| format!("{}: {name} answers {guess:?}: {why}", entry.card.name))
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;
    assert!(differ.is_empty(), "{} guesses are answered: {:#?}", differ.len(), &differ[..differ.len().min(20)]);
}

/// Every prefix of every secret at once, as one pattern for each length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pattern_finds_any_planted_secret() {
    let garden = Garden::new(6, Mood::Sane);
    let daemon = garden.daemon();
    let gateway = gateway(&daemon);
    for tool in ["container_logs", "inspect_container"] {
        let arguments = json!({"container": "web"});
        leaves(&gateway, tool, arguments.as_object().unwrap().clone()).await;
    }
    let told = garden.told();
    let in_log = told.iter().filter(|(place, _)| place.starts_with("log/") || place.starts_with("container/env/"));
    let secrets: Vec<&String> = in_log.map(|(_, secret)| secret).collect();
    assert!(secrets.len() >= 40, "{} secrets", secrets.len());
    let mut found = Vec::new();
    // Shorter ones are the beginning of every secret of their shape.
    for chunk in secrets.chunks(3) {
        let prefixes = chunk.iter().flat_map(|secret| {
            (Garden::beginning(secret).max(8) + 1..=secret.len()).map(|length| regex::escape(&secret[..length]))
        });
        let pattern = prefixes.collect::<Vec<_>>().join("|");
        let arguments = json!({"container": "web", "grep": pattern});
        let text = leaves(&gateway, "container_logs", arguments.as_object().unwrap().clone()).await.remove(0).1;
        if !text.contains("0 of 0 matching lines shown") {
            found.push(text);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Calls both and compares what they answer.
async fn compare(gateways: &[Arc<Gateway>; 2], tool: &str, arguments: &Json, guess: &str) -> Result<(), String> {
    let (one, other) =
        tokio::join!(leaves(&gateways[0], tool, arguments.clone()), leaves(&gateways[1], tool, arguments.clone()));
    let [one, other] = [one, other].map(|answer| {
        let all = answer.into_iter().filter(|(channel, _)| *channel != "progress");
        all.map(|(channel, text)| format!("{channel}: {}", comparable(&text, guess))).collect::<Vec<_>>().join("\n")
    });
    if one == other {
        return Ok(());
    }
    let first = one.chars().zip(other.chars()).take_while(|(left, right)| left == right).count();
    let near = |text: &str| text.chars().skip(first.saturating_sub(40)).take(100).collect::<String>();
    Err(format!("{:?} is not {:?}", near(&one), near(&other)))
}

#[test]
fn the_comparison_sees_a_difference() {
    let mark = |digits: &str| format!("A=<redacted len=9 h={digits}>");
    assert_eq!(comparable(&mark("01234567"), "x"), comparable(&mark("89abcdef"), "x"));
    assert_ne!(comparable("1 hit for GUESS", "\u{0}"), comparable("0 hits for GUESS", "\u{0}"));
    let garden = Garden::new(7, Mood::Sane);
    let token = garden.hidden("here");
    assert_eq!(garden.shown(&format!("cut {}", &token[..12])).into_iter().collect::<Vec<_>>(), ["here"]);
    assert!(garden.shown(&format!("cut {}", &token[..11])).is_empty());
}
