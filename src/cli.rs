//! The process: arguments, environment, standard streams, exit codes. Nothing below touches any of them.

mod approve;
mod audit;
mod call;
mod check;
mod hosts;
mod process;
mod proxy_config;
mod screen;
mod serve;
mod terminal;
mod tools;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::{
    config::{Config, Flags},
    error::{Error, Kind, Result},
    gateway::Gateway,
};
use screen::{Paint, Screen};

/// A host or a call failed.
const FAILED: u8 = 1;
/// The configuration or the command line is wrong; clap uses the same.
const WRONG: u8 = 2;

const AFTER: &str = "\
A host is name=endpoint(markers), several are separated by commas:
  local=auto, staging=tcp://staging:2376(tls=/etc/docker/staging), prod=ssh://ops@prod.example.com(ro)

Variables: QUAYMASTER_HOSTS, QUAYMASTER_CONFIG, QUAYMASTER_MODE, QUAYMASTER_DENY, QUAYMASTER_TOOLSETS do what the
options of these names do; QUAYMASTER_LOG filters the log on standard error; NO_COLOR turns colour off.

Exit codes: 0 all went well; 1 a host or a call failed; 2 the configuration or the command line is wrong.";

/// One MCP server through which an agent sees and manages every Docker daemon of its owner.
///
/// Without a command it speaks MCP on standard input and output, as `serve` does.
#[derive(Parser)]
#[command(name = "quaymaster", version = env!("QUAYMASTER_VERSION"), after_help = AFTER)]
pub struct CommandLine {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Args)]
struct Settings {
    /// A host, or several separated by commas; can be repeated
    #[arg(long = "host", global = true, value_name = "SPEC")]
    hosts: Vec<String>,
    /// The file of hosts, instead of ~/.config/quaymaster/hosts.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Caps every host: rw, nd (nothing is destroyed) or ro (read-only)
    #[arg(long, global = true, value_name = "MODE")]
    mode: Option<String>,
    /// Tools or toolsets that do not exist for anybody, such as "remove_*"
    #[arg(long, global = true, value_name = "NAMES")]
    deny: Vec<String>,
    /// Toolsets to list: core (the default), all, or names
    #[arg(long, global = true, value_name = "NAMES")]
    toolsets: Vec<String>,
    /// Logs more to standard error; repeat for still more
    #[arg(short, long = "verbose", global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Prints data instead of text for people
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Speaks MCP on standard input and output (the default)
    Serve,
    /// Proves the configuration and every connection, and says how to mend what fails
    Check(check::Check),
    /// Shows how every host is, as a table
    Hosts,
    /// Shows the tools
    Tools(tools::Tools),
    /// Calls a tool, as an agent would
    Call(call::Call),
    /// Shows what was called and how it ended, or proves that it is as it was written
    Audit(audit::Audit),
    /// Shows a call that waits for a person, and lets it pass once
    Approve(approve::Approve),
    /// Prints an allow list of a Docker socket proxy for a host: what Quaymaster sends there, and as little else as can be
    ProxyConfig(proxy_config::ProxyConfig),
}

impl CommandLine {
    /// Reads the command line; ends the process where it is wrong, or asks for help or the version.
    #[must_use]
    pub fn read() -> Self {
        Self::parse()
    }

    /// Does what it says.
    ///
    /// # Errors
    /// Whatever stops a command from doing its work; what it found is in the exit code.
    pub fn run(self) -> Result<ExitCode> {
        let Self { settings, command } = self;
        let command = command.unwrap_or(Command::Serve);
        let environment = process::environment();
        let screen = Screen::new(&environment);
        let quiet = !matches!(command, Command::Serve);
        process::log(settings.verbose, quiet, &environment, &screen)?;
        process::raise_limit_of_files();
        let json = settings.json;
        let config = Config::load(&environment, &settings.flags())?;
        // It needs no gateway: a wrong verifier, which it mends, would stop one.
        let command = match command {
            Command::Approve(approve) => return approve.run(&config, &screen, json),
            other => other,
        };
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| Error::internal("the runtime cannot be started").detail(error.to_string()))?;
        let ended = runtime.block_on(async {
            let gateway = Gateway::new(config, environment)?;
            let ended = command.run(&gateway, &screen, json).await;
            gateway.audit().finish().await;
            ended
        });
        // A read of standard input cannot be taken back; it must not hold up the exit.
        runtime.shutdown_background();
        ended
    }
}

impl Command {
    async fn run(self, gateway: &Arc<Gateway>, screen: &Screen, json: bool) -> Result<ExitCode> {
        match self {
            Self::Serve => serve::run(gateway, screen).await,
            Self::Check(check) => check.run(gateway, screen, json).await,
            Self::Hosts => hosts::run(gateway, screen, json).await,
            Self::Tools(tools) => tools.run(gateway, screen, json),
            Self::Call(call) => call.run(gateway, screen, json).await,
            Self::Audit(audit) => audit.run(gateway, screen, json).await,
            Self::Approve(approve) => approve.run(gateway.config(), screen, json),
            Self::ProxyConfig(proxy_config) => proxy_config.run(gateway, screen, json),
        }
    }
}

impl Settings {
    fn flags(self) -> Flags {
        let Self { hosts, config, mode, deny, toolsets, .. } = self;
        Flags { hosts, config, mode, deny, toolsets }
    }
}

/// Tells an error to the person, with the hint and the detail that agents do not get; answers the exit code.
#[must_use]
pub fn report(error: &Error) -> ExitCode {
    Screen::new(&process::environment()).report(error);
    ExitCode::from(if error.kind() == Kind::Config { WRONG } else { FAILED })
}

/// The same error as one of the command line.
fn usage(error: &Error) -> Error {
    let usage = Error::config(error.message());
    match error.hint_text() {
        Some(hint) => usage.hint(hint),
        None => usage,
    }
}

fn exit(failed: bool) -> ExitCode {
    if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}
