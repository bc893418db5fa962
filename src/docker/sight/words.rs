//! What a daemon says in its errors: ids and names of hidden containers are taken out of its sentences.

use super::{HIDDEN, census::Census};

/// The shortest beginning of an id that the engine itself writes.
const SHORT_ID: usize = 12;

/// A sentence without what names a hidden container.
///
/// A name that the request itself holds stays: taking it out would say that a container is called so.
pub(super) fn unsay(text: &str, census: &Census, asked: &[&str]) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let other = rest.find(is_part).unwrap_or(rest.len());
        let (between, after) = rest.split_at(other);
        let (word, after) = after.split_at(after.find(|character| !is_part(character)).unwrap_or(after.len()));
        // A full stop or a dash at the end belongs to the sentence.
        let name = word.trim_end_matches(['.', '-']);
        said.push_str(between);
        if is_hidden(name, census, asked) {
            said.push_str(HIDDEN);
            said.push_str(word.get(name.len()..).unwrap_or_default());
        } else {
            said.push_str(word);
        }
        rest = after;
    }
    said
}

fn is_hidden(word: &str, census: &Census, asked: &[&str]) -> bool {
    let is_id = word.len() >= SHORT_ID && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_named = !word.is_empty() && !asked.contains(&word);
    census.hidden().any(|known| (is_id && known.id.starts_with(word)) || (is_named && known.name == word))
}
