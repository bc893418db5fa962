//! The chain of lines: each carries the hash of the line before it and its own.
//!
//! The hash is taken over the bytes of the line as it stands in the file, so nobody has to agree on how
//! JSON is written. There is no key in it: whoever can write the files could read the key too.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::tool::Json;

/// What stands in front of a line's own hash.
const OWN: &str = ",\"hash\":\"";
/// What stands behind it.
const END: &str = "\"}";
/// The hexadecimal digits of a hash.
const DIGITS: usize = 64;

/// The SHA-256 of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash([u8; 32]);

impl Hash {
    /// What the first line of the first file follows.
    pub(super) const START: Self = Self([0; 32]);

    /// The hash of some bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 lower-case digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != DIGITS || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (position, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * position..2 * position + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    fn digits(self) -> String {
        let mut text = String::with_capacity(DIGITS);
        for digit in self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
            text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
        text
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.digits())
    }
}

/// Appends a line with its hashes to a text; answers its own.
///
/// # Errors
/// Those of writing it as JSON, which only what is no object of texts and numbers has.
pub(super) fn seal(fields: &impl Serialize, previous: Hash, text: &mut String) -> serde_json::Result<Hash> {
    let line = serde_json::to_string(&Following { fields, prev: previous })?;
    let hash = Hash::of(line.as_bytes());
    text.push_str(line.strip_suffix('}').unwrap_or(&line));
    // Writing to a string does not fail.
    writeln!(text, "{OWN}{hash}{END}").ok();
    Ok(hash)
}

/// A line behind another one.
#[derive(Serialize)]
struct Following<'a, T> {
    #[serde(flatten)]
    fields: &'a T,
    prev: Hash,
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.digits())
    }
}

/// A line as it stands in a file.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) fields: Json,
    pub(super) seq: u64,
    pub(super) previous: Hash,
    pub(super) hash: Hash,
    /// Whether its hash is that of its bytes.
    pub(super) intact: bool,
}

impl Sealed {
    /// Reads a line without its end; nothing where it is none of the audit.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let (body, own) = text.split_at_checked(text.len().checked_sub(OWN.len() + DIGITS + END.len())?)?;
        let hash = Hash::parse(own.strip_prefix(OWN)?.strip_suffix(END)?)?;
        let fields: Json = serde_json::from_str(text).ok()?;
        let seq = fields.get("seq")?.as_u64()?;
        let previous = Hash::parse(fields.get("prev")?.as_str()?)?;
        let intact = Hash::of(format!("{body}}}").as_bytes()) == hash;
        Some(Self { fields, seq, previous, hash, intact })
    }

    /// A text among its fields.
    pub(super) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_sealed_and_no_byte_of_it_can_change() {
        let fields = json!({"seq": 7, "text": "a \"quoted\" \u{202e} \\ line\nend", "hash": "mine"});
        let mut text = String::new();
        let hash = seal(&fields, Hash::START, &mut text).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'));
        let sealed = Sealed::read(line.as_bytes()).unwrap();
        assert!(sealed.intact && sealed.hash == hash && sealed.seq == 7 && sealed.previous == Hash::START);
        for position in 0..line.len() {
            let mut bytes = line.as_bytes().to_vec();
            bytes[position] ^= 1;
            let seen = Sealed::read(&bytes);
            assert!(seen.is_none_or(|seen| !seen.intact), "byte {position}");
        }
    }

    #[test]
    fn what_is_no_line_is_none() {
        for line in ["", "{}", "\"}", "{\"seq\":1,\"prev\":\"00\"}", &"é".repeat(60)] {
            assert!(Sealed::read(line.as_bytes()).is_none(), "{line}");
        }
        assert!(Hash::parse(&"A".repeat(64)).is_none() && Hash::parse("é").is_none());
    }
}
