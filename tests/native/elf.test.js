// How the addon was built, read from the file itself: what of it can be written, what it asks of libc, and that each
// frame with an array in it has a canary.
//
// Next: gate.test.js.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findCompiler } from '../support/deny.js';
import { buildMutant } from '../support/native.js';
import { ADDON_PATH, obstacle } from './rig.js';

// elf.h
const PT_DYNAMIC = 2;
const PT_GNU_STACK = 0x6474e551;
const PT_GNU_RELRO = 0x6474e552;
const PF_X = 1;
const SHT_DYNSYM = 11;
const DT_NEEDED = 1n;
const DT_FLAGS = 30n;
const DT_FLAGS_1 = 0x6ffffffbn;
const DF_BIND_NOW = 8n;
const DF_1_NOW = 1n;

function readElf(path) {
  const file = readFileSync(path);
  const u64 = (at) => Number(file.readBigUInt64LE(at));
  const table = (at, bytes, count, read) => Array.from({ length: count }, (_, i) => read(at + i * bytes));
  const segments = table(u64(32), file.readUInt16LE(54), file.readUInt16LE(56), (at) => ({
    type: file.readUInt32LE(at),
    flags: file.readUInt32LE(at + 4),
    offset: u64(at + 8),
    bytes: u64(at + 32),
  }));
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  const entries = table(dynamic.offset, 16, dynamic.bytes / 16, (at) => [
    file.readBigUInt64LE(at),
    file.readBigUInt64LE(at + 8),
  ]);
  const section = (at) => ({
    type: file.readUInt32LE(at + 4),
    offset: u64(at + 24),
    bytes: u64(at + 32),
    link: file.readUInt32LE(at + 40),
  });
  const sections = table(u64(40), file.readUInt16LE(58), file.readUInt16LE(60), section);
  const symbols = sections.find(({ type }) => type === SHT_DYNSYM);
  const names = sections[symbols.link].offset;
  const wanted = table(symbols.offset, 24, symbols.bytes / 24, (at) => {
    const name = names + file.readUInt32LE(at);
    return file.readUInt16LE(at + 6) === 0 ? file.toString('latin1', name, file.indexOf(0, name)) : '';
  });
  return { segments, entries, wanted: wanted.filter((name) => name !== '') };
}

const test = suite('elf');
const reason = obstacle();
if (reason !== undefined) {
  console.log(`# skipped: elf: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};

it('the tables of addresses are filled when it is loaded, and cannot be written then; the stack is no code', () => {
  const { segments, entries } = readElf(ADDON_PATH);
  const values = Object.fromEntries(entries);
  assert.ok(values[DT_FLAGS] & DF_BIND_NOW, 'BIND_NOW');
  assert.ok(values[DT_FLAGS_1] & DF_1_NOW, 'NOW');
  assert.ok(segments.find(({ type }) => type === PT_GNU_RELRO)?.bytes > 0, 'RELRO');
  assert.is(segments.find(({ type }) => type === PT_GNU_STACK).flags & PF_X, 0, 'an executable stack');
});

it('frames have canaries; no library is asked for, and nothing that one libc has and another has not', () => {
  const { entries, wanted } = readElf(ADDON_PATH);
  assert.ok(wanted.includes('__stack_chk_fail'), wanted.join());
  assert.equal(
    wanted.filter((name) => name.endsWith('_chk')),
    [],
  );
  assert.equal(
    entries.filter(([tag]) => tag === DT_NEEDED),
    [],
  );
});

it('a copy that the compiler cannot prove is checked when it runs', () => {
  if (findCompiler() === undefined) {
    console.log('# skipped: a copy that the compiler cannot prove: no C compiler');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-elf-'));
  try {
    const path = buildMutant(folder, {
      name: 'any-length',
      file: 'listen.c',
      from: 'if (strlen(text + 5) >= sizeof(address->un.sun_path) || !text[5])',
      to: 'if (!text[5])',
    });
    assert.ok(
      readElf(path).wanted.some((name) => name.endsWith('_chk')),
      'FORTIFY',
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
