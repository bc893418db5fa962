//! What an approval is signed with: a key that only the passphrase makes, and a verifier that cannot sign.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::hex;
use crate::{
    error::{Error, Result},
    secret::{Secret, random},
};

/// Names the way from passphrase to key; another way gets another word.
const WAY: &str = "qm1";
/// Memory in `KiB`, passes, lanes: the second recommendation of RFC 9106. Whoever can read the configuration can try
/// passphrases against the verifier, so that every try has to cost.
const COST: (u32, u32, u32) = (64 << 10, 3, 1);
/// The shortest passphrase that is taken, in characters.
const SHORTEST: usize = 12;

/// The public half, as the configuration has it: it recognises what the passphrase signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    salt: [u8; 16],
    public: [u8; 32],
}

/// The private half, for as long as one approval takes.
pub struct Key(Ed25519KeyPair);

impl Verifier {
    /// The verifier of a new passphrase.
    ///
    /// # Errors
    /// `invalid` for a short one, `internal` where the system has no random numbers.
    pub fn new(passphrase: &Secret) -> Result<Self> {
        if passphrase.expose().chars().count() < SHORTEST {
            return Err(Error::invalid("the passphrase is too short")
                .hint(format!("take at least {SHORTEST} characters, such as four words")));
        }
        let salt = random()?;
        let Key(pair) = derive(passphrase, &salt)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| Error::internal("a key has another length"))?;
        Ok(Self { salt, public })
    }

    /// Reads the text of the configuration.
    ///
    /// # Errors
    /// `config`, without the text: somebody may have written the passphrase itself there.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = text.trim().split(':');
        let mut read = || {
            let (way, salt, public, end) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
            (way == WAY && end.is_none()).then_some(Self { salt: hex::read(salt)?, public: hex::read(public)? })
        };
        read().ok_or_else(|| {
            Error::config("approval_passphrase is not what \"quaymaster approve --passphrase\" prints")
                .hint("run it, and put the line that it prints into the configuration; never the passphrase itself")
        })
    }

    /// The key, if that is the passphrase.
    ///
    /// # Errors
    /// `internal` where the memory for it cannot be had.
    pub fn unlock(&self, passphrase: &Secret) -> Result<Option<Key>> {
        let key = derive(passphrase, &self.salt)?;
        Ok((key.0.public_key().as_ref() == self.public).then_some(key))
    }

    /// Whether the key signed this.
    #[must_use]
    pub fn accepts(&self, message: &str, signature: &str) -> bool {
        hex::read::<64>(signature).is_some_and(|signature| {
            UnparsedPublicKey::new(&ED25519, &self.public).verify(message.as_bytes(), &signature).is_ok()
        })
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{WAY}:{}:{}", hex::write(&self.salt), hex::write(&self.public))
    }
}

impl Key {
    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &str) -> String {
        hex::write(self.0.sign(message.as_bytes()).as_ref())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(..)")
    }
}

fn derive(passphrase: &Secret, salt: &[u8; 16]) -> Result<Key> {
    let failed = |error: &dyn fmt::Display| {
        Error::internal("the key of the passphrase cannot be derived").detail(error.to_string())
    };
    let (memory, passes, lanes) = COST;
    let mut seed = [0; 32];
    let params = Params::new(memory, passes, lanes, Some(seed.len())).map_err(|error| failed(&error))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut seed)
        .map_err(|error| failed(&error))?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map(Key).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_passphrase_signs() {
        let passphrase = Secret::new("correct horse battery staple");
        let verifier = Verifier::new(&passphrase).unwrap();
        let read = Verifier::parse(&verifier.to_string()).unwrap();
        assert_eq!(read, verifier);
        let key = read.unlock(&passphrase).unwrap().unwrap();
        let signature = key.sign("message");
        assert!(read.accepts("message", &signature));
        assert!(!read.accepts("massage", &signature));
        assert!(!read.accepts("message", &signature.replace(&signature[..2], "zz")));
        assert!(!read.accepts("message", ""));
        assert!(read.unlock(&Secret::new("correct horse battery stable")).unwrap().is_none());
        let other = Verifier::new(&passphrase).unwrap();
        assert_ne!(other, verifier, "every verifier has a salt of its own");
        assert!(!other.accepts("message", &signature));
    }

    #[test]
    fn short_ones_and_other_texts_are_refused() {
        assert!(Verifier::new(&Secret::new("elevenchars")).is_err());
        let good = format!("qm1:{}:{}", "0".repeat(32), "1".repeat(64));
        Verifier::parse(&good).unwrap();
        for text in ["", "hunter2 hunter2", &good[1..], &format!("{good}:"), &good.replace("qm1", "qm2"), &good[..90]] {
            let error = Verifier::parse(text).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Config);
            assert!(error.hint_text().unwrap().contains("put the line"));
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
