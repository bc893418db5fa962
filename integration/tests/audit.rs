//! A disk that is full or cannot be written, under a real engine: nothing that changes it is sent, reads go on.

use std::{fs, io::Write, path::Path, process::Command, sync::Arc};

use quaymaster::gateway::{
    Failure, Gateway, Request,
    audit::verify::{Report, verify},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    engine::docker,
    recorder::Recorder,
    rig::{Link, Rig, gateway_with},
};

/// A tiny file system; it goes with the value.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let disk = Self(tempfile::tempdir().expect("a directory"));
        run("mount", &["-t", "tmpfs", "-o", "size=64k,mode=0700", "quaymaster-test", disk.text()]);
        disk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn text(&self) -> &str {
        self.path().to_str().expect("a path of text")
    }

    fn remount(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}"), self.text()]);
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut filler = fs::File::create(self.path().join("filler")).expect("a file");
        while filler.write_all(&[0; 512]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").args(["-l", self.text()]).status().ok();
    }
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().expect(program).success(), "{program} {arguments:?}");
}

/// A gateway whose state is on the disk, behind a recorder.
struct Watched {
    disk: SmallDisk,
    recorder: Recorder,
    gateway: Arc<Gateway>,
    prefix: String,
}

impl Watched {
    fn new(disk: SmallDisk) -> Self {
        let recorder = Recorder::before(&Link::Unix.socket());
        let state = disk.path().join("state");
        let gateway = gateway_with(&[recorder.spec("")], |config| config.state = Some(state));
        Self { disk, recorder, gateway, prefix: Rig::new(Link::Unix).name("audit") }
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, Value> {
        let Value::Object(arguments) = arguments else { panic!("no object: {arguments}") };
        match self.gateway.call(Request::new(self.gateway.caller("test"), tool, arguments)).await {
            Ok(answer) => Ok(answer.structured.map(Value::Object).unwrap_or_default()),
            Err(Failure::Tool(error)) => Err(error.to_json()),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Makes a volume of the test; it goes with the value.
    async fn change(&self) -> Result<Value, Value> {
        self.call("create_volume", json!({"name": format!("{}-volume", self.prefix)})).await
    }

    /// That a change is refused, and that the engine heard nothing of it.
    async fn refuses(&self) {
        self.recorder.take();
        let refused = self.change().await.expect_err("a change without its line");
        assert_eq!(refused["kind"], "denied", "{refused}");
        assert!(refused["message"].as_str().unwrap().starts_with("the audit cannot be written"), "{refused}");
        assert!(!refused.to_string().contains(self.disk.text()), "{refused}");
        let sent = self.recorder.take();
        assert!(sent.iter().all(crate::recorder::Recorded::looks), "{sent:?}");
        self.call("list_volumes", json!({})).await.expect("reads go on");
        self.call("list_hosts", json!({})).await.expect("reads go on");
    }

    async fn proof(&self) -> Report {
        self.gateway.audit().flush().await;
        verify(self.gateway.audit().directory().unwrap()).unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let name = format!("{}-volume", self.prefix);
        let left = docker(Link::Unix, &["volume", "ls", "-q", "--filter", &format!("name={name}")]);
        if !left.is_empty() {
            docker(Link::Unix, &["volume", "rm", &name]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_changes_until_there_is_room() {
    let watched = Watched::new(SmallDisk::mount());
    watched.change().await.unwrap();
    let sent = watched.recorder.take();
    assert!(sent.iter().any(|request| request.method == "POST"), "the recorder sees a change: {sent:?}");
    watched.disk.fill();
    // What is left of the file's last page takes a few lines more.
    let mut calls = 0;
    while watched.change().await.is_ok() {
        calls += 1;
        assert!(calls < 20, "the disk is full");
    }
    for _ in 0..3 {
        watched.refuses().await;
    }
    let report = watched.proof().await;
    assert!(report.problems.is_empty(), "no half line stays: {report:?}");

    fs::remove_file(watched.disk.path().join("filler")).unwrap();
    watched.change().await.unwrap();
    let report = watched.proof().await;
    assert!(report.problems.is_empty() && report.files.len() == 1, "{report:?}");
    let text = fs::read_to_string(watched.gateway.audit().directory().unwrap().join(&report.files[0].file)).unwrap();
    let gap = text.lines().find(|line| line.contains("\"event\":\"gap\"")).expect("what is missing is said");
    assert!(gap.contains("No space left on device"), "{gap}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_cannot_be_written_stops_changes() {
    let disk = SmallDisk::mount();
    disk.remount("ro");
    let watched = Watched::new(disk);
    for _ in 0..2 {
        watched.refuses().await;
    }
    watched.disk.remount("rw");
    watched.change().await.unwrap();
    let report = watched.proof().await;
    assert!(report.problems.is_empty() && report.files.len() == 1, "{report:?}");
}
