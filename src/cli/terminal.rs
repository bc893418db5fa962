//! The terminal that a person sits at: shows, and reads what is typed, seen or unseen.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    os::fd::AsFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr},
};

use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// How soon a reader hears that nobody waits for it any more, in milliseconds.
const TICK: u16 = 100;
/// The longest line that is taken, in bytes.
const LONGEST: usize = 1024;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const LINE_END: u8 = b'\n';
const RETURN: u8 = b'\r';
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// The controlling terminal, past whatever the standard streams lead to.
pub(super) struct Terminal {
    file: File,
    closed: AtomicBool,
    reading: Mutex<()>,
}

/// Whether what is typed is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echo {
    Shown,
    Hidden,
}

impl Terminal {
    /// The terminal, where a person can be taken to sit at it: standard input and error are one.
    pub(super) fn open() -> Option<Self> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self { file, closed: AtomicBool::new(false), reading: Mutex::default() })
    }

    /// Ends whatever is being asked, and asks nothing more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Closes it and waits until it is as it was: a process must not end before.
    pub(super) fn give_back(&self) {
        self.close();
        drop(self.reading.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Shows lines.
    ///
    /// # Errors
    /// `internal` when the terminal is gone: what was not shown cannot be approved.
    pub(super) fn show(&self, text: &str) -> Result<()> {
        let mut file = &self.file;
        file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(|error| gone(&error))
    }

    /// Asks for a line; `None` when the person leaves with Ctrl-C or Ctrl-D, or it is closed meanwhile.
    pub(super) fn line(&self, prompt: &str) -> Result<Option<String>> {
        self.read(prompt, Echo::Shown)
    }

    /// Asks for a line that is not shown.
    pub(super) fn hidden(&self, prompt: &str) -> Result<Option<Secret>> {
        Ok(self.read(prompt, Echo::Hidden)?.map(Secret::new))
    }

    /// Reads byte by byte, with the terminal's own signals off: so Ctrl-C is a byte like any other, and no
    /// signal can leave the terminal without its echo.
    fn read(&self, prompt: &str, echo: Echo) -> Result<Option<String>> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            return Ok(None);
        }
        let raw = Raw::new(&self.file)?;
        self.show(prompt)?;
        let line = self.typed(echo);
        drop(raw);
        self.show("\n")?;
        Ok(line?.and_then(|line| String::from_utf8(line).ok()))
    }

    fn typed(&self, echo: Echo) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        while !self.is_closed() {
            let mut waiting = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, PollTimeout::from(TICK)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(gone(&error.into())),
            }
            let mut byte = [0];
            match (&self.file).read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(gone(&error)),
            }
            let [byte] = byte;
            match byte {
                LINE_END | RETURN => return Ok(Some(line)),
                CTRL_C | CTRL_D => return Ok(None),
                CTRL_U => {
                    while rub_out(&mut line) {
                        self.echo(echo, b"\x08 \x08")?;
                    }
                }
                BACKSPACE | DELETE if rub_out(&mut line) => self.echo(echo, b"\x08 \x08")?,
                byte if byte >= b' ' && line.len() < LONGEST => {
                    line.push(byte);
                    self.echo(echo, &[byte])?;
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn echo(&self, echo: Echo, bytes: &[u8]) -> Result<()> {
        let mut file = &self.file;
        if echo == Echo::Shown { file.write_all(bytes).map_err(|error| gone(&error)) } else { Ok(()) }
    }
}

/// Takes the last character off; whether there was one.
fn rub_out(line: &mut Vec<u8>) -> bool {
    while let Some(byte) = line.pop() {
        // The bytes of a character after its first.
        if byte & 0xc0 != 0x80 {
            return true;
        }
    }
    false
}

/// A terminal that hands over every byte as it is typed; it is as before when this goes.
struct Raw<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Raw<'a> {
    fn new(terminal: &'a File) -> Result<Self> {
        let before = tcgetattr(terminal).map_err(|error| gone(&error.into()))?;
        let mut raw = before.clone();
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::IEXTEN);
        for (place, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            if let Some(character) = raw.control_chars.get_mut(place as usize) {
                *character = value;
            }
        }
        // This also drops what was typed before the question was seen: it is no answer to it.
        tcsetattr(terminal, SetArg::TCSAFLUSH, &raw).map_err(|error| gone(&error.into()))?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before).ok();
    }
}

fn gone(error: &io::Error) -> Error {
    Error::internal("the terminal cannot be used").detail(error.to_string())
}
