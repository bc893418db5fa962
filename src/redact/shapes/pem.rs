//! Private keys between `BEGIN` and `END`, whose body is masked line by line.

use super::Scan;
use crate::redact::marks;

/// What every block begins with.
pub(super) const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Of a longer line only the beginning is looked at.
const LONGEST_LINE: usize = 8192;

/// A block that has begun and not ended.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::redact) struct Block {
    /// How many lines of it have been masked.
    pub(in crate::redact) masked: usize,
    /// How many lines since then were none of it.
    pub(in crate::redact) foreign: usize,
}

/// Where the body of a private key begins, given what follows `BEGIN`.
fn body(rest: &str) -> Option<usize> {
    let (label, _) = rest.split_once(DASHES)?;
    let is_private = label.contains("PRIVATE KEY") || label.contains("Static key");
    (label.len() <= 64 && is_private && !label.contains('\n')).then_some(label.len() + DASHES.len())
}

/// Whether a line opens a block that it does not close.
pub(in crate::redact) fn opens(line: &str) -> bool {
    let Some(start) = line.rfind(BEGIN) else { return false };
    let rest = line.get(start + BEGIN.len()..).unwrap_or_default();
    body(rest.get(..rest.len().min(128)).unwrap_or(rest)).is_some() && !rest.contains(END)
}

/// Whether a line closes one.
pub(in crate::redact) fn closes(line: &str) -> bool {
    line.contains(END)
}

/// Whether a line can be one of the body: base64 or a header, perhaps with something in front.
pub(in crate::redact) fn is_body(line: &str) -> bool {
    let front = line.get(..line.len().min(128)).unwrap_or(line);
    let is_base64 = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    if line.len() > LONGEST_LINE {
        return is_base64(front.trim_start());
    }
    let line = line.trim();
    let last = line.rsplit([' ', '\t', '|']).next().unwrap_or_default();
    is_base64(line)
        || (last.len() >= 16 && is_base64(last))
        || front.contains("Proc-Type:")
        || front.contains("DEK-Info:")
}

/// Masks what a line of the body holds, unless that has happened.
pub(in crate::redact) fn hide_body(line: &str) -> Option<String> {
    let (start, end) = content(line).filter(|_| !line.contains(marks::OPENING))?;
    Some(format!("{}{}{}", line.get(..start)?, marks::mask(line.get(start..end)?), line.get(end..)?))
}

/// Where the content of a line stands; none where it is empty.
fn content(line: &str) -> Option<(usize, usize)> {
    let start = line.len() - line.trim_start().len();
    let end = line.trim_end().len();
    (start < end).then_some((start, end))
}

impl Scan<'_> {
    /// The body of a private key up to its end; without one as long as it looks like a key.
    pub(super) fn pem(&mut self, end: usize) {
        let text = self.text;
        let label = text.get(end..).unwrap_or_default();
        let mut most = label.len().min(96);
        while !label.is_char_boundary(most) {
            most -= 1;
        }
        let Some(length) = body(label.get(..most).unwrap_or_default()) else { return };
        let from = end + length;
        let close = self.end_of_block(from);
        let stop = close.unwrap_or(text.len());
        let mut at = from;
        while at < stop {
            let line_end = self.line_end(at).min(stop);
            let line = text.get(at..line_end).unwrap_or_default();
            // A block may be one line, with `\n` as two characters.
            if close.is_none() && !is_body(line) && !line.starts_with("\\n") {
                break;
            }
            self.walked(line.len().min(LONGEST_LINE));
            if let Some((first, last)) = content(line)
                && self.clip(at + first, at + last) == at + last
            {
                self.take(at + first, at + last);
            }
            at = line_end + 1;
        }
        // What was looked through is not looked through again for another beginning.
        if close.is_some() {
            self.floor = self.floor.max(stop);
        }
    }

    fn end_of_block(&mut self, from: usize) -> Option<usize> {
        if let Some((asked, known)) = self.next_end
            && asked <= from
            && known.is_none_or(|known| known >= from)
        {
            return known;
        }
        self.walked(self.text.len() - from);
        let found = self.text.get(from..)?.find(END).map(|offset| from + offset);
        self.next_end = Some((from, found));
        found
    }
}
