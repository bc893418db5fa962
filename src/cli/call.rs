//! `call`: any tool from the shell, through the same gateway and the same limits as an agent.

mod arguments;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::ctrl_c;
use tokio_util::sync::CancellationToken;

use super::{Screen, approve, screen::Stream, terminal::Terminal, usage};
use crate::{
    error::{Error, Result},
    gateway::{
        Failure, Gateway, Request,
        confirm::{Form, Reply, Voice, passphrase::Verifier},
    },
    tool::{Answer, Progress},
};

/// How long what was sent and must not be cut off may go on after Ctrl-C.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What `call` takes.
#[derive(Args)]
pub(super) struct Call {
    /// The tool's name; "quaymaster tools" shows them
    tool: String,
    /// Its arguments: host=prod tail=50 containers=web containers=db env=A=1; lists and objects also as JSON
    #[arg(value_name = "KEY=VALUE")]
    arguments: Vec<String>,
}

impl Call {
    pub(super) async fn run(self, gateway: &Arc<Gateway>, screen: &Screen, json: bool) -> Result<ExitCode> {
        let entry = gateway.catalogue().find(&self.tool).map_err(|error| usage(&error))?;
        let schema = entry.input_schema(gateway.config());
        let arguments = arguments::parse(&self.arguments, &schema).map_err(|error| usage(&error))?;
        let line = Arc::new(ProgressLine { stream: screen.err, shown: AtomicBool::new(false) });
        let terminal = Terminal::open().map(Arc::new);
        let verifier = approve::verifier(gateway.config())?;
        let cancelled = CancellationToken::new();
        tokio::spawn(cancel_on_interrupt(cancelled.clone()));
        let request = Request {
            tool: self.tool,
            arguments,
            caller: gateway.caller("command line"),
            voice: terminal.as_ref().map_or(Voice::Silent, |terminal| voice(terminal, screen.err, verifier)),
            progress: {
                let line = line.clone();
                Arc::new(move |progress| line.show(&progress))
            },
            cancelled: cancelled.clone(),
            // A job would end with this process.
            patience: None,
        };
        let answer = gateway.call(request).await;
        line.clear();
        if let Some(terminal) = terminal {
            terminal.give_back();
        }
        if cancelled.is_cancelled() {
            tokio::select! {
                () = gateway.settle(LAST_WORDS) => {}
                _ = ctrl_c() => {}
            }
        }
        match answer {
            Ok(answer) => print(answer, screen, json).map(|()| ExitCode::SUCCESS),
            Err(Failure::UnknownTool(error)) => Err(usage(&error)),
            Err(Failure::Tool(error)) => Err(error),
            Err(Failure::Asked { .. }) => Err(Error::internal("a question came back as an answer")),
        }
    }
}

fn print(answer: Answer, screen: &Screen, json: bool) -> Result<()> {
    if json {
        return screen.print_json(&answer.structured.map_or_else(|| json!({"text": answer.text}), Value::Object));
    }
    screen.print(&screen.out.show(&answer.text))
}

async fn cancel_on_interrupt(cancelled: CancellationToken) {
    if ctrl_c().await.is_ok() {
        cancelled.cancel();
    }
}

/// Asks on the terminal, which the person sits at who makes the call.
fn voice(terminal: &Arc<Terminal>, stream: Stream, verifier: Option<Verifier>) -> Voice {
    let terminal = terminal.clone();
    Voice::Live(Arc::new(move |form| {
        let (terminal, verifier) = (terminal.clone(), verifier.clone());
        Box::pin(async move {
            // Dropped when nobody waits for the answer any more.
            let _closing = Closing(terminal.clone());
            let asked = tokio::task::spawn_blocking(move || ask(&terminal, stream, &form, verifier.as_ref())).await;
            asked.unwrap_or(Reply::Unheard)
        })
    }))
}

fn ask(terminal: &Terminal, stream: Stream, form: &Form, verifier: Option<&Verifier>) -> Reply {
    match terminal.line(&format!("{}\n\nHost: ", stream.show(&form.message))) {
        Ok(Some(host)) => {
            // A terminal is easily made; the passphrase is what tells a person from an agent with a shell.
            let is_right = host.trim() == form.host;
            match verifier.filter(|_| is_right).map(|verifier| approve::unlock(verifier, terminal)) {
                Some(Err(_)) => Reply::Dismissed,
                Some(Ok(_)) | None => Reply::Accepted { host },
            }
        }
        Ok(None) if !terminal.is_closed() => Reply::Dismissed,
        Ok(None) | Err(_) => Reply::Unheard,
    }
}

/// Closes a terminal when it goes.
struct Closing(Arc<Terminal>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// One line on a terminal that is written over.
struct ProgressLine {
    stream: Stream,
    shown: AtomicBool,
}

impl ProgressLine {
    fn show(&self, progress: &Progress) {
        if !self.stream.terminal {
            return;
        }
        let so_far = match progress.total {
            Some(total) if total > 0.0 => format!(" {:.0} %", (progress.done / total * 100.0).clamp(0.0, 100.0)),
            _ => String::new(),
        };
        let message: String = progress.message.replace('\n', " ").chars().take(70).collect();
        self.shown.store(true, Ordering::Relaxed);
        write!(io::stderr(), "\r\u{1b}[K{}{so_far}", self.stream.show(&message)).ok();
    }

    fn clear(&self) {
        if self.shown.swap(false, Ordering::Relaxed) {
            write!(io::stderr(), "\r\u{1b}[K").ok();
        }
    }
}
