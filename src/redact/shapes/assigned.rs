//! Secrets that the words around them give away: assignments, headers, addresses with credentials.

use super::{Alphabet, Scan};
use crate::redact::names::{self, Family};

type Span = Option<(usize, usize)>;

/// What stands between a name and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `=`, `:=`, `=>`: a value follows, whatever it looks like.
    Equals,
    /// `:`: a value or a sentence.
    Colon,
    /// A blank, behind a flag.
    Blank,
}

/// Where a value begins, and what it is quoted with: the character, and how many backslashes stand before it.
struct Place {
    separator: Separator,
    /// Whether blanks or quotes set the value off.
    is_apart: bool,
    start: usize,
    quote: Option<(u8, usize)>,
}

/// What an `Authorization` header begins with.
const SCHEMES: [&str; 17] = [
    "bearer",
    "basic",
    "token",
    "digest",
    "negotiate",
    "ntlm",
    "apikey",
    "key",
    "oauth",
    "dpop",
    "bot",
    "jwt",
    "sharedkey",
    "sharedkeylite",
    "hawk",
    "geniekey",
    "aws4-hmac-sha256",
];

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

impl Scan<'_> {
    /// `NAME=value`, `"name": "value"`, `name: value`, `--name value`, `<name>value</name>`.
    pub(super) fn named(&mut self, start: usize, end: usize) -> Span {
        let stop = self.skip(end, 24, is_name);
        let sign = self.skip(stop, 4, is_blank);
        // Most words are followed by another word: that is seen before the name is looked at.
        let may_assign = matches!(self.at(sign), b'=' | b':' | b'"' | b'\'' | b'`' | b'\\' | b'%' | b'>' | b'B' | b'b');
        if is_name(self.at(stop)) || (sign == stop && !may_assign) {
            return None;
        }
        let begin = self.name_start(start, 48);
        if !may_assign && self.at(begin) != b'-' {
            return None;
        }
        let mut name = self.text.get(begin..stop)?;
        if name.eq_ignore_ascii_case("key") && self.before(begin) == Some(b' ') {
            name = self.text.get(self.name_start(begin - 1, 16)..stop)?;
        }
        let family = names::family(name)?;
        if self.at(stop) == b'>' && self.before(begin) == Some(b'<') {
            let value = self.skip(stop + 1, 4096, |byte| !matches!(byte, b'<' | b'\n'));
            let closes = self.at(value) == b'<' && self.at(value + 1) == b'/';
            return if closes { self.valued(stop + 1, value, family, true) } else { None };
        }
        let place = self.place(stop, name.starts_with('-'), family)?;
        if let Some((quote, slashes)) = place.quote {
            return self.valued(place.start, self.closing(place.start, quote, slashes), family, true);
        }
        let first = self.at(place.start);
        if place.separator != Separator::Equals {
            let is_header = name.starts_with(['x', 'X']);
            let is_path = first == b'/' || self.at(place.start + 1) == b'/';
            // The last part of an image's reference, and its tag.
            let is_tag = place.separator == Separator::Colon && !place.is_apart && self.before(begin) == Some(b'/');
            if matches!(first, b'{' | b'[')
                || is_tag
                || (!place.is_apart && !is_header && (family != Family::Password || is_path))
            {
                return None;
            }
        } else if place.is_apart && self.assigns(place.start) {
            // `PASSWORD= USER=me`: there is none.
            return None;
        }
        if is_reference(self.text.get(place.start..)?) {
            return None;
        }
        let stop = self.value_end(place.start);
        let value = self.text.get(place.start..stop)?;
        if place.separator != Separator::Equals {
            let is_sentence = is_blank(self.at(stop))
                && !matches!(self.at(stop + 1), b'\n' | b'\r')
                && value.bytes().all(|byte| byte.is_ascii_alphabetic() || byte >= 0x80);
            // `secret: db_password` is the name of one.
            let is_handle = name.eq_ignore_ascii_case("secret")
                && value.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.'));
            let is_flag = place.separator == Separator::Blank && first == b'-';
            if is_sentence || is_handle || is_flag || value.len() < 3 {
                return None;
            }
        }
        self.valued(place.start, stop, family, false)
    }

    /// Where a name begins of which a part begins at `start`.
    fn name_start(&self, start: usize, most: usize) -> usize {
        let mut begin = start;
        while start - begin < most && self.before(begin).is_some_and(|before| is_name(before) || before == b'.') {
            begin -= 1;
        }
        begin
    }

    /// Where the value of a name begins that ends at `end`.
    fn place(&self, end: usize, is_flag: bool, family: Family) -> Option<Place> {
        let slashes = self.skip(end, 8, |byte| byte == b'\\');
        let is_quoted = matches!(self.at(slashes), b'"' | b'\'' | b'`');
        let end = if is_quoted { slashes + 1 } else { end };
        let sign = self.skip(end, 4, is_blank);
        let next = self.at(sign + 1);
        let (separator, behind) = match self.at(sign) {
            b'=' if next == b'>' => (Separator::Equals, sign + 2),
            b'=' if matches!(next, b'=' | b'~') => return None,
            b'=' => (Separator::Equals, sign + 1),
            b':' if next == b'=' => (Separator::Equals, sign + 2),
            b':' if next == b':' => return None,
            b':' => (Separator::Colon, sign + 1),
            b'%' if next == b'3' && matches!(self.at(sign + 2), b'D' | b'd') => (Separator::Equals, sign + 3),
            _ if sign > end && is_flag => (Separator::Blank, sign),
            // `ALTER USER me PASSWORD 'value'`, `IDENTIFIED WITH some_password BY 'value'`.
            b'\'' if sign > end && family == Family::Password => (Separator::Equals, sign),
            b'B' | b'b' if sign > end && family == Family::Password && self.at(sign + 3) == b'\'' => {
                (Separator::Equals, sign + 3)
            }
            _ => return None,
        };
        Some(self.opened(separator, behind, sign > end || is_quoted))
    }

    fn opened(&self, separator: Separator, behind: usize, is_apart: bool) -> Place {
        let start = self.skip(behind, 8, is_blank);
        let quote = self.skip(start, 8, |byte| byte == b'\\');
        let slashes = quote - start;
        let is_apart = is_apart || start > behind;
        match self.at(quote) {
            sign @ (b'"' | b'\'' | b'`') => {
                Place { separator, is_apart: true, start: quote + 1, quote: Some((sign, slashes)) }
            }
            _ => Place { separator, is_apart, start, quote: None },
        }
    }

    /// Where a quoted value ends: at its quote, or with the line.
    fn closing(&self, start: usize, quote: u8, slashes: usize) -> usize {
        let mut run = 0;
        for (offset, byte) in self.bytes.get(start..).unwrap_or_default().iter().enumerate() {
            self.walked(1);
            match *byte {
                b'\\' => run += 1,
                b'\n' => return start + offset,
                byte => {
                    let is_end = byte == quote && if slashes == 0 { run % 2 == 0 } else { run <= slashes };
                    if is_end {
                        // The backslashes belong to the quote.
                        return start + offset - if slashes == 0 { 0 } else { run };
                    }
                    run = 0;
                }
            }
        }
        self.bytes.len()
    }

    /// Where an unquoted value ends: at a blank, a quote, a semicolon, or where the next assignment begins.
    fn value_end(&mut self, start: usize) -> usize {
        let limit = self.run(Alphabet::Value, start);
        let mut end = start;
        if (self.value.0..self.value.1).contains(&start) {
            end = self.value.1;
        }
        while end < limit && end != self.value.1 {
            self.walked(1);
            let is_end = match self.at(end) {
                b',' | b'&' => {
                    matches!(self.at(end + 1), b' ' | b'\t' | b'\n' | b'"' | b'\'' | b'}' | b']')
                        || self.assigns(end + 1)
                }
                b'%' => self.at(end + 1) == b'2' && self.at(end + 2) == b'6',
                _ => false,
            };
            if is_end {
                break;
            }
            end += 1;
        }
        self.value = (start, end);
        // Brackets that were opened in front of the name close behind the value.
        let is_bracketed = matches!(self.at(start), b'[' | b'{' | b'(');
        while end > start && !is_bracketed && matches!(self.at(end - 1), b')' | b']' | b'}' | b',' | b'\\' | b'.') {
            self.walked(1);
            end -= 1;
        }
        end
    }

    /// Whether `name=` begins here.
    fn assigns(&self, start: usize) -> bool {
        let end = self.skip(start, 32, |byte| is_name(byte) || byte == b'.');
        end > start && self.at(end) == b'='
    }

    /// A value, unless it is none; one with a mark in it has been decided.
    fn valued(&mut self, start: usize, end: usize, family: Family, is_quoted: bool) -> Span {
        let value = self.text.get(start..end)?;
        (self.clip(start, end) == end && !is_nothing(value, family, is_quoted)).then_some((start, end))
    }

    /// `scheme://user:password@host`: the password; without one the user, if it stands for one.
    pub(super) fn address(&mut self, start: usize, end: usize) -> Span {
        if !self.before(start)?.is_ascii_alphanumeric() || self.at(end) == b'[' {
            return None;
        }
        let limit = self.run(Alphabet::Url, end);
        let authority = self.skip(end, limit - end, |byte| !matches!(byte, b'/' | b'?' | b'#'));
        let mut at = self.bytes.get(end..authority)?.iter().rposition(|byte| *byte == b'@').map(|at| end + at);
        if at.is_none() {
            let colon = end + self.bytes.get(end..authority)?.iter().position(|byte| *byte == b':')?;
            // What is no port is a password with a slash in it.
            let port = self.skip(colon + 1, 6, |byte| byte.is_ascii_digit());
            if port < authority || authority == limit {
                at = self.last_at(limit).filter(|at| *at > authority && port < authority);
            }
        }
        let at = at?;
        let user = self.bytes.get(end..at)?;
        let colon = end + user.iter().position(|byte| *byte == b':')?;
        let password = self.text.get(colon + 1..at)?;
        if password.is_empty() || password == "x-oauth-basic" {
            return (colon > end).then_some((end, colon));
        }
        (!is_nothing(password, Family::Password, false)).then_some((colon + 1, at))
    }

    fn last_at(&mut self, limit: usize) -> Option<usize> {
        if self.last_at.0 != limit {
            self.last_at = (
                limit,
                self.bytes.get(self.floor..limit)?.iter().rposition(|byte| *byte == b'@').map(|at| self.floor + at),
            );
        }
        self.last_at.1
    }

    /// `Authorization: Bearer value`, as a header, in JSON, or as a variable.
    pub(super) fn authorization(&mut self, end: usize) -> Span {
        let place = self.place(end, false, Family::Token)?;
        let word = self.skip(place.start, 20, is_name);
        let scheme = self.text.get(place.start..word)?;
        let is_known = is_blank(self.at(word)) && SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme));
        let start = if is_known { self.skip(word, 8, is_blank) } else { place.start };
        let stop = match place.quote {
            Some((quote, slashes)) => self.closing(start, quote, slashes),
            // These have parameters, of which one is the secret.
            None if ["digest", "oauth", "hawk", "aws4-hmac-sha256"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(scheme)) =>
            {
                self.line_end(start)
            }
            None => self.value_end(start),
        };
        let value = self.text.get(start..stop)?;
        if !is_known && value.bytes().take(256).all(|byte| !byte.is_ascii_digit()) {
            return None;
        }
        self.valued(start, stop, Family::Token, false)
    }

    /// `Bearer value`, wherever it stands.
    pub(super) fn bearer(&mut self, end: usize) -> Span {
        let start = self.skip(end, 4, is_blank);
        let stop = self.run(Alphabet::Token, start);
        let value = self.bytes.get(start..stop)?;
        (value.len() >= 8 && value.iter().any(u8::is_ascii_digit)).then_some((start, stop))
    }

    /// `Cookie: name=value; name=value`: all of it; of `Set-Cookie` the value.
    pub(super) fn cookie(&mut self, end: usize) -> Span {
        let sets = self.text.get(end.saturating_sub(10)..end)?.to_ascii_lowercase().starts_with("set-c");
        let place = self.place(end, false, Family::Token)?;
        let name = self.skip(place.start, 64, |byte| is_name(byte) || byte == b'.');
        if name == place.start || self.at(name) != b'=' {
            return None;
        }
        let start = name + 1;
        let mut stop = match place.quote {
            Some((quote, slashes)) => self.closing(start, quote, slashes),
            None => self.line_end(start),
        };
        if sets {
            stop = self.run(Alphabet::Value, start).min(stop);
        }
        self.valued(start, stop, Family::Token, true)
    }

    /// `IDENTIFIED BY 'value'`.
    pub(super) fn sql(&mut self, end: usize) -> Span {
        let start = self.skip(end, 4, is_blank);
        let place = self.opened(Separator::Equals, start, true);
        let (quote, slashes) = place.quote?;
        self.valued(place.start, self.closing(place.start, quote, slashes), Family::Password, true)
    }
}

/// Whether a value begins as one that stands for another.
fn is_reference(value: &str) -> bool {
    ["${", "$(", "{{", "%(", "secret://", "/run/secrets/", "/var/run/secrets/"]
        .iter()
        .any(|start| value.starts_with(start))
}

/// Whether a value is none: empty, a word for nothing, a reference, a placeholder, a file of secrets.
pub(in crate::redact) fn is_nothing(value: &str, family: Family, is_quoted: bool) -> bool {
    const WORDS: [&str; 15] = [
        "true",
        "false",
        "null",
        "none",
        "nil",
        "undefined",
        "yes",
        "no",
        "on",
        "off",
        "required",
        "optional",
        "redacted",
        "string",
        "empty",
    ];
    if !value.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80) {
        return true;
    }
    let is_reference = is_reference(value)
        || value.strip_prefix('$').is_some_and(|name| {
            name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        });
    let is_placeholder = value.len() <= 18
        && [('<', '>'), ('[', ']'), ('{', '}')].iter().any(|(open, close)| {
            value.strip_prefix(*open).and_then(|rest| rest.strip_suffix(*close)).is_some_and(|name| {
                name.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b' '))
            })
        });
    let is_covered = value.bytes().all(|byte| matches!(byte, b'x' | b'X' | b'*' | b'.'));
    let is_format = value.len() == 2 && value.starts_with('%');
    let is_number =
        !is_quoted && family != Family::Password && value.len() <= 5 && value.bytes().all(|byte| byte.is_ascii_digit());
    is_reference
        || is_placeholder
        || is_covered
        || is_format
        || is_number
        || WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
}
