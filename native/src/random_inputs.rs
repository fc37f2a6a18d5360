//! Inputs for the tests of decoders: valid ones with a few bytes changed, cut, doubled or put in, and bytes without form.
//! `DECODER_INPUTS` is the number for each decoder.

/// Inputs for each decoder where the environment names no other number.
const INPUTS: u64 = 20_000;

/// Bytes that are headers of RLP at the edges of their ranges.
const EDGES: [u8; 12] = [0x00, 0x01, 0x7f, 0x80, 0x81, 0xa0, 0xb7, 0xb8, 0xbf, 0xc0, 0xf8, 0xff];

/// Numbers that look random, and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        if self.below(2) == 0 { EDGES[self.below(EDGES.len())] } else { self.next() as u8 }
    }
}

fn change(random: &mut Random, input: &mut Vec<u8>) {
    let place = random.below(input.len());
    match random.below(6) {
        0 | 1 if !input.is_empty() => input[place] = random.byte(),
        2 => input.truncate(place),
        3 => input.insert(place, random.byte()),
        4 if !input.is_empty() => {
            let part = input[place..(place + random.below(40)).min(input.len())].to_vec();
            input.splice(place..place, part);
        }
        _ => input.extend((0..random.below(9)).map(|_| random.byte()).collect::<Vec<_>>()),
    }
}

/// Give `decode` inputs that are made of `valid`.
pub fn try_all(valid: &[Vec<u8>], mut decode: impl FnMut(&[u8])) {
    let count = std::env::var("DECODER_INPUTS").map_or(INPUTS, |text| text.parse().unwrap());
    let mut random = Random(count);
    for _ in 0..count {
        let mut input = valid[random.below(valid.len())].clone();
        if random.below(20) == 0 {
            input = (0..random.below(80)).map(|_| random.byte()).collect();
        }
        for _ in 0..random.below(5) {
            change(&mut random, &mut input);
        }
        decode(&input);
    }
}
