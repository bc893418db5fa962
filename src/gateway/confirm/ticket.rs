//! The name under which a call waits for a person, short enough to be typed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    secret::random,
};

/// Crockford's digits: none of them looks like another.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A ticket, such as `7KQ2-M0XD`: 40 random bits. It names a call and approves nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ticket(String);

impl Ticket {
    /// A new one.
    ///
    /// # Errors
    /// `internal` where the system has no random numbers.
    pub fn new() -> Result<Self> {
        let bits = u64::from_be_bytes(random::<8>()?);
        let digit = |place: u32| {
            let digit = usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
            DIGITS.get(digit).copied().map_or('0', char::from)
        };
        let half = |from: u32| (from..from + 4).map(digit).collect::<String>();
        Ok(Self(format!("{}-{}", half(0), half(4))))
    }

    /// Reads what a person typed: small letters, a missing dash, O for 0 and I or L for 1 are all meant well.
    ///
    /// # Errors
    /// `invalid` for what can be no ticket.
    pub fn parse(text: &str) -> Result<Self> {
        let digits: Vec<char> = text
            .trim()
            .chars()
            .filter(|character| !matches!(character, '-' | ' '))
            .map(|character| match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        let known = |digit: &char| u8::try_from(*digit).is_ok_and(|digit| DIGITS.contains(&digit));
        match digits.split_at_checked(4) {
            Some((first, second)) if second.len() == 4 && digits.iter().all(known) => {
                Ok(Self(format!("{}-{}", first.iter().collect::<String>(), second.iter().collect::<String>())))
            }
            _ => Err(Error::invalid(format!("{text:?} is no ticket"))
                .hint("a ticket is written as 7KQ2-M0XD; \"quaymaster approve --list\" shows those that wait")),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<Ticket> for String {
    fn from(ticket: Ticket) -> Self {
        ticket.0
    }
}

impl TryFrom<String> for Ticket {
    type Error = Error;

    /// Takes nothing but the written form: it becomes the name of a file.
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text).and_then(|ticket| {
            if ticket.0 == text { Ok(ticket) } else { Err(Error::invalid("a ticket is not written as it should be")) }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn tickets_are_typed_as_people_type() {
        let ticket = Ticket::parse("7KQ1-M0XD").unwrap();
        for typed in [" 7kq1-m0xd ", "7kqlmoxd", "7KQI M0XD", "7kq1m0xd"] {
            assert_eq!(Ticket::parse(typed).unwrap(), ticket, "{typed}");
        }
        for wrong in ["", "7KQ1", "7KQ1-M0X", "7KQ1-M0XDA", "7KQ1-M0XU", "../../x/", "7KQ1/M0XD", "7KQ1-M0X\u{e9}"] {
            assert!(Ticket::parse(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Ticket>("\"7kq1-m0xd\"").is_err());
        assert_eq!(serde_json::from_str::<Ticket>("\"7KQ1-M0XD\"").unwrap(), ticket);
    }

    #[test]
    fn no_two_are_the_same() {
        let made: BTreeSet<Ticket> = (0..1000).map(|_| Ticket::new().unwrap()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|ticket| Ticket::parse(ticket.as_str()).unwrap() == *ticket));
    }
}
