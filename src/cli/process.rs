//! What the process inherits and sets for itself: the environment, the log, the limit of open files.

mod container;

use std::{env, fmt as text, fs, io, panic, path::PathBuf};

use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{Uid, User},
};
use tracing::{
    Level,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    filter::filter_fn,
    fmt::{
        self,
        format::{FormatFields, Writer},
    },
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::screen::Screen;
use crate::{
    config::Environment,
    error::{Error, Result},
    redact,
};

/// Libraries whose lines beyond these levels carry what passes through them: bodies, keys, arguments.
const TALKATIVE: [(&str, Level); 3] = [("bollard", Level::INFO), ("russh", Level::WARN), ("rmcp", Level::INFO)];

/// The one snapshot of what the process was started with.
pub(super) fn environment() -> Environment {
    let account = User::from_uid(Uid::current()).ok().flatten();
    let variables =
        env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let home = env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    Environment {
        variables: variables.collect(),
        home: home.or_else(|| account.as_ref().map(|account| account.dir.clone())),
        user: account.map(|account| account.name),
        working_directory: env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        container: own_container(),
    }
}

/// The container that this process runs in; on other systems than Linux there is nothing to read.
fn own_container() -> Option<String> {
    let read = |name: &str| {
        let bytes = fs::read(format!("/proc/self/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    container::of(&read("cgroup"), &read("mountinfo"))
}

/// Starts the log on standard error.
///
/// # Errors
/// `config` for a filter that cannot be read.
pub(super) fn log(verbose: u8, quiet: bool, environment: &Environment, screen: &Screen) -> Result<()> {
    let filter = match (verbose, environment.get("QUAYMASTER_LOG")) {
        (0, Some(filter)) => filter,
        // A command for people says itself what went wrong.
        (0, None) if quiet => "error",
        (0, None) => "warn",
        (1, _) => "info",
        (2, _) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Error::config(format!("QUAYMASTER_LOG: {error}"))
            .hint("write error, warn, info, debug or trace, or such as \"quaymaster=debug\"")
    })?;
    tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(|metadata| may_be_logged(metadata.target(), *metadata.level())))
        .with(fmt::layer().fmt_fields(Masked).with_writer(io::stderr).with_ansi(screen.err.colour))
        .try_init()
        .map_err(|error| Error::internal("the log cannot be started").detail(error.to_string()))?;
    // What a panic says may be somebody's text too.
    panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

/// Every field of a line as it may be shown, the message among them; what the log itself adds, its colours
/// included, stays.
struct Masked;

impl<'writer> FormatFields<'writer> for Masked {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> text::Result {
        let mut line = Line { writer, begun: false, outcome: Ok(()) };
        fields.record(&mut line);
        line.outcome
    }
}

/// The fields of one line.
struct Line<'writer> {
    writer: Writer<'writer>,
    begun: bool,
    outcome: text::Result,
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn text::Debug) {
        let value = format!("{value:?}");
        let shown = match field.name() {
            "message" => redact::shown(&value),
            // The old `log` library's own, which say where and not what.
            name if name.starts_with("log.") => return,
            // Together, for a name may tell what its value is.
            name => redact::shown(&format!("{name}={value}")),
        };
        // One event is one line, whoever wrote it.
        let shown = shown.trim_end().replace('\n', " ");
        let blank = if std::mem::replace(&mut self.begun, true) { " " } else { "" };
        self.outcome = self.outcome.and_then(|()| write!(self.writer, "{blank}{shown}"));
    }
}

/// Whatever the filter says.
fn may_be_logged(target: &str, level: Level) -> bool {
    TALKATIVE.iter().all(|(library, most)| {
        let own = target.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '_', '-']));
        !own || level <= *most
    })
}

/// Raises the limit of open files to the hard one: a fleet is many connections.
pub(super) fn raise_limit_of_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(ansi: bool, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = fmt::layer().fmt_fields(Masked).with_writer(move || writer.clone()).with_ansi(ansi).without_time();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn foreign_text_is_masked_and_our_colours_stay() {
        let token = format!("ghp_{}", "0123456789abcdefghijABCDEFGHIJ123456");
        let hostile = format!("\u{1b}[2Jremote said {token}\nERROR a line of its own\u{202e}");
        let log = || {
            let _entered = tracing::info_span!("call", tool = "\u{1b}[31mx").entered();
            tracing::warn!(host = %"prod", detail = ?hostile, "{hostile}");
        };
        let plain = logged(false, log);
        assert_eq!(plain.lines().count(), 1, "{plain}");
        assert!(plain.contains("WARN") && plain.contains("remote said") && plain.contains("host=prod"), "{plain}");
        assert!(!plain.contains('\u{1b}') && !plain.contains('\u{202e}'), "{plain}");
        let coloured = logged(true, log);
        assert!(coloured.contains("\u{1b}[33m WARN\u{1b}[0m"), "{coloured:?}");
        assert!(!coloured.contains("\u{1b}[2J") && !coloured.contains("\u{1b}[31m"), "{coloured:?}");
        assert!(!plain.contains(&token) && !coloured.contains(&token), "{plain}");
    }

    #[test]
    fn lines_that_carry_payloads_are_never_logged() {
        for target in ["bollard::uri", "bollard", "russh::client", "russh_util::runtime", "rmcp::service"] {
            assert!(!may_be_logged(target, Level::DEBUG), "{target}");
            assert!(!may_be_logged(target, Level::TRACE), "{target}");
            assert!(may_be_logged(target, Level::WARN), "{target}");
        }
        assert!(!may_be_logged("russh", Level::INFO));
        assert!(may_be_logged("quaymaster::docker", Level::TRACE));
        assert!(may_be_logged("bollardic", Level::TRACE));
    }
}
