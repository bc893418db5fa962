//! `approve`: shows a call that waits for a person, whole, and lets it pass once; for nobody but a person.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;

use super::{Screen, screen::Cell, terminal::Terminal, usage};
use crate::{
    config::Config,
    error::{Error, Result},
    gateway::confirm::{
        passphrase::{Key, Verifier},
        sheet::visible,
        ticket::Ticket,
        tickets::{LIFE, Tickets, Waiting},
    },
};

/// How often a passphrase may be typed.
const ATTEMPTS: usize = 3;

/// What `approve` takes: one of these.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Approve {
    /// The ticket that the call was answered with, such as 7KQ2-M0XD
    ticket: Option<String>,
    /// Shows which calls wait
    #[arg(long)]
    list: bool,
    /// Shows a call that waits, whole
    #[arg(long, value_name = "TICKET")]
    show: Option<String>,
    /// Says no to a call that waits
    #[arg(long, value_name = "TICKET")]
    reject: Option<String>,
    /// Makes the line of the configuration by which approvals need a passphrase
    #[arg(long)]
    passphrase: bool,
}

impl Approve {
    /// Does it with the configuration alone: no daemon has a say in it.
    pub(super) fn run(self, config: &Config, screen: &Screen, json: bool) -> Result<ExitCode> {
        let ticket = |text: &str| Ticket::parse(text).map_err(|error| usage(&error));
        match self {
            Self { passphrase: true, .. } => make(screen)?,
            Self { list: true, .. } => list(&tickets(config)?.waiting()?, screen, json)?,
            Self { show: Some(text), .. } => show(&tickets(config)?.find(&ticket(&text)?)?, screen, json)?,
            Self { reject: Some(text), .. } => {
                let ticket = ticket(&text)?;
                tickets(config)?.reject(&ticket)?;
                screen.print(&format!("{ticket} is rejected; the same call is not asked about again for a minute"))?;
            }
            Self { ticket: Some(text), .. } => {
                let (tickets, terminal) = (tickets(config)?, terminal()?);
                approve(&tickets, &tickets.find(&ticket(&text)?)?, config, &terminal)?;
            }
            Self { .. } => return Err(Error::config("which ticket?").hint("quaymaster approve --list shows them")),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tickets(config: &Config) -> Result<Tickets> {
    config.state.clone().map(Tickets::new).ok_or_else(|| {
        Error::config("there is no state directory, and so no approvals")
            .hint("set \"state\" in the configuration, or XDG_STATE_HOME")
    })
}

fn terminal() -> Result<Terminal> {
    Terminal::open().ok_or_else(|| {
        Error::config("an approval needs a person at a terminal, and this is none")
            .hint("run the command yourself, without a pipe, on the machine of the gateway")
    })
}

fn approve(tickets: &Tickets, waiting: &Waiting, config: &Config, terminal: &Terminal) -> Result<()> {
    let Waiting { ticket, age, sheet, .. } = waiting;
    let verifier = verifier(config)?;
    terminal.show(&format!("{ticket}, waiting for {}\n\n{}\n", span(*age), sheet.text()))?;
    let typed = terminal.line("Type the name of the host to allow it once: ")?;
    if typed.as_deref().map(str::trim) != Some(sheet.host.as_str()) {
        return Err(Error::denied("that is not the name of the host: nothing is approved")
            .hint(format!("the ticket still waits; \"quaymaster approve --reject {ticket}\" says no")));
    }
    let key = verifier.map(|verifier| unlock(&verifier, terminal)).transpose()?;
    tickets.approve(waiting, key.as_ref())?;
    terminal.show(&format!("approved: this call may be made once within {}\n", span(LIFE)))
}

/// What recognises the passphrase, where one is set.
pub(super) fn verifier(config: &Config) -> Result<Option<Verifier>> {
    config.approval_passphrase.as_deref().map(Verifier::parse).transpose()
}

/// Asks for the passphrase; its key is the proof that it was typed.
pub(super) fn unlock(verifier: &Verifier, terminal: &Terminal) -> Result<Key> {
    for _ in 0..ATTEMPTS {
        let Some(typed) = terminal.hidden("Passphrase: ")? else { break };
        if let Some(key) = verifier.unlock(&typed)? {
            return Ok(key);
        }
        terminal.show("that is not the passphrase\n")?;
    }
    Err(Error::denied("the passphrase was not given: nothing is approved").hint("the ticket still waits"))
}

fn make(screen: &Screen) -> Result<()> {
    let terminal = terminal()?;
    let given_up = || Error::denied("no passphrase was given: nothing is made");
    let first = terminal.hidden("New passphrase for approvals: ")?.ok_or_else(given_up)?;
    let verifier = Verifier::new(&first)?;
    let second = terminal.hidden("The same again: ")?.ok_or_else(given_up)?;
    if first != second {
        return Err(Error::denied("these are two different passphrases: nothing is made").hint("try it again"));
    }
    terminal.show("Put this line into the configuration file, above its first [[host]], and restart the gateway:\n")?;
    screen.print(&format!("approval_passphrase = \"{verifier}\""))
}

fn list(waiting: &[Waiting], screen: &Screen, json: bool) -> Result<()> {
    if json {
        let rows: Vec<_> = waiting.iter().map(data).collect();
        return screen.print_json(&rows);
    }
    if waiting.is_empty() {
        return screen.print("no call waits for an approval");
    }
    let row = |waiting: &Waiting| -> Vec<Cell> {
        let Waiting { ticket, age, sheet, .. } = waiting;
        let texts = [&sheet.principal, &sheet.host, &sheet.tool, &sheet.reasons.join("; ")].map(|text| visible(text));
        let texts = texts.into_iter().map(Cell::from);
        [ticket.as_str().into(), span(*age).into()].into_iter().chain(texts).collect()
    };
    let rows: Vec<Vec<Cell>> = waiting.iter().map(row).collect();
    screen.print(&screen.table(&["TICKET", "WAITING", "ASKED BY", "HOST", "TOOL", "WHY"], &rows))
}

fn show(waiting: &Waiting, screen: &Screen, json: bool) -> Result<()> {
    if json {
        return screen.print_json(&data(waiting));
    }
    screen.print(&format!("{}, waiting for {}\n\n{}", waiting.ticket, span(waiting.age), waiting.sheet.text()))
}

fn data(waiting: &Waiting) -> serde_json::Value {
    json!({"ticket": waiting.ticket, "seconds": waiting.age.as_secs(), "call": waiting.sheet})
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}
