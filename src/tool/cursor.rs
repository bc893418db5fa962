//! Cursors: where an answer was cut, signed by this process and bound to the call that it was cut in.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Json;
use crate::{
    error::{Error, Result},
    redact,
    secret::random,
};

/// Arguments that say how much is answered and not what: they may change from page to page.
const FREE: [&str; 4] = ["cursor", "limit", "tail", "follow_for"];
/// The longest cursor that is looked at.
const LONGEST: usize = 1_000;
/// The longest key in a cursor, in bytes; a longer one is stood for by its beginning and a digest.
const LONGEST_KEY: usize = 120;
/// The bytes of the signature: whoever forges one gains a place in a list that is his to read anyway.
const SIGNATURE: usize = 8;

/// Where the next page begins: after the row with this key, whatever came or went meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// As answers show it: letters, digits, `-` and `_`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives cursors for one call and reads those of the call before it.
#[derive(Clone)]
pub struct Cursors {
    process: Arc<Process>,
    call: Arc<Asked>,
}

/// What a call asks and whom. Most calls neither give nor take a cursor, so its digest is made when one is.
#[derive(Default)]
struct Asked {
    tool: String,
    hosts: Vec<String>,
    arguments: Json,
    digest: OnceLock<[u8; 4]>,
}

impl Asked {
    fn digest(&self) -> [u8; 4] {
        *self.digest.get_or_init(|| {
            let asked: BTreeMap<_, _> =
                self.arguments.iter().filter(|(name, _)| !FREE.contains(&name.as_str())).collect();
            // As JSON, so that no two calls can be written the same.
            let call = serde_json::json!([self.tool, self.hosts, asked]).to_string();
            let [one, two, three, four, ..]: [u8; 32] = Sha256::digest(call.as_bytes()).into();
            [one, two, three, four]
        })
    }
}

/// What all cursors of a process have in common.
struct Process {
    /// As long as a block of the hash.
    key: [u8; 64],
    mark: [u8; 2],
}

impl Cursors {
    /// With a key of its own, which no other process has.
    ///
    /// # Errors
    /// `internal` when there are no random numbers.
    pub fn new() -> Result<Self> {
        Ok(Self { process: Arc::new(Process { key: random()?, mark: random()? }), call: Arc::default() })
    }

    /// For one call: its tool, the hosts it asks and what it asks them.
    #[must_use]
    pub fn bound<'a>(&self, tool: &str, hosts: impl Iterator<Item = &'a str>, arguments: &Json) -> Self {
        let (tool, hosts) = (tool.to_owned(), hosts.map(str::to_owned).collect());
        let call = Asked { tool, hosts, arguments: arguments.clone(), digest: OnceLock::new() };
        Self { process: self.process.clone(), call: Arc::new(call) }
    }

    /// A cursor for a position.
    #[must_use]
    pub fn seal(&self, position: &str) -> Cursor {
        let mut cursor = self.sealed(position, 0);
        for salt in 1..=u8::MAX {
            // By chance it may look like somebody's token, and would be masked on its way out.
            if redact::shown(&cursor.0) == cursor.0 {
                break;
            }
            cursor = self.sealed(position, salt);
        }
        cursor
    }

    fn sealed(&self, position: &str, salt: u8) -> Cursor {
        let head = [&[salt], &self.process.mark[..], &self.call.digest()].concat();
        let signature: [u8; 32] = self.signature(&head, position.as_bytes()).finalize().into_bytes().into();
        let bytes = head.iter().chain(signature.iter().take(SIGNATURE)).chain(position.as_bytes());
        Cursor(URL_SAFE_NO_PAD.encode(bytes.copied().collect::<Vec<u8>>()))
    }

    /// The position that a cursor of the same call was given for.
    ///
    /// # Errors
    /// `invalid` for one that is forged, of another process or of another call.
    pub fn open(&self, cursor: &Cursor) -> Result<String> {
        let foreign = || {
            Error::invalid("argument \"cursor\" is not one that an answer gave")
                .hint("copy it whole from the answer before, or call again without it")
        };
        let bytes = Some(&cursor.0).filter(|text| text.len() <= LONGEST).map(|text| URL_SAFE_NO_PAD.decode(text));
        let bytes = bytes.and_then(std::result::Result::ok).ok_or_else(foreign)?;
        let ([_, mark @ .., _, _, _, _], rest) = bytes.split_first_chunk::<7>().ok_or_else(foreign)?;
        let (signature, position) = rest.split_first_chunk::<SIGNATURE>().ok_or_else(foreign)?;
        if *mark != self.process.mark {
            return Err(Error::invalid("argument \"cursor\" was given by an earlier process, or by none")
                .hint("Quaymaster was started anew since: call again without it"));
        }
        let (head, call) = (bytes.first_chunk::<7>().ok_or_else(foreign)?, bytes.get(3..7));
        self.signature(head, position).verify_truncated_left(signature).map_err(|_| foreign())?;
        if call != Some(&self.call.digest()) {
            return Err(Error::invalid("argument \"cursor\" belongs to other arguments")
                .hint("repeat the tool, host and arguments of the answer that gave it, or call again without it"));
        }
        String::from_utf8(position.to_vec()).map_err(|_| foreign())
    }

    fn signature(&self, head: &[u8], position: &[u8]) -> Hmac<Sha256> {
        let mut signature = Hmac::<Sha256>::new((&self.process.key).into());
        signature.update(head);
        signature.update(position);
        signature
    }
}

/// A row's key as a cursor can carry it: what may be shown of it, and no longer than that has to be.
///
/// Rows are put in order by this, so that what stands in the cursor is the order itself.
#[must_use]
pub fn key(text: &str) -> String {
    let mut shown = redact::shown(text);
    if shown.contains('\n') {
        shown = shown.replace('\n', " ");
    }
    if shown.len() <= LONGEST_KEY {
        return shown;
    }
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut end = LONGEST_KEY - 20;
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{}", shown.get(..end).unwrap_or_default(), URL_SAFE_NO_PAD.encode(digest.get(..12).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bound(cursors: &Cursors, tool: &str, hosts: &[&str], arguments: &serde_json::Value) -> Cursors {
        cursors.bound(tool, hosts.iter().copied(), arguments.as_object().unwrap())
    }

    #[test]
    fn a_cursor_serves_the_call_that_gave_it_and_no_other() {
        let cursors = Cursors::new().unwrap();
        let call = |arguments: serde_json::Value| bound(&cursors, "list_images", &["a", "b"], &arguments);
        let cursor = call(json!({"label": ["x"], "limit": 5, "cursor": null})).seal("a/web/1");
        let same = call(json!({"limit": 9, "cursor": cursor, "label": ["x"]}));
        assert_eq!(same.open(&cursor).unwrap(), "a/web/1");
        for other in [
            call(json!({"label": ["y"]})),
            call(json!({"label": ["x"], "unused": true})),
            bound(&cursors, "list_images", &["a"], &json!({"label": ["x"]})),
            bound(&cursors, "list_images", &["a,b"], &json!({"label": ["x"]})),
            bound(&cursors, "list_volumes", &["a", "b"], &json!({"label": ["x"]})),
        ] {
            let error = other.open(&cursor).unwrap_err();
            assert_eq!(error.message(), "argument \"cursor\" belongs to other arguments");
            assert!(error.hint_text().unwrap().contains("without it"));
        }
        let error = Cursors::new().unwrap().open(&cursor).unwrap_err();
        assert!(error.message().contains("earlier process"), "{error}");
        assert!(cursor.as_str().len() < 32, "{cursor:?}");
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_and_what_is_changed_is_not(
            position in ".{0,80}", place in any::<prop::sample::Index>(), to in "[A-Za-z0-9_=%-]",
        ) {
            let cursors = Cursors::new().unwrap();
            let cursor = cursors.seal(&position);
            prop_assert_eq!(cursors.open(&cursor).unwrap(), position.clone());
            prop_assert_eq!(&redact::shown(cursor.as_str()), cursor.as_str());
            let mut forged = cursor.0.clone();
            let place = place.index(forged.len());
            forged.replace_range(place..=place, &to);
            // The last character carries bits that mean nothing, and the decoder refuses them.
            prop_assert!(forged == cursor.0 || cursors.open(&Cursor(forged)).is_err());
        }

        #[test]
        fn no_text_is_a_cursor(text in ".{0,200}") {
            prop_assert!(Cursors::new().unwrap().open(&Cursor(text)).is_err());
        }
    }

    #[test]
    fn keys_are_short_distinct_and_show_nothing_hidden() {
        assert_eq!(key("local/web/0123"), "local/web/0123");
        let (long, other) = (format!("{}a", "ä".repeat(100_000)), format!("{}b", "ä".repeat(100_000)));
        assert!(key(&long).len() <= LONGEST_KEY && key(&long) != key(&other));
        let token = format!("ghp_{}", "Ab3".repeat(12));
        assert!(!key(&format!("local/{token}/1")).contains(&token));
    }
}
