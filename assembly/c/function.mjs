// One function of Wasm as one function of C.
//
// Wasm is a tree of expressions, and every one may have effects; it says in which order. C leaves the order open. So
// effects become statements of their own, in Wasm's order, and what is left of an expression is a value without
// effects. A value knows what it reads. If a later effect of the same expression would change that, the value is kept
// in a `const` first. A branch to the end of a block is a goto; a loop that goes on at its end is a `do` or a `for
// (;;)`.
//
// Next: wasm-to-c.mjs.

import binaryen from 'assemblyscript/binaryen';
import {
  atom,
  bracket,
  canTrap,
  condition,
  INSTRUCTIONS,
  literal,
  loadName,
  negation,
  storeName,
  TYPES,
} from './instructions.mjs';

const VALUE_COLUMNS_MAX = 90; // a longer value gets a name

const { none, unreachable } = binaryen;
const EVERYTHING = ['memory', 'globals', 'control'];

/** A value in C, with what it reads: names of locals, `memory`, `globals`; `trap`, if it can end the program. */
const value = (operand, reads = []) => ({ ...operand, reads: new Set(reads) });
const isEffect = (expression) => 'effects' in expression;

function reads(...values) {
  return values.flatMap((each) => [...each.reads]);
}

/** Whether `effects`, which come first now, would change a value. */
function isChangedBy({ reads }, effects) {
  if (reads.has('trap') && EVERYTHING.some((each) => effects.has(each))) return true;
  return [...reads].some((each) => effects.has(each));
}

/** `for (;;) { if (a) { ...; continue; } break; }` is `while (a) { ... }`. */
function asWhile(lines, head, tail) {
  const [first, body, end, last, ...others] = lines;
  const isOne = others.length === 0 && end === '}' && last === 'break;' && body.at(-1) === 'continue;';
  return isOne ? [first.replace(/^if/, 'while'), body.slice(0, -1), '}'] : [head, lines, tail];
}

export class FunctionWriter {
  /** `names`: of functions and globals in C; `parameters`: names for the first locals. */
  constructor(info, names, parameters) {
    this.info = info;
    this.names = names;
    this.types = [...binaryen.expandType(info.params), ...info.vars];
    this.locals = this.types.map((_, i) => parameters[i] ?? `l${i}`);
    this.parameterCount = parameters.length;
    this.lines = []; // of the block that is being written: texts, and arrays for what stands deeper
    this.effects = new Set(); // of what was written since the last operand began
    this.used = new Set(); // locals, `core`, `m` and labels that occur
    this.labels = new Map(); // of the blocks around, by Wasm's name
    this.labelNames = new Set();
    this.temporaries = 0;
  }

  refuse(what) {
    throw new Error(`assembly/c cannot translate ${what} (in ${this.info.name})`);
  }

  type(type) {
    return TYPES.get(type)?.c ?? this.refuse(`a value of type ${type}`);
  }

  push(text, ...effects) {
    this.lines.push(text);
    for (const each of effects) this.effects.add(each);
  }

  local(index) {
    this.used.add(this.locals[index]);
    return this.locals[index];
  }

  memory() {
    this.used.add('m');
    return 'm';
  }

  /** Keeps a value under a name of its own, from line `at` on. */
  keep(operand, type, at = this.lines.length) {
    const name = `t${++this.temporaries}`;
    this.lines.splice(at, 0, `const ${this.type(type)} ${name} = ${operand.text};`);
    return value(atom(name), ['temporary']);
  }

  /** Writes what `write` pushes into a block of its own. */
  nested(write) {
    const outer = this.lines;
    this.lines = [];
    write();
    const inner = this.lines;
    this.lines = outer;
    return inner;
  }

  // --- values -------------------------------------------------------------------------------------------------------

  /** The values of several expressions, whose effects are written in their order. undefined: the last never ends. */
  operands(...expressions) {
    const values = [];
    for (const expression of expressions) {
      const mark = this.lines.length;
      const outer = this.effects;
      this.effects = new Set();
      const operand = this.value(expression);
      let at = mark;
      values.forEach((each, i) => {
        if (isChangedBy(each, this.effects))
          values[i] = this.keep(each, binaryen.getExpressionType(expressions[i]), at++);
      });
      for (const each of this.effects) outer.add(each);
      this.effects = outer;
      if (operand === undefined) return undefined;
      values.push(operand);
    }
    return values;
  }

  /** A value without effects. */
  value(expression) {
    const operand = this.rightSide(expression);
    const type = binaryen.getExpressionType(expression);
    if (operand === undefined || type === unreachable || type === none) return undefined;
    if (isEffect(operand)) {
      for (const each of operand.effects) this.effects.add(each);
      return this.keep(operand, type);
    }
    if (operand.text.length <= VALUE_COLUMNS_MAX) return operand;
    const text = operand.isTruth ? bracket(operand) : operand.text;
    return this.keep({ text }, type);
  }

  /** The right side of `=`: a value, or one thing with effects, which the caller writes at once. */
  rightSide(expression) {
    const id = binaryen.getExpressionId(expression);
    const method = EXPRESSIONS.get(id);
    if (method === undefined) this.refuse(binaryen.emitText(expression).trim().split('\n')[0]);
    return this[method](
      id === binaryen.NopId || id === binaryen.UnreachableId ? {} : binaryen.getExpressionInfo(expression),
    );
  }

  constant({ type, value: number }) {
    return value(literal(type, number));
  }

  localGet({ index }) {
    return value(atom(this.local(index)), [this.locals[index]]);
  }

  localSet({ index, value: from, isTee }) {
    const name = this.local(index);
    if (this.assign(name, from) === undefined) return undefined;
    this.effects.add(name);
    return isTee ? this.localGet({ index }) : undefined;
  }

  /** Writes `name = value;`. undefined: the value never comes. */
  assign(name, expression) {
    const operand = this.rightSide(expression);
    if (operand === undefined) return undefined;
    this.push(`${name} = ${operand.text};`, ...(operand.effects ?? []));
    return operand;
  }

  globalGet({ name }) {
    this.used.add('core');
    return value(atom(`core->${this.names.globals.get(name)}`), ['globals']);
  }

  globalSet({ name, value: from }) {
    this.used.add('core');
    if (this.assign(`core->${this.names.globals.get(name)}`, from) !== undefined) this.effects.add('globals');
  }

  operation(table, op, expressions) {
    const { name, entry } = INSTRUCTIONS[table].get(op) ?? this.refuse(`${table} operation ${op}`);
    const values = this.operands(...expressions);
    return values && value(entry(...values), [...reads(...values), ...(canTrap(name) ? ['trap'] : [])]);
  }

  unary({ op, value: a }) {
    return this.operation('unary', op, [a]);
  }

  binary({ op, left, right }) {
    return this.operation('binary', op, [left, right]);
  }

  simdShift({ op, vec, shift }) {
    return this.operation('shift', op, [vec, shift]);
  }

  /** Both arms are evaluated, whichever is taken: one that can trap is kept first. */
  select({ type, ifTrue, ifFalse, condition: chooses }) {
    const values = this.operands(ifTrue, ifFalse, chooses);
    if (values === undefined) return undefined;
    const arms = values.slice(0, 2).map((each) => (each.reads.has('trap') ? this.keep(each, type) : each));
    return value(this.choice(values[2], ...arms), reads(values[2], ...arms));
  }

  choice(chooses, yes, no) {
    return { text: `${condition(chooses)} ? ${bracket(yes)} : ${bracket(no)}`, isAtom: false, isTruth: false };
  }

  load(info) {
    const name = loadName(info) ?? this.refuse(`a load of ${info.bytes} bytes`);
    const values = this.operands(info.ptr);
    if (values === undefined) return undefined;
    const text = `${name}(${this.memory()}, ${values[0].text}, ${info.offset})`;
    if (info.isAtomic) return { ...atom(text), effects: ['memory'] };
    return value(atom(text), [...values[0].reads, 'memory', 'trap']);
  }

  /** A function of prelude.c with effects on memory. */
  touch(name, offset, expressions) {
    const values = this.operands(...expressions);
    if (values === undefined) return undefined;
    const [address, ...rest] = values.map(({ text }) => text);
    const where = offset === undefined ? [address] : [address, offset];
    return { ...atom(`${name}(${[this.memory(), ...where, ...rest].join(', ')})`), effects: ['memory'] };
  }

  /** Writes the operand as a statement. */
  do(operand) {
    if (operand !== undefined) this.push(`${operand.text};`, ...operand.effects);
  }

  store(info) {
    const name = storeName(info) ?? this.refuse(`a store of ${info.bytes} bytes`);
    this.do(this.touch(name, info.offset, [info.ptr, info.value]));
  }

  /** The atomic instructions on whole words. */
  wordType({ type, bytes }) {
    const { name } = TYPES.get(type);
    return bytes * 8 === Number(name.slice(1)) ? name : this.refuse(`an atomic operation on ${bytes} bytes of ${name}`);
  }

  atomicRmw(info) {
    const { entry } = INSTRUCTIONS.rmw.get(info.op) ?? this.refuse(`atomic operation ${info.op}`);
    return this.touch(`${this.wordType(info)}_atomic_rmw_${entry}`, info.offset, [info.ptr, info.value]);
  }

  atomicCmpxchg(info) {
    const name = `${this.wordType(info)}_atomic_rmw_cmpxchg`;
    return this.touch(name, info.offset, [info.ptr, info.expected, info.replacement]);
  }

  memoryFill({ dest, value: byte, size }) {
    this.do(this.touch('memory_fill', undefined, [dest, byte, size]));
  }

  memoryCopy({ dest, source, size }) {
    this.do(this.touch('memory_copy', undefined, [dest, source, size]));
  }

  memorySize() {
    return value(atom(`(uint32_t)(${this.memory()}.bytes / PAGE_BYTES)`));
  }

  call({ type, target, operands, isReturn }) {
    if (isReturn) this.refuse('a tail call');
    const values = this.operands(...operands);
    if (values === undefined) return undefined;
    this.used.add('core');
    const text = this.names.call(
      target,
      values.map((each) => each.text),
    );
    const operand = { ...atom(text), effects: EVERYTHING };
    if (type === none) this.do(operand);
    return operand;
  }

  drop({ value: from }) {
    const operand = this.rightSide(from);
    if (operand !== undefined && isEffect(operand)) this.do(operand);
    else if (operand?.reads.has('trap')) this.push(`(void)${bracket(operand)};`);
  }

  // --- control ------------------------------------------------------------------------------------------------------

  nop() {}

  trap() {
    this.push('trap("unreachable");', 'control');
  }

  return({ value: from }) {
    if (from === 0) return this.push('return;', 'control');
    const operand = this.rightSide(from);
    if (operand !== undefined) this.push(`return ${operand.text};`, 'control');
  }

  /** Enters a block or a loop. Labels of C have names of their own, so they cannot collide with those of locals. */
  enter(name, target) {
    if (name === null) return;
    let label = name.replace(/\W+/g, '_');
    while (this.labelNames.has(label)) label += '_';
    this.labelNames.add(label);
    this.labels.set(name, { ...target, label, isUsed: false });
  }

  /** Leaves it. Returns the line with its label, if anything goes there. */
  leave(name) {
    const target = this.labels.get(name);
    this.labels.delete(name);
    return target?.isUsed ? [`${target.label}:;`] : [];
  }

  /** Writes an expression for its effects, and its value, if it has one and `result` is where it goes. */
  into(result, expression) {
    const type = binaryen.getExpressionType(expression);
    if (result !== undefined && type !== none && type !== unreachable) this.assign(result, expression);
    else this.rightSide(expression);
  }

  /** Where the value of a block goes, if it has one. */
  result(type) {
    if (type === none || type === unreachable) return undefined;
    const name = `t${++this.temporaries}`;
    this.push(`${this.type(type)} ${name};`);
    return name;
  }

  block({ type, name, children }) {
    if (name === null && type !== none && type !== unreachable) {
      for (const child of children.slice(0, -1)) this.rightSide(child);
      return this.rightSide(children.at(-1));
    }
    const result = this.result(type);
    this.enter(name, { result });
    children.forEach((child, i) => this.into(i === children.length - 1 ? result : undefined, child));
    this.lines.push(...this.leave(name));
    return result && value(atom(result), ['temporary']);
  }

  loop({ type, name, body }) {
    if (type !== none && type !== unreachable) this.refuse('a loop with a value');
    const isBlock = binaryen.getExpressionId(body) === binaryen.BlockId;
    const info = isBlock && binaryen.getExpressionInfo(body);
    const parts = isBlock && info.name === null ? info.children : [body];
    if (name === null) this.refuse('a loop without a name');
    this.enter(name, { isLoop: true, isEndless: !this.isConditional(parts.at(-1), name) });
    let head = 'for (;;) {';
    let tail = '}';
    const lines = this.nested(() => {
      for (const part of parts.slice(0, -1)) this.rightSide(part);
      const end = this.loopEnd(name, parts.at(-1));
      if (end !== undefined) {
        head = 'do {';
        tail = `} while (${end});`;
      }
    });
    this.lines.push(...this.leave(name), ...asWhile(lines, head, tail));
  }

  /** Whether an expression is a branch to `name` with a condition. */
  isConditional(expression, name) {
    if (binaryen.getExpressionId(expression) !== binaryen.BreakId) return false;
    const info = binaryen.getExpressionInfo(expression);
    return info.name === name && info.condition !== 0;
  }

  /** The last part of a loop. Returns the condition of a `do`, if it is one. */
  loopEnd(name, last) {
    if (this.isConditional(last, name)) {
      const [chooses] = this.operands(binaryen.getExpressionInfo(last).condition);
      if (!chooses.reads.has('temporary')) return condition(chooses); // one that is declared within is unknown outside
      this.push(`if (${negation(chooses)}) {`, 'control');
      this.lines.push(['break;'], '}');
      return undefined;
    }
    this.rightSide(last);
    if (binaryen.getExpressionType(last) !== unreachable) this.push('break;');
    else if (this.lines.at(-1) === 'continue;') this.lines.pop(); // it goes on by itself
    return undefined;
  }

  if({ type, condition: chooses, ifTrue, ifFalse }) {
    const values = this.operands(chooses);
    if (values === undefined) return undefined;
    const choice = this.pureChoice(type, values[0], ifTrue, ifFalse);
    if (choice !== undefined) return choice;
    const result = this.result(type);
    const yes = this.nested(() => this.into(result, ifTrue));
    const no = this.nested(() => ifFalse !== 0 && this.into(result, ifFalse));
    if (yes.length === 0 && no.length > 0) this.lines.push(`if (${negation(values[0])}) {`, no, '}');
    else if (no.length === 0) this.lines.push(`if (${condition(values[0])}) {`, yes, '}');
    else this.lines.push(`if (${condition(values[0])}) {`, yes, '} else {', no, '}');
    return result && value(atom(result), ['temporary']);
  }

  /** An `if` whose arms are values: C evaluates only the one that it takes, as Wasm does. */
  pureChoice(type, chooses, ifTrue, ifFalse) {
    if (type === none || type === unreachable) return undefined;
    const before = { effects: this.effects, used: new Set(this.used), temporaries: this.temporaries };
    this.effects = new Set();
    let arms;
    const lines = this.nested(() => {
      arms = [this.rightSide(ifTrue), this.rightSide(ifFalse)];
    });
    this.effects = before.effects;
    if (lines.length === 0 && arms.every((arm) => arm !== undefined && !isEffect(arm)))
      return value(this.choice(chooses, ...arms), reads(chooses, ...arms));
    Object.assign(this, before); // it is written again, with statements
    return undefined;
  }

  /** The statement that goes where a branch goes. */
  jump(name) {
    const target = this.labels.get(name);
    const innermost = [...this.labels].filter(([, { isLoop }]) => isLoop).at(-1)?.[0];
    if (target.isLoop && innermost === name && target.isEndless) return 'continue;';
    target.isUsed = true;
    return `goto ${target.label};`;
  }

  /** A conditional branch with a value takes it along, or gives it to the expression around. */
  break({ name, condition: chooses, value: from }) {
    const { result } = this.labels.get(name);
    if (chooses === 0) {
      if (from === 0 || this.assign(result, from) !== undefined) this.push(this.jump(name), 'control');
      return undefined;
    }
    const values = this.operands(...(from === 0 ? [chooses] : [from, chooses]));
    if (values === undefined) return undefined;
    this.push(`if (${condition(values.at(-1))}) {`, 'control');
    this.lines.push([...(from === 0 ? [] : [`${result} = ${values[0].text};`]), this.jump(name)], '}');
    return from === 0 ? undefined : values[0];
  }

  switch({ names, defaultName, condition: chooses, value: from }) {
    if (from !== 0) this.refuse('a table of branches with a value');
    const values = this.operands(chooses);
    if (values === undefined) return;
    this.push(`switch (${values[0].text}) {`, 'control');
    names.forEach((name, i) => this.lines.push(`case ${i}:`, [this.jump(name)]));
    this.lines.push('default:', [this.jump(defaultName)], '}');
  }

  // --- the whole ----------------------------------------------------------------------------------------------------

  /** The lines between the function's braces. */
  body() {
    const { body, results } = this.info;
    const isBlock = binaryen.getExpressionId(body) === binaryen.BlockId;
    const parts =
      isBlock && binaryen.getExpressionInfo(body).name === null ? binaryen.getExpressionInfo(body).children : [body];
    for (const part of parts.slice(0, -1)) this.rightSide(part);
    const last = this.rightSide(parts.at(-1));
    if (results !== none && last !== undefined) this.push(`return ${last.text};`);
    return [...this.declarations(), ...this.lines];
  }

  declarations() {
    const lines = [];
    if (this.used.has('m')) lines.push('const struct featherstar_memory m = core->memory;');
    else if (!this.used.has('core')) lines.push('(void)core;');
    for (const name of this.locals.slice(0, this.parameterCount))
      if (!this.used.has(name)) lines.push(`(void)${name};`);
    for (const [type, { c }] of TYPES) {
      const isDeclared = (name, i) => i >= this.parameterCount && this.types[i] === type && this.used.has(name);
      const names = this.locals.filter(isDeclared);
      const zero = type === binaryen.v128 ? 'v128_const(0, 0)' : '0';
      if (names.length > 0) lines.push(`${c} ${names.map((name) => `${name} = ${zero}`).join(', ')};`);
    }
    return lines.length > 0 ? [...lines, ''] : [];
  }
}

const EXPRESSIONS = new Map(
  Object.entries({
    Nop: 'nop',
    Block: 'block',
    If: 'if',
    Loop: 'loop',
    Break: 'break',
    Switch: 'switch',
    Call: 'call',
    LocalGet: 'localGet',
    LocalSet: 'localSet',
    GlobalGet: 'globalGet',
    GlobalSet: 'globalSet',
    Load: 'load',
    Store: 'store',
    AtomicRMW: 'atomicRmw',
    AtomicCmpxchg: 'atomicCmpxchg',
    SIMDShift: 'simdShift',
    MemoryCopy: 'memoryCopy',
    MemoryFill: 'memoryFill',
    MemorySize: 'memorySize',
    Const: 'constant',
    Unary: 'unary',
    Binary: 'binary',
    Select: 'select',
    Drop: 'drop',
    Return: 'return',
    Unreachable: 'trap',
  }).map(([kind, method]) => [binaryen[`${kind}Id`], method]),
);
