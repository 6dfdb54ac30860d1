//! Numbers and paths without an allocator.

use core::ffi::CStr;

/// The next decimal number of `text`, which is left behind it and the space that follows it.
pub(crate) fn next_number(text: &mut &[u8]) -> Option<u64> {
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest.strip_prefix(b" ").unwrap_or(rest);
    parse(digits)
}

/// `digits` as a number.
pub(crate) fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Bytes put together on the stack; what does not fit makes the whole unusable.
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
    whole: bool,
}

impl<const N: usize> Text<N> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; N], len: 0, whole: true }
    }

    /// Appends `part`.
    pub(crate) fn and(mut self, part: &[u8]) -> Self {
        // One byte stays free for the NUL.
        if self.len + part.len() >= N {
            self.whole = false;
            return self;
        }
        for byte in part {
            self.bytes[self.len] = *byte;
            self.len += 1;
        }
        self
    }

    /// Appends a number in decimal.
    pub(crate) fn and_number(self, mut n: u64) -> Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                return self.and(&digits[at..]);
            }
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// As a path; none where it did not fit.
    pub(crate) fn path(&self) -> Option<&CStr> {
        if !self.whole {
            return None;
        }
        CStr::from_bytes_until_nul(&self.bytes).ok()
    }
}
