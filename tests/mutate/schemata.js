// One module that holds all mutants of the core.
//
// What flows through: the compiler's text of tests/core/internals.ts, with asserts and without optimising -> a tree ->
// each place that can be mutated asks a global which mutant is wanted -> the module's bytes, in which select() sets
// that global. So there is one build, and a mutant costs writing a file.
//
// What is mutated:
//   <       a comparison: < and <=, > and >=, == and !=
//   +       an operator: + and -, & and |, << and >>
//   1       a constant is one more
//   drop    a store or a call without a result is left out
//   true    a condition always holds
//   false   a condition never holds
// Asserts are left as they are, and so are functions that only asserts call.
//
// A mutant's name is its function, what is done, and the source line with the number of such places in it: names stay
// when other lines come and go.
//
// Next: main.js.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import binaryen from 'assemblyscript/binaryen';
import { parse, print } from '../support/wat.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ENTRY = 'tests/core/internals.ts';
const SWITCH = 0x7ffffff1; // five bytes as LEB128, which select() looks for
const ONLY_ASSERTS = /\/(?:isOn|isOccupied|isOwn|isBound)$/;
const COMPARISONS = { lt: 'le', le: 'lt', gt: 'ge', ge: 'gt', eq: 'ne', ne: 'eq' };
const OPERATORS = { add: 'sub', sub: 'add', and: 'or', or: 'and', shl: 'shr_u', shr_u: 'shl' };
const BINARY = /^([if](?:32|64))\.(lt|le|gt|ge|eq|ne|add|sub|and|or|shl|shr_u)(_[us])?$/;
const CONSTANT = /^([if](?:32|64))\.const$/;
const STORE = /\.(?:atomic\.)?store|^memory\.(?:copy|fill)$|^global\.set$/;

/** The compiler's text, with comments `;;@ file:line:column`. */
async function compile() {
  const { targets, options } = JSON.parse(readFileSync(join(ROOT, 'asconfig.json'), 'utf8'));
  const flags = Object.entries({ ...options, ...targets.debug, sourceMap: true }).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
  let text;
  class Take {
    afterCompile(module) {
      text = module.emitText(false);
    }
  }
  const { error, stderr } = await asc.main(
    [ENTRY, '--baseDir', ROOT, '--config', 'none', '-o', 'core.wasm', ...flags],
    { writeFile: () => undefined, transforms: [Take] },
  );
  if (error) throw new Error(`${stderr}${error.message}`);
  return text;
}

function isAssert(node) {
  const then = node.at(-1);
  return node[0] === 'if' && then?.[0] === 'then' && then.length === 2 && then[1][0] === 'unreachable';
}

class Schemata {
  mutants = [];
  helpers = [];
  #lines = new Map();
  #counts = new Map();
  #function = '';
  #hash = '';
  #callsWithoutResult = new Set();

  constructor(tree) {
    const isFunction = (part) => part[0] === 'func';
    for (const part of tree.filter(isFunction)) {
      if (!part.some((each) => each[0] === 'result')) this.#callsWithoutResult.add(part[1]);
    }
    for (const part of tree.filter(isFunction)) {
      const name = part[1].slice(1);
      if (!name.startsWith('assembly/') || name.includes('#') || ONLY_ASSERTS.test(name)) continue;
      this.#function = name;
      this.#hash = createHash('sha256').update(print(part)).digest('hex').slice(0, 8);
      this.#visit(part);
    }
  }

  #sourceLine({ file, line }) {
    if (!this.#lines.has(file)) this.#lines.set(file, readFileSync(join(ROOT, file), 'utf8').split('\n'));
    return this.#lines
      .get(file)
      [line - 1].trim()
      .replace(/\s*\/\/.*$/, '');
  }

  /** Returns the mutant's number. */
  #add(node, what) {
    const where = `${this.#function.slice('assembly/'.length)} ${what} ${this.#sourceLine(node.site)}`;
    const count = (this.#counts.get(where) ?? 0) + 1;
    this.#counts.set(where, count);
    const { file, line } = node.site;
    return this.mutants.push({ name: `${where} #${count}`, hash: this.#hash, file, line });
  }

  /** A function that does `mutant` if that number is wanted, else `original`. Returns its name. */
  #helper(parameters, result, number, mutant, original) {
    const name = `$mutant/${number}`;
    const declared = parameters.map((type, i) => `(param $${i} ${type})`).join(' ');
    const isWanted = `(i32.eq (global.get $mutant) (i32.const ${number}))`;
    const body = `(if (result ${result}) ${isWanted} (then ${mutant}) (else ${original}))`;
    this.helpers.push(parse(`(func ${name} ${declared} (result ${result}) ${body})`));
    return name;
  }

  #visit(node) {
    if (typeof node === 'string' || isAssert(node)) return;
    const children = node.filter((child) => typeof child !== 'string');
    for (const child of children) this.#visit(child);
    if (node.site === undefined || typeof node[0] !== 'string') return;
    if (this.#sourceLine(node.site).startsWith('assert(')) return; // one that the compiler could decide
    const [head] = node;
    const binary = BINARY.exec(head);
    const constant = CONSTANT.exec(head);
    if (binary) this.#mutateBinary(node, binary);
    else if (constant) this.#mutateConstant(node, constant[1]);
    else if (STORE.test(head) || (head === 'call' && this.#callsWithoutResult.has(node[1])))
      this.#mutateStatement(node);
    else if (head === 'if')
      this.#mutateCondition(
        node,
        children.find((child) => child[0] !== 'result'),
      );
    else if (head === 'br_if' || head === 'select') this.#mutateCondition(node, children.at(-1));
  }

  #mutateBinary(node, [, type, name, sign = '']) {
    const other = COMPARISONS[name] ?? OPERATORS[name];
    const what = COMPARISONS[name] ? '<' : '+';
    const result = COMPARISONS[name] ? 'i32' : type;
    if (type[0] === 'f' && !['add', 'sub'].includes(name) && !COMPARISONS[name]) return;
    const operands = '(local.get $0) (local.get $1)';
    const mutant = `(${type}.${other}${sign} ${operands})`;
    const helper = this.#helper([type, type], result, this.#add(node, what), mutant, `(${node[0]} ${operands})`);
    node.splice(0, 1, 'call', helper);
  }

  #mutateConstant(node, type) {
    const value = Number(node[1]);
    if (!Number.isSafeInteger(value)) return;
    const mutant = `(${type}.const ${type === 'i32' && value === 0x7fffffff ? -0x80000000 : value + 1})`;
    const helper = this.#helper([], type, this.#add(node, '1'), mutant, `(${type}.const ${node[1]})`);
    node.splice(0, node.length, 'call', helper);
  }

  #mutateStatement(node) {
    const number = this.#add(node, 'drop');
    const isOther = ['i32.ne', ['global.get', '$mutant'], ['i32.const', String(number)]];
    node.splice(0, node.length, 'if', isOther, ['then', [...node]]);
  }

  #mutateCondition(node, condition) {
    if (condition === undefined) return;
    const place = node.indexOf(condition);
    const always = this.#add(node, 'true');
    const never = this.#add(node, 'false');
    const isNever = `(i32.eq (global.get $mutant) (i32.const ${never}))`;
    const rest = `(if (result i32) ${isNever} (then (i32.const 0)) (else (local.get $0)))`;
    node[place] = ['call', this.#helper(['i32'], 'i32', always, '(i32.const 1)', rest), condition];
  }
}

/** Returns { mutants, bytes }: mutant i has the number i + 1, and the hash of the function that it changes. */
export async function build() {
  const tree = parse(await compile());
  const { mutants, helpers } = new Schemata(tree);
  tree.push(parse(`(global $mutant (mut i32) (i32.const ${SWITCH}))`), parse('(export "mutant" (global $mutant))'));
  tree.push(...helpers);
  const module = binaryen.parseText(print(tree));
  module.setFeatures(binaryen.Features.All);
  binaryen.setDebugInfo(true);
  if (!module.validate()) throw new Error('the module with mutants is not valid');
  const bytes = module.emitBinary();
  module.dispose();
  return { mutants, bytes };
}

function leb(value) {
  return Buffer.from([0, 7, 14, 21, 28].map((shift) => ((value >>> shift) & 0x7f) | (shift < 28 ? 0x80 : 0)));
}

/** The module in which mutant `number` is active; 0: none, so it is the core. */
export function select(bytes, number) {
  const copy = Buffer.from(bytes);
  const at = copy.indexOf(leb(SWITCH));
  if (at < 0 || copy.indexOf(leb(SWITCH), at + 1) >= 0) throw new Error('the switch is not there, or not alone');
  leb(number).copy(copy, at);
  return copy;
}
