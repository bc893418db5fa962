//! Lists over several hosts: what all of them filter by, and how their rows become one page.

use serde::Serialize;

use crate::{
    error::Result,
    tool::{
        HostAnswer, HostStatus,
        page::{Cursor, Page, paged},
    },
};

/// How many rows a page has, where the call does not say.
const ROWS: usize = 50;

/// The labels that the engine filters by: those that were asked for, and the mark of what was made through us.
pub(crate) fn labels(asked: &[String], managed_only: bool) -> impl Iterator<Item = &str> {
    asked.iter().map(String::as_str).chain(managed_only.then_some("quaymaster.managed=true"))
}

/// The rows of all hosts that answered, sorted and cut to a page, and how each host took part.
///
/// # Errors
/// `invalid` for a broken cursor.
pub(crate) fn page<T: Serialize>(
    answers: Vec<HostAnswer<Vec<T>>>,
    key: impl Fn(&T) -> String,
    cursor: Option<&Cursor>,
    limit: Option<usize>,
) -> Result<(Vec<T>, Vec<HostStatus>, Page)> {
    let hosts = HostStatus::of(&answers);
    let mut rows: Vec<T> = answers.into_iter().filter_map(|answer| answer.answer.ok()).flatten().collect();
    rows.sort_by_cached_key(&key);
    let (rows, page) = paged(rows, key, cursor, limit.unwrap_or(ROWS))?;
    Ok((rows, hosts, page))
}

#[cfg(test)]
mod tests {
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
        let (rows, hosts, cut) = page(all(), key, None, Some(3)).unwrap();
        assert_eq!((rows, hosts.len(), cut.total), (vec!["a", "b", "c"], 3, Some(4)));
        let (rows, _, last) = page(all(), key, cut.cursor.as_ref(), None).unwrap();
        assert_eq!((rows, last.cursor), (vec!["d"], None));
    }

    #[test]
    fn what_was_made_through_us_has_a_label() {
        let asked = ["tier=web".to_owned()];
        assert_eq!(labels(&asked, false).collect::<Vec<_>>(), ["tier=web"]);
        assert_eq!(labels(&asked, true).collect::<Vec<_>>(), ["tier=web", "quaymaster.managed=true"]);
    }
}
