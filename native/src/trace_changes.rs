//! What a transaction changed, account by account: `trace_record.AccountChange`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use revm_state::{Account, EvmState};

use crate::state::BlockState;
use crate::stop::Stop;

/// The values of an account.
#[allow(missing_docs)]
pub struct Values {
    pub nonce: u64,
    pub balance: U256,
    pub code: Bytes,
    pub code_hash: B256,
}

/// An account before and after a transaction; None where there is none. A slot has its value before and after.
#[allow(missing_docs)]
pub struct Change {
    pub address: Address,
    pub before: Option<Values>,
    pub after: Option<Values>,
    pub storage: Vec<(U256, U256, U256)>,
}

/// The changes of a transaction that ended with `ended`, on the accounts in `state` before it, by address. `read` are
/// further accounts and slots that the result has too.
pub fn changes<'a>(
    state: &mut BlockState,
    ended: &EvmState,
    read: impl Iterator<Item = &'a (Address, Option<U256>)>,
) -> Result<Vec<Change>, Stop> {
    let mut slots: BTreeMap<Address, BTreeSet<U256>> = BTreeMap::new();
    for (address, account) in ended.iter().filter(|(_, account)| account.is_touched()) {
        let changed = account.changed_storage_slots().map(|(slot, _)| *slot);
        slots.entry(*address).or_default().extend(changed);
    }
    for (address, slot) in read {
        slots.entry(*address).or_default().extend(slot);
    }
    slots.into_iter().map(|(address, slots)| change(state, ended, address, slots)).collect()
}

fn change(state: &mut BlockState, ended: &EvmState, address: Address, slots: BTreeSet<U256>) -> Result<Change, Stop> {
    let before = values_before(state, address)?;
    let touched = ended.get(&address).filter(|account| account.is_touched());
    let after = match touched {
        None => values_before(state, address)?,
        Some(account) if account.is_selfdestructed() || account.is_empty() => None,
        Some(account) => Some(values_after(state, account)?),
    };
    let mut storage = Vec::with_capacity(slots.len());
    for slot in slots {
        let old = state.slot(address, slot)?;
        let new = touched.and_then(|account| account.storage.get(&slot)).map_or(old, |held| held.present_value);
        storage.push((slot, old, if after.is_some() { new } else { U256::ZERO }));
    }
    Ok(Change { address, before, after, storage })
}

fn values_before(state: &mut BlockState, address: Address) -> Result<Option<Values>, Stop> {
    let Some(account) = state.account(address)? else { return Ok(None) };
    let code = code_of(state, account.code_hash)?;
    Ok(Some(Values { nonce: account.nonce, balance: account.balance, code, code_hash: account.code_hash }))
}

fn values_after(state: &BlockState, account: &Account) -> Result<Values, Stop> {
    let info = &account.info;
    let code = match &info.code {
        Some(code) => code.original_bytes(),
        None => code_of(state, info.code_hash)?,
    };
    Ok(Values { nonce: info.nonce, balance: info.balance, code, code_hash: info.code_hash })
}

fn code_of(state: &BlockState, hash: B256) -> Result<Bytes, Stop> {
    if hash == KECCAK256_EMPTY { Ok(Bytes::new()) } else { Ok(state.code(hash)?.original_bytes()) }
}
