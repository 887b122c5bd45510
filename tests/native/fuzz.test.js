// deadline: 600 s
//
// The gate under fire: random and hostile submissions into the real kernel, canaries around what they must not reach
// (host/native/fuzz.c says which). 200,000 by default; FEATHERSTAR_FUZZ_SQES says how many, FEATHERSTAR_FULL=1 makes it
// 10,000,000. Then gates with a hole each, which the same fuzzer must find: by its auditor, and by the canaries alone.
//
// Next: sanitize.full.js, the same with sanitizers.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findCompiler } from '../support/deny.js';
import { buildMutant, buildVariant } from '../support/native.js';
import { obstacle, openFiles } from './rig.js';

const COUNT = Number(
  process.env.FEATHERSTAR_FUZZ_SQES ?? (process.env.FEATHERSTAR_FULL === '1' ? 10_000_000 : 200_000),
);
const SEED = Number(process.env.FEATHERSTAR_SEED ?? 1);
const VARIANT = process.env.FEATHERSTAR_TEST_VARIANT ?? 'test';
const MUTANT_SQES = 2_000_000; // most are found among the first thousand
const FOUND = 42; // exit code of a child whose fuzzer found something
const BROKEN = 7; // Node's own, when its way to handle an exception fails: its memory was overwritten

const test = suite('fuzz');
const reason = findCompiler() === undefined ? 'no C compiler' : obstacle();
if (reason !== undefined) {
  console.log(`# skipped: fuzz: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};

for (const race of [0, 1]) {
  it(`${COUNT / 2} submissions${race ? ', and a second thread that rewrites them' : ''}`, () => {
    const { fuzz } = createRequire(import.meta.url)(buildVariant(VARIANT));
    const files = openFiles();
    const result = fuzz({ seed: SEED, count: COUNT / 2, race, audit: 1 });
    assert.is(result.violation, '', `FEATHERSTAR_SEED=${SEED} repeats this`);
    assert.is(result.staged, COUNT / 2);
    assert.is(result.refused + result.admitted, result.staged);
    // With a race it is the scheduler who decides: a window that is rewritten for long enough is all refused.
    const least = race ? 0 : result.staged / 10;
    assert.ok(result.refused > least && result.admitted > least, 'both ways are walked');
    assert.ok(result.completions > result.refused, 'what is admitted is executed');
    assert.is(openFiles(), files);
  });
}

// Each is a line of the gate or the ring as somebody might once write it.
const MUTANTS = [
  {
    name: 'one-byte-more',
    file: 'gate.c',
    from: 'return at && len <= room ? at : NULL;',
    to: 'return at && len <= room + 1 ? at : NULL;',
  },
  {
    name: 'room-that-wraps',
    file: 'gate.c',
    from: 'if (number >= REGIONS || offset > ring->regions[number].bytes)',
    to: 'if (number >= REGIONS)',
  },
  {
    name: 'a-region-too-many', // what lies behind the table of regions is taken for one
    file: 'gate.c',
    from: 'if (number >= REGIONS || ',
    to: 'if (number > REGIONS || ',
  },
  {
    name: 'blocks-as-long-as-linear-memory',
    file: 'gate.c',
    from: '*room = ring->regions[number].bytes - offset;',
    to: '*room = ring->regions[LINEAR].bytes - offset;',
  },
  {
    name: 'blocks-bounded-by-the-wrong-one',
    file: 'gate.c',
    from: 'offset > ring->regions[number].bytes)',
    to: 'offset > ring->regions[LINEAR].bytes)',
  },
  {
    name: 'plain-descriptors',
    file: 'gate.c',
    from: 'out->flags |= IOSQE_FIXED_FILE;',
    to: 'out->flags |= in->flags & IOSQE_FIXED_FILE;',
  },
  {
    name: 'addresses',
    file: 'gate.c',
    from: 'return ring->regions[number].at + offset;',
    to: 'return ring->regions[number].at + offset + (offset > ring->regions[number].bytes / 2 ? 64 : 0);',
  },
  {
    name: 'address-anywhere', // it is copied from there: a crash
    file: 'address.c',
    from: 'const uint8_t *from = gate_bytes(ring, at, bytes);',
    to: 'const uint8_t *from = ring->regions[LINEAR].at + at;',
  },
  {
    name: 'unix-paths-of-its-own',
    file: 'address.c',
    from: 'if (bytes != sizeof(struct sockaddr_in) && bytes != sizeof(struct sockaddr_in6))',
    to: `if (bytes == sizeof(struct sockaddr_un) && from)
		return memcpy(copy, from, bytes), (int)bytes;
	if (bytes != 16 && bytes != 28)`,
  },
  {
    name: 'paths-that-lead-out',
    file: 'directory.c',
    from: 'how->resolve = RESOLVE | RESOLVE_NO_XDEV;',
    to: 'how->resolve = 0;',
  },
  {
    name: 'lent-past-its-end',
    file: 'gate.c',
    from: 'bytes = bytes - skip < left ? bytes - skip : left;',
    to: 'bytes = bytes < left ? bytes : left;',
  },
  {
    name: 'head-from-anywhere',
    file: 'gate.c',
    from: 'gate_bytes(ring, in->addr, head_bytes);',
    to: 'gate_bytes(ring, in->addr, 0);',
  },
  { name: 'names-with-slashes', file: 'directory.c', from: "strchr(copy, '/') || ", to: '' },
  {
    name: 'stat-past-the-end',
    file: 'directory.c',
    from: 'gate_bytes(ring, in->off, sizeof(struct statx))',
    to: 'gate_bytes(ring, in->off, 8)',
  },
];

// Some of these would reach files that are not the fuzzer's, if the auditor did not stop them.
const AUDITED_ONLY = [
  {
    name: 'read-twice', // with a pause between the two, so that a busy machine finds it too
    cores: 2,
    file: 'ring.c',
    from: 'error = gate_admit(ring, &in, &ring->sqes[index], index);',
    to: `error = gate_admit(ring, &in, &ring->sqes[index], index);
		for (volatile int pause = 0; pause < 2000; pause++) {}
		ring->sqes[index].len = ring->window_sqes[done].len;`,
  },
  { name: 'socket-as-descriptor', file: 'gate.c', from: 'out->file_index = FILE_INDEX_ALLOC; //', to: '//' },
  {
    name: 'grants-for-peers',
    file: 'gate.c',
    from: 'if (in->file_index <= ring->grant_slots || in->file_index > ring->file_slots)',
    to: 'if (in->file_index == 0 || in->file_index > ring->file_slots)',
  },
  { name: 'a-word-for-peers', file: 'gate.c', from: 'out->off = TAG_DOORBELL;', to: 'out->off = in->user_data;' },
  { name: 'any-command', file: 'gate.c', from: 'out->off = CMD_SETSOCKOPT;', to: 'out->off = in->user_data & 3;' },
  {
    name: 'detached-in-the-middle',
    file: 'gate.c',
    from: 'if (bytes <= skip) //',
    to: 'if (skip && bytes <= skip) //',
  },
  { name: 'lent-for-long', file: 'gate.c', from: 'in->msg_flags != (MSG_WAITALL | MSG_DONTWAIT) || ', to: '' },
  {
    name: 'lent-by-another',
    file: 'gate.c',
    from: '.msg_iovlen = (size_t)parts }',
    to: '.msg_iovlen = (size_t)parts + 1 }',
  },
  { name: 'one-datagram', file: 'gate.c', from: 'if (in->ioprio != RECV_MULTISHOT || ', to: 'if (' },
  {
    name: 'any-family',
    file: 'address.c',
    from: 'if (family != (bytes == sizeof(struct sockaddr_in) ? AF_INET : AF_INET6))',
    to: 'if (family == 3)',
  },
  {
    name: 'rules-for-one-family',
    file: 'address.c',
    from: 'if (ring->is_narrowed && check_rules(ring, copy, family))',
    to: 'if (ring->is_narrowed && family == AF_INET && check_rules(ring, copy, family))',
  },
  {
    name: 'a-second-way-to-write-it',
    file: 'address.c',
    from: '(rule->is_v4 != 0) == is_v4 && port',
    to: '(rule->is_v4 <= 1 || is_v4) && port',
  },
  { name: 'bits-beyond-bytes', file: 'address.c', from: 'return bits % 8 == 0 || ', to: 'return true || ' },
  { name: 'any-port', file: 'address.c', from: 'port <= rule->last_port', to: 'true' },
  {
    name: 'paths-without-end',
    file: 'address.c',
    from: 'if (index >= SOCKET_PATHS_MAX || ring->socket_paths[index].sun_family != AF_UNIX)',
    to: 'if (index > SOCKET_PATHS_MAX)',
  },
  { name: 'a-msghdr-of-its-own', file: 'gate.c', from: '(uintptr_t)&header;', to: '(uintptr_t)(&header + 1);' },
  { name: 'mounts-crossed', file: 'directory.c', from: 'RESOLVE | RESOLVE_NO_XDEV;', to: 'RESOLVE;' },
  { name: 'links-followed', file: 'directory.c', from: 'out->statx_flags = AT_SYMLINK_NOFOLLOW;', to: '' },
  {
    name: 'any-way-to-open',
    file: 'directory.c',
    from: 'how->flags & ~(uint64_t)OPEN_FLAGS || ',
    to: '',
  },
  {
    name: 'how-that-changes',
    file: 'directory.c',
    from: 'out->off = (uint64_t)(uintptr_t)how;',
    to: 'out->off = (uint64_t)(uintptr_t)from;',
  },
  {
    name: 'path-that-changes',
    file: 'directory.c',
    from: 'out->addr = (uint64_t)(uintptr_t)copies->path;',
    to: 'out->addr = (uint64_t)(uintptr_t)gate_bytes(ring, in->addr, 1);',
  },
  {
    name: 'any-directory',
    file: 'directory.c',
    from: 'int fd = directory_fd(ring, (unsigned)in->fd);',
    to: 'int fd = in->fd < 0 ? AT_FDCWD : in->fd;',
  },
  { name: 'cancel-anything', file: 'gate.c', from: 'if (in->addr & TAG)', to: 'if (0)' },
];

/**
 * Whether a process that loads a mutant and fuzzes it finds out. It may also crash: a hole lets the fuzzer write to
 * descriptors of Node's own, and to follow a number that changed after it was checked.
 */
function isFound(path, audit) {
  const options = `{ seed: ${SEED}, count: ${MUTANT_SQES}, race: 1, audit: ${audit} }`;
  const script = `const { violation } = require(${JSON.stringify(path)}).fuzz(${options});
    process.exit(violation !== '' && violation !== 'could not be set up' ? ${FOUND} : 0);`;
  const child = spawnSync(process.execPath, ['-e', script], {
    stdio: 'ignore',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  for (const folder of ['/dev/shm', '/tmp'].filter(existsSync)) {
    const left = readdirSync(folder).filter((name) => name.startsWith(`featherstar-fuzz-${child.pid}-`));
    for (const name of left) rmSync(join(folder, name), { recursive: true }); // of one that crashed
  }
  return [FOUND, BROKEN].includes(child.status) || ['SIGSEGV', 'SIGBUS', 'SIGABRT', 'SIGPIPE'].includes(child.signal);
}

for (const mutant of [...MUTANTS, ...AUDITED_ONLY]) {
  if (VARIANT !== 'test') continue; // the sanitizers have nothing to say about mutants
  it(`finds the hole: ${mutant.name}`, () => {
    if (availableParallelism() < (mutant.cores ?? 1)) {
      console.log(`# skipped: ${mutant.name}: a race needs two processors`);
      return;
    }
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-mutant-'));
    try {
      const path = buildMutant(folder, mutant);
      assert.ok(isFound(path, 1), 'the auditor');
      if (MUTANTS.includes(mutant)) assert.ok(isFound(path, 0), 'the canaries alone');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

it('a mutation that is none is an error', () => {
  assert.throws(
    () => buildMutant(tmpdir(), { name: 'x', file: 'gate.c', from: 'no such text', to: '' }),
    /exactly one/,
  );
});

test.run();
