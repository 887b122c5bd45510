// The second wall: what a ring may do was told to the kernel, too (IORING_REGISTER_RESTRICTIONS). So the gate's checks
// are taken away here, one at a time, and the kernel has to refuse what comes through.
//
// Next: fuzz.test.js.

import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findCompiler } from '../support/deny.js';
import { buildMutant, buildVariant } from '../support/native.js';
import { BUFFER_SELECT, CQE_SKIP_SUCCESS, closeAll, FIXED_FILE, OP, obstacle, Rig } from './rig.js';

const EACCES = -13;
const EINVAL = -22;
const EBADF = -9;
const FIXED_FD_INSTALL = 54; // the addon's own: address.c asks by it for the address of a socket
const LAST_OP_6_1 = 48; // of the oldest kernel: it knows all up to here
const REGISTRATIONS = 38;
const ALLOWED_REGISTRATIONS = [3, 6, 21, 23, 24]; // UNREGISTER_FILES, FILES_UPDATE, ... (host/native/ring.c)

const test = suite('restrictions');
const reason = findCompiler() === undefined ? 'no C compiler' : obstacle();
if (reason !== undefined) {
  console.log(`# skipped: restrictions: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};
test.after.each(closeAll);

/** A gate without one of its checks. */
function withHole(name, from, to) {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-restrict-'));
  try {
    return createRequire(import.meta.url)(buildMutant(folder, { name, file: 'gate.c', from, to }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

it('a gate that admits every opcode: the kernel refuses those that are not listed', () => {
  const addon = withHole('any-opcode', 'default:\n\t\treturn -EPERM;', 'default:\n\t\treturn 0;');
  const rig = new Rig({ addon });
  for (let opcode = 0; opcode < 256; opcode++) {
    if (Object.values(OP).includes(opcode)) continue;
    const result = rig.run(opcode, {});
    if (opcode === FIXED_FD_INSTALL && result === EBADF) continue; // it needs a file
    assert.ok(result === EACCES || (result === EINVAL && opcode > LAST_OP_6_1), `opcode ${opcode}: ${result}`);
  }
  assert.is(rig.control('refusedCount'), 0, 'the gate has let all by');
  assert.is(rig.run(OP.NOP), 0);
});

it('a gate that passes every flag on: the kernel refuses links, drains and threads', () => {
  const addon = withHole(
    'any-flag',
    `if (in->user_data & TAG || in->flags & ~SQE_FLAGS)
		return -EINVAL;
	if (in->personality)
		return -EPERM;
	out->opcode = in->opcode;
	out->flags = in->flags & IOSQE_CQE_SKIP_SUCCESS;`,
    'out->opcode = in->opcode; out->flags = in->flags;',
  );
  const rig = new Rig({ addon });
  for (let flag = 1; flag < 256; flag <<= 1) {
    if (flag & (FIXED_FILE | BUFFER_SELECT | CQE_SKIP_SUCCESS)) continue;
    const result = rig.run(OP.NOP, { flags: flag });
    assert.ok(result === EACCES || (result === EINVAL && flag === 128), `flag ${flag}: ${result}`);
  }
  assert.is(rig.control('refusedCount'), 0, 'the gate has let all by');
});

it('registrations: grants and the end of the ring, and nothing else', () => {
  const addon = createRequire(import.meta.url)(buildVariant('test'));
  const rig = new Rig({ addon });
  for (let opcode = 0; opcode < REGISTRATIONS; opcode++) {
    if (ALLOWED_REGISTRATIONS.includes(opcode)) continue;
    const result = addon.register(rig.ring.fd, opcode);
    assert.ok(result === EACCES || (result === EINVAL && opcode > 24), `registration ${opcode}: ${result}`);
  }
});

test.run();
