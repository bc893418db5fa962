//! `serve`: MCP on standard input and output, until the client leaves.

use std::{
    env,
    io::{self, IsTerminal},
    os::fd::AsFd,
    process::ExitCode,
    sync::Arc,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::screen::Screen;
use crate::{
    error::{Error, Result},
    gateway::Gateway,
    mcp,
};

pub(super) async fn run(gateway: &Arc<Gateway>, screen: &Screen) -> Result<ExitCode> {
    for warning in &gateway.config().warnings {
        tracing::warn!("{warning}");
    }
    if io::stdin().is_terminal() {
        screen.tell(&welcome(gateway));
    }
    let stop = CancellationToken::new();
    let caught = |error: io::Error| Error::internal("signals cannot be caught").detail(error.to_string());
    let mut terminated = signal(SignalKind::terminate()).map_err(caught)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(caught)?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        stopping.cancel();
    });
    mcp::serve(gateway.clone(), input(), output(), stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Standard input. A pipe is read as it comes; anything else takes a thread that waits for it.
fn input() -> Box<dyn AsyncRead + Send + Unpin> {
    match io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd) {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdin()),
    }
}

/// Standard output, as [`input`].
fn output() -> Box<dyn AsyncWrite + Send + Unpin> {
    match io::stdout().as_fd().try_clone_to_owned().and_then(pipe::Sender::from_owned_fd) {
        Ok(pipe) => Box::new(pipe),
        Err(_) => Box::new(tokio::io::stdout()),
    }
}

/// For a person who started it by hand.
fn welcome(gateway: &Gateway) -> String {
    let program = env::current_exe().map_or_else(|_| "quaymaster".to_owned(), |path| path.display().to_string());
    let hosts: Vec<String> =
        gateway.config().hosts.iter().take(15).map(|host| format!("{} ({})", host.name, host.mode.as_str())).collect();
    let more = gateway.config().hosts.len() - hosts.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "quaymaster speaks MCP here: it waits for a client's messages on standard input. Ctrl-C ends it.\n\
         Hosts, from {}: {}{more}\n\
         To add it to a client:\n  \
           claude mcp add quaymaster -- {program}\n  \
           codex mcp add quaymaster -- {program}\n\
         For people: quaymaster check, hosts, tools, call; quaymaster --help tells more.",
        gateway.config().origin,
        hosts.join(", "),
    )
}
