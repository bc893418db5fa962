//! One run of the CLI: its processes, what they read and print, and how it ends, whichever way.

use std::{
    process::{ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
};

use super::{
    Cli, Private, Ran, Source,
    group::{Group, address},
    home::Home,
    lines::{self, Beginning, Ending},
    proxy::{Proxy, Told},
};
use crate::{
    docker::Docker,
    error::{Error, Kind, Result},
};

/// How long the pipes are read of a program that has ended: another may still hold them.
const PIPES: Duration = Duration::from_secs(1);
/// How many of the last lines of standard error are told in an error.
const LAST: usize = 4;
/// The longest message of an error.
const LONGEST: usize = 800;

/// A run that goes on. Dropped, everything that belongs to it ends.
struct Running {
    docker: Docker,
    group: Group,
    child: Option<Child>,
    home: Option<Home>,
    private: Option<Private>,
    proxy: Option<Proxy>,
}

pub(super) async fn run(cli: Cli, arguments: Vec<String>, told: &(dyn Fn(Source, &str) + Send + Sync)) -> Result<Ran> {
    // A program that finds nobody to speak to says so in its own words, and not in ours.
    cli.docker.engine().await?;
    let Cli {
        docker,
        found,
        plugin,
        variables,
        logins,
        marks,
        input,
        directory,
        sieve,
        prefix,
        private,
        kept,
        any_status,
    } = cli;
    let (home, found) = tokio::task::spawn_blocking(move || Home::make(&found, &logins).map(|home| (home, found)))
        .await
        .map_err(|error| Error::internal("a private directory cannot be made").detail(error.to_string()))??;
    let listener = home.listen()?;
    let mut command = Command::new(&found.docker);
    command
        .args(plugin)
        .args(&arguments)
        .env_clear()
        .envs(variables)
        .env("PATH", &found.path)
        .env("HOME", home.own())
        .env("DOCKER_CONFIG", home.config())
        .env("DOCKER_HOST", address(&home.socket()))
        .current_dir(directory.unwrap_or_else(|| home.work()))
        .process_group(0)
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        Error::internal("the docker CLI cannot be started")
            .hint("report it; do not retry")
            .detail(format!("{}: {error}", found.docker.display()))
    })?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // It was not awaited yet, so it has its number.
    let group = Group::of(&child).ok_or_else(|| Error::internal("a program has no number"))?;
    let proxy = Proxy::serve(listener, docker.clone(), marks, sieve, group);
    let mut running = Running { docker, group, child: Some(child), home: Some(home), private, proxy: Some(proxy) };
    let (status, output, messages) = running.attend(pipes, &input, kept, prefix.as_deref(), told).await?;
    let notes = running.proxy.as_ref().map(Proxy::told).unwrap_or_default();
    running.ended().await;
    let what = plugin.unwrap_or_else(|| arguments.first().map_or("", String::as_str));
    if let (true, Some(code), true) = (any_status, status.code(), notes.refusals.is_empty()) {
        let Beginning { text, is_cut } = output;
        return Ok(Ran { output: text, messages: messages.text(), is_cut, status: code, notes: notes.notes });
    }
    concluded(what, status, output, &messages, notes)
}

impl Running {
    /// Feeds and reads the program until it has ended.
    async fn attend(
        &mut self,
        (stdin, stdout, stderr): (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>),
        input: &[u8],
        kept: usize,
        prefix: Option<&str>,
        told: &(dyn Fn(Source, &str) + Send + Sync),
    ) -> Result<(ExitStatus, Beginning, Ending)> {
        let (output, messages) = (Mutex::new(Beginning::default()), Mutex::new(Ending::default()));
        // What names the private directory names this machine.
        let own = self.home.as_ref().map(|home| home.path().display().to_string());
        let held = self.private.as_ref().map(|private| private.path().display().to_string());
        let private: Vec<String> = own.into_iter().chain(held).collect();
        let plain = |line: &str| {
            let line = prefix.map_or(line.to_owned(), |prefix| line.replace(prefix, ""));
            private.iter().fold(line, |line, path| line.replace(path, "<private>"))
        };
        let status = {
            let feeding = async {
                if let Some(mut stdin) = stdin {
                    // A program that does not read to the end is no failure.
                    stdin.write_all(input).await.ok();
                    stdin.shutdown().await.ok();
                }
            };
            let mut masked = crate::redact::Lines::default();
            let printing = async {
                let Some(stdout) = stdout else { return };
                lines::read(stdout, |line| {
                    let line = plain(line);
                    told(Source::Output, &masked.next(&line));
                    output.lock().unwrap_or_else(PoisonError::into_inner).push(&line, kept);
                })
                .await;
            };
            let complaining = async {
                let Some(stderr) = stderr else { return };
                lines::read(stderr, |line| {
                    let shown = messages.lock().unwrap_or_else(PoisonError::into_inner).push(&plain(line));
                    told(Source::Messages, &shown);
                })
                .await;
            };
            let mut pipes = std::pin::pin!(async { tokio::join!(feeding, printing, complaining) });
            let child = self.child.as_mut().ok_or_else(|| Error::internal("a program was awaited twice"))?;
            let status = tokio::select! {
                biased;
                status = child.wait() => Some(status),
                _ = &mut pipes => None,
            };
            let status = match status {
                Some(status) => {
                    tokio::time::timeout(PIPES, pipes).await.ok();
                    status
                }
                None => child.wait().await,
            };
            status.map_err(|error| Error::internal("a program cannot be awaited").detail(error.to_string()))?
        };
        let (output, messages) = (output.into_inner(), messages.into_inner());
        Ok((status, output.unwrap_or_else(PoisonError::into_inner), messages.unwrap_or_else(PoisonError::into_inner)))
    }

    /// The program has ended by itself: what it left behind ends too.
    async fn ended(mut self) {
        self.proxy = None;
        self.child = None;
        if let Some(home) = self.home.take() {
            self.group.sweep(&home.socket()).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // First of all nothing more is carried: a program that is told to end may try to tidy up.
        self.proxy = None;
        let (Some(child), Some(home)) = (self.child.take(), self.home.take()) else { return };
        if tokio::runtime::Handle::try_current().is_err() {
            self.group.kill();
            return;
        }
        let (group, private) = (self.group, self.private.take());
        self.docker.host.see_out(async move {
            group.end(child, &home.socket()).await;
            drop((home, private));
        });
    }
}

/// What a run came to, by how it ended.
fn concluded(what: &str, status: ExitStatus, output: Beginning, messages: &Ending, told: Told) -> Result<Ran> {
    let Told { refusals, mut notes } = told;
    if status.success() {
        notes.extend(refusals.iter().map(|refusal| format!("refused: {}", refusal.message())));
        return Ok(Ran { output: output.text, messages: messages.text(), is_cut: output.is_cut, status: 0, notes });
    }
    let last = messages.last(LAST);
    let last: String = if last.is_empty() { "it said nothing".to_owned() } else { last };
    let last: String = last.chars().rev().take(LONGEST).collect::<Vec<char>>().into_iter().rev().collect();
    // What was refused here is why it failed, whatever the program made of it.
    let first = |kind: Kind| refusals.iter().find(|refusal| refusal.kind() == kind);
    let reasons = [Kind::Denied, Kind::Unreachable, Kind::Timeout, Kind::Busy];
    if let Some(refusal) = reasons.into_iter().find_map(first) {
        return Err(refusal.clone().detail(last));
    }
    notes.push("what it had done by then stays done: look at the objects before you repeat it".to_owned());
    let how = match status.code() {
        Some(code) => format!("ended with status {code}"),
        None => "was ended by a signal".to_owned(),
    };
    Err(Error::docker(format!("docker {what} {how}: {last}")).hint(notes.join("; ")))
}
