//! The fleet as a whole: how every host is, and where something runs.

mod cleanup;
mod find;
mod survey;

use crate::{
    redact,
    tool::{Toolset, def, fleet},
    tools::view::clipped,
};

/// The toolset; `gateway/tools.rs` adds what is about the gateway itself.
pub const HOSTS: Toolset = Toolset {
    name: "hosts",
    about: "The fleet: which hosts there are, how they are, and where something runs.",
    tools: &[fleet::<survey::SurveyHosts>, fleet::<find::Find>, def::<cleanup::PlanCleanup>, def::<cleanup::ApplyPlan>],
};

/// Somebody's text as one short line of an answer.
fn line(text: &str, longest: usize) -> String {
    let text = redact::shown(text);
    clipped(&text.split_whitespace().collect::<Vec<_>>().join(" "), longest)
}

/// `a, b and 3 more`, with at most so many names.
fn names<T: AsRef<str>>(names: &[T], most: usize) -> String {
    let shown = names.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_a_short_line() {
        assert_eq!(line("\u{1b}[31ma\n\n b\t", 10), "a b");
        assert_eq!(line("ääää", 3), "äää…");
    }

    #[test]
    fn many_names_become_a_count() {
        assert_eq!(names(&["a", "b"], 2), "a, b");
        assert_eq!(names(&["a", "b", "c", "d"], 2), "a, b and 2 more");
    }
}
