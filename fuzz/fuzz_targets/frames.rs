//! Log frames: however a stream is cut into chunks, the same lines come out, none longer than the limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quaymaster::docker::stream::{LONGEST_LINE, Line, Lines};

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (framed, chunk, bytes) = input;
    let whole = read(framed, bytes, bytes.len().max(1));
    let pieces = read(framed, bytes, usize::from(chunk).max(1));
    match (whole, pieces) {
        (Some(whole), Some(pieces)) => assert_eq!(whole, pieces),
        (whole, pieces) => assert_eq!(whole.is_some(), pieces.is_some(), "it fails by how it is cut"),
    }
});

fn read(framed: bool, bytes: &[u8], chunk: usize) -> Option<Vec<Line>> {
    let (mut found, mut lines) = (Vec::new(), Lines::new(framed));
    for chunk in bytes.chunks(chunk) {
        lines.push(chunk, |line| found.push(line)).ok()?;
    }
    lines.finish(|line| found.push(line));
    // A byte that is no text becomes a character of three.
    assert!(found.iter().all(|line| line.text.len() <= 3 * LONGEST_LINE));
    Some(found)
}
