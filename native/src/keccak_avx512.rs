//! Keccak-256 with AVX-512, where the processor has it. It has room for a whole state in its registers, and does each step of
//! the permutation with few instructions.

use alloy_primitives::B256;

/// Bytes that one permutation takes in.
const RATE: usize = 136;

/// States that are permuted together.
pub const LANES: usize = 8;

/// The hash of `input`; None on a processor without AVX-512.
pub fn alone(input: &[u8]) -> Option<B256> {
    if !(std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vl")) {
        return None;
    }
    // SAFETY: the processor has what the function needs.
    Some(unsafe { narrow::hash(input) })
}

/// The hashes of at most `LANES` inputs; None where hashing them one after another is as quick, or nothing else is possible.
pub fn together(inputs: &[&[u8]]) -> Option<[B256; LANES]> {
    let longest = inputs.iter().map(|input| permutations(input)).max()?;
    let all: usize = inputs.iter().map(|input| permutations(input)).sum();
    if all <= 2 * longest || !std::arch::is_x86_feature_detected!("avx512f") {
        return None;
    }
    // SAFETY: the processor has what the function needs.
    Some(unsafe { wide::hashes(inputs, longest) })
}

/// Permutations that `input` needs.
fn permutations(input: &[u8]) -> usize {
    input.len() / RATE + 1
}

/// The next bytes of an input as words. `rest` begins with them; where it is shorter, they are its last ones, and have the
/// padding.
fn next_words(rest: &[u8]) -> [u64; RATE / 8] {
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
    let mut words = [0; RATE / 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

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

/// The exclusive or of three, and `a ^ (!b & c)`, as tables of the instruction VPTERNLOG.
const XOR: i32 = 0x96;
const CHI: i32 = 0xd2;

/// Put a row of the state together: step pi brings the words of a diagonal into a row, and step rho turns each by a number
/// of bits.
macro_rules! row {
    ($a:ident, $d:ident: $($place:literal by $bits:literal),+) => {
        [$(turned::<$bits>(xor($a[$place], $d[$place % 5]))),+]
    };
}

/// Define Keccak-f[1600] (FIPS 202, section 3) as `permute`, where the word x + 5 y of the state is a `Word`, and `xor`,
/// `xor_of_three`, `turned`, `chi` and `same` are what the processor has for them.
///
/// The order of the steps is the quickest that was measured: a row is put together one before its step chi, so that few
/// words must leave the registers.
macro_rules! define_permutation {
    ($features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn permute(state: &mut [Word; 25]) {
            let mut words = *state;
            for constant in super::ROUNDS {
                words = permuted_once(words, same(constant.cast_signed()));
            }
            *state = words;
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn permuted_once(a: [Word; 25], constant: Word) -> [Word; 25] {
            let sums = [column(&a, 0), column(&a, 1), column(&a, 2), column(&a, 3), column(&a, 4)];
            let d = [between(&sums, 0), between(&sums, 1), between(&sums, 2), between(&sums, 3), between(&sums, 4)];
            let fifth = row!(a, d: 2 by 62, 8 by 55, 14 by 39, 15 by 41, 21 by 2);
            let fourth = row!(a, d: 4 by 27, 5 by 36, 11 by 10, 17 by 15, 23 by 56);
            let [u, v, w, x, y] = chi_of(fifth);
            let third = row!(a, d: 1 by 1, 7 by 6, 13 by 25, 19 by 8, 20 by 18);
            let [p, q, r, s, t] = chi_of(fourth);
            let second = row!(a, d: 3 by 28, 9 by 20, 10 by 3, 16 by 45, 22 by 61);
            let [k, l, m, n, o] = chi_of(third);
            let first = row!(a, d: 0 by 0, 6 by 44, 12 by 43, 18 by 21, 24 by 14);
            let [f, g, h, i, j] = chi_of(second);
            let [z, b, c, d, e] = chi_of(first);
            [xor(z, constant), b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn column(a: &[Word; 25], x: usize) -> Word {
            xor_of_three(xor_of_three(a[x + 20], a[x + 15], a[x + 10]), a[x + 5], a[x])
        }

        /// What step theta adds to the words of column `x`.
        #[inline]
        #[target_feature(enable = $features)]
        fn between(sums: &[Word; 5], x: usize) -> Word {
            xor(sums[(x + 4) % 5], turned::<1>(sums[(x + 1) % 5]))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn chi_of([a, b, c, d, e]: [Word; 5]) -> [Word; 5] {
            [chi(a, b, c), chi(b, c, d), chi(c, d, e), chi(d, e, a), chi(e, a, b)]
        }
    };
}

/// One state, with a word in the lower half of each register.
mod narrow {
    use std::arch::x86_64::{
        __m128i as Word, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_rol_epi64, _mm_setzero_si128,
        _mm_ternarylogic_epi64, _mm_xor_si128,
    };

    use alloy_primitives::B256;

    use super::{CHI, RATE, XOR, next_words, permutations};

    define_permutation!("avx512f,avx512vl");

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn same(word: i64) -> Word {
        _mm_cvtsi64_si128(word)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn xor(a: Word, b: Word) -> Word {
        _mm_xor_si128(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn xor_of_three(a: Word, b: Word, c: Word) -> Word {
        _mm_ternarylogic_epi64::<XOR>(a, b, c)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn chi(a: Word, b: Word, c: Word) -> Word {
        _mm_ternarylogic_epi64::<CHI>(a, b, c)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn turned<const BITS: i32>(word: Word) -> Word {
        _mm_rol_epi64::<BITS>(word)
    }

    /// The hash of `input`.
    #[target_feature(enable = "avx512f,avx512vl")]
    pub fn hash(input: &[u8]) -> B256 {
        let mut state = [_mm_setzero_si128(); 25];
        for number in 0..permutations(input) {
            let words = next_words(&input[number * RATE..]);
            for (word, put) in state.iter_mut().zip(words) {
                *word = xor(*word, same(put.cast_signed()));
            }
            permute(&mut state);
        }
        let mut digest = B256::ZERO;
        for (bytes, word) in digest.0.chunks_exact_mut(8).zip(state) {
            bytes.copy_from_slice(&_mm_cvtsi128_si64(word).to_le_bytes());
        }
        digest
    }
}

/// Eight states, of which each vector has the same word.
mod wide {
    use std::arch::x86_64::{
        __m512i as Word, _mm512_rol_epi64, _mm512_set_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
        _mm512_ternarylogic_epi64, _mm512_xor_si512,
    };

    use alloy_primitives::B256;

    use super::{CHI, LANES, RATE, XOR, next_words, permutations};

    type Block = [[u64; LANES]; RATE / 8];

    define_permutation!("avx512f");

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn same(word: i64) -> Word {
        _mm512_set1_epi64(word)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn xor(a: Word, b: Word) -> Word {
        _mm512_xor_si512(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn xor_of_three(a: Word, b: Word, c: Word) -> Word {
        _mm512_ternarylogic_epi64::<XOR>(a, b, c)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn chi(a: Word, b: Word, c: Word) -> Word {
        _mm512_ternarylogic_epi64::<CHI>(a, b, c)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn turned<const BITS: i32>(word: Word) -> Word {
        _mm512_rol_epi64::<BITS>(word)
    }

    /// The hashes of at most `LANES` inputs. `longest` is the number of permutations of the longest one.
    #[target_feature(enable = "avx512f")]
    pub fn hashes(inputs: &[&[u8]], longest: usize) -> [B256; LANES] {
        let mut state = [_mm512_setzero_si512(); 25];
        let mut hashes = [B256::ZERO; LANES];
        for number in 0..longest {
            let mut block: Block = [[0; LANES]; RATE / 8];
            for (lane, input) in inputs.iter().enumerate() {
                let words = next_words(input.get(number * RATE..).unwrap_or_default());
                for (put, word) in block.iter_mut().zip(words) {
                    put[lane] = word;
                }
            }
            for (word, put) in state.iter_mut().zip(&block) {
                let [a, b, c, d, e, f, g, h] = put.map(u64::cast_signed);
                *word = xor(*word, _mm512_set_epi64(h, g, f, e, d, c, b, a));
            }
            permute(&mut state);
            // A state whose input has ended is permuted on, and not looked at again.
            for (lane, _) in inputs.iter().enumerate().filter(|(_, input)| permutations(input) == number + 1) {
                hashes[lane] = digest(&state, lane);
            }
        }
        hashes
    }

    fn digest(state: &[Word; 25], lane: usize) -> B256 {
        let mut digest = B256::ZERO;
        for (bytes, word) in digest.0.chunks_exact_mut(8).zip(state) {
            // SAFETY: both have 512 bits, and all bits have a meaning in both.
            let words: [u64; LANES] = unsafe { std::mem::transmute(*word) };
            bytes.copy_from_slice(&words[lane].to_le_bytes());
        }
        digest
    }
}
