//! The accounts of one block in the making, as revm's database: what the trie of the parent has, and what the block's
//! transactions changed so far. Written to the tries once a block.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::map::hash_map::Entry::{Occupied, Vacant};
use alloy_primitives::map::{AddressMap, B256Map, B256Set, HashMap, HashSet};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use revm_bytecode::Bytecode;
use revm_database_interface::Database;
use revm_primitives::hardfork::SpecId;
use revm_state::{Account, AccountInfo, EvmState};

use crate::keccak::{keccak256, keccak256_all};
use crate::nodes::{NodeReader, analysed, code_bytes};
use crate::parallel;
use crate::rlp::{self, Fields, RlpError};
use crate::stop::Stop;
use crate::trie::{Change, EMPTY_ROOT, NewNodes, Path, Source, lookup, update};

/// Accounts that were only read and are kept from transaction to transaction.
const MAX_KEPT_ACCOUNTS: usize = 16_384;

/// Slots that were only read and are kept from transaction to transaction.
const MAX_KEPT_SLOTS: usize = 65_536;

/// What revm has loaded for the current transaction. revm keeps it until the transaction ends, also where a call failed.
#[derive(Default)]
pub struct Loaded {
    /// Accounts.
    pub accounts: u64,
    /// Storage slots.
    pub slots: u64,
    /// Bytes of different codes.
    pub code_bytes: u64,
    codes: B256Set,
}

/// An account as it stands in the state trie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrieAccount {
    /// Transactions that it sent, or contracts that it created.
    pub nonce: u64,
    /// In wei.
    pub balance: U256,
    /// The root of its storage before the block.
    pub storage_root: B256,
    /// The hash of its code.
    pub code_hash: B256,
}

impl Default for TrieAccount {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, storage_root: EMPTY_ROOT, code_hash: KECCAK256_EMPTY }
    }
}

impl TrieAccount {
    fn decode(encoded: &[u8]) -> Result<Self, RlpError> {
        let mut fields = Fields(rlp::decode_list(encoded)?);
        let (nonce, balance) = (fields.small()?, fields.number()?);
        let storage_root = B256::try_from(fields.bytes()?).map_err(|_| RlpError)?;
        let code_hash = B256::try_from(fields.bytes()?).map_err(|_| RlpError)?;
        Ok(Self { nonce, balance, storage_root, code_hash })
    }

    fn encode(&self) -> Vec<u8> {
        let (nonce, balance) = (U256::from(self.nonce), self.balance);
        let length = rlp::number_length(nonce) + rlp::number_length(balance) + 2 * (1 + B256::ZERO.len());
        let mut out = rlp::list_with(length);
        rlp::put_number(&mut out, nonce);
        rlp::put_number(&mut out, balance);
        rlp::put_bytes(&mut out, self.storage_root.as_slice());
        rlp::put_bytes(&mut out, self.code_hash.as_slice());
        out
    }
}

/// One account that the block has looked at. `account` is None where there is none. `key` is the hash of its address.
#[derive(Default)]
struct Entry {
    key: B256,
    account: Option<TrieAccount>,
    slots: HashMap<U256, U256>,
    written: HashSet<U256>,
    is_changed: bool,
    is_cleared: bool,
    is_overridden: bool,
}

/// All accounts of one block, from the state at `root`.
pub struct BlockState {
    nodes: Arc<NodeReader>,
    root: B256,
    spec: SpecId,
    entries: AddressMap<Entry>,
    new_codes: B256Map<Bytecode>,
    ancestor_hash: Py<PyAny>,
    loaded: Loaded,
    read_slots: usize,
    most_entries: usize,
}

impl BlockState {
    /// The accounts at `root`. `ancestor_hash` is a Python callable from a block number to a hash, or None.
    pub fn new(nodes: Arc<NodeReader>, root: B256, spec: SpecId, ancestor_hash: Py<PyAny>) -> Self {
        Self {
            nodes,
            root,
            spec,
            entries: AddressMap::default(),
            new_codes: B256Map::default(),
            ancestor_hash,
            loaded: Loaded::default(),
            read_slots: 0,
            most_entries: MAX_KEPT_ACCOUNTS,
        }
    }

    /// Another transaction begins: count what it loads from 0. What others only read is forgotten once it is much.
    pub fn begin_transaction(&mut self) {
        self.loaded = Loaded::default();
        if self.entries.len() > self.most_entries || self.read_slots >= MAX_KEPT_SLOTS {
            self.forget_reads();
        }
    }

    /// What revm has loaded since `begin_transaction`.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Keep only what the block changed, or what was overridden. Everything else can be read again.
    fn forget_reads(&mut self) {
        self.entries.retain(|_, entry| entry.is_needed());
        self.entries.shrink_to_fit();
        for Entry { slots, written, .. } in self.entries.values_mut() {
            slots.retain(|slot, _| written.contains(slot));
            slots.shrink_to_fit();
        }
        self.read_slots = 0;
        // The needed ones are not looked through again before as many others were read.
        self.most_entries = self.entries.len() + MAX_KEPT_ACCOUNTS;
    }

    fn entry(&mut self, address: Address) -> Result<&mut Entry, Stop> {
        match self.entries.entry(address) {
            Occupied(entry) => Ok(entry.into_mut()),
            Vacant(place) => {
                let key = keccak256(address);
                let account = read_account(self.root, key, &self.nodes)?;
                Ok(place.insert(Entry { key, account, ..Entry::default() }))
            }
        }
    }

    /// Read the accounts at `addresses` before they are asked for: their keys are hashed together. One that cannot be read
    /// is left to the execution, which may end before it asks for it.
    pub fn read_ahead(&mut self, addresses: impl Iterator<Item = Address>) {
        let mut unknown: Vec<Address> = addresses.filter(|address| !self.entries.contains_key(address)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let inputs: Vec<&[u8]> = unknown.iter().map(|address| address.as_slice()).collect();
        for (address, key) in unknown.iter().zip(keccak256_all(&inputs)) {
            if let Ok(account) = read_account(self.root, key, &self.nodes) {
                self.entries.insert(*address, Entry { key, account, ..Entry::default() });
            }
        }
    }

    /// The account at `address`; None if there is none.
    pub fn account(&mut self, address: Address) -> Result<Option<TrieAccount>, Stop> {
        Ok(self.entry(address)?.account.clone())
    }

    /// Whether the account at `address` had storage before the block and has it still.
    pub fn has_storage(&mut self, address: Address) -> Result<bool, Stop> {
        Ok(self.entry(address)?.has_storage())
    }

    /// The value of a storage slot.
    pub fn slot(&mut self, address: Address, slot: U256) -> Result<U256, Stop> {
        let nodes = Arc::clone(&self.nodes);
        // revm asks once a transaction for each slot, so within one it loses nothing.
        let is_kept = self.read_slots < MAX_KEPT_SLOTS;
        let entry = self.entry(address)?;
        if let Some(value) = entry.slots.get(&slot) {
            return Ok(*value);
        }
        let value = match &entry.account {
            Some(account) if !entry.is_cleared => read_slot(account.storage_root, slot, &nodes)?,
            _ => U256::ZERO,
        };
        if is_kept {
            entry.slots.insert(slot, value);
            self.read_slots += 1;
        }
        Ok(value)
    }

    /// The code under `hash`, of this block or from the store.
    pub fn code(&self, hash: B256) -> Result<Bytecode, Stop> {
        match self.new_codes.get(&hash) {
            Some(code) => Ok(code.clone()),
            None => self.nodes.code(&hash),
        }
    }

    /// Addresses whose account was read.
    pub fn looked_at(&self) -> impl Iterator<Item = &Address> {
        self.entries.keys()
    }

    /// The number of accounts and slots that `state` changes.
    pub fn changes(state: &EvmState) -> usize {
        state
            .values()
            .filter(|account| account.is_touched())
            .map(|account| 1 + account.changed_storage_slots().count())
            .sum()
    }

    /// Keep what a transaction has changed.
    pub fn commit(&mut self, state: &EvmState) -> Result<(), Stop> {
        for (address, account) in state {
            if account.is_touched() {
                self.commit_account(*address, account)?;
            }
        }
        Ok(())
    }

    fn commit_account(&mut self, address: Address, changed: &Account) -> Result<(), Stop> {
        let entry = self.entry(address)?;
        let old_hash = entry.account.as_ref().map_or(KECCAK256_EMPTY, |account| account.code_hash);
        entry.change(changed);
        if let Some(code) = changed.info.code.as_ref().filter(|code| !code.is_empty())
            && changed.info.code_hash != old_hash
        {
            self.new_codes.insert(changed.info.code_hash, code.clone());
        }
        Ok(())
    }

    /// Add `amount` wei to the balance of `address`, which then exists unless it is empty.
    pub fn reward(&mut self, address: Address, amount: U256) -> Result<(), Stop> {
        let entry = self.entry(address)?;
        entry.is_changed = true;
        let account = entry.account.get_or_insert_default();
        account.balance = account.balance.checked_add(amount).ok_or(Stop::Unsupported("a balance overflows"))?;
        Ok(())
    }

    /// Let the account at `address` look otherwise for what is executed from now on. None leaves a value as it is.
    pub fn set(
        &mut self,
        address: Address,
        nonce: Option<u64>,
        balance: Option<U256>,
        code: Option<Bytes>,
    ) -> Result<(), Stop> {
        let mut code_hash = None;
        if let Some(code) = code {
            let hash = keccak256(&code);
            if !code.is_empty() {
                self.new_codes.insert(hash, analysed(code));
            }
            code_hash = Some(hash);
        }
        let entry = self.entry(address)?;
        entry.is_overridden = true;
        let account = entry.account.get_or_insert_default();
        account.nonce = nonce.unwrap_or(account.nonce);
        account.balance = balance.unwrap_or(account.balance);
        account.code_hash = code_hash.unwrap_or(account.code_hash);
        Ok(())
    }

    /// Let the account at `address` have no storage.
    pub fn clear_storage(&mut self, address: Address) -> Result<(), Stop> {
        self.entry(address)?.clear_storage();
        Ok(())
    }

    /// Let a slot have another value.
    pub fn set_slot(&mut self, address: Address, slot: U256, value: U256) -> Result<(), Stop> {
        let entry = self.entry(address)?;
        entry.is_overridden = true;
        entry.account.get_or_insert_default();
        entry.slots.insert(slot, value);
        entry.written.insert(slot);
        Ok(())
    }

    /// Write what changed to the tries: the new root, and the new nodes and codes by hash. `check` is called between two
    /// storage tries.
    pub fn write(&mut self, check: &(dyn Fn() -> Result<(), Stop> + Sync)) -> Result<(B256, NewNodes), Stop> {
        let mut new: NewNodes = Vec::new();
        let nodes = Arc::clone(&self.nodes);
        let tasks: Vec<(&Address, &mut Entry)> = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| entry.account.is_some() && (entry.is_cleared || !entry.written.is_empty()))
            .collect();
        let written = parallel::map(tasks, |(_, entry)| entry.write_storage(&nodes));
        let written = written.into_iter().collect::<Result<Vec<_>, _>>()?;
        check()?;
        new.extend(written.into_iter().flatten());
        let accounts: Vec<(B256, Vec<u8>)> = self
            .entries
            .values()
            .filter(|entry| entry.is_changed)
            .map(|entry| (entry.key, entry.account.as_ref().map_or_else(Vec::new, TrieAccount::encode)))
            .collect();
        let changes = sorted(&accounts);
        let root = update(self.root, &changes, &Source::Stored(&nodes), &mut new)?;
        check()?;
        if !self.new_codes.is_empty() {
            let accounts = self.entries.values().filter_map(|entry| entry.account.as_ref());
            let used: BTreeSet<B256> = accounts.map(|account| account.code_hash).collect();
            for (hash, code) in self.new_codes.iter().filter(|(hash, _)| used.contains(*hash)) {
                new.push((*hash, code.original_byte_slice().to_vec()));
            }
        }
        Ok((root, new))
    }
}

impl Entry {
    /// Whether it has what the tries have not.
    fn is_needed(&self) -> bool {
        self.is_changed || self.is_cleared || self.is_overridden || !self.written.is_empty()
    }

    /// Let the account be as a transaction left it.
    fn change(&mut self, changed: &Account) {
        self.is_changed = true;
        if changed.is_selfdestructed() || changed.is_empty() {
            // An empty account that was touched is deleted (EIP-161).
            self.account = None;
            self.clear_storage();
            return;
        }
        let account = self.account.get_or_insert_default();
        account.nonce = changed.info.nonce;
        account.balance = changed.info.balance;
        account.code_hash = changed.info.code_hash;
        for (slot, value) in changed.changed_storage_slots() {
            self.slots.insert(*slot, value.present_value);
            self.written.insert(*slot);
        }
    }

    /// Whether there was storage before the block and is still.
    fn has_storage(&self) -> bool {
        !self.is_cleared && self.account.as_ref().is_some_and(|account| account.storage_root != EMPTY_ROOT)
    }

    fn clear_storage(&mut self) {
        self.slots.clear();
        self.written.clear();
        self.is_cleared = true;
    }

    fn write_storage(&mut self, nodes: &NodeReader) -> Result<NewNodes, Stop> {
        let mut new = Vec::new();
        let Some(account) = self.account.as_mut() else { return Ok(new) };
        let base = if self.is_cleared { EMPTY_ROOT } else { account.storage_root };
        let slots: Vec<(B256, Vec<u8>)> = self
            .written
            .iter()
            .map(|slot| {
                let value = self.slots.get(slot).copied().unwrap_or_default();
                let mut encoded = Vec::new();
                if !value.is_zero() {
                    rlp::put_number(&mut encoded, value);
                }
                (keccak256(slot.to_be_bytes::<32>()), encoded)
            })
            .collect();
        let changes = sorted(&slots);
        let root = update(base, &changes, &Source::Stored(nodes), &mut new)?;
        if root != account.storage_root {
            account.storage_root = root;
            self.is_changed = true;
        }
        Ok(new)
    }
}

/// `values` by the hash of their key, as a batch of changes.
fn sorted(values: &[(B256, Vec<u8>)]) -> Vec<Change<'_>> {
    let mut keys: Vec<(&B256, &[u8])> = values.iter().map(|(key, value)| (key, value.as_slice())).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(key, value)| (Path::of(key.as_slice()), value)).collect()
}

fn read_account(root: B256, key: B256, nodes: &NodeReader) -> Result<Option<TrieAccount>, Stop> {
    lookup(root, key, nodes)?
        .map(|encoded| TrieAccount::decode(&encoded).map_err(|_| Stop::Unsupported("an account is malformed")))
        .transpose()
}

fn read_slot(root: B256, slot: U256, nodes: &NodeReader) -> Result<U256, Stop> {
    let malformed = |_| Stop::Unsupported("a slot is malformed");
    match lookup(root, keccak256(slot.to_be_bytes::<32>()), nodes)? {
        None => Ok(U256::ZERO),
        Some(encoded) => {
            let mut fields = Fields(&encoded);
            fields.number().map_err(malformed)
        }
    }
}

impl Database for BlockState {
    type Error = Stop;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Stop> {
        self.loaded.accounts += 1;
        let entry = self.entry(address)?;
        let Some(account) = &entry.account else { return Ok(None) };
        if account.nonce == 0 && account.code_hash == KECCAK256_EMPTY && entry.has_storage() {
            // Only a genesis makes one. A creation there must fail (EIP-7610), which revm does not know.
            return Err(Stop::Unsupported("an account that has storage and neither nonce nor code"));
        }
        Ok(Some(AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: (account.code_hash == KECCAK256_EMPTY).then(Bytecode::default),
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Stop> {
        let mut code = self.code(code_hash)?;
        // Caches and stores keep codes of all forks, and name a delegation by its form. Before Prague this form has no
        // meaning: the code is executed, and its first byte, 0xEF, is no instruction.
        if code.is_eip7702() && !self.spec.is_enabled_in(SpecId::PRAGUE) {
            code = Bytecode::new_legacy(code.original_bytes());
        }
        // Accounts with the same code share it.
        if self.loaded.codes.insert(code_hash) {
            self.loaded.code_bytes += code_bytes(&code) as u64;
        }
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Stop> {
        self.loaded.slots += 1;
        self.slot(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Stop> {
        Python::attach(|py| {
            let found = self.ancestor_hash.call1(py, (number,))?;
            if found.is_none(py) {
                return Ok(B256::ZERO);
            }
            let bytes = found.bind(py).cast::<PyBytes>().map_err(PyErr::from)?.as_bytes();
            B256::try_from(bytes).map_err(|_| Stop::Unsupported("an ancestor's hash has not 32 bytes"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::tests::reader_of;

    fn state_at(root: B256, nodes: NodeReader) -> BlockState {
        state_in(SpecId::CANCUN, root, nodes)
    }

    fn state_in(spec: SpecId, root: B256, nodes: NodeReader) -> BlockState {
        let ancestor_hash = Python::attach(|py| py.None());
        BlockState::new(Arc::new(nodes), root, spec, ancestor_hash)
    }

    fn account_number(number: u64) -> Address {
        Address::left_padding_from(&number.to_be_bytes())
    }

    #[test]
    fn what_transactions_only_read_is_forgotten_and_what_changed_stays() {
        let mut state = state_at(EMPTY_ROOT, reader_of(&[]));
        let (rich, overridden) = (account_number(1 << 40), account_number(1 << 41));
        state.reward(rich, U256::from(7)).unwrap();
        state.set(overridden, Some(3), None, None).unwrap();
        state.set_slot(overridden, U256::from(5), U256::from(9)).unwrap();
        for _ in 0..3 {
            state.begin_transaction();
            for number in 0..2 * MAX_KEPT_SLOTS as u64 {
                state.storage(overridden, U256::from(number << 8)).unwrap();
                state.basic(account_number(number)).unwrap();
            }
            assert_eq!((state.loaded().slots, state.loaded().accounts), (1 << 17, 1 << 17));
            assert!(state.entries[&overridden].slots.len() <= MAX_KEPT_SLOTS + 1);
        }
        state.begin_transaction();
        assert_eq!((state.loaded().slots, state.entries.len(), state.entries[&overridden].slots.len()), (0, 2, 1));
        assert_eq!(state.account(rich).unwrap().unwrap().balance, U256::from(7));
        assert_eq!(state.account(overridden).unwrap().unwrap().nonce, 3);
        assert_eq!(state.slot(overridden, U256::from(5)).unwrap(), U256::from(9));
    }

    #[test]
    fn accounts_that_are_read_ahead_are_those_that_are_read_alone() {
        let accounts: Vec<(Address, TrieAccount)> =
            (0..20).map(|nonce| (account_number(nonce), TrieAccount { nonce, ..TrieAccount::default() })).collect();
        let encoded: Vec<(B256, Vec<u8>)> =
            accounts.iter().map(|(address, account)| (keccak256(address), account.encode())).collect();
        let mut new = Vec::new();
        let root = update(EMPTY_ROOT, &sorted(&encoded), &Source::Stored(&reader_of(&[])), &mut new).unwrap();
        let mut state = state_at(root, reader_of(&new));
        state.reward(account_number(7), U256::from(5)).unwrap();
        state.read_ahead((0..30).chain(0..30).map(account_number));
        assert_eq!(state.entries.len(), 30);
        for (address, account) in accounts {
            let balance = if address == account_number(7) { U256::from(5) } else { U256::ZERO };
            assert_eq!(state.account(address).unwrap(), Some(TrieAccount { balance, ..account }));
        }
        assert_eq!(state.account(account_number(25)).unwrap(), None);
    }

    #[test]
    fn code_in_the_form_of_a_delegation_is_one_from_prague_on() {
        let target = account_number(0x5b);
        let code = [&[0xef, 1, 0], target.as_slice()].concat();
        let hash = keccak256(&code);
        for (spec, expected) in [(SpecId::CANCUN, None), (SpecId::PRAGUE, Some(target))] {
            let mut stored = state_in(spec, EMPTY_ROOT, reader_of(&[(hash, code.clone())]));
            let mut set = state_in(spec, EMPTY_ROOT, reader_of(&[]));
            set.set(account_number(1), None, None, Some(Bytes::from(code.clone()))).unwrap();
            for state in [&mut stored, &mut set] {
                let found = state.code_by_hash(hash).unwrap();
                assert_eq!((found.eip7702_address(), found.original_byte_slice()), (expected, code.as_slice()));
                assert_eq!(state.loaded().code_bytes, code_bytes(&found) as u64);
            }
        }
    }

    #[test]
    fn an_account_that_cannot_be_read_ahead_is_an_error_where_it_is_needed() {
        let mut state = state_at(B256::repeat_byte(1), reader_of(&[]));
        state.read_ahead([account_number(1)].into_iter());
        assert!(state.account(account_number(1)).is_err());
    }

    #[test]
    fn no_bytes_make_the_decoder_of_accounts_panic() {
        let account = TrieAccount { nonce: 300, balance: U256::from(10u64.pow(18)), ..TrieAccount::default() };
        crate::random_inputs::try_all(&[account.encode(), TrieAccount::default().encode()], |input| {
            if let Ok(account) = TrieAccount::decode(input) {
                assert_eq!(TrieAccount::decode(&account.encode()), Ok(account));
            }
        });
    }
}
