//! Recursive Length Prefix, as far as tries, receipts and transactions need it.
//!
//! The transactions that arrive here were decoded strictly in Python before. This reader is bounded and never panics, but
//! it accepts some encodings that are not canonical.

use alloy_primitives::U256;

/// Bytes that are not the RLP they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RlpError;

/// One item: a byte string, or a list with the encoded items in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// The bytes of a string.
    Bytes(&'a [u8]),
    /// The encoded items of a list, one after another.
    List(&'a [u8]),
}

/// The first item of `data`, its whole encoding, and what follows it.
pub fn split(data: &[u8]) -> Result<(Item<'_>, &[u8], &[u8]), RlpError> {
    let &first = data.first().ok_or(RlpError)?;
    let (header, length, is_list) = match first {
        0x00..=0x7f => return Ok((Item::Bytes(&data[..1]), &data[..1], &data[1..])),
        0x80..=0xb7 => (1, usize::from(first - 0x80), false),
        0xb8..=0xbf => {
            let size = usize::from(first - 0xb7);
            (1 + size, long_length(data, size)?, false)
        }
        0xc0..=0xf7 => (1, usize::from(first - 0xc0), true),
        0xf8..=0xff => {
            let size = usize::from(first - 0xf7);
            (1 + size, long_length(data, size)?, true)
        }
    };
    let end = header.checked_add(length).ok_or(RlpError)?;
    let content = data.get(header..end).ok_or(RlpError)?;
    let item = if is_list { Item::List(content) } else { Item::Bytes(content) };
    Ok((item, &data[..end], &data[end..]))
}

fn long_length(data: &[u8], size: usize) -> Result<usize, RlpError> {
    let bytes = data.get(1..1 + size).ok_or(RlpError)?;
    let mut length: usize = 0;
    for &byte in bytes {
        length = length.checked_mul(256).ok_or(RlpError)? + usize::from(byte);
    }
    Ok(length)
}

/// The one item that `data` is.
pub fn decode(data: &[u8]) -> Result<Item<'_>, RlpError> {
    let (item, _, rest) = split(data)?;
    if rest.is_empty() { Ok(item) } else { Err(RlpError) }
}

/// The content of the one list that `data` is.
pub fn decode_list(data: &[u8]) -> Result<&[u8], RlpError> {
    match decode(data)? {
        Item::List(content) => Ok(content),
        Item::Bytes(_) => Err(RlpError),
    }
}

/// Reads the items of a list in their order.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// Whether all items were read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next item.
    pub fn item(&mut self) -> Result<Item<'a>, RlpError> {
        let (item, _, rest) = split(self.0)?;
        self.0 = rest;
        Ok(item)
    }

    /// The next item, which must be a byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], RlpError> {
        match self.item()? {
            Item::Bytes(bytes) => Ok(bytes),
            Item::List(_) => Err(RlpError),
        }
    }

    /// The next item, which must be a list.
    pub fn list(&mut self) -> Result<Fields<'a>, RlpError> {
        match self.item()? {
            Item::List(content) => Ok(Fields(content)),
            Item::Bytes(_) => Err(RlpError),
        }
    }

    /// The next item as a number of at most 32 bytes.
    pub fn number(&mut self) -> Result<U256, RlpError> {
        U256::try_from_be_slice(self.bytes()?).ok_or(RlpError)
    }

    /// The next item as a number of at most 8 bytes.
    pub fn small(&mut self) -> Result<u64, RlpError> {
        let bytes = self.bytes()?;
        if bytes.len() > size_of::<u64>() {
            let number = U256::try_from_be_slice(bytes).ok_or(RlpError)?;
            return u64::try_from(number).map_err(|_| RlpError);
        }
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// Append the encoding of the byte string `bytes`.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if let [byte @ 0x00..=0x7f] = bytes {
        out.push(*byte);
        return;
    }
    put_header(out, bytes.len(), 0x80);
    out.extend_from_slice(bytes);
}

/// Bytes of the encoding of the byte string `bytes`.
pub fn bytes_length(bytes: &[u8]) -> usize {
    if let [0x00..=0x7f] = bytes { 1 } else { header_length(bytes.len()) + bytes.len() }
}

/// Bytes of the encoding of a list whose encoded items have `length` bytes together.
pub fn list_length(length: usize) -> usize {
    header_length(length) + length
}

fn header_length(length: usize) -> usize {
    if length < 56 { 1 } else { 1 + length_bytes(length) }
}

fn length_bytes(length: usize) -> usize {
    (usize::BITS - length.leading_zeros()).div_ceil(8) as usize
}

/// The header of a list whose encoded items will have `length` bytes together, with capacity for them.
pub fn list_with(length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(list_length(length));
    put_list_header(&mut out, length);
    out
}

/// Append the header of a list whose encoded items have `length` bytes together.
pub fn put_list_header(out: &mut Vec<u8>, length: usize) {
    put_header(out, length, 0xc0);
}

fn put_header(out: &mut Vec<u8>, length: usize, base: u8) {
    if length < 56 {
        out.push(base + length as u8);
        return;
    }
    let size = length_bytes(length);
    out.push(base + 55 + size as u8);
    out.extend_from_slice(&length.to_be_bytes()[size_of::<usize>() - size..]);
}

/// Append the encoding of `number`, without leading zeros.
pub fn put_number(out: &mut Vec<u8>, number: U256) {
    let bytes = number.to_be_bytes::<32>();
    put_bytes(out, &bytes[number.leading_zeros() / 8..]);
}

/// Bytes of the encoding of `number`.
pub fn number_length(number: U256) -> usize {
    if number < U256::from(0x80) { 1 } else { 1 + number.byte_len() }
}

/// The list of the encoded items in `content`.
pub fn list_of(content: &[u8]) -> Vec<u8> {
    let mut out = list_with(content.len());
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0usize, 1, 2, 55, 56, 255, 256, 70_000] {
            let bytes = vec![0xab; length];
            let mut out = Vec::new();
            put_bytes(&mut out, &bytes);
            assert_eq!(decode(&out), Ok(Item::Bytes(&bytes)));
            assert_eq!(out.len(), bytes_length(&bytes));
            assert_eq!(decode_list(&list_of(&out)), Ok(out.as_slice()));
            assert_eq!(list_of(&out).len(), list_length(out.len()));
        }
    }

    #[test]
    fn a_number_is_as_long_as_was_said() {
        for number in [0u64, 1, 0x7f, 0x80, 0xff, 0x100, u64::MAX].map(U256::from).into_iter().chain([U256::MAX]) {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(out.len(), number_length(number));
            assert_eq!(Fields(&out).number(), Ok(number));
            assert_eq!(Fields(&out).small().ok(), u64::try_from(number).ok());
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let valid = [list_of(&[0x83, 1, 2, 3, 0xc1, 0x80]), list_of(&[0xab; 300])];
        crate::random_inputs::try_all(&valid, |input| {
            let mut fields = Fields(input);
            while !fields.is_empty() && fields.item().is_ok() {}
        });
    }

    #[test]
    fn a_length_beyond_the_data_is_an_error() {
        assert_eq!(decode(&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(RlpError));
        assert_eq!(decode(&[0x83, 1, 2]), Err(RlpError));
        assert_eq!(decode(&[]), Err(RlpError));
    }
}
