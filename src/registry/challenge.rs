//! What a registry asks for before it lets somebody in: its `WWW-Authenticate` headers.

use http::{HeaderMap, header};

/// The longest header that is looked at, in bytes.
const LONGEST: usize = 8 << 10;

/// The way in that a registry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of a service.
    Bearer {
        /// The address of the service.
        realm: String,
        /// The name of the registry there.
        service: Option<String>,
        /// What the token has to be for.
        scope: Option<String>,
    },
    /// User and password.
    Basic,
}

impl Challenge {
    /// The best of an answer's challenges: a token before a password.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let all: Vec<Self> = texts.filter(|text| text.len() <= LONGEST).flat_map(parse).collect();
        all.iter().find(|challenge| matches!(challenge, Self::Bearer { .. })).or(all.first()).cloned()
    }
}

/// Every challenge of one header that is understood (RFC 9110, 11.6.1).
fn parse(text: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut current: Option<(String, Vec<(String, String)>)> = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            break;
        }
        let end = rest.find(|letter: char| !is_token(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let after_blanks = after.trim_start();
        if let (Some(value), Some((_, parameters))) = (after_blanks.strip_prefix('='), &mut current) {
            let Some((value, after)) = value_of(value.trim_start()) else { break };
            parameters.push((word.to_ascii_lowercase(), value));
            rest = after;
        } else {
            found.extend(current.take().and_then(challenge));
            current = Some((word.to_ascii_lowercase(), Vec::new()));
            rest = after;
        }
    }
    found.extend(current.and_then(challenge));
    found
}

fn challenge((scheme, parameters): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let parameter = |name: &str| {
        parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    match scheme.as_str() {
        "bearer" => Some(Challenge::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope"),
        }),
        "basic" => Some(Challenge::Basic),
        _ => None,
    }
}

/// A token or a quoted string, and what follows it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(position + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            character => value.push(character),
        }
    }
    None
}

fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(header::WWW_AUTHENTICATE, text.parse().unwrap());
        }
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_are_understood() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull,push\"";
        let expected =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push"));
        assert_eq!(of(&[hub]), Some(expected));
        assert_eq!(of(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(of(&["basic"]), Some(Challenge::Basic));
        assert_eq!(of(&["Basic realm=\"a, b\", Bearer realm=\"r\" , service=s"]), Some(bearer("r", Some("s"), None)));
        assert_eq!(of(&["Basic realm=x", "BEARER REALM = \"a\\\"b\""]), Some(bearer("a\"b", None, None)));
        assert_eq!(of(&["Negotiate, Basic realm=\"x\""]), Some(Challenge::Basic));
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for text in ["", ",,,", "Bearer", "Bearer service=x", "Bearer realm=\"x", "=", "\"Basic\"", "Digest realm=x"] {
            assert_eq!(of(&[text]), None, "{text}");
        }
        assert_eq!(of(&[&format!("Basic realm=\"{}\"", "x".repeat(10_000))]), None);
    }
}
