//! The gas that Besu shows for an instruction that had too little of it, from the operands and the gas before it.

use alloy_primitives::U256;

use crate::trace::Step;

/// `value` as a place in memory, or the largest one.
pub fn memory_end(value: U256) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The cost of `step`, which had too little gas. None where that hangs on more than its operands.
pub fn cost_out_of_gas(step: &Step, stack: &[U256], opcode: u8, static_gas: i64) -> Option<i64> {
    let gas = step.gas as i64;
    let has_more_at_once = matches!(opcode, 0xf0 | 0xf5 | 0xff);
    if has_more_at_once {
        return None;
    }
    if gas < static_gas {
        return Some(static_gas);
    }
    // py-evm charges one after another. The charge that fails is the last one that is shown.
    let mut cost = static_gas;
    for charge in charges(opcode, stack, step.memory_size)? {
        cost = cost.checked_add(charge)?;
        if cost > gas {
            return Some(cost);
        }
    }
    None
}

/// What an instruction is charged after its static gas, in py-evm's order.
fn charges(opcode: u8, stack: &[U256], memory: usize) -> Option<Vec<i64>> {
    let item = |position: usize| stack.len().checked_sub(position).map(|index| stack[index]);
    let memory_of = |offset: usize, size: usize| memory_cost(memory, item(offset)?, item(size)?);
    Some(match opcode {
        0x51 | 0x52 => vec![memory_cost(memory, item(1)?, U256::from(32))?],
        0x53 => vec![memory_cost(memory, item(1)?, U256::from(1))?],
        0x20 => vec![memory_of(1, 2)?, words(item(2)?)?.checked_mul(6)?],
        0x37 | 0x39 | 0x3e => vec![memory_of(1, 3)?, words(item(3)?)?.checked_mul(3)?],
        0x5e => vec![memory_cost(memory, item(1)?.max(item(2)?), item(3)?)?, words(item(3)?)?.checked_mul(3)?],
        0xf3 | 0xfd => vec![memory_of(1, 2)?],
        0xa0..=0xa4 => {
            let data = i64::try_from(item(2)?).ok()?.checked_mul(8)?;
            vec![data.checked_add(375 * i64::from(opcode - 0xa0))?, memory_of(1, 2)?]
        }
        0x0a => vec![50 * (item(2)?.bit_len().div_ceil(8) as i64)],
        _ => return None,
    })
}

fn words(size: U256) -> Option<i64> {
    Some(i64::try_from(size).ok()?.checked_add(31)? / 32)
}

/// The gas for memory that grows from `held` bytes to the end of a piece.
fn memory_cost(held: usize, offset: U256, size: U256) -> Option<i64> {
    if size.is_zero() {
        return Some(0);
    }
    let needed = words(offset.checked_add(size)?)?;
    let held = (held / 32) as i64;
    let cost = |words: i64| words.checked_mul(3)?.checked_add(words.checked_mul(words)? / 512);
    Some(if needed > held { cost(needed)? - cost(held)? } else { 0 })
}
