//! The command line: the real binary, its two streams and its exit codes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixListener,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Somebody's shell: a home of its own, and no variable that a test did not set.
struct Shell {
    home: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command left behind.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Shell {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn socket(&self, name: &str) -> String {
        format!("unix://{}", self.home.path().join(name).display())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quaymaster"));
        command.args(arguments).env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.envs(self.variables.iter().cloned()).stdin(Stdio::null());
        command
    }

    /// Runs it on a terminal of its own, with nothing to read; answers all that the terminal showed.
    fn on_terminal(&self, arguments: &[&str]) -> String {
        let line = [&[env!("CARGO_BIN_EXE_quaymaster")], arguments].concat().join(" ");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin").current_dir(self.home.path());
        let output = command.envs(self.variables.iter().cloned()).stdin(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        Done { code: status.code(), out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() }
    }
}

impl Done {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// The data, when nothing else was said.
    #[track_caller]
    fn json(self) -> Value {
        assert_eq!(self.err, "", "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[test]
fn the_version_names_the_commit() {
    let done = Shell::new().run(&["--version"]).ends(0);
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()
        .filter(|output| output.status.success());
    let expected = match commit {
        Some(output) => {
            format!("quaymaster {} ({})", env!("CARGO_PKG_VERSION"), String::from_utf8_lossy(&output.stdout).trim())
        }
        None => format!("quaymaster {}", env!("CARGO_PKG_VERSION")),
    };
    assert_eq!(done.out.trim(), expected);
}

#[test]
fn help_tells_the_exit_codes() {
    for arguments in [&["--help"][..], &["help"]] {
        let done = Shell::new().run(arguments).ends(0);
        assert!(done.out.contains("Exit codes: 0 all went well; 1 a host or a call failed; 2"), "{done:?}");
    }
}

#[test]
fn a_wrong_host_is_one_line_with_its_place_and_its_mend() {
    let shell = Shell::new();
    let flagged = shell.run(&["--host", "a=unix:///x, b=unix:///y(rx)", "check"]).ends(2);
    let variable = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///x, b=unix:///y(rx)").run(&["hosts"]).ends(2);
    for (done, place) in [(flagged, "--host"), (variable, "QUAYMASTER_HOSTS")] {
        let lines: Vec<&str> = done.err.lines().collect();
        assert!(lines[0].starts_with(&format!("error: {place}")) && lines[0].contains("\"rx\""), "{done:?}");
        assert!(lines[0].chars().any(|character| character.is_ascii_digit()), "no position: {done:?}");
        assert!(lines[0].contains("; ") && lines.len() == 1, "no mend: {done:?}");
        assert_eq!(done.out, "");
    }
}

#[test]
fn wrong_words_are_refused_with_what_was_meant() {
    let shell = Shell::new();
    for (arguments, error, hint) in [
        (
            &["--toolsets", "contaners", "tools"][..],
            "error: unknown toolset \"contaners\"",
            "did you mean \"containers\"?",
        ),
        (
            &["--deny", "list_contaners", "tools"],
            "error: deny \"list_contaners\": no tool or toolset is called so",
            "did you mean \"list_containers\"?",
        ),
        (&["--mode", "or", "tools"], "error: --mode: unknown mode \"or\"", ""),
        (&["call", "list_host"], "error: unknown tool \"list_host\"", "did you mean \"list_hosts\"?"),
        (&["call", "list_hosts", "probe"], "error: \"probe\" is no argument", "write it as probe=true"),
        (&["check", "lokal"], "error: argument \"host\": there is no host \"lokal\"", "did you mean \"local\"?"),
    ] {
        let done = shell.run(arguments).ends(2);
        let lines: Vec<&str> = done.err.lines().collect();
        assert!(lines[0].starts_with(&format!("{error}; {hint}")) && lines.len() == 1, "{done:?}");
        assert_eq!(done.out, "", "{arguments:?}");
    }
    assert!(shell.run(&["--frobnicate"]).ends(2).err.starts_with("error: "));
    let done = Shell::new().set("QUAYMASTER_LOG", "quaymaster=nonsense").run(&["tools"]).ends(2);
    assert!(done.err.starts_with("error: QUAYMASTER_LOG: "), "{done:?}");
}

#[test]
fn tools_are_listed_as_data_and_as_a_table() {
    let shell = Shell::new();
    let all = shell.run(&["tools", "--all", "--json"]).ends(0).json();
    let row = |name: &str| all.as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap();
    let stop = row("stop_container");
    assert_eq!(
        (&stop["effect"], &stop["mildest"], &stop["toolset"]),
        (&"destroy".into(), &"mutate".into(), &"containers".into())
    );
    assert_eq!(stop["permissions"], serde_json::json!(["read", "lifecycle", "volumes"]));
    assert_eq!((&stop["listed"], &row("reconnect_host")["listed"]), (&true.into(), &false.into()));
    let read_only = shell.run(&["tools", "--mode", "ro", "--json"]).ends(0).json();
    assert!(
        read_only.as_array().unwrap().iter().all(|row| row["effect"] == "read" && row["listed"] == true),
        "{read_only}"
    );
    let denied = shell.run(&["--deny", "hosts", "tools", "--all", "--json"]).ends(0).json();
    assert!(denied.as_array().unwrap().iter().all(|row| row["toolset"] != "hosts"));
    let table = shell.run(&["tools"]).ends(0);
    assert!(table.out.starts_with("TOOL ") && table.out.contains("\nlist_hosts "), "{table:?}");
    assert!(table.out.contains("--all shows them") && !table.out.contains("reconnect_host"), "{table:?}");
    assert_eq!(table.err, "");
}

#[test]
fn a_call_prints_data_and_nothing_else() {
    let shell = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock, b=unix:///nowhere/b.sock(ro)");
    let listed = shell.run(&["call", "list_hosts", "--json"]).ends(0).json();
    assert_eq!((&listed["hosts"][0]["host"], &listed["hosts"][1]["mode"]), (&"a".into(), &"ro".into()));
    let text = shell.run(&["call", "list_hosts"]).ends(0);
    assert!(text.out.ends_with("2 hosts; reads go to the default host, writes must name one\n"), "{text:?}");
    assert_eq!(text.err, "");
    let one = shell.run(&["call", "list_hosts", "status=unreachable", "--json"]).ends(0).json();
    assert_eq!(one["hosts"], serde_json::json!([]));
}

#[test]
fn a_call_that_fails_says_why_and_what_to_do() {
    let shell = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock, b=unix:///nowhere/b.sock(ro)");
    for (arguments, error) in [
        (&["call", "stop_container", "host=b", "containers=x"][..], "error: host \"b\" is read-only; stop_container "),
        (&["call", "stop_container", "containers=x"], "error: argument \"host\" is missing"),
        (&["call", "list_hosts", "prob=true"], "error: unknown argument \"prob\""),
        (&["call", "list_hosts", "probe=maybe"], "error: argument \"probe\" must be a boolean, not "),
        (&["call", "list_containers", "host=a"], "error: host \"a\": the daemon cannot be reached: no such socket"),
    ] {
        let done = shell.run(arguments).ends(1);
        let lines: Vec<&str> = done.err.lines().collect();
        assert!(lines[0].starts_with(error), "{done:?}");
        assert!(lines[1].starts_with("hint: "), "{done:?}");
        assert_eq!(done.out, "", "{arguments:?}");
    }
    let done = shell.run(&["call", "list_containers"]).ends(1);
    assert!(
        done.err.contains("\ndetail: socket /nowhere/a.sock: "),
        "the person is told more than the agent: {done:?}"
    );
}

#[test]
fn a_missing_socket_is_told_with_the_mend() {
    let shell = Shell::new();
    let spec = format!("a={}", shell.socket("none.sock"));
    let done = shell.run(&["--host", &spec, "check"]).ends(1);
    assert!(done.out.contains("fail  a     rw"), "{done:?}");
    assert!(done.out.contains("a: the daemon cannot be reached: no such socket\n  detail: socket /"), "{done:?}");
    assert!(done.out.contains("\n  mend: start the engine there, or correct the path of the socket\n"), "{done:?}");
    assert!(done.out.ends_with("1 host from --host: 0 ok, 1 failed\n"), "{done:?}");
    assert_eq!(done.err, "");
    let data = shell.run(&["--host", &spec, "check", "--json"]).ends(1).json();
    assert_eq!((&data["hosts"][0]["ok"], &data["hosts"][0]["error"]["kind"]), (&false.into(), &"unreachable".into()));
    assert_eq!(data["origin"], "--host");
}

#[test]
fn limits_are_told_where_they_are_not_the_usual_ones() {
    let shell = Shell::new();
    let (a, b) = (shell.socket("a.sock"), shell.socket("b.sock"));
    let file = shell.home.path().join("hosts.toml");
    let own =
        "permissions = [\"lifecycle\"]\nconfirm = \"write\"\nbodies = \"strict\"\ncontainers = { deny = [\"*-db\"] }";
    let text =
        format!("[[host]]\nname = \"a\"\nendpoint = \"{a}\"\n{own}\n[[host]]\nname = \"b\"\nendpoint = \"{b}\"\n");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let shell = shell.set("QUAYMASTER_CONFIG", "hosts.toml");
    let done = shell.run(&["check"]).ends(1);
    let line =
        "\n\na: permissions: read, lifecycle; containers: deny *-db; confirm: write; bodies: strict\n\na: the daemon";
    assert!(done.out.contains(line) && !done.out.contains("b: permissions"), "{done:?}");
    let data = shell.run(&["check", "--json"]).ends(1).json();
    let expected = serde_json::json!({
        "permissions": "read, lifecycle", "containers": "deny *-db", "confirm": "write", "bodies": "strict",
    });
    assert_eq!((&data["hosts"][0]["limits"], &data["hosts"][1]["limits"]), (&expected, &Value::Null));
    let listed = shell.run(&["call", "list_hosts", "--json"]).ends(0).json();
    let permissions = |host: usize| listed["hosts"][host]["permissions"].clone();
    assert_eq!((permissions(0), permissions(1)), (serde_json::json!(["read", "lifecycle"]), Value::Null));
}

#[test]
fn nothing_found_is_told_with_the_places() {
    let shell = Shell::new().set("XDG_RUNTIME_DIR", "/nowhere/run").set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let done = shell.run(&["check"]).ends(1);
    assert!(done.out.contains("mend: "), "{done:?}");
    assert!(done.out.contains("1 host from auto: 0 ok, 1 failed"), "{done:?}");
    let table = shell.run(&["hosts"]).ends(1);
    assert!(table.out.starts_with("HOST ") && table.out.contains("unreachable"), "{table:?}");
    assert!(table.out.ends_with("1 host: 0 ok, 1 unreachable; 0 containers, 0 running\n"), "{table:?}");
}

#[test]
fn fifty_hosts_with_hung_and_dead_ones_are_checked_in_six_seconds() {
    let shell = Shell::new();
    // It accepts connections and never says a word.
    let _hung = UnixListener::bind(shell.home.path().join("hung.sock")).unwrap();
    fs::write(shell.home.path().join("file"), "").unwrap();
    let mut specs: Vec<String> = (0..48).map(|number| format!("h{number}={}", shell.socket("none.sock"))).collect();
    specs.push(format!("hung={}", shell.socket("hung.sock")));
    specs.push(format!("dead={}", shell.socket("file")));
    let shell = shell.set("QUAYMASTER_HOSTS", specs.join(", "));
    for arguments in [&["check"][..], &["hosts"]] {
        let started = Instant::now();
        let done = shell.run(arguments).ends(1);
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        assert!(done.out.contains("it did not answer a ping within 5 s"), "{done:?}");
        assert!(done.out.contains("connection refused"), "{done:?}");
    }
}

#[test]
fn the_log_goes_to_standard_error_when_asked() {
    let shell = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock");
    let quiet = shell.run(&["hosts"]).ends(1);
    assert_eq!(quiet.err, "");
    let told = shell.run(&["hosts", "-v"]).ends(1);
    assert!(told.err.contains("WARN") && told.err.contains("/nowhere/a.sock"), "{told:?}");
    assert_eq!(told.out.lines().next(), quiet.out.lines().next());
    let filtered = Shell::new()
        .set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock")
        .set("QUAYMASTER_LOG", "quaymaster=error")
        .run(&["hosts"])
        .ends(1);
    assert_eq!(filtered.err, "");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let shell = Shell::new();
    let mut child = shell.command(&["tools", "--all"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(child.wait().unwrap().success(), "{err}");
    assert_eq!(err, "");
}

const HELLO: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
    r#""capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#,
    "\n"
);

#[test]
fn alone_it_speaks_the_protocol_and_ends_with_its_client() {
    for arguments in [&[][..], &["serve"]] {
        let shell = Shell::new();
        let mut child = shell.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(HELLO.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(answer["result"]["serverInfo"]["name"], "quaymaster");
    }
}

#[test]
fn an_interrupt_takes_a_call_back() {
    let shell = Shell::new();
    let hung = UnixListener::bind(shell.home.path().join("hung.sock")).unwrap();
    let spec = format!("a={}", shell.socket("hung.sock"));
    let mut command = shell.command(&["--host", &spec, "call", "list_containers"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Once it has connected it waits for an answer that never comes.
    let connection = hung.accept().unwrap();
    let started = Instant::now();
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
    let done = child.wait_with_output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "error: the call was taken back and has been stopped\n");
    drop(connection);
}

#[test]
fn a_terminal_is_told_what_it_waits_for() {
    let shell = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock, b=unix:///nowhere/b.sock(ro)");
    let shown = shell.on_terminal(&[]);
    assert!(shown.contains("it waits for a client") && shown.contains("a (rw), b (ro)"), "{shown}");
    assert!(shown.contains("claude mcp add quaymaster -- /"), "{shown}");
}

#[test]
fn colour_is_for_terminals_only() {
    let shell = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock");
    assert!(shell.on_terminal(&["check"]).contains("\u{1b}[1;31mfail\u{1b}[0m"));
    assert!(!shell.run(&["check"]).out.contains('\u{1b}'));
    let plain = shell.set("NO_COLOR", "1").on_terminal(&["check"]);
    assert!(plain.contains("fail") && !plain.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn a_signal_ends_the_server_in_order() {
    for signal in ["TERM", "INT"] {
        let shell = Shell::new();
        let mut child = shell.command(&[]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(HELLO.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        // The input is still open: only the signal can end it.
        assert!(child.wait().unwrap().success(), "{signal}");
        drop(input);
    }
}

#[test]
fn the_limit_of_open_files_is_raised() {
    let shell = Shell::new();
    let program = env!("CARGO_BIN_EXE_quaymaster");
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -S -n 64 && exec \"$0\"", program])
        .env_clear()
        .env("HOME", shell.home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(HELLO.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{files}");
    drop(input);
    child.wait().unwrap();
}

#[test]
fn the_audit_is_shown_and_proved() {
    let shell = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock, b=unix:///nowhere/b.sock(ro)");
    assert_eq!(shell.run(&["audit", "--json"]).ends(0).json(), serde_json::json!([]));
    let none = shell.run(&["audit", "verify"]).ends(1);
    assert!(none.err.starts_with("error: there is no audit: nothing was written yet"), "{none:?}");
    shell.run(&["call", "list_hosts"]).ends(0);
    shell.run(&["call", "stop_container", "host=b", "containers=x"]).ends(1);
    shell.run(&["call", "list_containers"]).ends(1);
    let calls = shell.run(&["audit", "--json"]).ends(0).json();
    let shown: Vec<String> =
        calls.as_array().unwrap().iter().map(|call| format!("{} {}", call["tool"], call["outcome"])).collect();
    assert_eq!(
        shown,
        ["\"list_hosts\" \"ok\"", "\"stop_container\" \"denied\"", "\"list_containers\" \"unreachable\"",]
    );
    assert_eq!((&calls[1]["decision"], &calls[1]["rule"]), (&"deny".into(), &"mode".into()));
    // The address is for the person.
    assert!(calls[2]["detail"].as_str().unwrap().contains("/nowhere/a.sock"), "{calls}");
    let chosen = shell
        .run(&["audit", "--on", "b", "--outcome", "failed", "--since", "1h", "--limit", "1", "--json"])
        .ends(0)
        .json();
    assert_eq!(chosen.as_array().unwrap().len(), 1, "{chosen}");
    assert!(shell.run(&["audit", "--since", "nonsense"]).ends(2).err.contains("no time"));
    assert!(shell.run(&["audit", "--outcome", "deny"]).ends(2).err.contains("did you mean \"denied\"?"));
    let table = shell.run(&["audit"]).ends(0).out;
    assert!(table.contains("deny: mode") && table.contains("3 calls"), "{table}");

    let proof = shell.run(&["audit", "verify"]).ends(0);
    assert!(proof.out.contains("3 files, 12 lines\nevery line is as it was written"), "{proof:?}");
    assert!(proof.out.contains("What this cannot see"), "{proof:?}");
    let directory = shell.home.path().join(".local/state/quaymaster/audit");
    let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text = fs::read_to_string(&files[1]).unwrap();
    fs::write(&files[1], text.replace("stop_container", "stop\\u001b[2J\\u202e")).unwrap();
    let proof = shell.run(&["audit", "verify", directory.to_str().unwrap(), "--json"]).ends(1).json();
    assert_eq!(proof["problems"][0]["line"], 2, "{proof}");
    assert!(shell.run(&["audit", "verify"]).ends(1).out.contains("was changed: its hash is that of other words"));
    // What somebody wrote into it steers no terminal.
    let terminal = shell.on_terminal(&["audit"]);
    assert!(terminal.contains("stop\\u001b[2J\\u202e") && !terminal.contains("\u{1b}[2J"), "{terminal:?}");
}

/// A server that has answered one call.
fn served(shell: &Shell) -> std::process::Child {
    let mut child = shell.command(&[]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.as_mut().unwrap();
    input.write_all(HELLO.as_bytes()).unwrap();
    input.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n").unwrap();
    let call = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"list_hosts","arguments":{}}}"#;
    writeln!(input, "{call}").unwrap();
    let mut output = BufReader::new(child.stdout.as_mut().unwrap());
    let mut answer = String::new();
    while !answer.contains("\"id\":9") {
        answer.clear();
        assert!(output.read_line(&mut answer).unwrap() > 0, "no answer");
    }
    child
}

#[test]
fn a_server_closes_its_audit_when_the_client_leaves() {
    let shell = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock");
    let mut child = served(&shell);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let proof = shell.run(&["audit", "verify", "--json"]).ends(0).json();
    let file = &proof["files"][0];
    assert_eq!((&file["state"], &file["lines"]), (&"closed".into(), &4.into()), "{proof}");
}

#[test]
fn processes_share_a_directory_and_one_that_is_killed_leaves_a_whole_file() {
    let shell = Shell::new().set("QUAYMASTER_HOSTS", "a=unix:///nowhere/a.sock");
    let mut server = served(&shell);
    let calls: Vec<_> =
        (0..6).map(|_| shell.command(&["call", "list_hosts"]).stdout(Stdio::null()).spawn().unwrap()).collect();
    for mut call in calls {
        assert!(call.wait().unwrap().success());
    }
    let states = |proof: &Value| -> Vec<String> {
        let files = proof["files"].as_array().unwrap();
        let mut states: Vec<String> = files.iter().map(|file| file["state"].as_str().unwrap().to_owned()).collect();
        states.sort();
        states
    };
    let proof = shell.run(&["audit", "verify", "--json"]).ends(0).json();
    assert_eq!(states(&proof), ["closed", "closed", "closed", "closed", "closed", "closed", "open"], "{proof}");
    server.kill().unwrap();
    server.wait().unwrap();
    shell.run(&["call", "list_hosts"]).ends(0);
    let proof = shell.run(&["audit", "verify", "--json"]).ends(0).json();
    assert_eq!(states(&proof)[6..], ["closed", "ended"], "{proof}");
    assert!(proof["notes"][0].as_str().unwrap().contains("no closing line"), "{proof}");
    assert_eq!(shell.run(&["audit", "--json"]).ends(0).json().as_array().unwrap().len(), 8);
    // The file that came last names it, so that nothing can be cut off at its end any more.
    let name = proof["files"].as_array().unwrap().iter().find(|file| file["state"] == "ended").unwrap()["file"]
        .as_str()
        .unwrap();
    let path = shell.home.path().join(".local/state/quaymaster/audit").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let cut: Vec<&str> = text.lines().take(2).collect();
    fs::write(&path, format!("{}\n", cut.join("\n"))).unwrap();
    let proof = shell.run(&["audit", "verify"]).ends(1);
    assert!(proof.out.contains("lines were cut off at its end: it had 3 when"), "{proof:?}");
}
