// A copy of core.wasm that stops before every access to what two shards share.
//
// The flow: the bytes of core.wasm -> Binaryen's text -> the address of each load, store and atomic goes
// through the import `inter.point(address, offset, access)`, which returns it unchanged -> Binaryen's pass `asyncify`,
// by which that import can put the whole stack of calls away in memory and take it up again later. The private
// variables of an instance, its globals, become exports: they are part of a state.
//
// Invariant: nothing else is changed, but that the functions which only HTTP uses are left out. An instance that is
// never stopped leaves the same bytes in memory as core.wasm does (interleave.test.js compares them).
//
// The point lies before the access, and before the value of a store is computed. Two accesses to shared words in one
// expression would thus be one step: of two atomics that is refused here, and of plain ones the core has none (a copy
// is from a ring to private memory, or back).
//
// Next: machine.js.

import { createHash } from 'node:crypto';
import binaryen from 'assemblyscript/binaryen';
import { parse, print } from '../support/wat.js';

/** What an access is: bits, and from bit BYTES on how many bytes it has. A read-modify-write has all three. */
export const Access = { ATOMIC: 1, STORE: 2, MODIFY: 4, BYTES: 8 };

const ACCESS = /^([if]32|[if]64|v128)\.(atomic\.)?(load|store|rmw)(\d*)/;
const TYPE_BYTES = { i32: 4, f32: 4, i64: 8, f64: 8, v128: 16 };
const NOT_KNOWN = /\.atomic\.(?:fence|wait|notify)|^atomic\.|^memory\.atomic/;
const ATTRIBUTE = /^(?:offset|align)=/;
const IMPORT = '(import "inter" "point" (func $inter.point (param i32 i32 i32) (result i32)))';

function hasAtomic(node) {
  return typeof node !== 'string' && (/\.atomic\./.test(node[0]) || node.some(hasAtomic));
}

/** Puts a point before each access in `node`, in place. */
function instrument(node, counts) {
  if (typeof node === 'string') return;
  for (const child of node) instrument(child, counts);
  const head = node[0];
  if (typeof head !== 'string') return;
  if (NOT_KNOWN.test(head)) throw new Error(`${head} in the core: this tool has no rule for it`);
  const match = ACCESS.exec(head);
  if (match === null) return;
  const at = node.findIndex((part, i) => i > 0 && !(typeof part === 'string' && ATTRIBUTE.test(part)));
  const [, type, atomic, what, width] = match;
  if (atomic && node.slice(at).some(hasAtomic)) throw new Error(`${head} with an atomic as its operand`);
  const bytes = width === '' ? TYPE_BYTES[type] : Number(width) / 8;
  const bits = { load: 0, store: Access.STORE, rmw: Access.STORE | Access.MODIFY }[what];
  const access = (atomic ? Access.ATOMIC : 0) | bits | (bytes << Access.BYTES);
  counts[access & Access.ATOMIC]++;
  const offset = node.find((part) => typeof part === 'string' && part.startsWith('offset='))?.slice(7) ?? '0';
  node[at] = ['call', '$inter.point', node[at], ['i32.const', offset], ['i32.const', String(access)]];
}

/** Answers { module, hash, points }: the copy, compiled; the hash of the original; how many points of each kind. */
export function transform(bytes) {
  const original = binaryen.readBinary(bytes);
  original.setFeatures(binaryen.Features.All);
  for (const name of WebAssembly.Module.exports(new WebAssembly.Module(bytes)).map((one) => one.name)) {
    if (name.startsWith('http_')) original.removeExport(name); // half of the code, and it shares nothing
  }
  original.runPasses(['remove-unused-module-elements']);
  const tree = parse(original.emitText());
  original.dispose();
  const counts = [0, 0];
  for (const part of tree) if (part[0] === 'func') instrument(part, counts);
  const globals = tree.filter((part) => part[0] === 'global' && part[2]?.[0] === 'mut').map((part) => part[1]);
  const lastImport = tree.findLastIndex((part) => part[0] === 'import');
  tree.splice(lastImport + 1, 0, parse(IMPORT));
  for (const [i, name] of globals.entries()) tree.push(['export', `"global.${i}"`, ['global', name]]);

  const copy = binaryen.parseText(print(tree));
  copy.setFeatures(binaryen.Features.All);
  binaryen.setPassArgument('asyncify-imports', 'inter.point');
  copy.runPasses(['asyncify']);
  binaryen.clearPassArguments();
  if (!copy.validate()) throw new Error('the copy with switch points is not valid');
  const module = new WebAssembly.Module(copy.emitBinary());
  copy.dispose();
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  return { module, hash, points: { plain: counts[0], atomic: counts[Access.ATOMIC] } };
}
