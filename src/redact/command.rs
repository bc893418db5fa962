//! Command lines: the values of flags that take secrets, as lists of words and as one text.

use super::{
    instruction, marks,
    names::{self, Reveal},
    shapes,
};

/// How deep a script is looked for in the word of another.
const DEEPEST: usize = 4;

/// Told every value that is masked.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&str);

/// Programs whose short flags take secrets, and which; `+` says that the value follows in the same word only.
const PROGRAMS: [(&str, &[&str]); 19] = [
    ("mysql", &["-p+"]),
    ("mariadb", &["-p+"]),
    ("7z", &["-p+"]),
    ("sshpass", &["-p"]),
    ("mongo", &["-p"]),
    ("redis-cli", &["-a"]),
    ("valkey-cli", &["-a"]),
    ("curl", &["-u:", "-U:", "--user:", "--proxy-user:", "-b"]),
    ("wget", &[]),
    ("ldap", &["-w"]),
    ("mosquitto_", &["-P"]),
    ("sqlcmd", &["-P"]),
    ("bcp", &["-P"]),
    ("zip", &["-P"]),
    ("unzip", &["-P"]),
    ("smbclient", &["-U%"]),
    ("lftp", &["-u,"]),
    ("influx", &["-t", "-p"]),
    ("openssl", &["-k", "-K"]),
];

/// Flags whose value is `user:password`, whatever the program.
const PAIRS: [&str; 6] = ["proxy-user", "basic-auth", "http-auth", "userpass", "user-pass", "web.auth"];

/// What the next word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Anything,
    Secret,
    /// A user, this character, a secret.
    Pair(char),
    /// So many words, then a secret.
    After(usize),
}

/// One command line, word by word.
pub(super) struct Words<'s> {
    sink: Sink<'s>,
    flags: &'static [&'static str],
    awaited: Awaited,
    may_log_in: bool,
    is_shadow: bool,
    depth: usize,
}

impl<'s> Words<'s> {
    pub(super) fn new(sink: Sink<'s>) -> Self {
        Self { sink, flags: &[], awaited: Awaited::Anything, may_log_in: false, is_shadow: false, depth: 0 }
    }

    /// The word as it may be shown, where that is another one.
    pub(super) fn next(&mut self, word: &str) -> Option<String> {
        let changed = self.judged(word);
        let shown = changed.as_deref().unwrap_or(word);
        match shapes::hide(shown) {
            (std::borrow::Cow::Owned(hidden), _) => Some(hidden),
            _ => changed,
        }
    }

    /// A whole command line instead of a word.
    pub(super) fn whole(&mut self, text: &str) -> Option<String> {
        line(text, self.sink)
    }

    /// A build instruction instead of a word.
    pub(super) fn instruction(&mut self, text: &str, reveal: &Reveal) -> Option<String> {
        instruction::shown(text, reveal, self.sink)
    }

    /// Notes a word that is shown as it is.
    pub(super) fn note(&mut self, word: &str) {
        self.judged(word);
    }

    fn judged(&mut self, word: &str) -> Option<String> {
        let (front, core, back) = core(word);
        let is_flag = core.len() > 1 && core.starts_with('-') && !core.starts_with("-----");
        let awaited = std::mem::replace(&mut self.awaited, Awaited::Anything);
        match awaited {
            Awaited::Secret if !is_flag => return self.hidden(core).map(|mark| format!("{front}{mark}{back}")),
            Awaited::Pair(sign) if !is_flag => {
                let (user, secret) = core.split_once(sign)?;
                return self.hidden(secret).map(|mark| format!("{front}{user}{sign}{mark}{back}"));
            }
            Awaited::After(0) => return self.hidden(core).map(|mark| format!("{front}{mark}{back}")),
            Awaited::After(more) => {
                self.awaited = Awaited::After(more - 1);
                return None;
            }
            _ => {}
        }
        if matches!(word, "&&" | "||" | "|" | ";" | "&" | "then" | "do" | "exec") {
            (self.flags, self.may_log_in, self.is_shadow) = (&[], false, false);
            return None;
        }
        if core.contains(char::is_whitespace) {
            if self.depth >= DEEPEST {
                return None;
            }
            return script(core, self.sink, self.depth + 1).map(|shown| format!("{front}{shown}{back}"));
        }
        if is_flag {
            return self.flag(core).map(|shown| format!("{front}{shown}{back}"));
        }
        if let Some((name, value)) = core.split_once('=') {
            let (open, inner, close) = unquoted(value);
            if (names::family(name).is_some() || names::flag_takes_secret(name)) && !is_reference(inner) {
                return self.hidden(inner).map(|mark| format!("{front}{name}={open}{mark}{close}{back}"));
            }
            return None;
        }
        self.bare(core);
        None
    }

    /// A word that is neither a flag nor an assignment: a program, or what announces a secret.
    fn bare(&mut self, word: &str) {
        let program = word.rsplit('/').next().unwrap_or(word);
        match program {
            "requirepass" | "masterauth" => self.awaited = Awaited::Secret,
            "add_user" | "change_password" => self.awaited = Awaited::After(1),
            "login" => self.may_log_in = true,
            "htpasswd" => self.is_shadow = true,
            _ => {
                let found = PROGRAMS.iter().find(|(name, _)| {
                    program == *name
                        || (program.starts_with(name)
                            && matches!(*name, "mysql" | "mariadb" | "mongo" | "ldap" | "mosquitto_" | "7z"))
                });
                if let Some((_, flags)) = found {
                    self.flags = flags;
                }
            }
        }
    }

    fn flag(&mut self, word: &str) -> Option<String> {
        let name = word.trim_start_matches('-');
        if let Some((name, value)) = name.split_once('=') {
            let (open, inner, close) = unquoted(value);
            let before = word.get(..word.len() - value.len())?;
            if names::flag_takes_secret(name) && !is_reference(inner) {
                return self.hidden(inner).map(|mark| format!("{before}{open}{mark}{close}"));
            }
            if PAIRS.contains(&name) || self.takes(&format!("--{name}")) == Some(Awaited::Pair(':')) {
                let (user, secret) = inner.split_once(':')?;
                return self.hidden(secret).map(|mark| format!("{before}{open}{user}:{mark}{close}"));
            }
            // `-e NAME=value` in one word is an assignment behind a letter.
            return None;
        }
        if names::flag_takes_secret(name) {
            self.awaited = Awaited::Secret;
            return None;
        }
        if PAIRS.contains(&name) {
            self.awaited = Awaited::Pair(':');
            return None;
        }
        if self.is_shadow && !word.starts_with("--") && name.contains('b') {
            // `htpasswd -nb user password`; with a file, one word more.
            self.awaited = Awaited::After(if name.contains('n') { 1 } else { 2 });
            return None;
        }
        if self.may_log_in && matches!(word, "-p" | "-t") {
            self.awaited = Awaited::Secret;
            return None;
        }
        if let Some(awaited) = self.takes(word) {
            self.awaited = awaited;
            return None;
        }
        // `-psecret`, `-uuser:secret`.
        let letter = word.get(..2).filter(|_| !word.starts_with("--"))?;
        let attached = self.flags.iter().find(|flag| flag.get(..2) == Some(letter) && flag.len() <= 3)?;
        let (open, value, close) = unquoted(word.get(2..)?);
        match attached.get(2..) {
            Some("" | "+") => self.hidden(value).map(|mark| format!("{letter}{open}{mark}{close}")),
            Some(sign) => {
                let (user, secret) = value.split_once(sign)?;
                self.hidden(secret).map(|mark| format!("{letter}{open}{user}{sign}{mark}{close}"))
            }
            None => None,
        }
    }

    /// What follows a flag of the program as a word of its own.
    fn takes(&self, word: &str) -> Option<Awaited> {
        self.flags.iter().find_map(|flag| {
            let sign = flag.strip_prefix(word)?;
            match sign {
                "" => Some(Awaited::Secret),
                ":" => Some(Awaited::Pair(':')),
                "%" => Some(Awaited::Pair('%')),
                "," => Some(Awaited::Pair(',')),
                _ => None,
            }
        })
    }

    fn hidden(&mut self, value: &str) -> Option<String> {
        if is_reference(value) {
            return None;
        }
        let mark = marks::cover(value)?;
        if marks::all(value).next().is_none() {
            (self.sink)(value);
        }
        Some(mark)
    }
}

/// A whole command line as one text.
pub(super) fn line(text: &str, sink: Sink<'_>) -> Option<String> {
    let changed = script(text, sink, 0);
    match shapes::hide(changed.as_deref().unwrap_or(text)) {
        (std::borrow::Cow::Owned(hidden), _) => Some(hidden),
        _ => changed,
    }
}

fn script(text: &str, sink: Sink<'_>, depth: usize) -> Option<String> {
    let mut words = Words { depth, ..Words::new(sink) };
    let mut shown: Option<String> = None;
    let mut done = 0;
    for (start, end) in split(text) {
        let word = text.get(start..end).unwrap_or_default();
        // A separator at the end of a word ends the command.
        let (word, ends) = match word.strip_suffix(';') {
            Some(word) => (word, true),
            None => (word, false),
        };
        if let Some(changed) = words.judged(word) {
            let shown = shown.get_or_insert_with(String::new);
            shown.push_str(text.get(done..start).unwrap_or_default());
            shown.push_str(&changed);
            done = start + word.len();
        }
        if ends {
            words.judged(";");
        }
    }
    let mut shown = shown?;
    shown.push_str(text.get(done..).unwrap_or_default());
    Some(shown)
}

/// The words of a text: blanks separate them outside of quotes, so do commas behind quotes; marks stay whole.
fn split(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(b' ');
    // A quote without a partner is a character.
    let mut lone = [false; 2];
    let mut words = Vec::new();
    let (mut at, mut start) = (0, None);
    while at < bytes.len() {
        match byte(at) {
            b' ' | b'\t' | b'\n' | b'\r' => {
                words.extend(start.take().map(|start| (start, at)));
                at += 1;
                continue;
            }
            sign @ (b'"' | b'\'') if !lone.get(usize::from(sign == b'"')).is_some_and(|lone| *lone) => {
                start.get_or_insert(at);
                match closing(bytes, at + 1, sign) {
                    Some(close) => {
                        at = close + 1;
                        if byte(at) == b',' {
                            words.extend(start.take().map(|start| (start, at)));
                            at += 1;
                        }
                        continue;
                    }
                    None => lone = if sign == b'"' { [lone[0], true] } else { [true, lone[1]] },
                }
            }
            b'\\' => {
                start.get_or_insert(at);
                at += 1 + text.get(at + 1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                continue;
            }
            b'<' => {
                start.get_or_insert(at);
                at = marks::end_at(text, at).unwrap_or(at + 1);
                continue;
            }
            _ => {}
        }
        start.get_or_insert(at);
        at += 1;
    }
    words.extend(start.map(|start| (start, bytes.len())));
    words
}

fn closing(bytes: &[u8], start: usize, sign: u8) -> Option<usize> {
    let mut escaped = false;
    for (offset, byte) in bytes.get(start..)?.iter().enumerate() {
        match *byte {
            _ if escaped => escaped = false,
            b'\\' if sign == b'"' => escaped = true,
            byte if byte == sign => return Some(start + offset),
            _ => {}
        }
    }
    None
}

/// A word without brackets and quotes around it, as lists are printed.
fn core(word: &str) -> (&str, &str, &str) {
    let open = word.len() - word.trim_start_matches(['[', '(', '{', '&']).len();
    let close = word.trim_end_matches([']', ')', ',']).len();
    // Where they are part of the word they stay; a password may end with one.
    let (open, close) = if open > 0 && open < close { (open, close) } else { (0, word.len()) };
    let inner = word.get(open..close).unwrap_or_default();
    let inner =
        if open == 0 && inner.starts_with(['"', '\'']) { inner.trim_end_matches([']', ')', ',', '}']) } else { inner };
    let (_, bare, _) = unquoted(inner);
    let start = open + usize::from(bare.len() < inner.len());
    (word.get(..start).unwrap_or_default(), bare, word.get(start + bare.len()..).unwrap_or_default())
}

/// What stands between the quotes.
fn unquoted(value: &str) -> (&str, &str, &str) {
    for sign in ["\"", "'"] {
        if let Some(inner) = value.strip_prefix(sign).and_then(|rest| rest.strip_suffix(sign)) {
            return (sign, inner, sign);
        }
    }
    ("", value, "")
}

/// Whether it says where the secret is, and is none.
fn is_reference(value: &str) -> bool {
    value.is_empty()
        || value.starts_with("${")
        || value.starts_with("$(")
        || value.starts_with("secret://")
        || value.starts_with("/run/secrets/")
        || value.strip_prefix('$').is_some_and(|name| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

#[cfg(test)]
mod tests;
