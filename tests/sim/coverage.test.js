// simulate.search({ coverage }): the code of a program that no seed has reached, over all processes, shards and worlds.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const CLI = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
const isNode = !('bun' in process.versions) && !('deno' in process.versions);
const directory = mkdtempSync(join(tmpdir(), 'featherstar-coverage-'));
test.after(() => rmSync(directory, { recursive: true }));

const MODULE = `export const home = (number) => {
  if (number === 0) return 'zero';
  if (number > 1000) {
    // far too many
    return 'many';
  }
  return number % 2 === 0 ? 'even' : 'odd';
};

export function unused() {
  return 1;
}
`;

const PROGRAM = `import { runtime } from '${import.meta.resolve('featherstar')}';
import { simulate } from '${import.meta.resolve('featherstar/testing')}';

const module = new URL('./module.js', import.meta.url);
export default (seed) =>
  simulate({ seed, shards: 2, module }, async () => {
    const name = await runtime().on(seed % 2).home(seed);
    if (name === 'zero') throw new Error('there is no seed 0');
  });
`;

writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
writeFileSync(join(directory, 'module.js'), MODULE);
writeFileSync(join(directory, 'program.js'), PROGRAM);
const program = pathToFileURL(join(directory, 'program.js'));

/** The reports of a search, without the directory. */
async function unreached(options, url = program) {
  const report = await simulate.search(url, { jobs: 2, directory, coverage: true, ...options });
  return report.unreached.map(({ file, ...rest }) => ({ file: file.slice(directory.length + 1), ...rest }));
}

const OF_PROGRAM = [{ file: 'program.js', line: 8, endLine: 8, text: "throw new Error('there is no seed 0');" }];
const NEVER = [
  { file: 'module.js', line: 2, endLine: 2, text: "return 'zero';" },
  { file: 'module.js', line: 5, endLine: 5, text: "return 'many';" },
  { file: 'module.js', line: 10, endLine: 11, text: 'function unused() {' },
];

if (isNode) {
  test('code that no seed reaches is listed, summed over processes, shards and worlds', async () => {
    assert.equal(await unreached({ seeds: 4, seedsPerProcess: 1 }), [...NEVER, ...OF_PROGRAM]);
    assert.equal(await unreached({ seeds: 4, seedsPerProcess: 4, jobs: 1 }), [...NEVER, ...OF_PROGRAM]);
  });

  test('a branch that only other seeds reach is listed', async () => {
    const odd = { file: 'module.js', line: 7, endLine: 7, text: "'odd';" };
    assert.equal(await unreached({ seeds: 1, from: 2 }), [...NEVER.slice(0, 2), odd, NEVER[2], ...OF_PROGRAM]);
  });

  test('without the option, there is none', async () => {
    assert.is((await simulate.search(program, { seeds: 1, jobs: 1, directory })).unreached, undefined);
  });

  test('lines are those of the file, also if it is compiled', async () => {
    const map = { version: 3, sources: ['compiled.ts'], names: [], mappings: 'AAAA;AAAA;AAGA;AAGA' };
    const compiled = [
      `import { simulate } from '${import.meta.resolve('featherstar/testing')}';`,
      'export default async (seed) => { await simulate({ seed }, () => {});',
      'if (seed === 0) { seed++; }',
      '};',
      `//# sourceMappingURL=data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString('base64')}`,
    ];
    const path = join(directory, 'compiled.js');
    writeFileSync(path, compiled.join('\n'));
    const places = await unreached({ seeds: 1 }, pathToFileURL(path));
    assert.equal(
      places.map(({ line, endLine }) => [line, endLine]),
      [[4, 4]],
    );
  });

  test('a file that the program deletes is listed, and all other results stay', async () => {
    const made = join(directory, 'made.js');
    const text = [
      "import { rmSync, writeFileSync } from 'node:fs';",
      `import { simulate } from '${import.meta.resolve('featherstar/testing')}';`,
      `writeFileSync('${made}', 'export const used = () => 1;\\nexport function never() { return 2; }\\n');`,
      `const { used } = await import('${pathToFileURL(made)}');`,
      `rmSync('${made}', { force: true });`,
      'export default (seed) => simulate({ seed }, () => used());',
    ];
    const path = join(directory, 'deletes.js');
    writeFileSync(path, text.join('\n'));
    const places = await unreached({ seeds: 1, jobs: 1 }, pathToFileURL(path));
    assert.equal(places, [{ file: 'made.js', line: 2, endLine: 2, text: 'function never() { return 2; }' }]);
  });

  test('the text of TypeScript has its types', async () => {
    if (!process.features.typescript) return; // this Node does not read it
    const text = `import { simulate } from '${import.meta.resolve('featherstar/testing')}';
export default (seed: number) => simulate({ seed }, () => {});
export const never = (count: number): number => count * 2;
`;
    const path = join(directory, 'typed.ts');
    writeFileSync(path, text);
    const places = await unreached({ seeds: 1, jobs: 1 }, pathToFileURL(path));
    assert.is(places.length, 1);
    assert.is(places[0].text, '(count: number): number => count * 2;');
  });

  test('featherstar sim --coverage prints it', async () => {
    const args = [CLI, 'sim', 'program.js', '--seeds', '2', '--jobs', '1', '--coverage'];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: directory });
    assert.match(
      stdout,
      /coverage: no seed has reached 4 places of the program's files\n {2}module\.js:2 {2}return 'ze/,
    );
    assert.match(stdout, /\n {2}module\.js:10-11 {2}function unused\(\) \{\n {2}program\.js:8 {2}throw new/);
  });
} else {
  test('on other runtimes it is refused', async () => {
    const error = await rejection(simulate.search(program, { seeds: 1, directory, coverage: true }));
    assert.match(error.message, /coverage must be false: only Node counts which code runs, got boolean/);
  });
}

test.run();
