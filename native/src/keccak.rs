//! Keccak-256 of several byte strings at once. The nodes below one branch of a trie do not hang on each other, and a
//! processor with AVX-512 permutes eight states in about the time of two. Others hash them one after another.

use alloy_primitives::{B256, keccak256};

/// Bytes that one permutation takes in.
const RATE: usize = 136;

/// States that are permuted together.
const LANES: usize = 8;

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

/// Permutations that `input` needs.
fn permutations(input: &[u8]) -> usize {
    input.len() / RATE + 1
}

/// The hashes of at most `LANES` inputs; None where hashing them one after another is as quick, or nothing else is possible.
#[cfg(target_arch = "x86_64")]
fn together(inputs: &[&[u8]]) -> Option<[B256; LANES]> {
    let longest = inputs.iter().map(|input| permutations(input)).max()?;
    let all: usize = inputs.iter().map(|input| permutations(input)).sum();
    if all <= 2 * longest || !std::arch::is_x86_feature_detected!("avx512f") {
        return None;
    }
    // SAFETY: the processor has what the function needs.
    Some(unsafe { wide::hashes(inputs, longest) })
}

#[cfg(not(target_arch = "x86_64"))]
fn together(_: &[&[u8]]) -> Option<[B256; LANES]> {
    None
}

/// Keccak-f[1600] of eight states (FIPS 202, section 3), of which each vector has the same word.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m512i, _mm512_rolv_epi64, _mm512_set_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
        _mm512_ternarylogic_epi64, _mm512_xor_si512,
    };

    use alloy_primitives::B256;

    use super::{LANES, RATE, permutations};

    /// What step iota adds in each round.
    const ROUNDS: [u64; 24] = [
        0x0000_0000_0000_0001,
        0x0000_0000_0000_8082,
        0x8000_0000_0000_808a,
        0x8000_0000_8000_8000,
        0x0000_0000_0000_808b,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8009,
        0x0000_0000_0000_008a,
        0x0000_0000_0000_0088,
        0x0000_0000_8000_8009,
        0x0000_0000_8000_000a,
        0x0000_0000_8000_808b,
        0x8000_0000_0000_008b,
        0x8000_0000_0000_8089,
        0x8000_0000_0000_8003,
        0x8000_0000_0000_8002,
        0x8000_0000_0000_0080,
        0x0000_0000_0000_800a,
        0x8000_0000_8000_000a,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8080,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8008,
    ];

    /// By how many bits step rho turns the word x + 5 y.
    const TURNS: [i64; 25] =
        [0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14];

    /// The exclusive or of three, and `a ^ (!b & c)`, as tables of `_mm512_ternarylogic_epi64`.
    const XOR: i32 = 0x96;
    const CHI: i32 = 0xd2;

    type Block = [[u64; LANES]; RATE / 8];

    /// The hashes of at most `LANES` inputs. `longest` is the number of permutations of the longest one.
    #[target_feature(enable = "avx512f")]
    pub fn hashes(inputs: &[&[u8]], longest: usize) -> [B256; LANES] {
        let mut state = [_mm512_setzero_si512(); 25];
        let mut hashes = [B256::ZERO; LANES];
        for number in 0..longest {
            let mut block: Block = [[0; LANES]; RATE / 8];
            for (lane, input) in inputs.iter().enumerate() {
                put(&mut block, lane, input.get(number * RATE..).unwrap_or_default());
            }
            for (word, put) in state.iter_mut().zip(&block) {
                let [a, b, c, d, e, f, g, h] = put.map(u64::cast_signed);
                *word = _mm512_xor_si512(*word, _mm512_set_epi64(h, g, f, e, d, c, b, a));
            }
            permute(&mut state);
            // A state whose input has ended is permuted on, and not looked at again.
            for (lane, _) in inputs.iter().enumerate().filter(|(_, input)| permutations(input) == number + 1) {
                hashes[lane] = digest(&state, lane);
            }
        }
        hashes
    }

    /// Put the next bytes of an input into its lane, with the padding if they are the last ones.
    fn put(block: &mut Block, lane: usize, rest: &[u8]) {
        let mut last = [0; RATE];
        let bytes = match rest.first_chunk::<RATE>() {
            Some(bytes) => bytes,
            None => {
                last[..rest.len()].copy_from_slice(rest);
                last[rest.len()] = 1;
                last[RATE - 1] |= 0x80;
                &last
            }
        };
        let (words, _) = bytes.as_chunks::<8>();
        for (put, word) in block.iter_mut().zip(words) {
            put[lane] = u64::from_le_bytes(*word);
        }
    }

    fn digest(state: &[__m512i; 25], lane: usize) -> B256 {
        let mut digest = B256::ZERO;
        for (bytes, word) in digest.0.chunks_exact_mut(8).zip(state) {
            // SAFETY: both have 512 bits, and all bits have a meaning in both.
            let words: [u64; LANES] = unsafe { std::mem::transmute(*word) };
            bytes.copy_from_slice(&words[lane].to_le_bytes());
        }
        digest
    }

    #[target_feature(enable = "avx512f")]
    fn permute(state: &mut [__m512i; 25]) {
        for round in ROUNDS {
            let mut sums = [_mm512_setzero_si512(); 5];
            for (x, sum) in sums.iter_mut().enumerate() {
                let three = _mm512_ternarylogic_epi64::<XOR>(state[x], state[x + 5], state[x + 10]);
                *sum = _mm512_ternarylogic_epi64::<XOR>(three, state[x + 15], state[x + 20]);
            }
            let mut moved = [_mm512_setzero_si512(); 25];
            for x in 0..5 {
                let next = _mm512_rolv_epi64(sums[(x + 1) % 5], _mm512_set1_epi64(1));
                for y in 0..5 {
                    let word = _mm512_ternarylogic_epi64::<XOR>(state[x + 5 * y], sums[(x + 4) % 5], next);
                    let turned = _mm512_rolv_epi64(word, _mm512_set1_epi64(TURNS[x + 5 * y]));
                    moved[y + 5 * ((2 * x + 3 * y) % 5)] = turned;
                }
            }
            for y in 0..5 {
                for x in 0..5 {
                    let (second, third) = (moved[(x + 1) % 5 + 5 * y], moved[(x + 2) % 5 + 5 * y]);
                    state[x + 5 * y] = _mm512_ternarylogic_epi64::<CHI>(moved[x + 5 * y], second, third);
                }
            }
            state[0] = _mm512_xor_si512(state[0], _mm512_set1_epi64(round.cast_signed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_inputs_together_are_those_of_each() {
        let bytes: Vec<u8> = (0..1_000u32).map(|number| ((number * number) >> 3) as u8).collect();
        for length in 0..600 {
            let inputs: Vec<&[u8]> = (0..17).map(|number| &bytes[number..][..length * (1 + number % 3) / 3]).collect();
            let expected: Vec<B256> = inputs.iter().map(keccak256).collect();
            assert_eq!(keccak256_all(&inputs), expected);
        }
    }

    #[test]
    fn hashes_of_no_input_and_of_one() {
        assert!(keccak256_all(&[]).is_empty());
        assert_eq!(keccak256_all(&[b"one"]), [keccak256(b"one")]);
    }
}
