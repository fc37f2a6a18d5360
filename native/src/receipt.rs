//! What a block's transactions left behind, as its header commits to it: encoded receipts and their blooms.

use alloy_primitives::{B256, Log, U256, keccak256};

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

/// The filter of `logs`.
pub fn bloom_of(logs: &[Log]) -> Bloom {
    let mut bloom = [0; 256];
    for log in logs {
        add(&mut bloom, log.address.as_slice());
        for topic in log.topics() {
            add(&mut bloom, topic.as_slice());
        }
    }
    bloom
}

/// The canonical encoding of a receipt with a status (from Byzantium on).
pub fn encode(type_: u8, is_success: bool, cumulative_gas: u64, bloom: &Bloom, logs: &[Log]) -> Vec<u8> {
    let mut encoded_logs = Vec::new();
    for log in logs {
        put_log(&mut encoded_logs, log);
    }
    let mut content = Vec::with_capacity(encoded_logs.len() + 288);
    rlp::put_number(&mut content, U256::from(u8::from(is_success)));
    rlp::put_number(&mut content, U256::from(cumulative_gas));
    rlp::put_bytes(&mut content, bloom);
    rlp::put_list_header(&mut content, encoded_logs.len());
    content.extend_from_slice(&encoded_logs);
    let list = rlp::list_of(&content);
    if type_ == 0 { list } else { [&[type_], list.as_slice()].concat() }
}

fn put_log(out: &mut Vec<u8>, log: &Log) {
    let mut topics = Vec::with_capacity(132);
    for topic in log.topics() {
        rlp::put_bytes(&mut topics, topic.as_slice());
    }
    let mut content = Vec::with_capacity(topics.len() + log.data.data.len() + 40);
    rlp::put_bytes(&mut content, log.address.as_slice());
    rlp::put_list_header(&mut content, topics.len());
    content.extend_from_slice(&topics);
    rlp::put_bytes(&mut content, &log.data.data);
    rlp::put_list_header(out, content.len());
    out.extend_from_slice(&content);
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
    pub fn add(&mut self, raw: Vec<u8>, receipt: Vec<u8>, bloom: &Bloom) {
        self.raw.push(raw);
        self.receipts.push(receipt);
        for (all, own) in self.bloom.get_or_insert([0; 256]).iter_mut().zip(bloom) {
            *all |= own;
        }
    }

    /// The roots of the transactions and of the receipts, and the filter of all logs.
    pub fn commitments(&self) -> (B256, B256, Bloom) {
        let (transactions, receipts) = parallel::both(|| ordered_root(&self.raw), || ordered_root(&self.receipts));
        (transactions, receipts, self.bloom.unwrap_or([0; 256]))
    }
}
