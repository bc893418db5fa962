//! Lists over several hosts: what all of them filter by, and how their rows become one page.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::{
    docker::{Container, Docker, Filters, Target},
    error::Result,
    redact,
    tool::{
        Call, HostAnswer, HostStatus,
        cursor::Cursor,
        page::{Page, Wanted, paged},
    },
    tools::{project::PROJECT, view::clipped},
};

/// How many rows a page has, where the call does not say.
const ROWS: usize = 50;
/// How many bytes say how the hosts took part.
const HOSTS: usize = 3_000;
/// The most characters of one host's error, where there are very many hosts.
const LONGEST_ERROR: usize = 160;

/// The mark of what was made through us.
const MANAGED: &str = "quaymaster.managed";

/// The labels that an object has to have: a key, or a key with its value.
///
/// Values are compared with what may be shown of them, and here: an engine would compare with what is
/// hidden, and every guess at a secret would be answered.
#[derive(Debug, Default)]
pub(crate) struct Labels<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> Labels<'a> {
    /// Those that were asked for, each `key` or `key=value`.
    pub(crate) fn of(asked: &'a [String]) -> Self {
        let label =
            |label: &'a String| label.split_once('=').map_or((label.as_str(), None), |(key, value)| (key, Some(value)));
        Self(asked.iter().map(label).collect())
    }

    /// Only what was made through us.
    pub(crate) fn managed(mut self, managed_only: bool) -> Self {
        self.0.extend(managed_only.then_some((MANAGED, Some("true"))));
        self
    }

    /// Only what belongs to a compose project.
    pub(crate) fn project(mut self, project: Option<&'a str>) -> Self {
        self.0.extend(project.map(|project| (PROJECT, Some(project))));
        self
    }

    /// What of it the engine may filter by: which labels there are is no secret.
    pub(crate) fn filters(&self, filters: Filters) -> Filters {
        filters.with("label", self.keys())
    }

    /// The keys that are looked at.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| *key)
    }

    /// Whether a document of the engine's, as it may be shown, has them all.
    pub(crate) fn fit(&self, document: &Value) -> bool {
        let labels = document.get("Labels").and_then(Value::as_object);
        self.fit_with(|key| labels.and_then(|labels| labels.get(key)))
    }

    /// Whether a container has them all; those of [`Labels::keys`] have to be read of it.
    pub(crate) fn fit_container(&self, container: &Container) -> bool {
        self.fit_with(|key| container.label_value(key))
    }

    /// Whether a label is there under every key, with the value where one is asked for.
    pub(crate) fn fit_with<'b>(&self, label: impl Fn(&str) -> Option<&'b Value>) -> bool {
        self.0.iter().all(|(key, wanted)| match (label(key), wanted) {
            (found, None) => found.is_some(),
            (Some(Value::String(value)), Some(wanted)) => redact::shown(value) == *wanted,
            (_, Some(_)) => false,
        })
    }
}

/// The rows of all hosts that answered, sorted and cut to a page, and how each host took part.
///
/// # Errors
/// `invalid` for a cursor that this call did not give.
pub(crate) fn page<T: Serialize>(
    answers: Vec<HostAnswer<Vec<T>>>,
    key: impl Fn(&T) -> String,
    cursor: Option<&Cursor>,
    limit: Option<usize>,
    call: &Call,
) -> Result<(Vec<T>, Vec<HostStatus>, Page)> {
    let hosts = folded(HostStatus::of(&answers));
    let rows: Vec<T> = answers.into_iter().filter_map(|answer| answer.answer.ok()).flatten().collect();
    let wanted = Wanted { cursor, limit, usual: ROWS, taken: size(&hosts) };
    let (rows, page) = paged(rows, key, wanted, call.cursors())?;
    Ok((rows, hosts, page))
}

/// How the hosts took part, in bounded space: where there are very many, those that did not answer by name
/// and the rest by number.
pub(crate) fn folded(hosts: Vec<HostStatus>) -> Vec<HostStatus> {
    if size(&hosts) <= HOSTS {
        return hosts;
    }
    let (mut named, mut others, mut room) = (Vec::new(), BTreeMap::<String, usize>::new(), HOSTS);
    for mut host in hosts {
        let status = host.status.clone().unwrap_or_default();
        host.error = host.error.map(|error| clipped(&error, LONGEST_ERROR));
        let taken = size(std::slice::from_ref(&host));
        if status != "ok" && taken <= room {
            room -= taken;
            named.push(host);
        } else {
            *others.entry(status).or_default() += 1;
        }
    }
    let others = others.into_iter().map(|(status, number)| HostStatus {
        host: format!("{number} others"),
        status: Some(status),
        error: None,
    });
    named.into_iter().chain(others).collect()
}

/// The bytes that they take in an answer.
pub(crate) fn size(hosts: &[HostStatus]) -> usize {
    serde_json::to_string(hosts).map_or(0, |text| text.len())
}

/// What of a kind has a label with this value, as the engine lists it.
pub(crate) async fn labelled(docker: &Docker, path: &str, label: &str, value: &str) -> Result<Vec<Value>> {
    let filters = Filters::default().with("label", [format!("{label}={value}")]);
    let mut listed = docker.json(Target::new(path).filters(&filters)).await?;
    // Volumes stand in a document of their own.
    let rows = listed.get_mut("Volumes").map(Value::take).unwrap_or(listed);
    Ok(match rows {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Error;

    #[test]
    fn the_rows_of_all_hosts_are_one_sorted_page() {
        let answers = |rows: [&[&'static str]; 2]| {
            let answered = rows.map(|rows| HostAnswer { host: rows.concat(), answer: Ok(rows.to_vec()) });
            let silent = HostAnswer { host: "silent".to_owned(), answer: Err(Error::unreachable("no answer")) };
            answered.into_iter().chain([silent]).collect::<Vec<_>>()
        };
        let key = |row: &&str| (*row).to_owned();
        let all = || answers([&["d", "a"], &["c", "b"]]);
        let call = Call::alone();
        let (rows, hosts, cut) = page(all(), key, None, Some(3), &call).unwrap();
        assert_eq!((rows, hosts.len(), cut.total), (vec!["a", "b", "c"], 3, Some(4)));
        let (rows, _, last) = page(all(), key, cut.cursor.as_ref(), None, &call).unwrap();
        assert_eq!((rows, last.cursor), (vec!["d"], None));
    }

    #[test]
    fn a_thousand_hosts_are_a_few_lines() {
        let answer = |number: usize| match number % 50 {
            0 => Err(Error::unreachable("x".repeat(1_000))),
            _ => Ok(vec![number]),
        };
        let answers =
            |count| (0..count).map(|number| HostAnswer { host: format!("host-{number}"), answer: answer(number) });
        let key = |row: &usize| format!("{row:04}");
        let (rows, hosts, _) = page(answers(1_000).collect(), key, None, Some(500), &Call::alone()).unwrap();
        assert!(rows.len() == 500 && size(&hosts) < HOSTS + 100, "{}", size(&hosts));
        let named = hosts.iter().filter(|host| host.error.is_some()).count();
        assert!(named > 10, "{hosts:?}");
        let others = |status: &str| {
            hosts.iter().find(|host| host.host.ends_with(" others") && host.status.as_deref() == Some(status))
        };
        assert_eq!(others("ok").unwrap().host, "980 others");
        assert_eq!(others("unreachable").unwrap().host, format!("{} others", 20 - named));
        assert_eq!(page(answers(9).collect(), key, None, None, &Call::alone()).unwrap().1.len(), 9);
    }

    #[test]
    fn what_was_made_through_us_has_a_label() {
        let document = |managed: &str| json!({"Labels": {"tier": "web", "quaymaster.managed": managed}});
        let asked = ["tier=web".to_owned()];
        assert!(Labels::of(&asked).fit(&document("false")));
        assert!(Labels::of(&asked).managed(true).fit(&document("true")));
        assert!(!Labels::of(&asked).managed(true).fit(&document("false")));
    }

    #[test]
    fn a_value_is_what_is_shown_of_it() {
        let mask = redact::mask("hunter2");
        let document = json!({"Labels": {"plain": "\u{1b}[31mred", "secret": mask, "empty": "", "odd": 7}});
        for (label, fits) in [
            ("plain=red", true),
            ("plain=re", false),
            ("plain", true),
            ("secret", true),
            ("secret=hunter2", false),
            ("secret=", false),
            (format!("secret={mask}").as_str(), true),
            ("empty=", true),
            ("odd", true),
            ("odd=7", false),
            ("other", false),
            ("other=", false),
        ] {
            assert_eq!(Labels::of(&[label.to_owned()]).fit(&document), fits, "{label}");
        }
        for document in [json!({"Labels": null}), json!({}), json!({"Labels": ["plain"]})] {
            assert!(!Labels::of(&["plain".to_owned()]).fit(&document) && Labels::of(&[]).fit(&document));
        }
    }

    #[test]
    fn the_engine_hears_no_value() {
        let asked = ["secret=hunter2".to_owned(), "tier".to_owned()];
        let filters = Labels::of(&asked).project(Some("shop")).filters(Filters::default());
        let sent = format!("{filters:?}");
        assert!(sent.contains("secret") && sent.contains("com.docker.compose.project"), "{sent}");
        assert!(!sent.contains("hunter2") && !sent.contains("shop"), "{sent}");
    }
}
