//! Runs the docker CLI and its plugins against a host, through a private socket that carries what the call itself may send.
//!
//! The CLI speaks to a server in this process ([`proxy`]), which carries its requests ([`carry`]) over the host's
//! own connections: unix, TLS or SSH. Each one passes the ceiling of the call, the judge that the gateway put into
//! the handle, the guard and the sight, as the gateway's own requests do. Documents in answers lose what does not
//! exist for callers, but are not masked: the CLI needs the values. What it prints is masked when it is read.

mod carry;
mod child;
mod group;
mod home;
mod lines;
mod own;
mod private;
mod programs;
mod proxy;
pub mod request;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::Stream;

use super::{Docker, judge::Mark, names::quote};
use crate::error::{Error, Result};
pub use home::Login;
pub use lines::Source;
pub use private::Private;
use programs::Found;
pub use programs::{Program, Programs};

/// How much of what a program prints is kept, unless a run says otherwise.
const KEPT: usize = 256 << 10;
/// The variables of every run; a tool adds others, but never one of these.
const OWN_VARIABLES: &[&str] = &["PATH", "HOME", "DOCKER_CONFIG", "DOCKER_HOST"];

/// A tar on its way, piece by piece.
pub type Archive = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// What takes out of build contexts what must not be sent.
pub trait Sieve: Send + Sync {
    /// What of an archive may be sent; an error breaks it off.
    fn sift(&self, archive: Archive) -> Archive;

    /// What is to be said of what was left out so far.
    fn note(&self) -> Option<String>;
}

/// A run of the docker CLI that was not started yet.
pub struct Cli {
    docker: Docker,
    found: Found,
    /// `compose`, `buildx`; `None` where the CLI's own commands are meant.
    plugin: Option<&'static str>,
    variables: Vec<(String, String)>,
    logins: Vec<Login>,
    marks: Vec<Mark>,
    input: Vec<u8>,
    directory: Option<PathBuf>,
    sieve: Option<Arc<dyn Sieve>>,
    prefix: Option<String>,
    private: Option<Private>,
    kept: usize,
    any_status: bool,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    output: String,
    /// What it wrote to standard error, masked: progress and warnings; the end of it where it was long.
    pub messages: String,
    /// Whether it printed more than was kept.
    pub is_cut: bool,
    /// What it ended with: 0, but for a run that takes any status.
    pub status: i32,
    /// What passed the rules for bodies, but not in silence; and what was refused although the program went on.
    pub notes: Vec<String>,
}

impl Ran {
    /// What it printed, as it may be shown: masked line by line.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut masked = crate::redact::Lines::default();
        self.output.lines().map(|line| masked.next(line) + "\n").collect()
    }

    /// What it printed, as it is: for reading documents that are masked afterwards, and never for an answer.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.output
    }
}

impl Docker {
    /// Prepares a run of a plugin of the docker CLI against this host, or of the CLI itself.
    ///
    /// The programs get no further than this handle: a run on a reading handle only reads.
    ///
    /// # Errors
    /// `unsupported` where it is not installed, saying what to install.
    pub fn cli(&self, programs: &Programs, plugin: Option<&'static str>) -> Result<Cli> {
        Ok(Cli {
            docker: self.clone(),
            found: programs.found(plugin)?,
            plugin,
            variables: Vec::new(),
            logins: Vec::new(),
            marks: Vec::new(),
            input: Vec::new(),
            directory: None,
            sieve: None,
            prefix: None,
            private: None,
            kept: KEPT,
            any_status: false,
        })
    }
}

impl Cli {
    /// Sets a variable that the program needs beside its own four; one of these is never set.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        if !OWN_VARIABLES.contains(&name.as_str()) {
            self.variables.push((name, value.into()));
        }
        self
    }

    /// Lets the program log in to a registry.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.logins.push(login);
        self
    }

    /// Says which labels the program writes by itself, so that no caller can be blamed for them.
    #[must_use]
    pub fn marking(mut self, mark: Mark) -> Self {
        self.marks.push(mark);
        self
    }

    /// What the program reads on its standard input, such as a compose file.
    #[must_use]
    pub fn reading(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Takes out of the build contexts that the program sends what must not be in them; a run's notes say so.
    #[must_use]
    pub fn sifting(mut self, sieve: impl Sieve + 'static) -> Self {
        self.sieve = Some(Arc::new(sieve));
        self
    }

    /// Runs it in a directory; otherwise in an empty one of its own.
    #[must_use]
    pub fn within(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Takes this off every path that it prints: it reads a private copy of what lies elsewhere.
    #[must_use]
    pub fn unprefixed(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Keeps its private files until its last process has gone; what it prints does not tell where they were.
    #[must_use]
    pub fn holding(mut self, private: &Private) -> Self {
        self.private = Some(private.clone());
        self
    }

    /// Keeps so many bytes of what it prints.
    #[must_use]
    pub fn keeping(mut self, bytes: usize) -> Self {
        self.kept = bytes;
        self
    }

    /// Takes a status of its own for an answer: it is that of a command that it runs.
    #[must_use]
    pub fn with_any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// Runs it with these arguments, behind the plugin's name; every line that it prints is told, masked.
    ///
    /// It has no deadline of its own. Dropped, it ends: nothing more is carried, the processes are asked to end,
    /// and killed two seconds later.
    ///
    /// # Errors
    /// An exit that says so, with the end of what it wrote to standard error; `denied` where something was refused.
    pub async fn run<T: AsRef<str>>(self, arguments: &[T], told: &(dyn Fn(Source, &str) + Send + Sync)) -> Result<Ran> {
        let arguments = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        // Boxed for its size.
        Box::pin(child::run(self, arguments, told)).await
    }
}

/// A value that stands where the CLI would take one with a dash for an option.
///
/// # Errors
/// `invalid`, naming the argument.
pub fn positional<'a>(argument: &str, value: &'a str) -> Result<&'a str> {
    if value.is_empty() || value.starts_with('-') || value.contains('\0') {
        return Err(Error::invalid(format!("argument \"{argument}\": {} cannot be taken as a name", quote(value)))
            .hint("it must not be empty or begin with a dash"));
    }
    Ok(value)
}
