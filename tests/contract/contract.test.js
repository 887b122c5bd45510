// The contract on the hosts that can be had here (`npm run test:matrix` asks other runtimes, too), and that it can
// fail: a promise that is broken, and a lack that is none.

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const HERE = dirname(fileURLToPath(import.meta.url));

function run(folder, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(folder, 'main.js'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part) => {
      text += part;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text }));
  });
}

test('every host keeps it', async () => {
  const { code, text } = await run(HERE);
  for (const line of text.split('\n')) if (/^(lacks|# skipped)/.test(line)) console.log(line);
  assert.is(code, 0, text);
  assert.match(text, /^\d+ passed, 0 failed, \d+ lacked$/m);
});

test('a broken promise is told, and so is a lack that is none', async () => {
  const folder = mkdtempSync(join(dirname(HERE), '.contract-')); // beside it: the imports are relative
  try {
    cpSync(HERE, folder, { recursive: true });
    const change = (name, from, to) => {
      const before = readFileSync(join(folder, name), 'utf8');
      assert.ok(before.includes(from), `${name} has no ${from}`);
      writeFileSync(join(folder, name), before.replace(from, to));
    };
    change('behaviours.js', '.add(2, 3), 5)', '.add(2, 3), 6)');
    change('lacks.js', 'LACKS = [', "LACKS = [{ host: 'sim', behaviour: /^tasks: /, reason: 'none' },");
    const { code, text } = await run(
      folder,
      '--host',
      'sim',
      'calls: values',
      'tasks: tasks take turns',
      'time: timeout()',
    );
    assert.is(code, 1);
    assert.match(text, /^FAIL {2}sim: calls: values and errors cross$/m);
    assert.match(text, /^FAIL {2}sim: tasks: tasks take turns: works, and lacks.js says/m);
    assert.match(text, /^1 passed, 2 failed, 0 lacked$/m);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
