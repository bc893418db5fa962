//! Approvals through the real binary: a call that waits, a person at a terminal, and everybody else.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use quaymaster::gateway::confirm::{ticket::Ticket, tickets::Tickets};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    simulated::{Daemon, engine, engine_in},
    terminal::Session,
};

const REMOVE: [&str; 4] = ["call", "remove_volume", "host=home", "volumes=data"];

/// Somebody's home, with one engine that has a volume `data`.
struct Home {
    directory: TempDir,
    daemon: Daemon,
}

#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), daemon: Daemon::new(engine) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quaymaster"));
        command.args(arguments).env_clear().env("HOME", self.directory.path()).current_dir(self.directory.path());
        command.env("PATH", "/usr/bin:/bin").env("QUAYMASTER_HOSTS", self.daemon.spec("home", ""));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        done(self.command(arguments).output().unwrap())
    }

    fn on_terminal(&self, arguments: &[&str]) -> Session {
        Session::new(&self.command(arguments))
    }

    fn tickets(&self) -> Tickets {
        Tickets::new(self.directory.path().join(".local/state/quaymaster"))
    }

    fn stage(&self, name: &str) -> PathBuf {
        self.directory.path().join(".local/state/quaymaster/approvals").join(name)
    }

    /// Makes the call; the ticket that it is answered with.
    #[track_caller]
    fn ticket(&self) -> String {
        let done = self.run(&REMOVE).ends(1);
        let expected = "error: host \"home\": a person has to approve this call: remove_volume destroys data\n";
        assert!(done.err.starts_with(expected), "{done:?}");
        let (_, rest) = done.err.split_once("\"quaymaster approve ").unwrap_or_else(|| panic!("{done:?}"));
        rest[..9].to_owned()
    }

    /// Approves a call that waits, without a terminal.
    fn approve(&self, ticket: &str) {
        let tickets = self.tickets();
        tickets.approve(&tickets.find(&Ticket::parse(ticket).unwrap()).unwrap(), None).unwrap();
    }

    /// How often the engine was told to remove the volume.
    fn removals(&self) -> usize {
        self.daemon.heard().iter().filter(|heard| heard.is("DELETE", "/volumes/data")).count()
    }
}

impl Done {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

fn done(output: Output) -> Done {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_approves_a_call_once() {
    let home = Home::new();
    let ticket = home.ticket();
    assert_eq!(home.ticket(), ticket, "the same call waits under the same ticket");
    let mut session = home.on_terminal(&["approve", &ticket.to_lowercase().replace('-', "")]);
    session.sees("remove_volume on host \"home\" (destroy)").sees("asked by os:").sees("why:");
    session.sees("remove_volume destroys data").sees("volumes: [\"data\"]").sees("force: false");
    session.sees("volume data").sees("id data").sees("Type the name of the host").types("homx\x7fe\n");
    session.sees("approved: this call may be made once within 10 min");
    session.ends(0);
    assert_eq!(home.removals(), 0);
    home.run(&REMOVE).ends(0);
    assert_eq!(home.removals(), 1);
    assert_ne!(home.ticket(), ticket, "an approval is good for one call");
    assert_eq!(home.removals(), 1);
    let gone = home.on_terminal(&["approve", &ticket]).ends(1);
    assert!(gone.contains("no call waits under the ticket"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_has_to_be_the_host() {
    let home = Home::new();
    let ticket = home.ticket();
    for typed in ["\n", "yes\n", "HOME\n", "home \x15\n", "home\x03", "\x04"] {
        let mut session = home.on_terminal(&["approve", &ticket]);
        session.sees("Type the name of the host").types(typed);
        let shown = session.ends(1);
        assert!(shown.contains("nothing is approved"), "{typed:?}: {shown}");
    }
    // What was typed ahead is no answer.
    let mut session = Session::typed_ahead(&home.command(&["approve", &ticket]), "home\n");
    session.sees("Type the name of the host").types("\x03");
    assert!(session.ends(1).contains("nothing is approved"));
    assert_eq!(home.ticket(), ticket);
    assert_eq!(home.removals(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_without_a_terminal() {
    let home = Home::new();
    let ticket = home.ticket();
    for arguments in [&["approve", ticket.as_str()][..], &["approve", "--passphrase"]] {
        let done = home.run(arguments).ends(2);
        assert!(
            done.err.starts_with("error: an approval needs a person at a terminal, and this is none; "),
            "{done:?}"
        );
    }
    // A terminal that only one stream leads to is none either.
    let line = format!("echo home | {} approve {ticket}", env!("CARGO_BIN_EXE_quaymaster"));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &line]).envs(home.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let shown = Session::new(&shell).ends(2);
    assert!(shown.contains("needs a person at a terminal"), "{shown}");
    assert!(home.stage("approved").read_dir().unwrap().next().is_none());
    for wrong in
        [&["approve"][..], &["approve", "no/ticket"], &["approve", "--list", &ticket], &["approve", "--show", "x"]]
    {
        home.run(wrong).ends(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_are_listed_shown_and_rejected() {
    let home = Home::new();
    assert_eq!(home.run(&["approve", "--list"]).ends(0).out, "no call waits for an approval\n");
    let ticket = home.ticket();
    let list = home.run(&["approve", "--list"]).ends(0).out;
    assert!(
        list.starts_with("TICKET ") && list.contains(&ticket) && list.contains("remove_volume destroys data"),
        "{list}"
    );
    let data: Value = serde_json::from_str(&home.run(&["approve", "--list", "--json"]).ends(0).out).unwrap();
    assert_eq!((&data[0]["ticket"], &data[0]["call"]["host"]), (&json!(ticket), &json!("home")));
    let shown = home.run(&["approve", "--show", &ticket]).ends(0).out;
    assert!(shown.starts_with(&ticket) && shown.contains("\n  volumes: [\"data\"]\n"), "{shown}");
    home.run(&["approve", "--reject", &ticket]).ends(0);
    let refused = home.run(&REMOVE).ends(1);
    assert!(refused.err.contains("declined this very call less than a minute ago"), "{refused:?}");
    home.run(&["approve", "--show", &ticket]).ends(1);
    assert_eq!(home.removals(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_on_a_terminal_asks_there() {
    let home = Home::new();
    for (typed, code, said) in [
        ("no\n", 1, "did not type the host's name"),
        ("\x03", 1, "the person declined this call"),
        ("home\n", 0, "removed"),
    ] {
        let before = home.removals();
        let mut session = home.on_terminal(&REMOVE);
        session.sees("remove_volume on host \"home\" (destroy)").sees("Host: ").types(typed);
        let shown = session.ends(code);
        assert!(shown.contains(said), "{typed:?}: {shown}");
        assert_eq!(home.removals() - before, usize::from(code == 0), "{typed:?}");
    }
    assert!(!home.stage("").exists(), "whoever is asked needs no ticket");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_processes_one_passes() {
    let home = Home::new();
    for round in 1..=3 {
        home.approve(&home.ticket());
        let started: Vec<_> = (0..6).map(|_| home.command(&REMOVE).spawn().unwrap()).collect();
        let ended: Vec<Done> = started.into_iter().map(|child| done(child.wait_with_output().unwrap())).collect();
        let passed = ended.iter().filter(|done| done.code == Some(0)).count();
        assert_eq!((passed, home.removals()), (1, round), "{ended:?}");
        assert!(ended.iter().all(|done| done.code == Some(0) || done.err.contains("has to approve")), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_volume_of_the_same_name_is_not_the_one_that_was_approved() {
    let mut home = Home::new();
    home.approve(&home.ticket());
    home.daemon = home
        .daemon
        .restart(|heard| {
            let anew = |document: &mut Value| {
                if document.get("CreatedAt").is_some() {
                    document["CreatedAt"] = json!("2026-02-02T00:00:00Z");
                }
            };
            engine_in("1.45", anew, heard)
        })
        .await;
    home.ticket();
    assert_eq!(home.removals(), 0);
    home.daemon = home.daemon.restart(engine).await;
    home.run(&REMOVE).ends(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_arguments_and_other_tools_are_not_approved() {
    let home = Home::new();
    home.approve(&home.ticket());
    for other in [
        &["call", "remove_volume", "host=home", "volumes=data", "force=true"][..],
        &["call", "prune_volumes", "host=home", "named=true", "dry_run=false"],
    ] {
        let done = home.run(other).ends(1);
        assert!(done.err.contains("has to approve this call"), "{done:?}");
    }
    assert_eq!(home.removals(), 0);
    // Defaults that are written out are the same call.
    home.run(&["call", "remove_volume", "volumes=data", "force=false"]).ends(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_files_approve_nothing() {
    let home = Home::new();
    let ticket = home.ticket();
    home.approve(&ticket);
    let good = home.stage("approved").join(format!("{ticket}.json"));
    let aside = home.directory.path().join("aside.json");
    let set = |path: &PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    set(&good, 0o644);
    home.ticket();
    set(&good, 0o600);
    set(&home.stage("approved"), 0o770);
    let error = home.run(&REMOVE).ends(2).err;
    assert!(error.contains("cannot be trusted") && error.contains("chmod 700"), "{error}");
    set(&home.stage("approved"), 0o700);
    fs::rename(&good, &aside).unwrap();
    symlink(&aside, &good).unwrap();
    home.ticket();
    fs::remove_file(&good).unwrap();
    fs::hard_link(&aside, &good).unwrap();
    home.ticket();
    fs::remove_file(&good).unwrap();
    // A link in place of the whole directory.
    let (stage, elsewhere) = (home.stage("approved"), home.directory.path().join("elsewhere"));
    fs::rename(&stage, &elsewhere).unwrap();
    symlink(&elsewhere, &stage).unwrap();
    fs::rename(&aside, elsewhere.join(good.file_name().unwrap())).unwrap();
    assert!(home.run(&REMOVE).ends(2).err.contains("a link is not followed"));
    assert_eq!(home.removals(), 0);
    // None of this has spoilt the approval itself.
    fs::remove_file(&stage).unwrap();
    fs::rename(&elsewhere, &stage).unwrap();
    home.run(&REMOVE).ends(0);
    assert_eq!(home.removals(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_on_the_terminal_hides_what_is_approved() {
    let home = Home::new();
    let hostile = "x\u{1b}[2J\u{1b}[1;1H\u{202e}\u{200b}\u{9b}\r\nwhy: harmless";
    let ticket = home.ticket();
    let file = home.stage("pending").join(format!("{ticket}.json"));
    let mut document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    document["sheet"]["arguments"]["volumes"] = json!([hostile]);
    document["sheet"]["objects"][0]["name"] = json!(hostile);
    document["sheet"]["reasons"] = json!([hostile]);
    fs::write(&file, document.to_string()).unwrap();
    let mut session = home.on_terminal(&["approve", &ticket]);
    session.sees("Type the name of the host").types("\x03");
    let shown = session.ends(1);
    let (sheet, _) = shown.split_once("Type the name").unwrap();
    assert!(!sheet.contains(['\u{1b}', '\u{202e}', '\u{200b}', '\u{9b}']), "{sheet:?}");
    assert!(sheet.contains("\\u001b[2J") && sheet.contains("\\u202e\\u200b\\u009b"), "{sheet}");
    assert_eq!(sheet.lines().filter(|line| line.starts_with("why:")).count(), 1, "{sheet}");
    for arguments in [&["approve", "--list"][..], &["approve", "--show", &ticket]] {
        let out = home.run(arguments).ends(0).out;
        assert!(!out.contains(['\u{1b}', '\u{202e}', '\r']), "{out:?}");
    }
    // And the call that was asked about is not the one in the file.
    home.approve(&ticket);
    home.ticket();
}

const PASSPHRASE: &str = "correct horse battery staple";

#[tokio::test(flavor = "multi_thread")]
async fn with_a_passphrase_only_who_knows_it_approves() {
    let home = Home::new();
    for (second, code) in [("another horse battery staple", 1), (PASSPHRASE, 0)] {
        let mut session = home.on_terminal(&["approve", "--passphrase"]);
        session.sees("New passphrase for approvals: ").types(PASSPHRASE).types("\n");
        session.sees("The same again: ").types(second).types("\n");
        let shown = session.ends(code);
        assert!(!shown.contains("horse"), "it was shown: {shown}");
        let Some((_, line)) = shown.split_once("approval_passphrase = ") else { continue };
        let file = home.directory.path().join(".config/quaymaster/hosts.toml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("approval_passphrase = {}\n", line.lines().next().unwrap())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut short = home.on_terminal(&["approve", "--passphrase"]);
    short.sees("New passphrase").types("short\n");
    assert!(short.ends(1).contains("too short"));

    // Forged by somebody with a shell, who can write the state directory: it is not signed.
    home.approve(&home.ticket());
    let ticket = home.ticket();
    assert_eq!(home.removals(), 0);
    let mut wrong = home.on_terminal(&["approve", &ticket]);
    wrong.sees("Type the name of the host").types("home\n");
    for _ in 0..3 {
        wrong.sees("Passphrase: ").types("correct horse battery stable\n").sees("that is not the passphrase");
    }
    let shown = wrong.ends(1);
    assert!(shown.contains("nothing is approved") && !shown.contains("stable"), "{shown}");
    let mut left = home.on_terminal(&["approve", &ticket]);
    left.sees("Type the name of the host").types("home\n").sees("Passphrase: ").types("correct\x03");
    left.ends(1);
    assert_eq!(home.ticket(), ticket);

    let mut right = home.on_terminal(&["approve", &ticket]);
    right.sees("Type the name of the host").types("home\n").sees("Passphrase: ").types(PASSPHRASE).types("\n");
    right.sees("approved: ");
    assert!(!right.ends(0).contains("horse"));
    let file = home.stage("approved").join(format!("{ticket}.json"));
    let signed = fs::read(&file).unwrap();
    home.run(&REMOVE).ends(0);
    assert_eq!(home.removals(), 1);
    // Put back with the trace of its use still there.
    fs::write(&file, signed).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    home.ticket();
    assert_eq!(home.removals(), 1);

    // A call on a terminal needs it as well: a terminal alone is easily made.
    let mut own = home.on_terminal(&REMOVE);
    own.sees("Host: ").types("home\n").sees("Passphrase: ").types("\x03");
    assert!(own.ends(1).contains("the person declined this call"));
    assert_eq!(home.removals(), 1);
    let mut own = home.on_terminal(&REMOVE);
    own.sees("Host: ").types("home\n").sees("Passphrase: ").types(PASSPHRASE).types("\n");
    own.ends(0);
    assert_eq!(home.removals(), 2);
}
