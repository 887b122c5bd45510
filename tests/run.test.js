// The runner, run on fixtures that this test writes: every way in which a test file can end, and what becomes of it.
//
// Invariant of the fixtures: each is the only one in its folder, so the closing line speaks of it alone.
//
// Next: tests/run.js.

import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const RUNNER = fileURLToPath(new URL('./run.js', import.meta.url));
const UVU = pathToFileURL(createRequire(import.meta.url).resolve('uvu')).href; // fixtures have no node_modules
const HEAD = `import { test } from '${UVU}';\n`;
const PASS = `${HEAD}test('good', () => {});\ntest.run();\n`;
const SLEEP = "['-e', 'setTimeout(() => {}, 1e9)']";

let folder;
test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'featherstar-run-'));
});
test.after(() => rmSync(folder, { recursive: true }));

function write(files) {
  const root = mkdtempSync(join(folder, 'case-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

function run(files, ...flags) {
  const root = write(files);
  const env = { ...process.env };
  delete env.FEATHERSTAR_FULL; // or a long run of these tests would hide what --full does
  const result = spawnSync(process.execPath, [RUNNER, '--root', root, ...flags], {
    encoding: 'utf8',
    env,
    maxBuffer: 64 * 1024 * 1024,
  });
  const lines = result.stdout.trimEnd().split('\n');
  return { root, code: result.status, output: result.stdout + result.stderr, lines, last: lines.at(-1) };
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
  // A killed process stays a zombie until its parent reaps it, and in a container there may be nobody who does.
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}

async function waitUntil(isTrue) {
  while (!isTrue()) await delay(10); // the runner's deadline for this file is the limit
}

test('a passing file: one line, its output is not shown', () => {
  const text = `${HEAD}console.log('chatter');\ntest('a', () => {});\ntest('b', () => {});\ntest.run();\n`;
  const { code, output, lines, last } = run({ 'a.test.js': text });
  assert.is(code, 0);
  assert.is(last, '2 passed, 0 failed');
  assert.match(lines[0], /^ok {4}.*a\.test\.js: 2 passed \(/);
  assert.not.match(output, /chatter/);
});

test('a failing file: shown in full, named, counted', () => {
  const bad = `${HEAD}test('good', () => {});
test('bad', () => { throw new Error('broken pipe dream'); });
test.run();
`;
  const { code, output, lines, last } = run({ 'a.test.js': PASS, 'b/b.test.js': bad });
  assert.is(code, 1);
  assert.is(last, '2 passed, 1 failed');
  assert.match(output, /broken pipe dream/);
  assert.match(lines.at(-2), /^failed: .*b\/b\.test\.js: 1 of 2 tests failed$/);
});

test('the totals are read with colours on, too', () => {
  const { code, last } = run({
    'a.test.js': `process.env.FORCE_COLOR = '1';\nawait import('./b.mjs');\n`,
    'b.mjs': PASS,
  });
  assert.is(code, 0);
  assert.is(last, '1 passed, 0 failed');
});

test('an error in a before hook, which uvu swallows, is a failure', () => {
  const text = `${HEAD}test.before(() => { throw new Error('no'); });\ntest('a', () => {});\ntest.run();\n`;
  const { code, last } = run({ 'a.test.js': text });
  assert.is(code, 1);
  assert.is(last, '0 passed, 1 failed');
});

test('a file that hangs is stopped at its own deadline, with everything that it started', async () => {
  const root = write({});
  const text = `// deadline: 1 s
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
${HEAD}test('hangs', () => {
  const child = spawn(process.execPath, ${SLEEP}, { stdio: 'inherit' });
  writeFileSync('${join(root, 'pid')}', String(child.pid));
  return new Promise(() => {});
});
test.run();
`;
  writeFileSync(join(root, 'a.test.js'), text);
  const result = spawnSync(process.execPath, [RUNNER, '--root', root], { encoding: 'utf8' });
  assert.is(result.status, 1);
  assert.match(result.stdout, /failed: .*a\.test\.js: did not end within its deadline of 1 s\n0 passed, 1 failed\n$/);
  // Killed is not ended: on a busy machine the kernel takes its time.
  await waitUntil(() => !isAlive(Number(readFileSync(join(root, 'pid'), 'utf8'))));
});

test('a file runs on the core that it names', () => {
  const root = write({});
  for (const [name, line] of Object.entries({ none: '', debug: '// core: debug\n', both: '// core: both\n' })) {
    writeFileSync(join(root, `${name}.test.js`), `${line}${PASS}`);
  }
  const env = { ...process.env, FEATHERSTAR_CORE: '' };
  const { stdout } = spawnSync(process.execPath, [RUNNER, '--root', root, '--jobs', '1'], { encoding: 'utf8', env });
  const ran = [...stdout.matchAll(/(\w+)\.test\.js( \(debug core\))?: 1 passed/g)].map(
    ([, name, on]) => name + (on ?? ''),
  );
  assert.equal(ran, ['both', 'both (debug core)', 'debug (debug core)', 'none']);
});

test('a file that hangs after its summary fails as well', () => {
  const { code, last } = run({ 'a.test.js': `// deadline: 1 s\n${PASS}setInterval(() => {}, 1e6);\n` });
  assert.is(code, 1);
  assert.is(last, '1 passed, 1 failed');
});

test('a file that leaves a process behind fails, and the process is gone', async () => {
  const root = write({});
  const text = `import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
${HEAD}test('leaks', () => {
  const child = spawn(process.execPath, ${SLEEP}, { stdio: 'inherit' });
  child.unref();
  writeFileSync('${join(root, 'pid')}', String(child.pid));
});
test.run();
`;
  writeFileSync(join(root, 'a.test.js'), text);
  const result = spawnSync(process.execPath, [RUNNER, '--root', root], { encoding: 'utf8' });
  assert.is(result.status, 1);
  assert.match(result.stdout, /failed: .*a\.test\.js: left a process behind\n1 passed, 1 failed\n$/);
  // Killed is not ended: on a busy machine the kernel takes its time.
  await waitUntil(() => !isAlive(Number(readFileSync(join(root, 'pid'), 'utf8'))));
});

test('a crash, a signal, an early exit, silence and a late error are failures by name', () => {
  const cases = {
    'throw.test.js': ["throw new Error('at once');\n", 'ended with code 1 and without a summary'],
    'signal.test.js': ["process.kill(process.pid, 'SIGKILL');\n", 'was killed by SIGKILL'],
    'exit.test.js': [`${HEAD}test('a', () => process.exit(0));\ntest.run();\n`, 'and without a summary'],
    'silent.test.js': ['', 'ended with code 0 and without a summary'],
    'stuck.test.js': [`${HEAD}test('a', () => new Promise(() => {}));\ntest.run();\n`, 'and without a summary'],
    'empty.test.js': [`${HEAD}test.run();\n`, 'ran no test'],
    'late.test.js': [`${PASS}process.on('exit', () => { process.exitCode = 3; });\n`, 'code 3 after all of its tests'],
  };
  for (const [name, [text, reason]] of Object.entries(cases)) {
    const { code, last, lines } = run({ [name]: text });
    assert.is(code, 1, name);
    assert.match(last, /^[01] passed, 1 failed$/);
    assert.match(lines.at(-2), `${name}: `);
    assert.match(lines.at(-2), reason);
  }
});

test('a file that prints without end is stopped', () => {
  const text = "import { writeSync } from 'node:fs';\nfor (;;) writeSync(1, 'x'.repeat(65536));\n";
  const { code, output, last } = run({ 'a.test.js': text });
  assert.is(code, 1);
  assert.match(output, /failed: .*: printed more than 4194304 bytes/);
  assert.is(last, '0 passed, 1 failed');
});

test('skips are counted, and what is said aloud is shown', () => {
  const text = `${HEAD}console.log('# skipped: b: no such kernel');
test('a', () => {});
test.skip('b');
test.run();
`;
  const { code, lines, last } = run({ 'a.test.js': text });
  assert.is(code, 0);
  assert.ok(lines.includes('# skipped: b: no such kernel'));
  assert.is(last, '1 passed, 0 failed, 1 skipped');
});

test('parts of paths select; nothing selected, or nothing but skips, is a failure', () => {
  const files = { 'core/a.test.js': PASS, 'host/b.test.js': PASS, 'host/c.test.js': PASS };
  assert.is(run(files, 'core/', 'c.test').last, '2 passed, 0 failed');
  const none = run(files, 'browser');
  assert.is(none.code, 1);
  assert.is(none.last, '0 passed, 0 failed');
  const skipped = run({ 'a.test.js': `${HEAD}test.skip('a');\ntest.run();\n` });
  assert.is(skipped.code, 1);
  assert.is(skipped.last, '0 passed, 0 failed, 1 skipped');
});

test('--full adds *.full.js and sets FEATHERSTAR_FULL', () => {
  const long = `${HEAD}test('long', () => {
  if (process.env.FEATHERSTAR_FULL !== '1') throw new Error('short');
});
test.run();
`;
  const files = { 'a.test.js': PASS, 'b.full.js': long };
  assert.is(run(files).last, '1 passed, 0 failed');
  assert.is(run(files, '--full').last, '2 passed, 0 failed');
});

test('--jobs runs files side by side, each once', () => {
  // Each of the two waits for the other to have begun.
  const wait = (mine, other) => `import { existsSync, writeFileSync } from 'node:fs';
const at = (name) => new URL(name, import.meta.url);
${HEAD}test('meets the other', async () => {
  writeFileSync(at('./${mine}'), '');
  while (!existsSync(at('./${other}'))) await new Promise((settle) => setTimeout(settle, 5));
});
test.run();
`;
  const { code, last } = run({ 'a.test.js': wait('a', 'b'), 'b.test.js': wait('b', 'a') }, '--jobs', '2');
  assert.is(code, 0);
  assert.is(last, '2 passed, 0 failed');
});

test('--node names what runs the tests; one that is not there is a failure of each file', () => {
  const { code, output, last } = run({ 'a.test.js': PASS }, '--node', '/nowhere/node');
  assert.is(code, 1);
  assert.match(output, /failed: .*a\.test\.js: could not be started: .*ENOENT/);
  assert.is(last, '0 passed, 1 failed');
});

test('wrong flags are refused', () => {
  for (const flags of [['--jobs', '0'], ['--jobs', 'many'], ['--fast']]) {
    const { code, output, last } = run({ 'a.test.js': PASS }, ...flags);
    assert.is(code, 1);
    assert.match(output, 'usage: ');
    assert.is(last, '0 passed, 1 failed');
  }
});

test('stopping the runner stops the test that it runs', async () => {
  const root = write({});
  const text = `import { writeFileSync } from 'node:fs';
writeFileSync('${join(root, 'pid')}', String(process.pid), { flush: true });
setInterval(() => {}, 1e6);
`;
  writeFileSync(join(root, 'a.test.js'), text);
  const runner = spawn(process.execPath, [RUNNER, '--root', root], { stdio: 'ignore' });
  const ended = new Promise((settle) => runner.on('exit', settle));
  const pid = () => {
    try {
      return Number(readFileSync(join(root, 'pid'), 'utf8'));
    } catch (error) {
      if (error.code === 'ENOENT') return 0;
      throw error;
    }
  };
  await waitUntil(() => pid() > 0);
  runner.kill('SIGTERM');
  assert.is(await ended, 143);
  await waitUntil(() => !isAlive(pid()));
});

test.run();
