//! What is text and what is not: strips escape sequences and every character that is not to be seen.

use std::borrow::Cow;

/// Strips what is not text: ANSI sequences, control, bidirectional, zero-width and tag characters.
///
/// Tabs stay; a line end stays where it is one.
#[must_use]
pub fn plain(text: &str) -> String {
    stripped(text).into_owned()
}

/// As [`plain`], without a copy where there is nothing to strip, which is nearly always.
pub(super) fn stripped(text: &str) -> Cow<'_, str> {
    let is_odd = |character: char| is_invisible(character) && !matches!(character, '\n' | '\t');
    if is_printable(text.as_bytes()) || !text.chars().any(is_odd) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(strip(text))
    }
}

/// Whether there is nothing but printable ASCII, line ends and tabs.
///
/// Eight bytes at a time: a compiler that builds for size makes no vectors of a loop over bytes, and this one looks at
/// every byte that passes.
fn is_printable(bytes: &[u8]) -> bool {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    /// The highest bit of every byte that is zero, and no other.
    const fn zero(word: u64) -> u64 {
        !(((word & each(0x7f)) + each(0x7f)) | word | each(0x7f))
    }
    let (words, rest) = bytes.as_chunks::<8>();
    let is_plain = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        let control = zero(word & each(0xe0)) & !(zero(word ^ each(b'\n')) | zero(word ^ each(b'\t')));
        (word & each(0x80)) | control | zero(word ^ each(0x7f)) == 0
    };
    words.iter().all(is_plain) && rest.iter().all(|byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~'))
}

fn strip(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        // A sequence begins with ESC and a letter, or with the one character that means both.
        let introducer = match character {
            '\u{1b}' => characters.next(),
            '\u{9b}' => Some('['),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => Some(']'),
            '\n' | '\t' => {
                clean.push(character);
                continue;
            }
            character => {
                if !is_invisible(character) {
                    clean.push(character);
                }
                continue;
            }
        };
        match introducer {
            // A control sequence ends with a byte from `@` to `~` (ECMA-48, 5.4).
            Some('[') => {
                characters.by_ref().find(|next| ('@'..='~').contains(next));
            }
            // A string ends with BEL, ST or `ESC \`.
            Some(']' | 'P' | 'X' | '^' | '_') => {
                while let Some(next) = characters.next() {
                    let is_end = matches!(next, '\u{7}' | '\u{9c}')
                        || (next == '\u{1b}' && characters.next_if_eq(&'\\').is_some());
                    if is_end {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    clean
}

/// Whether a character is none to be seen: control, bidirectional, zero-width, tag, filler.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn eight_bytes_at_a_time_are_each_by_itself(bytes in prop::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..40)) {
            let each = bytes.iter().all(|byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~'));
            prop_assert_eq!(is_printable(&bytes), each);
        }
    }

    #[test]
    fn every_byte_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..16 {
                let mut bytes = [b'x'; 16];
                bytes[place] = byte;
                assert_eq!(is_printable(&bytes), matches!(byte, b'\n' | b'\t' | b' '..=b'~'), "{byte} at {place}");
            }
        }
    }

    #[test]
    fn only_text_is_left() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\tx\u{202e}y\u{200b}z\u{7}"), "red\txyz");
        assert_eq!(plain("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\link"), "alink");
        assert_eq!(plain("cut \u{1b}["), "cut ");
        assert_eq!(plain("tag\u{e0041}s\u{e0100}"), "tags");
        assert_eq!(plain("one\u{9b}31mcharacter\u{9d}0;x\u{9c}!"), "onecharacter!");
        assert_eq!(plain("a\r\nb\u{7f}\n"), "a\nb\n");
    }

    #[test]
    fn text_is_not_copied() {
        for text in ["", "a line\tof text\n", "Grüße aus dem Süden, \u{1f600}"] {
            assert!(matches!(stripped(text), Cow::Borrowed(_)), "{text:?}");
        }
    }
}
