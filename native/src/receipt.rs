//! What a block's transactions left behind, as its header commits to it: encoded receipts and their blooms.

use alloy_primitives::{B256, Log};

use crate::keccak::keccak256;
use crate::parallel;
use crate::rlp;
use crate::trie::ordered_root;

/// The 2048-bit filter of addresses and topics (yellow paper, section 4.3.1).
pub type Bloom = [u8; 256];

fn add(bloom: &mut Bloom, item: &[u8]) {
    let digest = keccak256(item);
    for index in [0, 2, 4] {
        let bit = usize::from(u16::from_be_bytes([digest[index], digest[index + 1]]) & 0x7ff);
        bloom[255 - bit / 8] |= 1 << (bit % 8);
    }
}

const EMPTY_BLOOM: Bloom = [0; 256];

/// The filter of `logs`; None where there are none.
pub fn bloom_of(logs: &[Log]) -> Option<Box<Bloom>> {
    if logs.is_empty() {
        return None;
    }
    let mut bloom = Box::new(EMPTY_BLOOM);
    for log in logs {
        add(&mut bloom, log.address.as_slice());
        for topic in log.topics() {
            add(&mut bloom, topic.as_slice());
        }
    }
    Some(bloom)
}

/// The canonical encoding of a receipt with a status (from Byzantium on).
pub fn encode(type_: u8, is_success: bool, cumulative_gas: u64, bloom: Option<&Bloom>, logs: &[Log]) -> Vec<u8> {
    let logs_length = logs.iter().map(|log| rlp::list_length(content_length(log))).sum();
    let gas = cumulative_gas.to_be_bytes();
    let gas = &gas[cumulative_gas.leading_zeros() as usize / 8..];
    let bloom = bloom.unwrap_or(&EMPTY_BLOOM);
    let length = 1 + rlp::bytes_length(gas) + rlp::bytes_length(bloom) + rlp::list_length(logs_length);
    let mut out = Vec::with_capacity(1 + rlp::list_length(length));
    if type_ != 0 {
        out.push(type_);
    }
    rlp::put_list_header(&mut out, length);
    out.push(if is_success { 1 } else { 0x80 });
    rlp::put_bytes(&mut out, gas);
    rlp::put_bytes(&mut out, bloom);
    rlp::put_list_header(&mut out, logs_length);
    for log in logs {
        put_log(&mut out, log);
    }
    out
}
/// Bytes of the encoded items of a log.
fn content_length(log: &Log) -> usize {
    21 + rlp::list_length(33 * log.topics().len()) + rlp::bytes_length(&log.data.data)
}

fn put_log(out: &mut Vec<u8>, log: &Log) {
    rlp::put_list_header(out, content_length(log));
    rlp::put_bytes(out, log.address.as_slice());
    rlp::put_list_header(out, 33 * log.topics().len());
    for topic in log.topics() {
        rlp::put_bytes(out, topic.as_slice());
    }
    rlp::put_bytes(out, &log.data.data);
}

/// The transactions that are in a block so far, and what they left.
#[derive(Default)]
pub struct Kept {
    /// Gas of all transactions.
    pub gas_used: u64,
    raw: Vec<Vec<u8>>,
    receipts: Vec<Vec<u8>>,
    bloom: Option<Bloom>,
}

impl Kept {
    /// A transaction is in the block: its canonical encoding and its receipt's.
    pub fn add(&mut self, raw: Vec<u8>, receipt: Vec<u8>, bloom: Option<&Bloom>) {
        self.raw.push(raw);
        self.receipts.push(receipt);
        let Some(bloom) = bloom else { return };
        for (all, own) in self.bloom.get_or_insert(EMPTY_BLOOM).iter_mut().zip(bloom) {
            *all |= own;
        }
    }

    /// The roots of the transactions and of the receipts, and the filter of all logs.
    pub fn commitments(&self) -> (B256, B256, Bloom) {
        let (transactions, receipts) = parallel::both(|| ordered_root(&self.raw), || ordered_root(&self.receipts));
        (transactions, receipts, self.bloom.unwrap_or(EMPTY_BLOOM))
    }
}
