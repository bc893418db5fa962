//! The characters that tokens are made of, and where a run of them ends.

/// A set of ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// `A-Z0-9`
    Upper,
    /// `0-9a-f`
    Hex,
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_` and `-`.
    Word,
    /// Those and `.`.
    Dotted,
    /// Base64 of every kind, with `.` and `~`: what a header takes for a token.
    Token,
    /// What an address may hold; neither blanks nor quotes nor angle brackets.
    Url,
    /// What an unquoted value may hold.
    Value,
    /// `./A-Za-z0-9`: what `crypt` writes, with the `$`, `,`, `=` and `+` of its successors.
    Crypt,
}

const COUNT: usize = 9;

impl Alphabet {
    const fn has(self, byte: u8) -> bool {
        let alnum = byte.is_ascii_alphanumeric();
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Self::Alnum => alnum,
            Self::Word => alnum || matches!(byte, b'_' | b'-'),
            Self::Dotted => alnum || matches!(byte, b'_' | b'-' | b'.'),
            Self::Token => alnum || matches!(byte, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'='),
            Self::Url => byte > b' ' && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\' | 0x7f),
            Self::Value => byte > b' ' && !matches!(byte, b'"' | b'\'' | b'`' | b';' | 0x7f),
            Self::Crypt => alnum || matches!(byte, b'.' | b'/' | b'$' | b',' | b'=' | b'+'),
        }
    }
}

/// For every byte the alphabets that have it, a bit for each.
static MEMBERS: [u16; 256] = {
    const ALL: [Alphabet; COUNT] = [
        Alphabet::Upper,
        Alphabet::Hex,
        Alphabet::Alnum,
        Alphabet::Word,
        Alphabet::Dotted,
        Alphabet::Token,
        Alphabet::Url,
        Alphabet::Value,
        Alphabet::Crypt,
    ];
    let mut members = [0; 256];
    let mut byte = 0u8;
    loop {
        let mut which = 0;
        while which < COUNT {
            #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
            if ALL[which].has(byte) {
                members[byte as usize] |= 1 << (ALL[which] as u16);
            }
            which += 1;
        }
        if byte == u8::MAX {
            break members;
        }
        byte += 1;
    }
};

/// Where runs end, remembered: however many anchors lie in one run, it is walked once.
#[derive(Default)]
pub(super) struct Runs {
    known: [(usize, usize); COUNT],
    #[cfg(test)]
    pub(super) steps: usize,
}

impl Runs {
    /// The end of the run that begins at `start`.
    pub(super) fn end(&mut self, alphabet: Alphabet, bytes: &[u8], start: usize) -> usize {
        let Some(known) = self.known.get_mut(alphabet as usize) else { return start };
        if (known.0..known.1).contains(&start) {
            return known.1;
        }
        let bit = 1 << (alphabet as u16);
        let is_member = |byte: &&u8| MEMBERS.get(usize::from(**byte)).is_some_and(|members| members & bit != 0);
        let length = bytes.get(start..).unwrap_or_default().iter().take_while(is_member).count();
        #[cfg(test)]
        {
            self.steps += length;
        }
        *known = (start, start + length);
        start + length
    }
}
