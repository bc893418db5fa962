//! Secrets that their own shape, or the words around them, give away in any text.
//!
//! One automaton looks for all anchors at once; only where it finds one, a closer look is taken.
//! Runs of characters that several anchors share are walked once, so the time is linear in the text.
//! There is no guess by entropy: what has no known shape and no name stays.

mod alphabet;
mod assigned;
mod fixed;
mod pem;
mod tokens;

use std::{borrow::Cow, sync::LazyLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::marks;
use alphabet::{Alphabet, Runs};
pub(super) use pem::{Block, closes, hide_body, is_body, opens};
use tokens::{TOKENS, Token};

/// What an anchor may be the sign of.
#[derive(Debug, Clone, Copy)]
enum Anchor {
    /// A token with a known beginning.
    Token(Token),
    /// A word that names a secret.
    Named,
    /// `://`, behind which credentials may stand.
    Address,
    /// The `Authorization` header.
    Authorization,
    /// A credential behind the word `Bearer`.
    Bearer,
    /// A header full of sessions.
    Cookie,
    /// JSON in base64.
    Jwt,
    /// The beginning of a block.
    Pem,
    /// The beginning of a Discord token: a number in base64.
    Discord,
    /// The middle of a Telegram token.
    Telegram,
    /// The end of a Mailchimp key.
    Mailchimp,
    /// The middle of a client secret of Azure.
    Azure,
    /// An address that is itself the secret, up to what comes after this.
    Hook,
    /// The signature of a shared address.
    Signature,
    /// A password in SQL.
    Sql,
}

/// A line with a secret in it is looked at again, but not for ever.
const ROUNDS: usize = 4;

struct Finder {
    automaton: AhoCorasick,
    anchors: Vec<Anchor>,
}

static FINDER: LazyLock<Finder> = LazyLock::new(|| {
    let mut patterns: Vec<String> = Vec::new();
    let mut anchors = Vec::new();
    let mut add = |pattern: String, anchor| {
        patterns.push(pattern);
        anchors.push(anchor);
    };
    for token in TOKENS {
        add(token.prefix.to_owned(), Anchor::Token(*token));
    }
    // Names are written in lower case, in capitals, or with one in front.
    for word in ["pass", "pwd", "secret", "token", "key", "credential"] {
        let capital: String = word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect();
        for spelling in [word.to_owned(), word.to_uppercase(), capital] {
            add(spelling, Anchor::Named);
        }
    }
    for spelling in ["uthorization", "UTHORIZATION"] {
        add(spelling.to_owned(), Anchor::Authorization);
    }
    for spelling in ["earer ", "EARER "] {
        add(spelling.to_owned(), Anchor::Bearer);
    }
    for spelling in ["ookie", "OOKIE"] {
        add(spelling.to_owned(), Anchor::Cookie);
    }
    for spelling in ["dentified by ", "DENTIFIED BY "] {
        add(spelling.to_owned(), Anchor::Sql);
    }
    // The first characters of every number of 17 digits and more in base64.
    for first in ["MT", "Mj", "Mz", "ND", "NT", "Nj", "Nz", "OD", "OT"] {
        for second in "AEIMQUYcgk".chars() {
            add(format!("{first}{second}"), Anchor::Discord);
        }
    }
    for hook in [
        "hooks.slack.com/services/",
        "hooks.slack.com/workflows/",
        "hooks.slack.com/triggers/",
        "/api/webhooks/",
        ".webhook.office.com/webhookb2/",
        "chat.googleapis.com/v1/spaces/",
        "api.telegram.org/bot",
    ] {
        add(hook.to_owned(), Anchor::Hook);
    }
    add("://".to_owned(), Anchor::Address);
    add("eyJ".to_owned(), Anchor::Jwt);
    add(pem::BEGIN.to_owned(), Anchor::Pem);
    add(":AA".to_owned(), Anchor::Telegram);
    add("-us".to_owned(), Anchor::Mailchimp);
    add("Q~".to_owned(), Anchor::Azure);
    add("sig=".to_owned(), Anchor::Signature);
    add("Signature=".to_owned(), Anchor::Signature);
    #[expect(clippy::expect_used, reason = "the patterns are constants, and every test builds them")]
    let automaton =
        AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(&patterns).expect("a small automaton is built");
    Finder { automaton, anchors }
});

/// Fewer characters have no shape, as long as there are only letters, digits, `_`, `-` and `.`.
const SHORTEST: usize = 14;

/// Whether a text is one short word, in which nothing can be a secret: most names of fields and most values.
pub(super) fn is_short_word(text: &str) -> bool {
    text.len() < SHORTEST && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// Masks them; also how many there were.
pub(super) fn hide(text: &str) -> (Cow<'_, str>, usize) {
    let spans = spans(text);
    if spans.is_empty() {
        return (Cow::Borrowed(text), 0);
    }
    let mut count = spans.len();
    let mut shown = String::with_capacity(text.len() + spans.len() * 16);
    let mut done = 0;
    let mut left = spans.as_slice();
    // Line by line: what stood next to a secret may show itself as one only when that is gone.
    while let Some((start, _)) = left.first() {
        let first =
            text.get(done..*start).and_then(|before| before.rfind('\n')).map_or(done, |offset| done + offset + 1);
        let end = text.get(*start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |offset| start + offset);
        let (here, after) = left.split_at(left.partition_point(|(start, _)| *start < end));
        let end = here.last().map_or(end, |(_, last)| end.max(*last));
        shown.push_str(text.get(done..first).unwrap_or_default());
        let mut line = covered(text, first, end, here);
        for _ in 1..ROUNDS {
            let more = self::spans(&line);
            if more.is_empty() {
                break;
            }
            count += more.len();
            line = covered(&line, 0, line.len(), &more);
        }
        shown.push_str(&line);
        (done, left) = (end, after);
    }
    shown.push_str(text.get(done..).unwrap_or_default());
    (Cow::Owned(shown), count)
}

/// A part of a text with marks over these spans.
fn covered(text: &str, from: usize, to: usize, spans: &[(usize, usize)]) -> String {
    let mut shown = String::with_capacity(to - from + spans.len() * 32);
    let mut done = from;
    for (start, end) in spans {
        shown.push_str(text.get(done..*start).unwrap_or_default());
        shown.push_str(&marks::mask(text.get(*start..*end).unwrap_or_default()));
        done = *end;
    }
    shown.push_str(text.get(done..to).unwrap_or_default());
    shown
}

/// Where they stand.
pub(super) fn spans(text: &str) -> Vec<(usize, usize)> {
    if is_short_word(text) || !has_anchor(text) { Vec::new() } else { find(text).spans }
}

/// Whether there is anything in a text that would be looked at more closely: without it there is no secret.
pub(super) fn has_anchor(text: &str) -> bool {
    FINDER.automaton.is_match(text)
}

fn find(text: &str) -> Scan<'_> {
    let finder = &*FINDER;
    let mut scan = Scan::new(text);
    for hit in finder.automaton.find_overlapping_iter(text) {
        let Some(anchor) = finder.anchors.get(hit.pattern().as_usize()) else { continue };
        if hit.end() <= scan.floor {
            continue;
        }
        scan.look(*anchor, hit.start(), hit.end());
    }
    scan
}

/// One pass over a text.
struct Scan<'t> {
    text: &'t str,
    bytes: &'t [u8],
    /// Marks that stand in the text already; none is looked for before the first anchor.
    marks: Option<Vec<(usize, usize)>>,
    /// Up to here it is decided; what comes after is looked at as if it stood at the beginning.
    floor: usize,
    spans: Vec<(usize, usize)>,
    runs: Runs,
    /// The last `@` of an address that ends there.
    last_at: (usize, Option<usize>),
    /// The first end of a block at or after the first number; that none comes is remembered too.
    next_end: Option<(usize, Option<usize>)>,
    /// The line and the unquoted value that were last walked through.
    line: (usize, usize),
    value: (usize, usize),
    #[cfg(test)]
    steps: std::cell::Cell<usize>,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            marks: None,
            floor: 0,
            spans: Vec::new(),
            runs: Runs::default(),
            last_at: (0, None),
            next_end: None,
            line: (0, 0),
            value: (0, 0),
            #[cfg(test)]
            steps: std::cell::Cell::default(),
        }
    }

    fn look(&mut self, anchor: Anchor, start: usize, end: usize) {
        let found = match anchor {
            Anchor::Token(token) => self.token(token, start, end),
            Anchor::Named => self.named(start, end),
            Anchor::Address => self.address(start, end),
            Anchor::Authorization => self.authorization(end),
            Anchor::Bearer => self.bearer(end),
            Anchor::Cookie => self.cookie(end),
            Anchor::Jwt => self.jwt(start),
            Anchor::Discord => self.discord(start),
            Anchor::Telegram => self.telegram(start, end),
            Anchor::Mailchimp => self.mailchimp(start, end),
            Anchor::Azure => self.azure(start, end),
            Anchor::Hook => self.hook(end),
            Anchor::Signature => self.signature(start, end),
            Anchor::Sql => self.sql(end),
            Anchor::Pem => {
                self.pem(end);
                None
            }
        };
        if let Some((start, end)) = found {
            self.take(start, end);
        }
    }

    /// Masks a part, as far as it is neither decided nor a mark.
    fn take(&mut self, start: usize, end: usize) {
        let start = start.max(self.floor);
        let end = self.clip(start, end);
        if start < end && self.text.is_char_boundary(start) && self.text.is_char_boundary(end) {
            self.spans.push((start, end));
            self.floor = end;
        }
    }

    /// The end of what begins at `start`, before the next mark.
    fn clip(&mut self, start: usize, end: usize) -> usize {
        let text = self.text;
        let marks = self.marks.get_or_insert_with(|| marks::all(text).collect());
        let next = marks.partition_point(|(_, mark_end)| *mark_end <= start);
        marks.get(next).map_or(end, |(mark, _)| end.min((*mark).max(start)))
    }

    /// A byte; a line end where the text has none.
    fn at(&self, position: usize) -> u8 {
        self.bytes.get(position).copied().unwrap_or(b'\n')
    }

    /// The byte in front; none where the text, or what is not decided of it, begins.
    fn before(&self, position: usize) -> Option<u8> {
        (position > self.floor).then(|| self.at(position - 1))
    }

    fn run(&mut self, alphabet: Alphabet, start: usize) -> usize {
        self.runs.end(alphabet, self.bytes, start)
    }

    /// Whether a word begins here: at the beginning, behind what is no letter, behind `\n` or `%20`.
    fn begins_word(&self, position: usize) -> bool {
        let Some(last) = self.before(position) else { return true };
        if !last.is_ascii_alphanumeric() {
            return true;
        }
        let two = position.checked_sub(2).filter(|two| *two >= self.floor).map(|two| self.at(two));
        let three = position.checked_sub(3).filter(|three| *three >= self.floor).map(|three| self.at(three));
        (two == Some(b'\\') && matches!(last, b'n' | b'r' | b't'))
            || (three == Some(b'%') && last.is_ascii_hexdigit() && two.is_some_and(|two| two.is_ascii_hexdigit()))
    }

    fn skip(&self, mut position: usize, most: usize, is_skipped: impl Fn(u8) -> bool) -> usize {
        let end = position + most;
        while position < end && position < self.bytes.len() && is_skipped(self.at(position)) {
            position += 1;
        }
        self.walked(most.min(position + most - end));
        position
    }

    /// The end of the line.
    fn line_end(&mut self, start: usize) -> usize {
        if !(self.line.0..self.line.1).contains(&start) {
            let rest = self.text.get(start..).unwrap_or_default();
            let length = rest.find('\n').unwrap_or(rest.len());
            self.walked(length);
            self.line = (start, start + length);
        }
        self.line.1
    }

    /// Counts the characters that were looked at, for the test that no text is slow.
    #[cfg(test)]
    fn walked(&self, count: usize) {
        self.steps.set(self.steps.get() + count);
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "only tests count")]
    const fn walked(&self, _: usize) {}
}

#[cfg(test)]
mod tests;
