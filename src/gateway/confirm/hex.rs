//! Bytes as hexadecimal digits, and back.

/// Lower-case digits, two for each byte.
pub(super) fn write(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Exactly so many bytes, or nothing.
pub(super) fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        assert_eq!(read::<4>(&write(&[0, 1, 0xab, 0xff])), Some([0, 1, 0xab, 0xff]));
        for wrong in ["", "0", "+1020304", "0g020304", "0102030405", "0\u{e9}0203"] {
            assert_eq!(read::<4>(wrong), None, "{wrong}");
        }
    }
}
