//! revm with this node's bounds: a look at the budget every few thousand units of gas, limits on memory and logs, and
//! precompiles that would run long without a look handed to Python, which can interrupt them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, Bytes, U256};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use revm_bytecode::opcode;
use revm_context::{BlockEnv, CfgEnv, Context, Evm, FrameStack, Journal, JournalEntry, TxEnv};
use revm_context_interface::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction};
use revm_context_interface::{ContextTr, JournalTr};
use revm_handler::evm::{ContextDbError, FrameInitResult};
use revm_handler::instructions::EthInstructions;
use revm_handler::{
    EthFrame, EthPrecompiles, EvmTr, FrameInitOrResult, FrameTr, Handler, ItemOrResult, MainnetHandler,
    PrecompileProvider,
};
use revm_interpreter::interpreter::EthInterpreter;
use revm_interpreter::interpreter_action::FrameInit;
use revm_interpreter::interpreter_types::{Jumps, LoopControl, MemoryTr};
use revm_interpreter::{
    CallInputs, FrameInput, Gas, InstructionResult, Interpreter, InterpreterAction, InterpreterResult,
};
use revm_precompile::modexp;
use revm_primitives::hardfork::SpecId;
use revm_state::EvmState;

use crate::state::BlockState;
use crate::stop::Stop;
use crate::trace::{Asked, Recorder};

/// Units of gas between two looks at the clock.
const GAS_BETWEEN_LOOKS: u64 = 10_000;

/// How long an execution runs before Python's budget is asked. It asks at once when it begins.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Gas of one call of a precompile from which Python executes it, so that the budget can stop it: below, even the slowest
/// one takes less than 100 ms.
const LONG_PRECOMPILE_GAS: u64 = 500_000;

/// Length of a memory from which each recorded step looks at the clock: it may be copied.
const LONG_MEMORY_BYTES: usize = 65_536;

/// The memory of one execution whose caller names no bound. revm allocates what gas can buy, and a failed allocation
/// would end the process.
const MAX_MEMORY_BYTES: u64 = 1 << 32;

/// About how many bytes an account takes that revm and `BlockState` have loaded.
const ACCOUNT_BYTES: u64 = 512;

/// About how many bytes a loaded storage slot takes.
const SLOT_BYTES: u64 = 256;

/// About how many bytes a slot of transient storage takes.
const TRANSIENT_SLOT_BYTES: u64 = 128;

/// About how many bytes a log takes in a node beside its topics and its data. The Python side has the same number.
const LOG_BYTES: u64 = 300;

/// About how many bytes a change takes in revm's journal.
const CHANGE_BYTES: u64 = 128;

/// Accounts for which a transaction's map of them may have place if the next transaction uses it again. A new map takes
/// longer than a transfer does with it, and clearing a large one too.
const MAX_REUSED_PLACES: usize = 64;

/// The context of an execution on the accounts of a block.
pub type RevmContext<'a> = Context<BlockEnv, TxEnv, CfgEnv, &'a mut BlockState, Journal<&'a mut BlockState>, ()>;

/// Bounds on bytes that one execution holds or writes.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Of the memory of all nested calls, of their input, of what they returned, and of the accounts, slots and changes
    /// that the execution has loaded and made.
    pub memory_bytes: u64,
    /// Of all logs together, those of failed calls among them.
    pub log_bytes: u64,
}

/// What one nested call holds beside its caller.
#[derive(Default, Clone, Copy)]
struct HeldBytes {
    memory: u64,
    input: u64,
    returned: u64,
}

impl HeldBytes {
    fn total(&self) -> u64 {
        self.memory + self.input + self.returned
    }
}

/// What is noted of an execution while it runs.
struct Control<'a> {
    check: &'a Py<PyAny>,
    next_check: Instant,
    gas_until_look: u64,
    limits: Option<Limits>,
    calls: Vec<HeldBytes>,
    held_below: u64,
    seen_logs: usize,
    log_bytes: u64,
    seen_changes: usize,
    /// Slots that revm keeps without asking `BlockState`: those of new accounts.
    new_slots: u64,
    transient_slots: u64,
    state_bytes: u64,
    reads: Option<[bool; 256]>,
    has_read_block: bool,
    last_opcode: Option<u8>,
    last_stack: usize,
    recorder: Option<Recorder>,
}

impl Control<'_> {
    /// Another transaction begins. The clock of the looks goes on.
    fn begin(&mut self) {
        self.calls.clear();
        self.held_below = 0;
        self.seen_logs = 0;
        self.log_bytes = 0;
        self.seen_changes = 0;
        self.new_slots = 0;
        self.transient_slots = 0;
        self.state_bytes = 0;
        self.has_read_block = false;
        self.last_opcode = None;
        self.last_stack = 0;
    }

    /// Whether the execution may go on.
    fn look(&mut self, context: &RevmContext<'_>, memory: usize) -> Result<(), Stop> {
        self.count_logs(context)?;
        self.count_state(context);
        self.record_memory(memory)?;
        if Instant::now() < self.next_check {
            return Ok(());
        }
        Python::attach(|py| self.check.call0(py))?;
        self.next_check = Instant::now() + CHECK_INTERVAL;
        Ok(())
    }

    fn count_logs(&mut self, context: &RevmContext<'_>) -> Result<(), Stop> {
        let logs = context.journal().logs();
        for log in logs.get(self.seen_logs..).unwrap_or_default() {
            self.log_bytes += LOG_BYTES + 32 * log.topics().len() as u64 + log.data.data.len() as u64;
        }
        self.seen_logs = logs.len();
        match self.limits {
            Some(limits) if self.log_bytes > limits.log_bytes => Err(Stop::TooManyLogs),
            _ => Ok(()),
        }
    }

    /// Count what revm keeps of accounts, slots and changes. A failed call takes its changes back. What it loaded stays.
    fn count_state(&mut self, context: &RevmContext<'_>) {
        if self.limits.is_none() {
            return;
        }
        let (journal, loaded) = (&context.journaled_state.inner, context.journaled_state.database.loaded());
        for change in journal.journal.get(self.seen_changes..).unwrap_or_default() {
            match change {
                JournalEntry::StorageWarmed { address, .. } => {
                    let is_new = journal.state.get(address).is_some_and(|account| account.is_created());
                    self.new_slots += u64::from(is_new);
                }
                change => self.transient_slots += u64::from(takes_transient_slot(change)),
            }
        }
        self.seen_changes = journal.journal.len();
        self.state_bytes = ACCOUNT_BYTES * loaded.accounts
            + SLOT_BYTES * (loaded.slots + self.new_slots)
            + TRANSIENT_SLOT_BYTES * self.transient_slots
            + CHANGE_BYTES * self.seen_changes as u64
            + loaded.code_bytes;
    }

    /// The call whose changes begin at `start` of the journal has failed.
    fn call_fails(&mut self, context: &RevmContext<'_>, start: usize) {
        if self.limits.is_some() {
            let undone = context.journaled_state.inner.journal.get(start..).unwrap_or_default();
            let slots = undone.iter().filter(|change| takes_transient_slot(change)).count();
            self.transient_slots = self.transient_slots.saturating_sub(slots as u64);
        }
    }

    fn record_memory(&mut self, memory: usize) -> Result<(), Stop> {
        if let Some(call) = self.calls.last_mut() {
            call.memory = memory as u64;
        }
        self.check_memory()
    }

    fn check_memory(&self) -> Result<(), Stop> {
        let held = self.state_bytes + self.held_below + self.calls.last().map_or(0, HeldBytes::total);
        match self.limits {
            Some(limits) if held > limits.memory_bytes => Err(Stop::TooMuchMemory),
            _ => Ok(()),
        }
    }

    fn call_begins(&mut self, input: usize) -> Result<(), Stop> {
        self.held_below += self.calls.last().map_or(0, HeldBytes::total);
        self.calls.push(HeldBytes { input: input as u64, ..HeldBytes::default() });
        self.check_memory()
    }

    fn call_ends(&mut self) {
        self.calls.pop();
        self.held_below -= self.calls.last().map_or(0, HeldBytes::total);
    }

    fn call_returns(&mut self, output: usize) -> Result<(), Stop> {
        if let Some(call) = self.calls.last_mut() {
            call.returned = output as u64;
        }
        self.check_memory()
    }

    /// Note whether the next instruction looks at more than code and storage.
    fn watch(&mut self, interpreter: &Interpreter<EthInterpreter>, reads: &[bool; 256]) {
        let next = interpreter.bytecode.opcode();
        if !reads[usize::from(next)] {
            return;
        }
        let carries_value = || interpreter.stack.peek(2).is_ok_and(|value| !value.is_zero());
        if !matches!(next, opcode::CALL | opcode::CALLCODE) || carries_value() {
            self.has_read_block = true;
        }
    }
}

fn takes_transient_slot(change: &JournalEntry) -> bool {
    matches!(change, JournalEntry::TransientStorageChange { had_value, .. } if had_value.is_zero())
}

/// Instructions of `spec` that look at the block, at a balance or at a nonce.
fn block_reads(spec: SpecId) -> [bool; 256] {
    let since = [
        (SpecId::FRONTIER, &[0x31, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0xf0, 0xf1, 0xf2][..]),
        (SpecId::PETERSBURG, &[0x3f, 0xf5][..]),
        (SpecId::ISTANBUL, &[0x46, 0x47][..]),
        (SpecId::LONDON, &[0x48][..]),
        (SpecId::CANCUN, &[0x49, 0x4a][..]),
    ];
    let mut reads = [false; 256];
    for (first, opcodes) in since {
        for &opcode in opcodes {
            reads[opcode] = spec.is_enabled_in(first);
        }
    }
    reads
}

/// revm's precompiles, with long ones executed by `long`, a Python callable from a number, an input and an amount of gas to
/// the gas used and the output, or to None where the call fails.
pub struct Precompiles<'a> {
    own: EthPrecompiles,
    spec: SpecId,
    long: &'a Py<PyAny>,
    raised: Rc<RefCell<Option<Stop>>>,
}

impl<'a> PrecompileProvider<RevmContext<'a>> for Precompiles<'a> {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: SpecId) -> bool {
        <EthPrecompiles as PrecompileProvider<RevmContext<'a>>>::set_spec(&mut self.own, spec)
    }

    fn run(&mut self, context: &mut RevmContext<'a>, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        if inputs.gas_limit >= LONG_PRECOMPILE_GAS && self.own.contains(&inputs.bytecode_address) {
            let number = inputs.bytecode_address.0[19];
            let input = Bytes::copy_from_slice(&inputs.input.as_bytes(context));
            if is_long(number, &input, self.spec) {
                return self.run_long(number, &input, inputs.gas_limit).map(Some);
            }
        }
        PrecompileProvider::run(&mut self.own, context, inputs)
    }

    fn warm_addresses(&self) -> &alloy_primitives::map::AddressSet {
        self.own.warm_addresses()
    }
}

impl Precompiles<'_> {
    fn run_long(&self, number: u8, input: &[u8], gas_limit: u64) -> Result<InterpreterResult, String> {
        let computed = Python::attach(|py| {
            let found = self.long.call1(py, (number, PyBytes::new(py, input), gas_limit))?;
            found.extract::<Option<(u64, Vec<u8>)>>(py)
        });
        let mut gas = Gas::new(gas_limit);
        match computed {
            Ok(Some((used, output))) if gas.record_regular_cost(used) => {
                Ok(InterpreterResult::new(InstructionResult::Return, output.into(), gas))
            }
            Ok(_) => {
                gas.spend_all();
                Ok(InterpreterResult::new(InstructionResult::PrecompileError, Bytes::new(), gas))
            }
            Err(error) => {
                *self.raised.borrow_mut() = Some(Stop::Raised(error));
                Err("a callback raised".to_owned())
            }
        }
    }
}

/// Whether the precompile `number` may need `LONG_PRECOMPILE_GAS` for `input`.
fn is_long(number: u8, input: &[u8], spec: SpecId) -> bool {
    let length = input.len() as u64;
    let gas = match number {
        5 => modexp_gas(input, spec),
        8 => length / 192 * 34_000,
        9 => input.first_chunk().map_or(0, |rounds| u64::from(u32::from_be_bytes(*rounds))),
        12 => length / 160 * 12_000,
        14 => length / 288 * 22_500,
        15 => length / 384 * 32_600,
        _ => 0,
    };
    gas >= LONG_PRECOMPILE_GAS
}

fn modexp_gas(input: &[u8], spec: SpecId) -> u64 {
    let number = |start: usize, size: usize| {
        let mut padded = [0u8; 32];
        for (index, byte) in padded[32 - size..].iter_mut().enumerate() {
            *byte = start.checked_add(index).and_then(|place| input.get(place)).copied().unwrap_or(0);
        }
        U256::from_be_bytes(padded)
    };
    let sizes: [Option<u64>; 3] = [0, 32, 64].map(|start| u64::try_from(number(start, 32)).ok());
    let [Some(base), Some(exponent), Some(modulus)] = sizes else { return u64::MAX };
    let start = usize::try_from(base).ok().and_then(|base| base.checked_add(96)).unwrap_or(usize::MAX);
    let high = number(start, exponent.min(32) as usize);
    let price = if spec.is_enabled_in(SpecId::BERLIN) { modexp::berlin_gas_calc } else { modexp::byzantium_gas_calc };
    price(base, exponent, modulus, &high)
}

type RevmEvm<'a> = Evm<
    RevmContext<'a>,
    (),
    EthInstructions<EthInterpreter, RevmContext<'a>>,
    Precompiles<'a>,
    EthFrame<EthInterpreter>,
>;

/// revm on the accounts of a block, under control.
pub struct Machine<'a> {
    evm: RevmEvm<'a>,
    control: Control<'a>,
}

impl<'a> Machine<'a> {
    /// Execute `transaction` as `execute` does. The journal is empty afterwards.
    fn run(
        &mut self,
        transaction: TxEnv,
        execute: impl FnOnce(&mut RevmHandler<'a>, &mut Machine<'a>) -> Result<ExecutionResult, RevmError>,
    ) -> Result<Ended, Stop> {
        self.control.begin();
        self.evm.ctx.journaled_state.database.begin_transaction();
        self.evm.ctx.tx = transaction;
        let ended = execute(&mut MainnetHandler::default(), self);
        let state = self.evm.ctx.journal_mut().finalize();
        let result = ended.map_err(|error| match error {
            EVMError::Database(stop) => stop,
            EVMError::Transaction(reason) => Stop::Refused(name_of(&reason)),
            EVMError::Header(_) => Stop::Unsupported("revm does not execute in such a block"),
            EVMError::Custom(_) | EVMError::CustomAny(_) => {
                self.evm.precompiles.raised.borrow_mut().take().unwrap_or(Stop::Unsupported("revm failed"))
            }
        })?;
        Ok(Ended {
            result,
            state,
            has_read_block: self.control.has_read_block,
            log_bytes: self.control.log_bytes,
            last_opcode: self.control.last_opcode,
            last_stack: self.control.last_stack,
        })
    }
}

impl<'a> EvmTr for Machine<'a> {
    type Context = RevmContext<'a>;
    type Instructions = EthInstructions<EthInterpreter, RevmContext<'a>>;
    type Precompiles = Precompiles<'a>;
    type Frame = EthFrame<EthInterpreter>;

    fn all(&self) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>) {
        self.evm.all()
    }

    fn all_mut(
        &mut self,
    ) -> (&mut Self::Context, &mut Self::Instructions, &mut Self::Precompiles, &mut FrameStack<Self::Frame>) {
        self.evm.all_mut()
    }

    fn frame_init(
        &mut self,
        frame_input: <Self::Frame as FrameTr>::FrameInit,
    ) -> Result<FrameInitResult<'_, Self::Frame>, ContextDbError<Self::Context>> {
        let input = input_bytes(&frame_input);
        let recorder = &mut self.control.recorder;
        let asked = recorder.as_ref().and_then(|_| Asked::of(&frame_input.frame_input, &self.evm.ctx));
        let begun = self.evm.frame_init(frame_input)?;
        if matches!(&begun, ItemOrResult::Result(ended) if ended.instruction_result() == InstructionResult::OverflowPayment)
        {
            // revm lets the call fail. Besu and py-evm go on with what 256 bits hold of the sum.
            return Err(Stop::Unsupported("a balance of more than 256 bits").into());
        }
        if let (Some(recorder), Some(asked)) = (recorder, asked) {
            match &begun {
                ItemOrResult::Item(frame) => {
                    recorder.asked(&asked, None, Some(frame.interpreter.input.target_address))?;
                }
                ItemOrResult::Result(result) => recorder.asked(&asked, Some(result), None)?,
            }
        }
        if matches!(begun, ItemOrResult::Item(_)) {
            self.control.call_begins(input)?;
        }
        Ok(begun)
    }

    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        let (evm, control) = (&mut self.evm, &mut self.control);
        let frame = evm.frame_stack.get();
        let mut action = run(&mut frame.interpreter, &evm.instruction, &mut evm.ctx, control)?;
        control.count_logs(&evm.ctx)?;
        control.count_state(&evm.ctx);
        control.record_memory(frame.interpreter.memory.size())?;
        if let InterpreterAction::Return(result) = &mut action {
            if result.result == InstructionResult::MemoryLimitOOG {
                result.result = beyond_memory(control, result)?;
            }
            if !result.result.is_ok() {
                // revm does not load an account that the call cannot pay for. It costs less if it is the coinbase.
                control.has_read_block |= fails_at_account(result.result, last_opcode(&frame.interpreter));
                control.call_fails(&evm.ctx, frame.checkpoint.journal_i);
            }
            if frame.depth == 0 {
                control.last_opcode = Some(last_opcode(&frame.interpreter));
                control.last_stack = frame.interpreter.stack.len();
            }
        }
        let next = frame.process_next_action::<_, ContextDbError<Self::Context>>(&mut evm.ctx, action)?;
        if next.is_result() {
            frame.set_finished(true);
        }
        Ok(next)
    }

    fn frame_return_result(
        &mut self,
        result: <Self::Frame as FrameTr>::FrameResult,
    ) -> Result<Option<<Self::Frame as FrameTr>::FrameResult>, ContextDbError<Self::Context>> {
        if self.evm.frame_stack.get().is_finished() {
            self.control.call_ends();
            if let Some(recorder) = &mut self.control.recorder {
                recorder.leave(&result)?;
            }
        }
        // What a failed call wrote to the logs, and what it changed, is gone.
        self.control.seen_logs = self.control.seen_logs.min(self.evm.ctx.journal().logs().len());
        self.control.count_state(&self.evm.ctx);
        let output = result.interpreter_result().output.len();
        let last = self.evm.frame_return_result(result)?;
        if last.is_none() {
            self.control.call_returns(output)?;
            if let Some(recorder) = &mut self.control.recorder {
                recorder.returned(&self.evm.frame_stack.get().interpreter)?;
            }
        }
        Ok(last)
    }
}

fn input_bytes(frame_input: &FrameInit) -> usize {
    match &frame_input.frame_input {
        FrameInput::Call(call) => call.input.len(),
        FrameInput::Create(create) => create.init_code().len(),
        FrameInput::Empty => 0,
    }
}

/// What a call that reached the limit of memory comes to: out of gas, if its gas would not have sufficed anyway.
fn beyond_memory(control: &Control<'_>, result: &InterpreterResult) -> Result<InstructionResult, Stop> {
    let limit = control.limits.map_or(MAX_MEMORY_BYTES, |limits| limits.memory_bytes);
    let own = control.calls.last().map_or(0, |call| call.memory) / 32;
    let words = limit.saturating_sub(control.held_below) / 32;
    let cost = |words: u64| 3 * u128::from(words) + u128::from(words) * u128::from(words) / 512;
    if u128::from(result.gas.remaining()) < cost(words).saturating_sub(cost(own)) {
        return Ok(InstructionResult::MemoryOOG);
    }
    match control.limits {
        Some(_) => Err(Stop::TooMuchMemory),
        None => Err(Stop::Unsupported("an execution with more than 4 GiB of memory")),
    }
}

/// Whether a call with this end failed at `last`, an instruction that names an account. Those of `block_reads` are noted
/// anyway.
fn fails_at_account(end: InstructionResult, last: u8) -> bool {
    let is_instruction = !matches!(end, InstructionResult::OpcodeNotFound | InstructionResult::NotActivated);
    let names_account = matches!(
        last,
        opcode::EXTCODESIZE
            | opcode::EXTCODECOPY
            | opcode::CALL
            | opcode::CALLCODE
            | opcode::DELEGATECALL
            | opcode::STATICCALL
            | opcode::SELFDESTRUCT
    );
    is_instruction && names_account
}

fn last_opcode(interpreter: &Interpreter<EthInterpreter>) -> u8 {
    let code = interpreter.bytecode.original_byte_slice();
    let place = interpreter.bytecode.pc().saturating_sub(1);
    code.get(place).copied().unwrap_or(0)
}

/// Run until the call makes another one, or ends.
fn run<'a>(
    interpreter: &mut Interpreter<EthInterpreter>,
    instructions: &EthInstructions<EthInterpreter, RevmContext<'a>>,
    context: &mut RevmContext<'a>,
    control: &mut Control<'_>,
) -> Result<InterpreterAction, Stop> {
    if let Some(mut recorder) = control.recorder.take() {
        let action = run_recorded(interpreter, instructions, context, control, &mut recorder);
        control.recorder = Some(recorder);
        return action;
    }
    match control.reads.take() {
        None => run_with(interpreter, instructions, context, control, |_, _| ()),
        Some(reads) => {
            let action =
                run_with(interpreter, instructions, context, control, |control, next| control.watch(next, &reads));
            control.reads = Some(reads);
            action
        }
    }
}

#[inline(always)]
fn run_with<'a, 'b>(
    interpreter: &mut Interpreter<EthInterpreter>,
    instructions: &EthInstructions<EthInterpreter, RevmContext<'a>>,
    context: &mut RevmContext<'a>,
    control: &mut Control<'b>,
    before_step: impl Fn(&mut Control<'b>, &Interpreter<EthInterpreter>),
) -> Result<InterpreterAction, Stop> {
    let (table, gas_table) = (instructions.instruction_table(), instructions.gas_table());
    let mut look_below = interpreter.gas.remaining().saturating_sub(control.gas_until_look);
    let ended = loop {
        before_step(control, interpreter);
        if let Err(ended) = interpreter.step(table, gas_table, context) {
            break ended;
        }
        let remaining = interpreter.gas.remaining();
        if remaining < look_below {
            control.look(context, interpreter.memory.size())?;
            look_below = remaining.saturating_sub(GAS_BETWEEN_LOOKS);
        }
    };
    control.gas_until_look = interpreter.gas.remaining().saturating_sub(look_below).min(GAS_BETWEEN_LOOKS);
    if interpreter.bytecode.action().is_none() {
        interpreter.halt(ended);
    }
    Ok(interpreter.take_next_action())
}

/// Run as `run_with` does, and record every step.
fn run_recorded<'a>(
    interpreter: &mut Interpreter<EthInterpreter>,
    instructions: &EthInstructions<EthInterpreter, RevmContext<'a>>,
    context: &mut RevmContext<'a>,
    control: &mut Control<'_>,
    recorder: &mut Recorder,
) -> Result<InterpreterAction, Stop> {
    let (table, gas_table) = (instructions.instruction_table(), instructions.gas_table());
    let mut look_below = interpreter.gas.remaining().saturating_sub(control.gas_until_look);
    loop {
        let opcode = interpreter.bytecode.opcode();
        recorder.begin(interpreter, context)?;
        let Err(ended) = interpreter.step(table, gas_table, context) else {
            recorder.end(interpreter, context, opcode)?;
            let (remaining, memory) = (interpreter.gas.remaining(), interpreter.memory.size());
            if remaining < look_below || memory > LONG_MEMORY_BYTES {
                control.look(context, memory)?;
                look_below = remaining.saturating_sub(GAS_BETWEEN_LOOKS);
            }
            continue;
        };
        control.gas_until_look = interpreter.gas.remaining().saturating_sub(look_below).min(GAS_BETWEEN_LOOKS);
        if interpreter.bytecode.action().is_none() {
            interpreter.halt(ended);
        }
        let action = interpreter.take_next_action();
        recorder.ended(interpreter, &action, opcode)?;
        return Ok(action);
    }
}

/// How an execution ended, and what it changed.
pub struct Ended {
    /// revm's account of it.
    pub result: ExecutionResult<HaltReason>,
    /// All accounts that it looked at.
    pub state: EvmState,
    /// Whether it looked at the block, a balance or a nonce, or failed at an account that an instruction names; only known
    /// if that was asked for.
    pub has_read_block: bool,
    /// Bytes of all logs, those of failed calls among them.
    pub log_bytes: u64,
    /// The last instruction of the outermost call; None where it ran none.
    pub last_opcode: Option<u8>,
    /// Words on the stack of the outermost call when it ended.
    pub last_stack: usize,
}

/// What an execution needs beside a transaction and the accounts.
pub struct Surroundings<'a> {
    /// The block.
    pub block: &'a BlockEnv,
    /// The fork, the network, and what is not checked.
    pub config: &'a CfgEnv,
    /// A Python callable that raises when the execution must stop.
    pub check: &'a Py<PyAny>,
    /// The callable for `Precompiles::long`.
    pub long_precompile: &'a Py<PyAny>,
    /// None without bounds.
    pub limits: Option<Limits>,
    /// Whether to note that the execution looks at more than code and storage.
    pub is_watched: bool,
}

impl Surroundings<'_> {
    /// Execute `transaction` on `state`, which stays as it is.
    pub fn execute(&self, state: &mut BlockState, transaction: TxEnv) -> Result<Ended, Stop> {
        self.run(state, transaction, |handler, machine| handler.run(machine))
    }

    /// Execute `transaction` on `state`, which stays as it is, and record it.
    pub fn execute_recorded(
        &self,
        state: &mut BlockState,
        transaction: TxEnv,
        recorder: Recorder,
    ) -> Result<(Ended, Recorder), Stop> {
        let mut machine = self.machine(state);
        machine.control.recorder = Some(recorder);
        let ended = machine.run(transaction, |handler, machine| handler.run(machine))?;
        let recorder = machine.control.recorder.take().ok_or(Stop::Unsupported("a record is lost"))?;
        Ok((ended, recorder))
    }

    /// Call `to` as the block does by itself: nothing is paid or checked.
    pub fn call_by_system(&self, state: &mut BlockState, transaction: TxEnv) -> Result<Ended, Stop> {
        self.run(state, transaction, |handler, machine| {
            let addresses = machine.evm.precompiles.warm_addresses().clone();
            machine.evm.ctx.journal_mut().warm_precompiles(&addresses);
            handler.run_system_call(machine)
        })
    }

    /// Execute one transaction after another. Each is made by `next` from the accounts, None after the last one, and what it
    /// comes to is given to `keep` with the accounts, before the next one is made. `keep` gives back what `Ended::state` was.
    pub fn execute_all(
        &self,
        state: &mut BlockState,
        mut next: impl FnMut(&mut BlockState) -> Result<Option<TxEnv>, Stop>,
        mut keep: impl FnMut(&mut BlockState, Ended) -> Result<EvmState, Stop>,
    ) -> Result<(), Stop> {
        let mut machine = self.machine(state);
        while let Some(transaction) = next(machine.evm.ctx.journaled_state.database)? {
            // A transfer has no instruction after which to look.
            machine.control.begin();
            machine.control.look(&machine.evm.ctx, 0)?;
            let ended = machine.run(transaction, |handler, machine| handler.run(machine))?;
            let mut accounts = keep(machine.evm.ctx.journaled_state.database, ended)?;
            if accounts.capacity() <= MAX_REUSED_PLACES {
                accounts.clear();
                machine.evm.ctx.journaled_state.inner.state = accounts;
            }
        }
        Ok(())
    }

    fn run<'b>(
        &'b self,
        state: &'b mut BlockState,
        transaction: TxEnv,
        execute: impl FnOnce(&mut RevmHandler<'b>, &mut Machine<'b>) -> Result<ExecutionResult, RevmError>,
    ) -> Result<Ended, Stop> {
        self.machine(state).run(transaction, execute)
    }

    fn machine<'b>(&'b self, state: &'b mut BlockState) -> Machine<'b> {
        let spec = self.config.spec;
        let mut context: RevmContext<'b> = Context::new(state, spec);
        context.block = self.block.clone();
        context.cfg = self.config.clone();
        context.cfg.memory_limit = self.limits.map_or(MAX_MEMORY_BYTES, |limits| limits.memory_bytes);
        let raised = Rc::new(RefCell::new(None));
        let precompiles = Precompiles { own: EthPrecompiles::new(spec), spec, long: self.long_precompile, raised };
        Machine {
            evm: Evm::new(context, EthInstructions::new_mainnet_with_spec(spec), precompiles),
            control: Control {
                check: self.check,
                next_check: Instant::now() + CHECK_INTERVAL,
                gas_until_look: GAS_BETWEEN_LOOKS,
                limits: self.limits,
                calls: Vec::with_capacity(8),
                held_below: 0,
                seen_logs: 0,
                log_bytes: 0,
                seen_changes: 0,
                new_slots: 0,
                transient_slots: 0,
                state_bytes: 0,
                reads: self.is_watched.then(|| block_reads(spec)),
                has_read_block: false,
                last_opcode: None,
                last_stack: 0,
                recorder: None,
            },
        }
    }
}

type RevmError = EVMError<Stop, InvalidTransaction>;
type RevmHandler<'a> = MainnetHandler<Machine<'a>, RevmError, EthFrame<EthInterpreter>>;

/// revm's name for a reason, without its values.
fn name_of(reason: &InvalidTransaction) -> String {
    let text = format!("{reason:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// The addresses of the precompiles of `spec`.
pub fn is_precompile(spec: SpecId, address: &Address) -> bool {
    EthPrecompiles::new(spec).contains(address)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::nodes::NodeReader;
    use crate::transaction::{access_list_of, of_call};
    use crate::trie::EMPTY_ROOT;

    const CONTRACT: Address = Address::repeat_byte(0xcc);

    /// The address 0x200.
    const OTHER: [u8; 3] = [0x61, 0x02, 0x00];

    const LOAD: &[u8] = &[0x80, 0x54, 0x50];
    const LOOK_AT_BALANCE: &[u8] = &[0x80, 0x31, 0x50];
    const STORE_TRANSIENT: &[u8] = &[0x80, 0x80, 0x5d];
    const STORE_IN_SLOT_ONE: &[u8] = &[0x80, 0x60, 0x01, 0x55];
    const REVERT: &[u8] = &[0x5f, 0x5f, 0xfd];

    /// Code that does `first` once, then `body` `times` times, with how often it was done on the stack, then `last`.
    fn repeated(first: &[u8], body: &[u8], times: u16, last: &[u8]) -> Vec<u8> {
        let [high, low] = times.to_be_bytes();
        let start = u8::try_from(first.len()).unwrap() + 1;
        let again = [0x60, 0x01, 0x01, 0x80, 0x61, high, low, 0x11, 0x60, start, 0x57];
        [first, &[0x5f, 0x5b], body, &again, last].concat()
    }

    /// Code that calls `OTHER` so many times.
    fn calling_other(times: u16) -> Vec<u8> {
        repeated(&[], &[&[0x5f; 5], &OTHER[..], &[0x5a, 0xf1, 0x50]].concat(), times, &[])
    }

    /// Code that creates a contract with `init_code` so many times.
    fn creating(init_code: &[u8], times: u16) -> Vec<u8> {
        let length = u8::try_from(init_code.len()).unwrap();
        let code = |start: u8| {
            repeated(&[0x60, length, 0x60, start, 0x5f, 0x39], &[0x60, length, 0x5f, 0x5f, 0xf0, 0x50], times, &[0])
        };
        [&code(u8::try_from(code(0).len()).unwrap()), init_code].concat()
    }

    /// Call a contract with `code`, beside one at `OTHER` with `other`, within a bound on memory.
    fn executed(code: Vec<u8>, other: Vec<u8>, memory_bytes: u64) -> Result<Ended, Stop> {
        Python::initialize();
        let callable = Python::attach(|py| py.eval(c"lambda *_: None", None, None).unwrap().unbind());
        let copy = || Python::attach(|py| callable.clone_ref(py));
        let nodes = Arc::new(NodeReader::new(copy(), 0));
        let mut state = BlockState::new(nodes, EMPTY_ROOT, SpecId::CANCUN, copy());
        state.set(CONTRACT, Some(1), None, Some(code.into()))?;
        state.set(Address::left_padding_from(&OTHER[1..]), Some(1), None, Some(other.into()))?;
        let surroundings = Surroundings {
            block: &BlockEnv::default(),
            config: &CfgEnv::new_with_spec(SpecId::CANCUN),
            check: &callable,
            long_precompile: &callable,
            limits: Some(Limits { memory_bytes, log_bytes: memory_bytes }),
            is_watched: false,
        };
        let (gas, list) = (100_000_000, access_list_of(Vec::new()));
        let call = of_call(0, Address::ZERO, Some(CONTRACT), gas, 0, 0, U256::ZERO, Bytes::new(), list);
        surroundings.execute(&mut state, call)
    }

    #[test]
    fn what_a_transaction_loads_and_changes_counts_as_memory() {
        let loading_slots = repeated(&[], LOAD, 1_000, REVERT);
        let large_code = [&[0][..], &[0x5b; 40_000]].concat();
        for (code, other, least) in [
            (repeated(&[], LOAD, 10_000, &[]), vec![], 3_840_000),
            (repeated(&[], LOOK_AT_BALANCE, 10_000, &[]), vec![], 6_390_000),
            (repeated(&[], STORE_TRANSIENT, 10_000, &[]), vec![], 2_559_744),
            (repeated(&[], STORE_IN_SLOT_ONE, 10_000, &[]), vec![], 1_280_000),
            (creating(&loading_slots, 10), vec![], 2_560_000),
            (calling_other(10), loading_slots.clone(), 256_000),
            (calling_other(10), large_code, 40_000),
        ] {
            let stopped = executed(code.clone(), other.clone(), least);
            assert!(matches!(stopped, Err(Stop::TooMuchMemory)), "{least}");
            let ended = executed(code, other, least + least / 8 + 100_000).unwrap();
            assert!(ended.result.is_success(), "{least}");
        }
    }

    #[test]
    fn what_a_failed_call_changed_counts_no_more() {
        for change in [STORE_IN_SLOT_ONE, STORE_TRANSIENT] {
            let failing = repeated(&[], change, 500, REVERT);
            assert!(executed(calling_other(20), failing, 300_000).unwrap().result.is_success());
        }
    }
}
