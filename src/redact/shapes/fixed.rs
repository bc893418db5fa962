//! Tokens of a fixed shape: prefixes, JSON web tokens, bots, hooks.

use super::{Alphabet, Scan, Token};

type Span = Option<(usize, usize)>;

impl Scan<'_> {
    pub(super) fn token(&mut self, token: Token, start: usize, end: usize) -> Span {
        if token.alone && !self.begins_word(start) {
            return None;
        }
        let mut stop = self.run(token.alphabet, end);
        // A full stop behind a token belongs to the sentence.
        while stop > end && self.at(stop - 1) == b'.' {
            stop -= 1;
        }
        let length = stop - end;
        // Something longer of the same letters is something else.
        let fits = if token.exact {
            length == token.least && !self.at(stop).is_ascii_alphanumeric()
        } else {
            length >= token.least
        };
        fits.then_some((start, stop))
    }

    /// `eyJ...` and at least one more part; the parts of an encrypted one are five.
    pub(super) fn jwt(&mut self, start: usize) -> Span {
        if !self.begins_word(start) {
            return None;
        }
        let first = self.run(Alphabet::Word, start);
        if first - start < 10 || self.at(first) != b'.' {
            return None;
        }
        let mut end = self.run(Alphabet::Word, first + 1);
        if end - first < 10 {
            return None;
        }
        for _ in 0..3 {
            if self.at(end) == b'.' {
                let next = self.run(Alphabet::Word, end + 1);
                end = if next > end + 1 { next } else { break };
            }
        }
        Some((start, end))
    }

    /// The number of an account, a time, a signature.
    pub(super) fn discord(&mut self, start: usize) -> Span {
        if !self.begins_word(start) {
            return None;
        }
        let number = self.run(Alphabet::Word, start);
        if !(22..=30).contains(&(number - start)) || self.at(number) != b'.' {
            return None;
        }
        let time = self.run(Alphabet::Word, number + 1);
        if !(5..=8).contains(&(time - number - 1)) || self.at(time) != b'.' {
            return None;
        }
        let end = self.run(Alphabet::Word, time + 1);
        (end - time > 25).then_some((start, end))
    }

    /// `123456789:AA...`.
    pub(super) fn telegram(&mut self, colon: usize, end: usize) -> Span {
        let mut start = colon;
        while colon - start < 12 && self.before(start).is_some_and(|before| before.is_ascii_digit()) {
            start -= 1;
        }
        let stop = self.run(Alphabet::Word, end);
        ((7..12).contains(&(colon - start)) && stop - end >= 30).then_some((colon + 1, stop))
    }

    /// 32 digits, `-us`, a number.
    pub(super) fn mailchimp(&mut self, dash: usize, end: usize) -> Span {
        let start = dash.checked_sub(32).filter(|start| *start >= self.floor)?;
        let is_key = self.at(end).is_ascii_digit()
            && self.begins_word(start)
            && self.bytes.get(start..dash)?.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_key.then(|| (start, self.skip(end, 3, |byte| byte.is_ascii_digit())))
    }

    /// Three characters, a digit, `Q~`, and more than thirty.
    pub(super) fn azure(&mut self, tilde: usize, end: usize) -> Span {
        let start = tilde.checked_sub(4).filter(|start| *start >= self.floor)?;
        let (front, digit) = self.bytes.get(start..tilde)?.split_at_checked(3)?;
        let may = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'~' | b'.' | b'-');
        let stop = self.run(Alphabet::Token, end);
        let is_secret = digit.first()?.is_ascii_digit() && front.iter().all(may) && (30..=40).contains(&(stop - end));
        is_secret.then_some((start, stop))
    }

    /// What comes after the beginning of a hook's address, but for its number.
    pub(super) fn hook(&mut self, end: usize) -> Span {
        let start = match self.skip(end, 24, |byte| byte.is_ascii_digit()) {
            // Discord writes `number/secret`, Telegram `number:secret`.
            next if next > end && matches!(self.at(next), b'/' | b':') => next + 1,
            _ => end,
        };
        let stop = self.run(Alphabet::Url, start);
        (stop - start >= 16).then_some((start, stop))
    }

    /// The signature of a shared address.
    pub(super) fn signature(&mut self, start: usize, end: usize) -> Span {
        if !matches!(self.before(start), Some(b'?' | b'&' | b'-' | b'"' | b'\'' | b';' | b'e')) {
            return None;
        }
        let limit = self.run(Alphabet::Url, end);
        let stop = self.skip(end, 512, |byte| byte.is_ascii_alphanumeric() || b"%+/=_-.".contains(&byte)).min(limit);
        (stop - end >= 20).then_some((end, stop))
    }
}
