//! Which tool fits a few words best: stems and beginnings of words, rare ones first, the name before all else.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{Entry, arguments};
use crate::tool::text::first_sentence;

/// The most words of a query that count.
const MOST_WORDS: usize = 24;

/// What a word is worth by where it stands.
const NAME: f64 = 10.0;
const SENTENCE: f64 = 4.0;
const ARGUMENT: f64 = 2.5;
const REST: f64 = 2.0;
const EXPLANATION: f64 = 1.0;
/// What the tool's own name is worth, written out.
const EXACT: f64 = 1000.0;
/// What every letter of the name takes off.
const EXCESS: f64 = 0.02;
/// What of the whole counts of a tool that is named after its toolset, where nobody asked for that.
const FAMILY: f64 = 0.7;
/// What of it counts where only the beginning of the word is the same.
const BEGINNING: f64 = 0.5;
/// What of it counts where the word is another one for the same.
const OTHER_WORD: f64 = 0.7;

/// Words that say nothing about what is wanted.
const FILLERS: &[&str] = &[
    "a", "all", "an", "and", "are", "by", "can", "do", "docker", "for", "from", "get", "how", "i", "in", "into", "is",
    "it", "me", "my", "of", "on", "or", "please", "show", "some", "that", "the", "them", "there", "this", "to", "tool",
    "want", "was", "what", "which", "with",
];

/// What people say, and what the tools are called.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("apply", "update"),
    ("attach", "connect"),
    ("bash", "exec"),
    ("boot", "start"),
    ("change", "update"),
    ("cleanup", "prune"),
    ("clean", "prune"),
    ("cpu", "stats"),
    ("delete", "remove"),
    ("destroy", "remove"),
    ("detach", "disconnect"),
    ("disk", "usage"),
    ("download", "pull"),
    ("erase", "remove"),
    ("execute", "exec"),
    ("fetch", "pull"),
    ("free", "prune"),
    ("halt", "stop"),
    ("health", "wait"),
    ("history", "audit"),
    ("launch", "run"),
    ("limit", "update"),
    ("locate", "find"),
    ("make", "commit"),
    ("memory", "stats"),
    ("output", "logs"),
    ("process", "top"),
    ("publish", "push"),
    ("reboot", "restart"),
    ("rm", "remove"),
    ("search", "find"),
    ("shell", "exec"),
    ("space", "usage"),
    ("token", "join"),
    ("unused", "prune"),
    ("upload", "push"),
    ("usage", "stats"),
    ("where", "find"),
];

/// The tools by their words.
pub(super) struct Ranking<'a> {
    tools: Vec<(&'a Entry, BTreeMap<String, f64>)>,
    /// In how many tools a word stands.
    spread: BTreeMap<String, f64>,
}

impl<'a> Ranking<'a> {
    /// Reads the words of every tool.
    pub(super) fn new(entries: &[&'a Entry]) -> Self {
        let tools: Vec<_> = entries.iter().map(|entry| (*entry, weights(entry))).collect();
        let mut spread = BTreeMap::new();
        for word in tools.iter().flat_map(|(_, words)| words.keys()) {
            *spread.entry(word.clone()).or_insert(0.0) += 1.0;
        }
        Self { tools, spread }
    }

    /// The tools that fit, best first; of two that fit as well, the one that comes first in the documentation.
    pub(super) fn search(&self, query: &str) -> Vec<&'a Entry> {
        let whole = words(query).collect::<Vec<_>>().join("_");
        let asked = asked(query);
        let mut scored: Vec<(f64, &Entry)> = self
            .tools
            .iter()
            .map(|(entry, words)| {
                let name = entry.card.name;
                let exact = if name == whole || (name.contains('_') && query.contains(name)) { EXACT } else { 0.0 };
                let family = name.strip_prefix(entry.toolset).is_some_and(|rest| rest.starts_with('_'));
                let is_meant = !family || self::words(query).any(|word| word == entry.toolset);
                let score = exact + asked.iter().map(|word| self.worth(word, words)).sum::<f64>();
                (score * if is_meant { 1.0 } else { FAMILY }, *entry)
            })
            .filter(|(score, _)| *score > 0.0)
            // Of two that have the word, the one that is called nothing else is meant.
            .map(|(score, entry)| {
                (score - EXCESS * f64::from(u32::try_from(entry.card.name.len()).unwrap_or(0)), entry)
            })
            .collect();
        scored.sort_by(|(left, _), (right, _)| right.partial_cmp(left).unwrap_or(Ordering::Equal));
        // What fits much worse than the best is noise.
        let least = scored.first().map_or(0.0, |(best, _)| best.min(EXACT / 2.0) / 5.0);
        scored.into_iter().filter(|(score, _)| *score >= least).map(|(_, entry)| entry).collect()
    }

    /// What a word of the query is worth for a tool, in any of its forms.
    fn worth(&self, forms: &[(String, f64)], words: &BTreeMap<String, f64>) -> f64 {
        let of = |(form, share): &(String, f64)| {
            let same = words.get(form).map_or(0.0, |weight| weight * self.rarity(form));
            let begins = |word: &str| {
                let shorter = word.len().min(form.len());
                word != form && shorter >= 4 && (word.starts_with(form.as_str()) || form.starts_with(word))
            };
            let begun = words.iter().filter(|(word, _)| begins(word));
            let begun = begun.map(|(word, weight)| weight * self.rarity(word) * BEGINNING).fold(0.0, f64::max);
            same.max(begun) * share
        };
        forms.iter().map(of).fold(0.0, f64::max)
    }

    /// A word that stands everywhere tells nothing apart.
    fn rarity(&self, word: &str) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "there are not that many tools")]
        let tools = self.tools.len() as f64;
        (1.0 + tools / self.spread.get(word).copied().unwrap_or(1.0)).ln()
    }
}

/// Every word of a query that says something, as its stem and as what else it may be called.
fn asked(query: &str) -> Vec<Vec<(String, f64)>> {
    let mut seen = BTreeSet::new();
    let all: Vec<String> = words(query).take(MOST_WORDS).collect();
    let telling: Vec<&String> = all.iter().filter(|word| !FILLERS.contains(&word.as_str())).collect();
    // Nothing but fillers is still a query.
    let telling = if telling.is_empty() { all.iter().collect() } else { telling };
    telling
        .into_iter()
        .map(|word| stem(word))
        .filter(|word| seen.insert(word.clone()))
        .map(|word| {
            let others = OTHER_WORDS.iter().filter(|(said, _)| stem(said) == word);
            let others: Vec<_> = others.map(|(_, called)| (stem(called), OTHER_WORD)).collect();
            std::iter::once((word, 1.0)).chain(others).collect()
        })
        .collect()
}

/// The stems of a tool, each with the most that it is worth.
fn weights(entry: &Entry) -> BTreeMap<String, f64> {
    let card = &entry.card;
    let sentence = first_sentence(card.about());
    let rest = card.about().get(sentence.len()..).unwrap_or_default();
    let mut weights = BTreeMap::new();
    let mut add = |text: &str, weight: f64| {
        for word in words(text) {
            // A tool that is called so removes as any other does.
            let word = if word == "rm" { "remove".to_owned() } else { word };
            let known = weights.entry(stem(&word)).or_insert(0.0_f64);
            *known = known.max(weight);
        }
    };
    add(card.name, NAME);
    add(entry.toolset, SENTENCE);
    add(sentence, SENTENCE);
    add(rest, REST);
    for (name, about) in arguments(card.input()) {
        add(name, ARGUMENT);
        add(about, EXPLANATION);
    }
    weights
}

/// The words of a text, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// What is left of a word without its ending.
fn stem(word: &str) -> String {
    let mut stem = word;
    if let Some(rest) = stem.strip_suffix("ies").filter(|rest| rest.len() > 2) {
        return format!("{rest}y");
    }
    let ended = |ending: &&str| stem.strip_suffix(ending).filter(|rest| rest.len() > 2);
    if let Some(rest) = ["ing", "ed"].iter().find_map(ended) {
        stem = rest;
    } else if let Some(rest) = stem.strip_suffix('s').filter(|rest| rest.len() > 2 && !rest.ends_with('s')) {
        stem = rest;
    }
    // Not `state`, which is no `stats`.
    if let Some(rest) = stem.strip_suffix('e').filter(|rest| rest.len() > 4) {
        stem = rest;
    }
    // `stopping` doubles what `stop` does not.
    let mut last = stem.chars().rev();
    if let (Some(one), Some(other)) = (last.next(), last.next())
        && one == other
        && stem.len() > 3
    {
        stem = stem.get(..stem.len() - one.len_utf8()).unwrap_or(stem);
    }
    stem.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::catalogue::everything;

    fn first(query: &str) -> &'static str {
        let everything = everything();
        let entries: Vec<&Entry> = everything.iter().collect();
        Ranking::new(&entries).search(query).first().map_or("nothing", |entry| entry.card.name)
    }

    #[test]
    fn what_people_say_leads_to_the_tool() {
        let wrong: Vec<_> = [
            ("tag an image", "tag_image"),
            ("tag_image", "tag_image"),
            ("delete a volume", "remove_volume"),
            ("rm containers", "remove_container"),
            ("which processes run in the container", "container_top"),
            ("history of an image", "image_history"),
            ("create network", "create_network"),
            ("attach a container to a network", "connect_network"),
            ("detach a container from a network", "disconnect_network"),
            ("pausing a container", "pause_container"),
            ("unpause", "unpause_container"),
            ("send SIGHUP to a container", "kill_container"),
            ("change the memory limit of a container", "update_container"),
            ("rename", "rename_container"),
            ("which files changed in a container", "container_changes"),
            ("clean up stopped containers", "prune_containers"),
            ("prune unused networks", "prune_networks"),
            ("remove unused volumes", "prune_volumes"),
            ("make an image of a container", "commit_container"),
            ("search Docker Hub", "search_images"),
            ("inspect a volume", "inspect_volume"),
            ("container logs", "container_logs"),
            ("how full is the disk", "disk_usage"),
            ("cpu usage of a container", "container_stats"),
            ("execute a shell command", "exec_in_container"),
            ("is it allowed by the policy", "explain_policy"),
            ("cancel a job", "cancel_job"),
            ("an audit of my calls", "read_audit_log"),
            ("engine version", "version"),
            ("download an image", "pull_image"),
            ("where does redis run", "find"),
            ("compose logs", "compose_logs"),
            ("stop a compose project", "compose_stop"),
        ]
        .into_iter()
        .map(|(query, tool)| (query, tool, first(query)))
        .filter(|(_, wanted, found)| wanted != found)
        .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn nothing_fits_nothing() {
        for query in ["", "  ", "zyxwv", "→ ✓", "\u{0}"] {
            assert_eq!(first(query), "nothing", "{query:?}");
        }
        assert_ne!(first("show me all"), "nothing", "fillers count where there is nothing else");
    }

    #[test]
    fn stems() {
        for (word, expected) in [
            ("stopping", "stop"),
            ("stopped", "stop"),
            ("stops", "stop"),
            ("images", "image"),
            ("image", "image"),
            ("process", "proces"),
            ("processes", "proces"),
            ("pausing", "paus"),
            ("pauses", "pause"),
            ("registries", "registry"),
            ("volumes", "volum"),
            ("state", "state"),
            ("stats", "stat"),
            ("logs", "log"),
            ("es", "es"),
            ("ß", "ß"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
