//! Keccak-256, for this crate and for revm. AVX-512 takes three quarters of the time of the general registers for one hash,
//! and hashes eight short inputs in about the time of two. A processor without it hashes with the assembler of `keccak-asm`,
//! which uses AVX-512 only where the whole library is compiled for it.

use std::slice;

use alloy_primitives::B256;

#[cfg(target_arch = "x86_64")]
use crate::keccak_avx512::{LANES, alone, together};

#[cfg(not(target_arch = "x86_64"))]
use without_avx512::{LANES, alone, together};

/// The hash of `input`.
pub fn keccak256(input: impl AsRef<[u8]>) -> B256 {
    let input = input.as_ref();
    alone(input).unwrap_or_else(|| by_assembler(input))
}

/// The hash of each of `inputs`, in their order.
pub fn keccak256_all(inputs: &[&[u8]]) -> Vec<B256> {
    let mut hashes = Vec::with_capacity(inputs.len());
    for group in inputs.chunks(LANES) {
        match together(group) {
            Some(found) => hashes.extend_from_slice(&found[..group.len()]),
            None => hashes.extend(group.iter().map(keccak256)),
        }
    }
    hashes
}

/// What `alloy_primitives::keccak256` calls, and so revm's instruction KECCAK256.
///
/// # Safety
///
/// `length` bytes must be readable at `input`, and 32 writable at `output`.
#[unsafe(no_mangle)]
unsafe extern "C" fn native_keccak256(input: *const u8, length: usize, output: *mut u8) {
    // SAFETY: the caller has this many bytes at both places, by the contract of alloy's feature `native-keccak`.
    unsafe { output.cast::<[u8; 32]>().write(keccak256(slice::from_raw_parts(input, length)).0) }
}

/// The hash of `input`, on every processor.
fn by_assembler(input: &[u8]) -> B256 {
    B256::new(keccak_asm::Keccak256::digest(input).into())
}

#[cfg(not(target_arch = "x86_64"))]
mod without_avx512 {
    use alloy_primitives::B256;

    pub const LANES: usize = 1;

    pub fn alone(_: &[u8]) -> Option<B256> {
        None
    }

    pub fn together(_: &[&[u8]]) -> Option<[B256; LANES]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    #[test]
    fn hashes_are_the_known_ones() {
        let known = [
            (&b""[..], b256!("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")),
            (b"abc", b256!("4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45")),
            (&[0xa3; 200], b256!("3a57666b048777f2c953dc4456f45a2588e1cb6f2da760122d530ac2ce607d4a")),
        ];
        for (input, hash) in known {
            assert_eq!(by_assembler(input), hash);
            assert_eq!(keccak256(input), hash);
            assert_eq!(keccak256_all(&[input; 9]), [hash; 9]);
            assert_eq!(alloy_primitives::keccak256(input), hash);
        }
    }

    #[test]
    fn hashes_are_those_of_the_assembler() {
        let bytes: Vec<u8> = (0..1_000u32).map(|number| ((number * number) >> 3) as u8).collect();
        for length in 0..600 {
            let inputs: Vec<&[u8]> = (0..17).map(|number| &bytes[number..][..length * (1 + number % 3) / 3]).collect();
            let expected: Vec<B256> = inputs.iter().map(|input| by_assembler(input)).collect();
            assert_eq!(inputs.iter().map(keccak256).collect::<Vec<_>>(), expected);
            assert_eq!(keccak256_all(&inputs), expected);
        }
    }

    #[test]
    fn no_input_has_no_hash() {
        assert!(keccak256_all(&[]).is_empty());
    }
}
