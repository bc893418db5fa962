//! Runs the docker CLI on the operator's own configuration: for the tools about its contexts, and for nothing else.

use std::{process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt, process::Command};

use super::programs::Programs;
use crate::{
    error::{Error, Result},
    redact,
};

/// How long it may take: it reads and writes files of this machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of what it prints is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// The longest reason of a failure, in characters.
const LONGEST: usize = 400;

impl Programs {
    /// Runs `docker context`, which speaks to no daemon; answers what it printed.
    ///
    /// # Errors
    /// `unsupported` where the CLI is missing, `config` where the account has no configuration of it; an exit that says
    /// so, with its reason.
    pub async fn context(&self, arguments: &[String]) -> Result<String> {
        self.need(None)?;
        let program = self.docker().ok_or_else(|| Error::internal("the docker CLI has gone"))?;
        let (Some(configuration), Some(home)) = (&self.configuration, &self.home) else {
            return Err(Error::config("the account of Quaymaster has no home, and no configuration of the docker CLI")
                .hint("ask the person to set DOCKER_CONFIG"));
        };
        let mut child = Command::new(program)
            .arg("context")
            .args(arguments)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", home)
            .env("DOCKER_CONFIG", configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::internal("the docker CLI cannot be started").detail(error.to_string()))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let (mut output, mut messages) = (String::new(), String::new());
            let reading = async {
                if let Some(stdout) = stdout {
                    stdout.take(LARGEST).read_to_string(&mut output).await.ok();
                }
            };
            let complaining = async {
                if let Some(stderr) = stderr {
                    stderr.take(LARGEST).read_to_string(&mut messages).await.ok();
                }
            };
            tokio::join!(reading, complaining);
            (child.wait().await, output, messages)
        };
        let (status, output, messages) = tokio::time::timeout(PATIENCE, ended)
            .await
            .map_err(|_| Error::timeout("the docker CLI did not end in time").hint("report it; do not retry"))?;
        if status.is_ok_and(|status| status.success()) {
            return Ok(output);
        }
        let reason = redact::shown(messages.trim().lines().next_back().unwrap_or("it said nothing"));
        let reason: String = reason.chars().take(LONGEST).collect();
        let words = reason.to_ascii_lowercase();
        Err(if words.contains("not found") || words.contains("does not exist") {
            Error::not_found("there is no such docker context")
                .hint("context_ls shows those that there are")
                .detail(reason)
        } else if words.contains("already exists") {
            Error::conflict("there is a docker context of that name already").hint("take another name").detail(reason)
        } else if words.contains("is in use") {
            Error::conflict("the docker context is the one in use").hint("choose another with context_use first")
        } else {
            // It names files of this machine.
            Error::docker("docker context failed").hint("ask the person to look at it; do not retry").detail(reason)
        })
    }
}
