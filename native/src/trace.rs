//! Records the steps and calls of one transaction, as `lacnode/evm/py_evm_recorder.py` records them on py-evm. Both must
//! give the same record: `lacnode/evm/trace_record.py` says what each part means.
//!
//! What this recorder cannot say as py-evm does is `Stop::Unsupported`. Python then traces the transaction on py-evm.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, B256, Bytes, U256};
use revm_bytecode::opcode;
use revm_context_interface::{ContextTr, JournalTr};
use revm_handler::FrameResult;
use revm_interpreter::interpreter::EthInterpreter;
use revm_interpreter::interpreter_types::{Jumps, MemoryTr, ReturnData};
use revm_interpreter::{
    CallInputs, CallScheme, CreateInputs, FrameInput, InstructionResult, Interpreter, InterpreterAction,
};

use crate::machine::RevmContext;
use crate::stop::Stop;
use crate::trace_costs::{cost_out_of_gas, memory_end};

/// The number in place of an instruction where a call ends without one.
pub const NO_OPCODE: u16 = 0xffff;

/// Bytes that are counted for a step and for an item of its stack, as in `trace_record.py`.
const STEP_BYTES: usize = 600;
const STACK_ITEM_BYTES: usize = 40;

/// Gas that a call with value gets for nothing.
const CALL_STIPEND_GAS: u64 = 2_300;

/// Instructions by which calls begin and end, and CALLDATALOAD: all that is recorded where not every step is.
const CALL_STEPS: [u8; 11] = [0x00, 0x35, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xfa, 0xfd, 0xff];

/// What to record.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// Every step, and not only those of calls.
    pub steps: bool,
    /// The memory after each step.
    pub memory: bool,
    /// The memory before each step.
    pub memory_before: bool,
    /// The accounts and slots that are read.
    pub reads: bool,
}

/// How much may be recorded.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Steps.
    pub steps: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Bounds {
    fn add_step(&mut self, size: usize) -> Result<(), Stop> {
        self.steps = self.steps.checked_sub(1).ok_or(Stop::TraceTooLarge("steps"))?;
        self.add_bytes(size)
    }

    fn add_bytes(&mut self, size: usize) -> Result<(), Stop> {
        self.bytes = self.bytes.checked_sub(size).ok_or(Stop::TraceTooLarge("bytes"))?;
        Ok(())
    }
}

/// Why a call ended with an error. The numbers are the places of `trace_record.Halt`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Halt {
    InsufficientGas = 0,
    InsufficientStackItems = 1,
    InvalidJumpDestination = 2,
    InvalidOperation = 3,
    InvalidReturnData = 4,
    TooManyStackItems = 5,
    IllegalStateChange = 6,
}

/// The slots that a call has written in its account.
pub type Written = Arc<BTreeMap<U256, U256>>;

/// What all steps of one call have in common.
#[derive(Clone)]
pub struct Surrounding {
    /// The account whose storage the code uses.
    pub recipient: Address,
    /// In wei.
    pub value: U256,
    /// The data of the call; empty for a creation.
    pub input: Bytes,
    /// The code that runs.
    pub code: Bytes,
}

/// One instruction as it was executed: `trace_record.Step`.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Step {
    pub pc: usize,
    pub opcode: u16,
    pub gas: u64,
    pub cost: i64,
    pub depth: usize,
    pub refund: i64,
    pub memory_size: usize,
    pub surrounding: Option<Arc<Surrounding>>,
    /// The stack before it: where it begins among all items, and its length.
    pub stack: (usize, usize),
    pub top: Vec<U256>,
    pub memory: Option<Arc<[u8]>>,
    pub storage: Option<Written>,
    pub halt: Option<Halt>,
    pub reason: Option<Bytes>,
    pub output: Bytes,
    pub returned: Bytes,
    pub code: Bytes,
    pub is_virtual: bool,
    pub swept: U256,
    pub call: Option<usize>,
    pub child_gas: Option<u64>,
    pub precompile_gas: Option<u64>,
    pub updated_memory: Option<(U256, Bytes)>,
    pub updated_storage: Option<(U256, U256)>,
}

/// A log of a call: `trace_record.TracedLog`.
#[allow(missing_docs)]
pub struct CallLog {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
    pub position: usize,
}

/// A call: `trace_record.TracedCall`. `parent` is the place of the call that made it.
#[allow(missing_docs)]
pub struct Call {
    pub parent: Option<usize>,
    pub kind: u8,
    pub sender: Address,
    pub to: Option<Address>,
    pub value: U256,
    pub gas: u64,
    pub input: Bytes,
    pub depth: usize,
    pub gas_used: u64,
    pub output: Bytes,
    pub error: Option<Halt>,
    pub is_reverted: bool,
    pub is_precompile: bool,
    pub logs: Vec<CallLog>,
}

impl Call {
    fn is_success(&self) -> bool {
        self.error.is_none() && !self.is_reverted
    }
}

/// A call under way.
struct Frame {
    call: usize,
    surrounding: Arc<Surrounding>,
    refund_before: i64,
    /// Refunds of SELFDESTRUCT, which revm counts at once, and py-evm and Besu at the end of the transaction.
    refund_for_destruction: i64,
    finished_calls: usize,
    pending: Option<usize>,
    returned: Option<(U256, Bytes)>,
    memory: Option<Arc<[u8]>>,
    written: HashMap<Address, Written>,
    failed: Option<Halt>,
}

/// The input of a call that revm is asked to begin.
pub enum Asked {
    /// A call of an account.
    Call(Box<CallInputs>, Bytes),
    /// A creation.
    Create(Box<CreateInputs>),
}

impl Asked {
    /// Note what `input` asks for, before revm takes it.
    pub fn of(input: &FrameInput, context: &RevmContext<'_>) -> Option<Self> {
        match input {
            FrameInput::Call(call) => Some(Asked::Call(call.clone(), call.input.bytes(context))),
            FrameInput::Create(create) => Some(Asked::Create(create.clone())),
            FrameInput::Empty => None,
        }
    }

    fn gas(&self) -> u64 {
        match self {
            Asked::Call(call, _) => call.gas_limit,
            Asked::Create(create) => create.gas_limit(),
        }
    }
}

/// Records one transaction.
pub struct Recorder {
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// The items of all stacks.
    pub items: Vec<U256>,
    /// The calls in the order in which they began.
    pub calls: Vec<Call>,
    /// Accounts, or slots of them, that were read.
    pub reads: HashMap<(Address, Option<U256>), ()>,
    /// How much more may be recorded.
    pub bounds: Bounds,
    wanted: Wanted,
    static_gas: Arc<[i64]>,
    frames: Vec<Frame>,
    is_recording: bool,
    refunded: i64,
    refunded_before: i64,
    is_not_made: bool,
    is_collided: bool,
}

impl Recorder {
    /// A recorder for the next transaction. `static_gas` has the cost of each instruction before its operands count, -1
    /// for a number that is no instruction.
    pub fn new(wanted: Wanted, bounds: Bounds, static_gas: Arc<[i64]>) -> Self {
        Self {
            steps: Vec::new(),
            items: Vec::new(),
            calls: Vec::new(),
            reads: HashMap::default(),
            bounds,
            wanted,
            static_gas,
            frames: Vec::new(),
            is_recording: false,
            refunded: 0,
            refunded_before: 0,
            is_not_made: false,
            is_collided: false,
        }
    }

    // -- calls -------------------------------------------------------------------------------------------------------

    /// revm was asked to begin a call, and has begun it (`result` None) or ended it at once.
    pub fn asked(&mut self, asked: &Asked, result: Option<&FrameResult>, created: Option<Address>) -> Result<(), Stop> {
        let depth = self.frames.len();
        match result.map(FrameResult::instruction_result) {
            Some(InstructionResult::CallTooDeep | InstructionResult::OutOfFunds) => {
                self.is_not_made = true;
                return Ok(());
            }
            Some(InstructionResult::CreateCollision) => return self.collide(asked),
            _ => (),
        }
        if matches!((asked, result), (Asked::Create(_), Some(_))) {
            return Err(Stop::Unsupported("a creation that ends before it begins"));
        }
        let is_precompile = matches!(result, Some(FrameResult::Call(outcome)) if outcome.was_precompile_called);
        self.enter(asked, created, depth, is_precompile)?;
        let Some(result) = result else { return Ok(()) };
        if !is_precompile {
            self.step_without_code(asked.gas(), depth)?;
        }
        self.leave(result)
    }

    fn enter(
        &mut self,
        asked: &Asked,
        created: Option<Address>,
        depth: usize,
        is_precompile: bool,
    ) -> Result<(), Stop> {
        let step = self.frames.last().and_then(|frame| frame.pending);
        let (mut call, surrounding) = begun(asked, created, depth);
        call.is_precompile = is_precompile;
        call.parent = self.frames.last().map(|frame| frame.call);
        if let Some(step) = step {
            call.kind = self.steps[step].opcode as u8;
            if let (Asked::Call(..), Some(to)) = (asked, self.item(step, 2)) {
                call.to = Some(Address::from_word(to.into()));
            }
            self.begin_call(step, &call, &surrounding);
        }
        self.bounds.add_step(STEP_BYTES + call.input.len())?;
        let refund_before = self.frames.last().map_or(0, |frame| frame.refund_before + self.refunded);
        self.frames.push(Frame {
            call: self.calls.len(),
            surrounding: Arc::new(surrounding),
            refund_before,
            refund_for_destruction: 0,
            finished_calls: 0,
            pending: None,
            returned: None,
            memory: None,
            written: HashMap::default(),
            failed: None,
        });
        self.refunded = 0;
        self.calls.push(call);
        Ok(())
    }

    /// End the step that begins a call, for the record.
    fn begin_call(&mut self, step: usize, call: &Call, surrounding: &Surrounding) {
        let place = self.calls.len();
        let step = &mut self.steps[step];
        let has_stipend = matches!(call.kind, opcode::CALL | opcode::CALLCODE) && !call.value.is_zero();
        step.cost += if has_stipend { CALL_STIPEND_GAS as i64 } else { 0 } - call.gas as i64;
        step.call = Some(place);
        step.child_gas = Some(call.gas);
        step.code = surrounding.code.clone();
        step.returned = Bytes::new();
    }

    /// The STOP that an account without code executes.
    fn step_without_code(&mut self, gas: u64, depth: usize) -> Result<(), Stop> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let mut step = empty_step(0, 0, gas, depth);
        step.is_virtual = true;
        step.surrounding = Some(Arc::clone(&frame.surrounding));
        step.refund = frame.refund_before;
        if self.wanted.memory || self.wanted.memory_before {
            step.memory = Some(Arc::from([]));
        }
        let own = frame.surrounding.recipient;
        frame.pending = Some(self.steps.len());
        self.steps.push(step);
        self.bounds.add_step(STEP_BYTES)?;
        if self.wanted.reads {
            self.reads.insert((own, None), ());
        }
        Ok(())
    }

    /// A creation at an address that is taken.
    fn collide(&mut self, asked: &Asked) -> Result<(), Stop> {
        let Asked::Create(create) = asked else { return Err(Stop::Unsupported("a collision without a creation")) };
        let Some(frame) = self.frames.last() else {
            return Err(Stop::Unsupported("a transaction that creates at a taken address"));
        };
        let Some(place) = frame.pending else { return Err(Stop::Unsupported("a step is lost")) };
        let own = frame.surrounding.recipient;
        let parent = Some(frame.call);
        let step = &mut self.steps[place];
        step.cost -= create.gas_limit() as i64;
        step.code = create.init_code().clone();
        step.halt = Some(Halt::IllegalStateChange);
        self.is_collided = true;
        self.calls.push(Call {
            parent,
            kind: step.opcode as u8,
            sender: own,
            to: None,
            value: create.value(),
            gas: create.gas_limit(),
            input: create.init_code().clone(),
            depth: step.depth + 1,
            gas_used: create.gas_limit(),
            output: Bytes::new(),
            error: Some(Halt::IllegalStateChange),
            is_reverted: false,
            is_precompile: false,
            logs: Vec::new(),
        });
        Ok(())
    }

    /// The current call has ended. Its code is stored by now, if it is a creation.
    pub fn leave(&mut self, result: &FrameResult) -> Result<(), Stop> {
        let Some(frame) = self.frames.pop() else { return Err(Stop::Unsupported("a call is lost")) };
        let ended = result.interpreter_result();
        let call = &mut self.calls[frame.call];
        let returns_gas = ended.result.is_ok() || ended.result == InstructionResult::Revert;
        call.gas_used = if returns_gas { call.gas - ended.gas.remaining() } else { call.gas };
        call.output = if returns_gas { ended.output.clone() } else { Bytes::new() };
        self.bounds.add_bytes(call.output.len())?;
        call.is_reverted = ended.result == InstructionResult::Revert;
        if !returns_gas {
            self.note_error(&frame, ended.result)?;
        }
        if self.calls[frame.call].is_precompile {
            self.note_precompile(&frame)?;
        }
        self.return_to(frame)
    }

    fn note_error(&mut self, frame: &Frame, result: InstructionResult) -> Result<(), Stop> {
        if self.calls[frame.call].is_precompile {
            return Err(Stop::Unsupported("the trace of a precompile that fails"));
        }
        let last = frame.pending.map(|step| &self.steps[step]);
        if let Some(halt) = frame.failed
            && last.is_some_and(|step| step.halt.is_some())
        {
            self.calls[frame.call].error = Some(halt);
            return Ok(());
        }
        if frame.failed.is_none() && last.is_some_and(|step| matches!(step.opcode, 0x00 | 0xf3)) {
            return Err(Stop::Unsupported("the trace of a creation whose code is refused"));
        }
        let halt = frame.failed.map_or_else(|| self.halt_of(result, None), Ok)?;
        self.calls[frame.call].error = Some(halt);
        // An instruction that is not recorded failed.
        let mut step = self.step_without_instruction(frame);
        step.halt = Some(halt);
        self.steps.push(step);
        Ok(())
    }

    fn step_without_instruction(&self, frame: &Frame) -> Step {
        let call = &self.calls[frame.call];
        let mut step = empty_step(0, NO_OPCODE, call.gas, call.depth);
        step.is_virtual = true;
        step.surrounding = Some(Arc::clone(&frame.surrounding));
        step
    }

    fn note_precompile(&mut self, frame: &Frame) -> Result<(), Stop> {
        let cost = self.calls[frame.call].gas_used;
        if self.steps.is_empty() {
            let mut step = self.step_without_instruction(frame);
            step.gas -= cost;
            self.steps.push(step);
        }
        if let Some(last) = self.steps.last_mut() {
            last.precompile_gas = Some(cost);
        }
        Ok(())
    }

    fn return_to(&mut self, frame: Frame) -> Result<(), Stop> {
        let is_success = self.calls[frame.call].is_success();
        let output = self.calls[frame.call].output.clone();
        let Some(parent) = self.frames.last_mut() else { return Ok(()) };
        parent.finished_calls += 1;
        if is_success {
            parent.refund_for_destruction += frame.refund_for_destruction;
            for (address, slots) in frame.written {
                let joined = Arc::make_mut(parent.written.entry(address).or_default());
                joined.extend(slots.iter());
                self.bounds.add_bytes(STACK_ITEM_BYTES * joined.len())?;
            }
        }
        let Some(place) = parent.pending else { return Ok(()) };
        let position = match self.steps[place].opcode {
            0xf1 | 0xf2 => 7,
            0xf4 | 0xfa => 6,
            _ => return Ok(()),
        };
        let (offset, size) = (self.item(place, position - 1), self.item(place, position));
        let part = output.slice(..memory_end(size.unwrap_or_default()).min(output.len()));
        self.bounds.add_bytes(part.len())?;
        if let Some(parent) = self.frames.last_mut().filter(|_| !part.is_empty()) {
            parent.returned = Some((offset.unwrap_or_default(), part));
        }
        Ok(())
    }

    /// The calling contract has the outcome of a call that was asked for. Its step goes on if no call was made.
    pub fn returned(&mut self, interpreter: &Interpreter<EthInterpreter>) -> Result<(), Stop> {
        let (is_not_made, is_collided) = (std::mem::take(&mut self.is_not_made), std::mem::take(&mut self.is_collided));
        if !is_not_made && !is_collided {
            return Ok(());
        }
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let Some(place) = frame.pending else { return Ok(()) };
        let surrounding = Arc::clone(&frame.surrounding);
        let has_value = !self.item(place, 3).unwrap_or_default().is_zero();
        let remaining = interpreter.gas.remaining();
        let step = &mut self.steps[place];
        step.returned = interpreter.return_data.buffer().clone();
        step.top = interpreter.stack.data().last().copied().into_iter().collect();
        if is_collided {
            return Ok(());
        }
        step.cost = step.gas as i64 - remaining as i64;
        if is_call(step.opcode) {
            if matches!(step.opcode, 0xf1 | 0xf2) && has_value {
                step.cost += CALL_STIPEND_GAS as i64;
            }
            step.child_gas = Some(remaining);
            step.updated_memory = None;
        }
        step.code = surrounding.code.clone();
        Ok(())
    }

    // -- steps -------------------------------------------------------------------------------------------------------

    /// The next instruction is about to be executed.
    pub fn begin(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        context: &mut RevmContext<'_>,
    ) -> Result<(), Stop> {
        let (code, pc) = (interpreter.bytecode.original_byte_slice().len(), interpreter.bytecode.pc());
        let opcode = interpreter.bytecode.opcode();
        let is_invalid = self.static_gas[usize::from(opcode)] < 0;
        self.is_recording = self.wanted.steps || is_invalid || CALL_STEPS.contains(&opcode);
        if !self.is_recording {
            return Ok(());
        }
        self.refunded_before = interpreter.gas.refunded();
        let Some(frame) = self.frames.last_mut() else { return Err(Stop::Unsupported("a call is lost")) };
        let depth = self.calls[frame.call].depth;
        let mut step = empty_step(pc, opcode.into(), interpreter.gas.remaining(), depth);
        step.is_virtual = pc >= code;
        step.memory_size = interpreter.memory.size();
        step.surrounding = Some(Arc::clone(&frame.surrounding));
        let stack = interpreter.stack.data();
        step.stack = (self.items.len(), stack.len());
        self.bounds.add_step(STEP_BYTES + STACK_ITEM_BYTES * stack.len())?;
        self.items.extend_from_slice(stack);
        if self.wanted.memory_before {
            step.memory = Some(copied_memory(frame, interpreter, &mut self.bounds)?);
        }
        let own = frame.surrounding.recipient;
        if opcode == opcode::SELFDESTRUCT {
            step.swept = context.journal_mut().load_account(own)?.info.balance;
        }
        frame.pending = Some(self.steps.len());
        self.steps.push(step);
        if self.wanted.reads {
            self.note_reads(opcode, own)?;
        }
        Ok(())
    }

    fn note_reads(&mut self, opcode: u8, own: Address) -> Result<(), Stop> {
        self.reads.insert((own, None), ());
        let place = self.steps.len() - 1;
        let read = match opcode {
            0x54 | 0x55 => self.item(place, 1).map(|slot| (own, Some(slot))),
            0x31 | 0x3b | 0x3c | 0x3f | 0xff => self.item(place, 1).map(|item| (Address::from_word(item.into()), None)),
            0xf1 | 0xf2 | 0xf4 | 0xfa => self.item(place, 2).map(|item| (Address::from_word(item.into()), None)),
            _ => None,
        };
        if let Some(read) = read {
            self.bounds.add_bytes(STEP_BYTES)?;
            self.reads.insert(read, ());
        }
        Ok(())
    }

    /// The instruction was executed, and the call goes on.
    pub fn end(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        context: &RevmContext<'_>,
        opcode: u8,
    ) -> Result<(), Stop> {
        if matches!(opcode, 0xa0..=0xa4) {
            self.add_log(context)?;
        }
        if !self.is_recording {
            return Ok(());
        }
        let Some(place) = self.note_after(interpreter, true)? else { return Ok(()) };
        let stack = interpreter.stack.data();
        self.steps[place].top = stack[stack.len() - produced_items(opcode).min(stack.len())..].to_vec();
        Ok(())
    }

    /// The call makes another one, or ends, after the instruction.
    pub fn ended(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        action: &InterpreterAction,
        opcode: u8,
    ) -> Result<(), Stop> {
        match action {
            InterpreterAction::NewFrame(_) => {
                let refunded = self.refunded_of(interpreter);
                if let Some(place) = self.note_after(interpreter, true)? {
                    self.steps[place].top = self.item(place, 1).into_iter().collect();
                }
                self.refunded = refunded;
                Ok(())
            }
            InterpreterAction::Return(result) if result.result.is_ok() => {
                if opcode == opcode::SELFDESTRUCT {
                    self.note_destruction(interpreter)?;
                }
                let place = self.note_after(interpreter, true)?;
                self.note_output(place, &result.output, false);
                Ok(())
            }
            InterpreterAction::Return(result) if result.result == InstructionResult::Revert => {
                let place = self.note_after(interpreter, true)?;
                self.note_output(place, &result.output, true);
                Ok(())
            }
            InterpreterAction::Return(result) => self.fail(interpreter, result.result, opcode),
        }
    }

    fn note_output(&mut self, place: Option<usize>, output: &Bytes, is_revert: bool) {
        if let Some(place) = place.filter(|_| self.is_recording) {
            self.steps[place].output = output.clone();
            self.steps[place].reason = is_revert.then(|| output.clone());
            self.steps[place].top = Vec::new();
        }
    }

    fn fail(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        result: InstructionResult,
        opcode: u8,
    ) -> Result<(), Stop> {
        if result == InstructionResult::FatalExternalError {
            return Ok(());
        }
        let halt = self.halt_of(result, Some((opcode, interpreter.stack.len())))?;
        if let Some(frame) = self.frames.last_mut() {
            frame.failed = Some(halt);
        }
        let Some(place) = self.note_after(interpreter, false)? else { return Ok(()) };
        let static_gas = self.static_gas[usize::from(opcode)];
        let cost = match halt {
            Halt::IllegalStateChange if opcode == opcode::SSTORE => self.steps[place].gas as i64,
            Halt::InvalidJumpDestination => static_gas,
            Halt::InsufficientGas if result == InstructionResult::ReentrancySentryOOG => CALL_STIPEND_GAS as i64,
            Halt::InsufficientGas => cost_out_of_gas(&self.steps[place], self.stack_of(place), opcode, static_gas)
                .ok_or(Stop::Unsupported("the cost of an instruction without gas"))?,
            _ => 0,
        };
        // revm leaves the last input on the stack until it has charged for memory or words. py-evm and Besu have taken it.
        // It takes three inputs of a CALL before it refuses its value. Besu takes all of them later.
        let taken = match halt {
            Halt::InsufficientGas if self.steps[place].gas as i64 >= static_gas => inputs_taken(opcode),
            Halt::IllegalStateChange if is_call(opcode.into()) => Some(0),
            _ => None,
        };
        let taken = taken.map(|inputs| self.item(place, inputs + 1).into_iter().collect());
        let stack = interpreter.stack.data();
        let step = &mut self.steps[place];
        step.halt = Some(halt);
        step.cost = cost;
        step.top = taken.unwrap_or_else(|| stack[stack.len() - produced_items(opcode).min(stack.len())..].to_vec());
        if is_call(step.opcode) {
            step.child_gas = Some(step.gas);
        }
        Ok(())
    }

    fn halt_of(&self, result: InstructionResult, at: Option<(u8, usize)>) -> Result<Halt, Stop> {
        use InstructionResult as R;
        let is_invalid = at.is_some_and(|(opcode, _)| self.static_gas[usize::from(opcode)] < 0);
        // revm says the same of a DUP that finds too little as of one that has no place.
        let finds_too_little = matches!(at, Some((opcode @ 0x80..=0x8f, items)) if items <= usize::from(opcode - 0x80));
        Ok(match result {
            _ if is_invalid => Halt::InvalidOperation,
            R::OutOfGas | R::MemoryOOG | R::MemoryLimitOOG | R::InvalidOperandOOG | R::ReentrancySentryOOG => {
                Halt::InsufficientGas
            }
            R::StackOverflow if finds_too_little => Halt::InsufficientStackItems,
            R::StackUnderflow => Halt::InsufficientStackItems,
            R::StackOverflow => Halt::TooManyStackItems,
            R::InvalidJump => Halt::InvalidJumpDestination,
            R::OpcodeNotFound | R::InvalidFEOpcode | R::NotActivated => Halt::InvalidOperation,
            R::OutOfOffset => Halt::InvalidReturnData,
            R::CallNotAllowedInsideStatic | R::StateChangeDuringStaticCall => Halt::IllegalStateChange,
            _ => return Err(Stop::Unsupported("the trace of a rare failure")),
        })
    }

    fn refunded_of(&self, interpreter: &Interpreter<EthInterpreter>) -> i64 {
        interpreter.gas.refunded() - self.frames.last().map_or(0, |frame| frame.refund_for_destruction)
    }

    /// Note what is known after a step.
    fn note_after(
        &mut self,
        interpreter: &Interpreter<EthInterpreter>,
        is_success: bool,
    ) -> Result<Option<usize>, Stop> {
        if !self.is_recording {
            return Ok(None);
        }
        let refunded = self.refunded_of(interpreter);
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        let Some(place) = frame.pending else { return Ok(None) };
        let step = &mut self.steps[place];
        let stack = &self.items[step.stack.0..step.stack.0 + step.stack.1];
        let item = |position: usize| stack.len().checked_sub(position).map(|index| stack[index]);
        step.cost = step.gas as i64 - interpreter.gas.remaining() as i64;
        step.code = frame.surrounding.code.clone();
        if is_success
            && self.wanted.steps
            && step.opcode == 0x55
            && let (Some(slot), Some(value)) = (item(1), item(2))
        {
            step.updated_storage = Some((slot, value));
            let written = frame.written.entry(frame.surrounding.recipient).or_default();
            self.bounds.add_bytes(STACK_ITEM_BYTES * written.len())?;
            Arc::make_mut(written).insert(slot, value);
        }
        if is_success
            && self.wanted.steps
            && let Some((offset, size)) = changed_memory(step.opcode, &item)
        {
            let end = memory_end(offset).saturating_add(size);
            if end <= interpreter.memory.size() {
                // Each piece is a copy. A contract may copy the same megabyte at every step.
                self.bounds.add_bytes(size)?;
                let bytes = interpreter.memory.slice(memory_end(offset)..end).to_vec();
                frame.returned = Some((offset, bytes.into()));
            }
        }
        step.refund = frame.refund_before + refunded;
        step.storage = frame.written.get(&frame.surrounding.recipient).map(Arc::clone);
        step.returned = interpreter.return_data.buffer().clone();
        step.updated_memory = frame.returned.take();
        if self.wanted.memory {
            step.memory = Some(copied_memory(frame, interpreter, &mut self.bounds)?);
        }
        Ok(Some(place))
    }

    /// SELFDESTRUCT moves a balance as a call does.
    fn note_destruction(&mut self, interpreter: &Interpreter<EthInterpreter>) -> Result<(), Stop> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let Some(place) = frame.pending else { return Ok(()) };
        frame.refund_for_destruction += interpreter.gas.refunded() - self.refunded_before;
        let (parent, own) = (frame.call, frame.surrounding.recipient);
        let beneficiary = Address::from_word(self.item(place, 1).unwrap_or_default().into());
        self.bounds.add_bytes(STEP_BYTES)?;
        let step = &self.steps[place];
        self.calls.push(Call {
            parent: Some(parent),
            kind: 0xff,
            sender: own,
            to: Some(beneficiary),
            value: step.swept,
            gas: 0,
            input: Bytes::new(),
            depth: step.depth + 1,
            gas_used: 0,
            output: Bytes::new(),
            error: None,
            is_reverted: false,
            is_precompile: false,
            logs: Vec::new(),
        });
        Ok(())
    }

    fn add_log(&mut self, context: &RevmContext<'_>) -> Result<(), Stop> {
        let (Some(log), Some(frame)) = (context.journal().logs().last(), self.frames.last()) else { return Ok(()) };
        self.bounds.add_bytes(log.data.data.len() + 32 * log.topics().len())?;
        self.calls[frame.call].logs.push(CallLog {
            address: log.address,
            topics: log.topics().to_vec(),
            data: log.data.data.clone(),
            position: frame.finished_calls,
        });
        Ok(())
    }

    /// The stack before a step.
    pub fn stack_of(&self, place: usize) -> &[U256] {
        let (start, length) = self.steps[place].stack;
        &self.items[start..start + length]
    }

    /// The item at `position` from the top of the stack before a step. The top is 1.
    fn item(&self, place: usize, position: usize) -> Option<U256> {
        let stack = self.stack_of(place);
        stack.len().checked_sub(position).map(|index| stack[index])
    }
}

fn empty_step(pc: usize, opcode: u16, gas: u64, depth: usize) -> Step {
    Step {
        pc,
        opcode,
        gas,
        cost: 0,
        depth,
        refund: 0,
        memory_size: 0,
        surrounding: None,
        stack: (0, 0),
        top: Vec::new(),
        memory: None,
        storage: None,
        halt: None,
        reason: None,
        output: Bytes::new(),
        returned: Bytes::new(),
        code: Bytes::new(),
        is_virtual: false,
        swept: U256::ZERO,
        call: None,
        child_gas: None,
        precompile_gas: None,
        updated_memory: None,
        updated_storage: None,
    }
}

/// The call that `asked` begins, of the kind that a transaction has, and what its steps have in common.
fn begun(asked: &Asked, created: Option<Address>, depth: usize) -> (Call, Surrounding) {
    let (kind, sender, to, surrounding, input) = match asked {
        Asked::Call(call, input) => {
            // The sender of a delegated call is the calling contract, although the code sees the caller's caller.
            let is_own = matches!(call.scheme, CallScheme::DelegateCall | CallScheme::CallCode);
            let sender = if is_own { call.target_address } else { call.caller };
            let code = call.known_bytecode.1.original_bytes();
            let surrounding =
                Surrounding { recipient: call.target_address, value: call.value.get(), input: input.clone(), code };
            (opcode::CALL, sender, Some(call.target_address), surrounding, input.clone())
        }
        Asked::Create(create) => {
            let code = create.init_code().clone();
            let recipient = created.unwrap_or_default();
            let surrounding = Surrounding { recipient, value: create.value(), input: Bytes::new(), code: code.clone() };
            (opcode::CREATE, create.caller(), Some(recipient), surrounding, code)
        }
    };
    let call = Call {
        parent: None,
        kind,
        sender,
        to,
        value: surrounding.value,
        gas: asked.gas(),
        input,
        depth,
        gas_used: 0,
        output: Bytes::new(),
        error: None,
        is_reverted: false,
        is_precompile: false,
        logs: Vec::new(),
    };
    (call, surrounding)
}

/// The memory of the current call now. Most steps leave it as it is, and share one copy.
fn copied_memory(
    frame: &mut Frame,
    interpreter: &Interpreter<EthInterpreter>,
    bounds: &mut Bounds,
) -> Result<Arc<[u8]>, Stop> {
    let held = interpreter.memory.slice(0..interpreter.memory.size());
    match &frame.memory {
        Some(copy) if copy[..] == held[..] => Ok(Arc::clone(copy)),
        _ => {
            bounds.add_bytes(held.len())?;
            let copy: Arc<[u8]> = Arc::from(&held[..]);
            frame.memory = Some(Arc::clone(&copy));
            Ok(copy)
        }
    }
}

/// Whether an instruction is CALL or one of its kin.
pub fn is_call(opcode: u16) -> bool {
    matches!(opcode, 0xf1 | 0xf2 | 0xf4 | 0xfa)
}

/// The piece of memory that an instruction is shown with: its offset and its length.
fn changed_memory(opcode: u16, item: &dyn Fn(usize) -> Option<U256>) -> Option<(U256, usize)> {
    let size = match opcode {
        0x51 | 0x52 => 32,
        0x53 => 1,
        0x37 | 0x39 | 0x3e | 0x5e => memory_end(item(3)?),
        _ => 0,
    };
    (size > 0).then_some((item(1)?, size))
}

/// The number of inputs of an instruction that produces an item and charges more than its static gas.
fn inputs_taken(opcode: u8) -> Option<usize> {
    match opcode {
        opcode::EXP | opcode::KECCAK256 => Some(2),
        opcode::MLOAD => Some(1),
        _ => None,
    }
}

/// The items at the top of the stack that an instruction has written, as `trace_opcodes.produced_items` counts them.
fn produced_items(opcode: u8) -> usize {
    match opcode {
        0x80..=0x8f => usize::from(opcode - 0x80) + 2,
        0x90..=0x9f => usize::from(opcode - 0x90) + 2,
        0x01..=0x0b | 0x10..=0x1d | 0x20 | 0x30..=0x36 | 0x38 | 0x3a | 0x3b | 0x3d | 0x3f | 0x40..=0x4a => 1,
        0x51 | 0x54 | 0x58..=0x5a | 0x5c | 0x5f..=0x7f | 0xf0 | 0xf1 | 0xf2 | 0xf4 | 0xf5 | 0xfa => 1,
        _ => 0,
    }
}
