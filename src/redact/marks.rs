//! The marks that stand where a secret was: how they are made, and how they are known again.

use std::sync::LazyLock;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What every mark begins with.
pub(super) const OPENING: &str = "<redacted len=";

/// Random for every process: equal values can be recognised within one session and nowhere else.
static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut key = [0; 32];
    // A failing random source leaves a constant key, which hides less but shows nothing.
    rustls::crypto::ring::default_provider().secure_random.fill(&mut key).ok();
    key
});

/// `<redacted len=N h=xxxxxxxx>`: the length in bytes, and a keyed hash by which equal values show.
///
/// A mark stays as it is.
#[must_use]
pub fn mask(value: &str) -> String {
    if end_at(value, 0) == Some(value.len()) {
        return value.to_owned();
    }
    let hash = <Hmac<Sha256> as Mac>::new_from_slice(KEY.as_slice())
        .map(|mut mac| {
            mac.update(value.as_bytes());
            let bytes: [u8; 32] = mac.finalize().into_bytes().into();
            let [first, second, third, fourth, ..] = bytes;
            format!("{:08x}", u32::from_be_bytes([first, second, third, fourth]))
        })
        .unwrap_or_default();
    format!("{OPENING}{} h={hash}>", value.len())
}

/// Masks a value up to the first mark in it; none where there is nothing in front of one.
pub(super) fn cover(value: &str) -> Option<String> {
    let end = all(value).next().map_or(value.len(), |(start, _)| start);
    let (open, rest) = value.split_at_checked(end)?;
    (!open.is_empty()).then(|| mask(open) + rest)
}

/// Where the mark ends that begins here.
pub(super) fn end_at(text: &str, start: usize) -> Option<usize> {
    let rest = text.get(start..)?.strip_prefix(OPENING)?;
    let digits = rest.bytes().take(20).take_while(u8::is_ascii_digit).count();
    let rest = rest.get(digits..)?.strip_prefix(" h=")?;
    let hash = rest.get(..8)?.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits > 0 && hash && rest.get(8..)?.starts_with('>')).then_some(start + OPENING.len() + digits + 3 + 8 + 1)
}

/// Every mark in a text.
pub(super) fn all(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    text.match_indices(OPENING).filter_map(|(start, _)| Some((start, end_at(text, start)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_again() {
        let one = mask("hunter2");
        assert!(one.starts_with("<redacted len=7 h=") && one.len() == "<redacted len=7 h=12345678>".len(), "{one}");
        assert_eq!(mask(&one), one);
        assert_ne!(mask("hunter3"), one);
        let text = format!("a {one}b<redacted len=x h=12345678><redacted len=1 h=1234567G>{one}");
        assert_eq!(all(&text).count(), 2);
        assert_eq!(cover(&one), None);
        assert_eq!(cover(&format!("ab{one}c")), Some(format!("{}{one}c", mask("ab"))));
        assert_eq!(cover(""), None);
    }
}
