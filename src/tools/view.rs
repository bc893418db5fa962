//! Small tolerant views of the engine's documents that several domains share.

use serde_json::Value;

/// A text field, or nothing.
pub(crate) fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The first twelve digits of an id, without the algorithm in front.
pub(crate) fn short_id(id: &str) -> String {
    id.rsplit(':').next().unwrap_or(id).chars().take(12).collect()
}

/// A size as people read it, in binary units: `512 B`, `1.5 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if size >= 100.0 { format!("{size:.0} {unit}") } else { format!("{size:.1} {unit}") }
}

/// Text of at most so many characters; a cut one ends with `…`.
pub(crate) fn clipped(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Keeps the first rows, as many as fit into the room that is left in an answer, and takes it.
pub(crate) fn fit<T: serde::Serialize>(rows: &mut Vec<T>, room: &mut usize) {
    let mut kept = 0;
    for row in rows.iter() {
        let size = serde_json::to_string(row).map_or(0, |text| text.len() + 1);
        if size > *room {
            break;
        }
        *room -= size;
        kept += 1;
    }
    rows.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(clipped("äöü", 3), "äöü");
        assert_eq!(clipped("äöü", 2), "äö…");
        let (mut rows, mut room) = (vec!["12345"; 10], 20);
        fit(&mut rows, &mut room);
        assert_eq!((rows.len(), room), (2, 4));
    }

    #[test]
    fn sizes_are_binary() {
        for (size, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2 << 30, "2.0 GiB"), (150 << 20, "150 MiB")]
        {
            assert_eq!(bytes(size), shown);
        }
    }
}
