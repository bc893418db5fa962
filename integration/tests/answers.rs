//! Small answers over much of everything, on engines of their own that hold nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use quaymaster::{
    gateway::{Failure, Gateway, Request},
    tool::Answer,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{bare::Bare, rig::gateway};

/// The most characters of a channel, and the most bytes of one where nothing is said about how much is wanted.
const LONGEST: usize = 24_000;
const USUAL: usize = 6_000;

/// A second lab; it ends with the value.
struct Lab {
    directory: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Lab {
    fn up() -> Self {
        let directory = tempfile::Builder::new().prefix("qm-plenty-").tempdir().unwrap().keep();
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/lab");
        // What it says goes to a file: its daemons would hold a pipe open.
        let said = fs::File::create(directory.with_extension("log")).unwrap();
        let mut made = Command::new(lab);
        made.arg("up").arg(&directory).stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        assert!(made.status().unwrap().success(), "the second lab: {}", directory.display());
        let written = fs::read_to_string(directory.join("lab.env")).unwrap();
        let pair =
            |line: &str| Some((line.split_once('=')?.0.into(), line.split_once('=')?.1.trim_matches('\'').into()));
        Self { directory, variables: written.lines().filter_map(pair).collect() }
    }

    fn get(&self, name: &str) -> &str {
        &self.variables[name]
    }

    /// Engine 26.1, past the gateway.
    fn engine(&self) -> Bare {
        Bare::at(self.get("LAB_STAGING_SOCKET"))
    }

    fn host(&self) -> String {
        format!("lab=unix://{}(ro)", self.get("LAB_STAGING_SOCKET"))
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let host = format!("unix://{}", self.get("LAB_STAGING_SOCKET"));
        let done = Command::new(self.get("LAB_DOCKER")).args(["--host", &host]).args(arguments).output().unwrap();
        assert!(done.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// Runs a script in a container of the lab's image and answers its name once it has ended.
    fn ran(&self, name: &str, script: &str) -> String {
        self.docker(&["run", "--detach", "--name", name, self.get("LAB_IMAGE"), "sh", "-c", script]);
        self.docker(&["wait", name]);
        name.to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/lab");
        Command::new(lab).arg("down").arg(&self.directory).stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
        fs::remove_dir_all(&self.directory).ok();
        fs::remove_file(self.directory.with_extension("log")).ok();
    }
}

async fn asked(gateway: &Arc<Gateway>, tool: &str, arguments: Value) -> Result<Answer, Failure> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    gateway.call(Request::new(gateway.caller("test"), tool, arguments)).await
}

async fn call(gateway: &Arc<Gateway>, tool: &str, arguments: Value) -> Answer {
    let shown = arguments.to_string();
    let answer = asked(gateway, tool, arguments).await.unwrap_or_else(|failure| panic!("{tool} {shown}: {failure:?}"));
    let data = answer.structured.as_ref().map_or(0, |fields| json!(fields).to_string().chars().count());
    assert!(answer.text.chars().count() <= LONGEST && data <= LONGEST, "{tool} {shown}: {data}");
    answer
}

/// Every page of a list, and how many there were; the first one is a usual answer.
async fn pages(gateway: &Arc<Gateway>, tool: &str, arguments: Value, rows: &str) -> (Vec<Value>, usize) {
    let (mut all, mut cursor, mut count) = (Vec::new(), Value::Null, 0);
    loop {
        let mut next = arguments.clone();
        if count > 0 {
            next["limit"] = json!(500);
            next["cursor"] = cursor;
        }
        let answer = call(gateway, tool, next).await;
        let fields = json!(answer.structured);
        let size = fields.to_string().len().max(answer.text.len());
        assert!(count > 0 || size <= USUAL, "{tool}: a usual answer of {size} bytes");
        all.extend(fields[rows].as_array().unwrap().iter().cloned());
        count += 1;
        cursor = fields["cursor"].clone();
        if cursor.is_null() {
            return (all, count);
        }
        assert_eq!(fields["truncated"], true, "{tool}");
        assert!(answer.text.contains(&format!("cursor: {}\n", cursor.as_str().unwrap())), "{tool}");
    }
}

fn distinct<'a>(rows: &'a [Value], field: &str) -> BTreeSet<&'a str> {
    rows.iter().map(|row| row[field].as_str().unwrap()).collect()
}

/// So many containers that were never started, each with a label of its own, made eight at a time.
fn make_containers(lab: &Lab, count: usize) {
    let (engine, image) = (lab.engine(), lab.get("LAB_IMAGE"));
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let engine = &engine;
            threads.spawn(move || {
                for number in (thread..count).step_by(8) {
                    let body = json!({"Image": image, "Cmd": ["true"], "Labels": {"number": number.to_string()}});
                    engine.make(&format!("/containers/create?name=service-{number}"), &body);
                }
            });
        }
    });
}

/// So many images with configurations of their own and one layer for all, loaded from one archive.
fn load_images(lab: &Lab, count: usize) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let tar = |arguments: &[&str]| {
        let done = Command::new("tar").current_dir(directory.path()).args(arguments).status().unwrap();
        assert!(done.success(), "tar {arguments:?}");
    };
    fs::write(at("file"), "the only file").unwrap();
    tar(&["-cf", "layer.tar", "file"]);
    let hex = |bytes: &[u8]| {
        Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let layer = format!("sha256:{}", hex(&fs::read(at("layer.tar")).unwrap()));
    let mut manifest = Vec::new();
    for number in 0..count {
        let config = json!({"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": {"Labels": {"number": number.to_string()}}, "rootfs": {"type": "layers", "diff_ids": [layer]}});
        let config = config.to_string();
        let name = format!("{}.json", hex(config.as_bytes()));
        fs::write(at(&name), config).unwrap();
        manifest.push(json!({"Config": name, "RepoTags": [format!("plenty/app-{number}:1")], "Layers": ["layer.tar"]}));
    }
    fs::write(at("manifest.json"), json!(manifest).to_string()).unwrap();
    tar(&["-cf", "all", "--exclude=./all", "--exclude=./file", "."]);
    lab.docker(&["load", "--quiet", "--input", &at("all").display().to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_much_are_small_and_whole() {
    let lab = Lab::up();
    let gateway = gateway(&[lab.host()]);
    make_containers(&lab, 500);
    let everything = json!({"all": true, "name": "service-"});
    let (rows, count) = pages(&gateway, "list_containers", everything, "containers").await;
    assert_eq!((rows.len(), distinct(&rows, "id").len()), (500, 500), "{count} pages");

    load_images(&lab, 2_000);
    let (rows, count) = pages(&gateway, "list_images", json!({"reference": "plenty/*"}), "images").await;
    assert_eq!((rows.len(), distinct(&rows, "id").len()), (2_000, 2_000), "{count} pages");

    // One image with many names.
    for number in 0..60 {
        lab.docker(&["tag", "plenty/app-7:1", &format!("names/of-one:{number}")]);
    }
    let (rows, _) = pages(&gateway, "list_images", json!({"reference": "names/of-one"}), "images").await;
    let references: BTreeSet<&str> =
        rows.iter().flat_map(|row| row["references"].as_array().unwrap()).map(|name| name.as_str().unwrap()).collect();
    let names = references.iter().filter(|name| name.starts_with("names/of-one:")).count();
    assert_eq!((names, distinct(&rows, "id").len()), (60, 1), "{rows:?}");

    // Rows that come and go between the pages hide none of those that stay.
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    for page in 0..40 {
        let arguments = json!({"all": true, "name": "service-", "limit": 30, "cursor": cursor});
        let fields = json!(call(&gateway, "list_containers", arguments).await.structured);
        seen.extend(distinct(fields["containers"].as_array().unwrap(), "name").into_iter().map(str::to_owned));
        cursor = fields["cursor"].clone();
        if cursor.is_null() {
            break;
        }
        // The one that was shown last, one that is yet to come, and two new ones on both sides.
        lab.engine().send("DELETE", &format!("/containers/{}", seen[seen.len() - 1]), &Value::Null);
        lab.engine().send("DELETE", &format!("/containers/service-9{page}"), &Value::Null);
        for name in [format!("service-0-{page}"), format!("service-99-{page}")] {
            let body = json!({"Image": lab.get("LAB_IMAGE"), "Cmd": ["true"]});
            lab.engine().make(&format!("/containers/create?name={name}"), &body);
        }
    }
    let names: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(names.len(), seen.len(), "no row twice");
    let left = lab.engine().containers("service-");
    let missed: Vec<_> = left.iter().filter(|(name, _)| !name[8..].contains('-') && !names.contains(name)).collect();
    assert!(missed.is_empty(), "{missed:?}");

    let labels: serde_json::Map<String, Value> = (0..300)
        .map(|number| (format!("org.example.label-{number}"), "what this is for, and who put it there".into()))
        .collect();
    let body = json!({"Image": lab.get("LAB_IMAGE"), "Cmd": ["true"], "Labels": labels});
    lab.engine().make("/containers/create?name=labelled", &body);
    let summary = call(&gateway, "inspect_container", json!({"container": "labelled"})).await;
    assert!(summary.text.len() <= USUAL, "{}", summary.text.len());
    for arguments in [json!({"section": "config"}), json!({"section": "all"}), json!({"raw": true})] {
        let mut arguments = arguments;
        arguments["container"] = json!("labelled");
        call(&gateway, "inspect_container", arguments).await;
    }
    for tool in ["survey_hosts", "disk_usage", "info", "container_stats", "events"] {
        call(&gateway, tool, json!({})).await;
    }
    call(&gateway, "find", json!({"query": "service"})).await;
    call(&gateway, "prune_containers", json!({})).await;
}

/// The most memory, in MiB, that a call from the shell ever had beside the pages of the program itself, and what it
/// printed: unoptimised the program is several times as large as the one that people run.
fn measured(host: &str, arguments: &[&str]) -> (f64, String) {
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_quaymaster"))
        .args(["--host", host, "call", "container_logs"])
        .args(arguments)
        .env_clear()
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .stdout(out.reopen().unwrap())
        .spawn()
        .unwrap();
    let (mut most, started) = (0.0_f64, Instant::now());
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let kilobytes = |name: &str| {
            let number = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            number.and_then(|number| number.parse::<f64>().ok())
        };
        if let (Some(peak), Some(program)) = (kilobytes("VmHWM:"), kilobytes("RssFile:")) {
            most = most.max((peak - program) / 1024.0);
        }
        if let Some(code) = child.try_wait().unwrap() {
            assert!(code.success(), "{arguments:?}: {code}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{arguments:?} has no end");
        std::thread::sleep(Duration::from_millis(20));
    }
    (most, fs::read_to_string(out.path()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_long_log_is_searched_in_little_memory() {
    let lab = Lab::up();
    // Lines of 500 bytes and every thousandth another one, then a line of 20 MB.
    let script = "x=$(head -c 490 /dev/zero | tr '\\0' a); i=0; \
                  while [ $i -lt 400 ]; do i=$((i+1)); yes \"$x\" | head -n 999; echo \"needle $i\"; done; \
                  head -c 20000000 /dev/zero | tr '\\0' a; echo; echo needle at the end";
    let container = lab.ran("long", script);
    let written = fs::metadata(lab.docker(&["inspect", "--format", "{{.LogPath}}", &container])).unwrap().len();
    assert!(written > 200_000_000, "{written}");
    let named = format!("container={container}");
    for (pattern, found) in [("needle \\d+$", "needle "), ("(a*)*b", ""), ("(a+a+)+$|(a|aa)+c", "aaa")] {
        let grep = format!("grep={pattern}");
        let (memory, said) = measured(&lab.host(), &[&named, &grep, "tail=5", "since=1d"]);
        // What a released program takes of the 40 MiB for itself is left to it.
        assert!(memory < 28.0, "{pattern}: {memory} MiB");
        assert!(said.contains(found) && said.chars().count() <= LONGEST, "{pattern}: {said}");
        eprintln!("{pattern}: {memory:.1} MiB");
    }
    // Every match of a shorter one, page by page.
    let container = lab.ran("short", &script.replace("-lt 400", "-lt 20").replace("20000000", "2000000"));
    let gateway = gateway(&[lab.host()]);
    let (mut matched, mut cursor) = (0, Value::Null);
    for _ in 0..20 {
        let arguments = json!({"container": container, "grep": "^needle \\d+$", "tail": 500, "cursor": cursor});
        let text = call(&gateway, "container_logs", arguments).await.text;
        matched += text.lines().filter(|line| line.starts_with("needle ")).count();
        cursor = text.split("cursor \"").nth(1).unwrap().split('"').next().unwrap().into();
        if !text.contains("the scan stopped") && !text.contains("there are more") {
            break;
        }
    }
    assert_eq!(matched, 20);
    let huge = "a".repeat(1_000_000);
    let refused = asked(&gateway, "container_logs", json!({"container": container, "grep": huge})).await;
    let Err(Failure::Tool(error)) = refused else { panic!("it was taken: {refused:?}") };
    assert!(error.message().contains("\"grep\"") && error.message().len() < 500, "{error}");
}

/// A log by the plain meaning of the arguments, all of it held in memory.
fn model(log: &[(String, String)], arguments: &Value) -> Vec<String> {
    let at = |name: &str| arguments[name].as_str();
    let window = log
        .iter()
        .filter(|(time, _)| at("since").is_none_or(|since| time.as_str() >= since))
        .filter(|(time, _)| at("until").is_none_or(|until| time.as_str() <= until));
    let matching: Vec<&String> =
        window.map(|(_, text)| text).filter(|text| at("grep").is_none_or(|grep| text.contains(grep))).collect();
    let tail = usize::try_from(arguments["tail"].as_u64().unwrap()).unwrap();
    let shown = matching[matching.len().saturating_sub(tail)..].iter();
    let mut folded: Vec<(usize, &String)> = Vec::new();
    for text in shown {
        match folded.last_mut() {
            Some((count, last)) if arguments["dedupe"] == true && last == text => *count += 1,
            _ => folded.push((1, text)),
        }
    }
    folded.into_iter().map(|(count, text)| format!("{count} {text}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_tails_and_folds_are_what_they_say() {
    let rig = crate::rig::Rig::with_markers(crate::rig::Link::Tls, "(ro)");
    let engine = crate::engine::Engine::of(crate::rig::Link::Tls);
    let script = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo tick; echo tick; echo \"line $i\"; \
                  [ $((i % 7)) = 0 ] && sleep 0.05; done; echo end; sleep 600";
    let container = engine.run(rig.name("windows"), &[], script);
    rig.call("wait_for", json!({"target": container.name, "until": "log_match", "pattern": "^end$"})).await.ok();
    let log: Vec<(String, String)> = engine
        .docker(&["logs", "--timestamps", &container.name])
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(time, text)| (time.to_owned(), text.to_owned()))
        .collect();
    assert_eq!(log.len(), 181);
    for turn in 0..40_usize {
        let (first, last) = (turn * 37 % 181, turn * 53 % 181);
        let mut arguments = json!({"container": container.name, "tail": 1 + turn * 11 % 90, "dedupe": turn % 2 == 0});
        if turn % 3 != 0 {
            arguments["since"] = json!(log[first.min(last)].0);
        }
        if turn % 4 != 0 {
            arguments["until"] = json!(log[first.max(last)].0);
        }
        if turn % 5 != 0 {
            arguments["grep"] = json!(["tick", "line", "5", "e"][turn % 4]);
        }
        let text = rig.call("container_logs", arguments.clone()).await.text();
        let inside = text.lines().skip_while(|line| !line.starts_with("[begin of data")).skip(1);
        let shown: Vec<String> = inside
            .take_while(|line| !line.starts_with("[end of data"))
            .map(|line| match line.strip_prefix('[').and_then(|line| line.split_once("] ")) {
                Some((fold, text)) => format!("{} {text}", fold.split('x').next().unwrap()),
                None => format!("1 {line}"),
            })
            .collect();
        assert_eq!(shown, model(&log, &arguments), "{arguments}");
    }
}
