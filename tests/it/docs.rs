//! The generated pages are the tools as they are; `QUAYMASTER_UPDATE=1` writes them.

use std::{fs, path::Path};

use quaymaster::docs;

/// Compares a page with what it ought to be, or makes it so.
fn hold(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if fs::read_to_string(&path).is_ok_and(|current| current == wanted) {
        return;
    }
    assert!(
        std::env::var_os("QUAYMASTER_UPDATE").is_some_and(|update| update == "1"),
        "{name} is stale: QUAYMASTER_UPDATE=1 cargo test --test it docs"
    );
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, wanted).unwrap();
}

#[test]
fn the_page_of_tools_is_up_to_date() {
    hold("docs/tools.md", &docs::tools_page());
}

#[test]
fn the_table_of_the_readme_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let current = fs::read_to_string(path).unwrap();
    hold("README.md", &docs::readme(&current).expect("the markers of the table"));
}

#[test]
fn a_page_keeps_what_is_around_the_table() {
    let page = docs::readme("before\n<!-- tools:begin -->\nstale\n<!-- tools:end -->\nafter\n").unwrap();
    assert!(page.starts_with("before\n<!-- tools:begin -->\n| toolset |"), "{page}");
    assert!(page.ends_with("|\n<!-- tools:end -->\nafter\n") && !page.contains("stale"), "{page}");
    assert_eq!(docs::readme(&page).unwrap(), page);
    assert!(docs::readme("no markers").is_none());
}
