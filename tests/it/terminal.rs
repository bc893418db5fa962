//! A pseudo terminal with a person at it, in front of the real binary.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::openpty,
    sys::termios::{LocalFlags, tcgetattr},
};

/// A program on a terminal of its own.
pub(crate) struct Session {
    child: Child,
    screen: File,
    // Held open, so that what the program has left there can be looked at after its end.
    line: OwnedFd,
    seen: String,
    read: usize,
}

impl Session {
    /// Starts a command; its environment and directory are kept, its streams are the terminal.
    pub(crate) fn new(command: &Command) -> Self {
        Self::typed_ahead(command, "")
    }

    /// Starts a command on a terminal where somebody has typed already.
    pub(crate) fn typed_ahead(command: &Command, text: &str) -> Self {
        let pty = openpty(None, None).unwrap();
        let mut screen = File::from(pty.master);
        screen.write_all(text.as_bytes()).unwrap();
        let stream = || Stdio::from(pty.slave.try_clone().unwrap());
        // It makes the terminal the controlling one.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args());
        session.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            session.current_dir(directory);
        }
        let child = session.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        Self { child, screen, line: pty.slave, seen: String::new(), read: 0 }
    }

    /// Waits until the terminal shows a text, beyond what was waited for before.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> &mut Self {
        let started = Instant::now();
        loop {
            if let Some(place) = self.seen[self.read..].find(text) {
                self.read += place + text.len();
                return self;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{text:?} was not shown: {:?}", self.seen);
            self.look();
        }
    }

    /// Types.
    pub(crate) fn types(&mut self, text: &str) -> &mut Self {
        self.screen.write_all(text.as_bytes()).unwrap();
        self
    }

    /// Whether what is typed is shown by the terminal itself, and Ctrl-C interrupts: as a shell wants it.
    pub(crate) fn is_as_before(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG)
    }

    /// Waits for the end; answers the exit code and all that was shown.
    #[track_caller]
    pub(crate) fn ends(mut self, code: i32) -> String {
        let started = Instant::now();
        let status = loop {
            self.look();
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it does not end: {:?}", self.seen);
        };
        self.look();
        assert_eq!(status.code(), Some(code), "{}", self.seen);
        assert!(self.is_as_before(), "the terminal was not given back: {}", self.seen);
        self.seen.clone()
    }

    /// Reads what is there, for a moment.
    fn look(&mut self) {
        let mut ready = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
        while poll(&mut ready, PollTimeout::from(50_u8)).unwrap() > 0 {
            let mut bytes = [0; 4096];
            let Ok(read) = (&self.screen).read(&mut bytes) else { return };
            if read == 0 {
                return;
            }
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
