// Style as a test: what a reviewer would otherwise have to say twice. Two halves: the source (columns, lengths, banned
// words, the core's budget, the map of the tree) and the built module (no data, exactly three imports, a known ABI).
//
// The flow: the tracked files -> rules -> one complaint for each line. A new file counts after `git add`.
// Invariant: every rule is shown a line that breaks it (the last test of each half), so none can rot into silence.
// A file of what is banned would ban itself: patterns spell a letter as [x] where they need to.
//
// Next: tests/tidy.exports.txt, the ABI. `FEATHERSTAR_UPDATE=1 node tests/tidy.test.js` writes it anew.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildWasm } from './support/asc.js';
import { trackedFiles } from './support/tracked.js';

const COLUMNS_MAX = 120;
const FILE_LINES_MAX = 600;
const FUNCTION_LINES_MAX = 70;
const CORE_LINES_MAX = 2000; // without asserts, of which there cannot be too many
const ASSERTS_MIN = 1.5; // for each function
const WASM_BYTES_MAX = 64 * 1024;

const ROOT = new URL('../', import.meta.url);
const WASM = new URL('dist/core.wasm', ROOT);
const EXPORTS = new URL('tests/tidy.exports.txt', ROOT);

// --- the source -----------------------------------------------------------------------------------------------------

const CODE = /\.(ts|js|mjs|cjs|c|h)$/;
const TEXT = /\.(ts|js|mjs|cjs|c|h|json|md|txt|yml|gyp|sh)$|^LICENSE|^\.ci\//;
const GENERATED = /^package-lock\.json$|^bench\/results\//;
const TOP_FOLDERS = ['.ci', '.devcontainer', '.github', 'assembly', 'bench', 'docs', 'examples', 'host', 'tests'];
const TOP_FILES = /^(package(-lock)?\.json|(as|ts)config\.json|biome\.json|\..+|[A-Z-]+\.md|LICENSE-[A-Z]+)$/;
const SAME_NAMES = ['homeOf']; // public in two worlds: with a number of shards, and in a page's shard without
const DECORATED_FUNCTIONS = 'assembly/wasi.ts'; // its import has a name that no identifier can spell

function kernelNames() {
  return [...read('host/core/kernel.ts').matchAll(/^export const (\w+) = /gm)].map(([, name]) => name);
}

/** Words that may not stand anywhere in the files that `where` matches. */
const BANNED = [
  { where: CODE, what: /\bTO[D]O\b(?!\(.+\))/, why: 'say why it waits, in brackets, or do it' },
  { where: CODE, what: /\bFIX[M]E\b|\bX[X]X\b|\bHA[C]K\b/, why: 'fix it, or explain it in a sentence' },
  { where: /^host\/.*\.ts$/, what: /\bconsole\.lo[g]\b/, why: 'a library does not print' },
  {
    where: /^host\/(?!base\/|sim\/globals\.ts).*\.ts$/,
    what: /addEventListener\('abor[t]'/,
    why: 'use abortable() or addAbortListener(): Node warns of many listeners on one signal',
  },
  {
    where: /^host\/(hosts|sim)\/.*\.ts$|^host\/native\/(?!park\.h).*\.[ch]$/,
    what: /(Control\.|->)(sleepin[g]|dirt[y])\b/,
    why: 'assembly/park.ts and host/native/park.h have the sleep protocol, and tests run them',
  },
  { where: /^tests\//, what: /\.onl[y]\(/, why: 'the other tests of the file do not run' },
  {
    where: /^host\/(?!shard\/operation\.ts$|core\/core-module\.ts$).*\.ts$/,
    what: /generatio[n]/i,
    why: 'only host/shard/operation.ts reads it: hold an Operation or a Timer',
  },
  {
    where: /^host\/(?!shard\/(operation|shard)\.ts$).*\.ts$/,
    what: /\bcore\.(submit|extend|cancelOp|armTimer|cancelTimer)\(/,
    why: 'use an Operation or a Timer (host/shard/operation.ts)',
  },
  {
    where: /^host\/(?!core\/kernel\.ts$).*\.ts$/,
    what: new RegExp(`^(export )?const (${kernelNames().join('|')}) = |^const E[A-Z]+ = -\\d`),
    why: "the kernel's numbers stand in host/core/kernel.ts",
  },
  { where: TEXT, what: /(?<![\w.)-])\/wor[k]\/|\/tmp\/n2[6]\b/, why: 'a path of one machine' },
];

/**
 * Words that are banned in the core, without its comments and its import clauses: see ARCHITECTURE.md, rules of the
 * core.
 */
const BANNED_IN_CORE = [
  { what: /\batomic\.fenc[e]\b/, why: 'is broken in this compiler; use atomic.load and atomic.store' },
  { what: /\bAtomic[s]\./, why: 'ignores its index; use atomic.* on addresses' },
  { what: /\bnew\b/, why: "the heap's pointer is a global of each instance, so two shards would collide" },
  { what: /['"`]/, why: 'a string is static data, which a second instance writes again' },
  { what: /=>/, why: 'a closure needs static data' },
  { what: /^@(?!unmanaged$)/, why: 'only classes are decorated, or formatters cannot read the file' },
];

function read(path) {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

function linesOf(text) {
  return text.replace(/\n$/, '').split('\n');
}

function longLines(path, text) {
  const isTable = (line) => path.endsWith('.md') && line.trimStart().startsWith('|');
  return linesOf(text).flatMap((line, i) =>
    [...line].length > COLUMNS_MAX && !isTable(line) ? [`${path}:${i + 1}: more than ${COLUMNS_MAX} columns`] : [],
  );
}

function longFile(path, text) {
  const count = linesOf(text).length;
  return count > FILE_LINES_MAX ? [`${path}: ${count} lines, more than ${FILE_LINES_MAX}`] : [];
}

function bannedWords(path, text, rules) {
  return linesOf(text).flatMap((line, i) =>
    rules.filter(({ what }) => what.test(line)).map(({ what, why }) => `${path}:${i + 1}: ${what}: ${why}`),
  );
}

/** Blanks comments out, and keeps every line where it was. Safe only because the core has no strings. */
function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, ''));
}

/** The rest may not have a quote: neither import clauses nor offsetof<T>('field') put anything into the module. */
function coreText(text) {
  const code = withoutComments(text).replace(/\boffsetof<\w+>\('\w+'\)/g, 'offsetof()');
  return code.replace(/^((?:import|export)\b[^;]*?\bfrom|import) '[^'\n]*';$/gm, '$1;');
}

/** Counts braces from a line that opens a function or a method to the line that closes it. */
function longFunctions(path, text) {
  const complaints = [];
  const lines = linesOf(withoutComments(text));
  let opened = -1;
  let depth = 0;
  for (let i = 0; i < lines.length; i++) {
    const opens = /\bfunction\b|^ {2}(?:get |set |static |private )*\w+(?:<.*>)?\(.*\{$/.test(lines[i]);
    if (opened < 0 && opens && !/\bdeclare\b/.test(lines[i])) {
      opened = i;
      depth = 0;
    }
    if (opened < 0) continue;
    depth += lines[i].split('{').length - lines[i].split('}').length;
    if (depth > 0 || !lines[i].includes('}')) continue;
    const count = i - opened + 1;
    if (count > FUNCTION_LINES_MAX) complaints.push(`${path}:${opened + 1}: a function of ${count} lines`);
    opened = -1;
  }
  return complaints;
}

const ASSERT = /^ *assert\([^;]*\);\n/gm; // assembly/build.mjs leaves such lines out of the release

/** Lines that have an assert and more, or a part of one: the release build would keep it. */
function brokenAsserts(path, text) {
  return bannedWords(path, withoutComments(text).replace(ASSERT, '\n'), [
    { what: /\bassert\b/, why: 'a line of its own' },
  ]);
}

/** Lines of the core that count for its size. */
function countLines(text) {
  return linesOf(text.replace(ASSERT, '')).length;
}

function assertsAFunction(text) {
  const code = withoutComments(text);
  return (code.match(ASSERT)?.length ?? 0) / code.match(/^(?:export )?function /gm).length;
}

/** Functions and types of host/ that are declared in two files: one word for one idea, and for each idea a word. */
function sameNames(sources) {
  const declared = /^(?:export )?(?:abstract )?(?:async )?(?:function\*?|class|interface|type|enum) (\w+)/gm;
  const homes = new Map();
  for (const [path, text] of sources) {
    const [, members = ''] = /^export const internal = \{([^}]*)\}/m.exec(text) ?? []; // called by part and name
    const own = new Set([...text.matchAll(declared)].map(([, name]) => name));
    for (const name of own) {
      if (SAME_NAMES.includes(name) || members.split(/\W+/).includes(name)) continue;
      homes.set(name, [...(homes.get(name) ?? []), path]);
    }
  }
  return [...homes].filter(([, paths]) => paths.length > 1).map(([name, paths]) => `${name}: ${paths.join(', ')}`);
}

function strayTopNames(paths) {
  const top = new Set(paths.map((path) => (path.includes('/') ? `${path.split('/')[0]}/` : path)));
  return [...top].filter((name) =>
    name.endsWith('/') ? !TOP_FOLDERS.includes(name.slice(0, -1)) : !TOP_FILES.test(name),
  );
}

const files = trackedFiles(fileURLToPath(ROOT));
const textFiles = files.filter((path) => TEXT.test(path) && !GENERATED.test(path));
const coreFiles = files.filter((path) => path.startsWith('assembly/') && path.endsWith('.ts'));

/** uvu prints `details` once, and a message of several lines twice. */
function complain(complaints) {
  if (complaints.length === 0) return;
  throw Object.assign(new Error(`${complaints.length} complaints`), { details: complaints.join('\n') });
}

test('files that git does not track are left alone', () => {
  const root = mkdtempSync(join(tmpdir(), 'featherstar-tidy-'));
  try {
    for (const name of ['ours.md', 'gone.md', 'notes.txt']) writeFileSync(join(root, name), 'x'.repeat(200));
    execFileSync('git', ['init', '-q'], { cwd: root });
    execFileSync('git', ['add', 'ours.md', 'gone.md'], { cwd: root });
    rmSync(join(root, 'gone.md'));
    assert.equal(trackedFiles(root), ['ours.md']);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('there is something to look at', () => {
  assert.ok(coreFiles.includes('assembly/layout.ts'));
  assert.ok(textFiles.includes('tests/tidy.test.js'));
});

test('lines fit the column', () => {
  complain(textFiles.flatMap((path) => longLines(path, read(path))));
});

test('files are short enough to read', () => {
  complain(files.filter((path) => CODE.test(path)).flatMap((path) => longFile(path, read(path))));
});

test('no banned word', () => {
  complain(textFiles.flatMap((path) => bannedWords(path, read(path), rulesFor(path))));
});

test('the core has no heap, no static data, no closures and no decorated functions', () => {
  const plain = coreFiles.filter((path) => path !== DECORATED_FUNCTIONS);
  complain(plain.flatMap((path) => bannedWords(path, coreText(read(path)), BANNED_IN_CORE)));
});

test('the functions of the core are short', () => {
  complain(coreFiles.flatMap((path) => longFunctions(path, read(path).replace(ASSERT, ''))));
});

test(`the core has ${ASSERTS_MIN} asserts a function, each on a line of its own`, () => {
  complain(coreFiles.flatMap((path) => brokenAsserts(path, read(path))));
  const density = assertsAFunction(coreFiles.map(read).join('\n'));
  assert.ok(density >= ASSERTS_MIN, `${density.toFixed(2)}`);
});

test(`the core, without HTTP, WebSocket and asserts, stays within ${CORE_LINES_MAX} lines`, () => {
  // Those two are protocols: they know nothing of shards, and each is a module by itself.
  const counted = coreFiles.filter((path) => !/^assembly\/(http|websocket)\//.test(path));
  const count = counted.reduce((sum, path) => sum + countLines(read(path)), 0);
  assert.ok(count <= CORE_LINES_MAX, `${count} lines`);
});

test('no two files of host/ declare a function or a type of the same name', () => {
  const paths = files.filter((path) => path.startsWith('host/') && path.endsWith('.ts'));
  complain(sameNames(paths.map((path) => [path, read(path)])));
});

test('the top level has only what the map has', () => {
  complain(strayTopNames(files).map((name) => `${name}: not in the map of CONTRIBUTING.md`));
});

function rulesFor(path) {
  return BANNED.filter(({ where }) => where.test(path));
}

test('every rule for the source can fail', () => {
  const long = 'x'.repeat(COLUMNS_MAX + 1);
  assert.is(longLines('a.md', `${long}\n| ${long} |\n${'é'.repeat(COLUMNS_MAX)}\n`).length, 1);
  assert.is(longFile('a.ts', '\n'.repeat(FILE_LINES_MAX)).length, 0);
  assert.is(longFile('a.ts', '\n'.repeat(FILE_LINES_MAX + 1)).length, 1);

  const body = (count) => `{\n${'  {\n  }\n'.repeat(count / 2)}}\n`;
  for (const head of ['export function f(): void ', 'class A {\n  f(): void ']) {
    assert.is(longFunctions('a.ts', `${head}${body(FUNCTION_LINES_MAX - 2)}`).length, 0);
    assert.is(longFunctions('a.ts', `${head}${body(FUNCTION_LINES_MAX)}`).length, 1);
  }

  const listens = "signal.addEventListener('abor" + "t', f)";
  assert.is(bannedWords('host/net/a.ts', listens, rulesFor('host/net/a.ts')).length, 1);
  assert.is(bannedWords('host/base/a.ts', listens, rulesFor('host/base/a.ts')).length, 0);
  const asserts = 'function f(): void {\n  assert(a == (b));\n  a(); // an assert\n}\nfunction g(): void {}\n';
  assert.equal([countLines(asserts), assertsAFunction(asserts), brokenAsserts('a.ts', asserts)], [4, 0.5, []]);
  for (const line of ['  if (a) assert(b);\n', '  assert(\n', '  assert(a); b();\n', '  const a = assert(b);\n']) {
    assert.is(brokenAsserts('a.ts', line).length, 1, line);
  }

  const bad = ['TO' + 'DO: later', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK', 'console.lo' + 'g(1)', 'at /wor' + 'k/main'];
  bad.push(
    'slot, generatio' + 'n',
    'shard.core.submit(',
    'core.cancelTimer(slot)',
    'const OP_NOP = 0;',
    'const EIO = -5;',
  );
  for (const line of bad) assert.is(bannedWords('host/a.ts', line, rulesFor('host/a.ts')).length, 1, line);
  const fine = ['TO' + 'DO(needs Node 24): use', 'the /worker', 'https://example.org/wor' + 'k/of/art', 'hacker'];
  for (const line of fine) assert.is(bannedWords('host/a.ts', line, rulesFor('host/a.ts')).length, 0, line);
  for (const path of ['host/hosts/a.ts', 'host/native/loop.c']) {
    assert.is(bannedWords(path, 'Control.dirty + control->sleeping', rulesFor(path)).length, 1, path);
  }
  assert.is(bannedWords('tests/a.js', 'test.onl' + 'y(', rulesFor('tests/a.js')).length, 1);
  assert.is(bannedWords('tests/a.js', '/tmp/n2' + '6/node', rulesFor('tests/a.js')).length, 1);

  const core = (line) => bannedWords('a.ts', coreText(line), BANNED_IN_CORE).length;
  const badCore = [
    'atomic.fenc' + 'e();',
    'Atomic' + 's.wait(',
    'new A()',
    '"a"',
    '() => 1',
    '@inline',
    '@unmanaged()',
  ];
  for (const line of badCore) assert.is(core(line), 1, line);
  const fineCore = [
    "import { a } from './a';",
    "import {\n  a,\n} from './a';",
    "export { a } from './a';",
    "offsetof<Block>('state')",
    '// a new "name"',
    '/** one\n * @new */',
    '@unmanaged',
    'renew()',
  ];
  for (const line of fineCore) assert.is(core(line), 0, line);

  const twice = [
    ['a.ts', 'export async function f() {}\ninterface G<T> {}\nfunction f(): void;'],
    ['b.ts', 'function f() {}\ntype G = 1;\n'],
  ];
  assert.equal(sameNames(twice), ['f: a.ts, b.ts', 'G: a.ts, b.ts']);
  const apart = [
    'function end() {}\nexport const internal = { end };',
    'function end() {}\n  function g() {}\nconst G = 1;',
  ];
  assert.equal(sameNames(apart.map((text, i) => [`${i}.ts`, text])), []);

  assert.equal(strayTopNames(['src/a.ts', 'notes.txt', 'Makefile', 'dist/a']), [
    'src/',
    'notes.txt',
    'Makefile',
    'dist/',
  ]);
  assert.equal(strayTopNames(['host/a.ts', '.ci/run', 'README.md', 'LICENSE-MIT', '.gitignore', 'biome.json']), []);
});

// --- the built module -----------------------------------------------------------------------------------------------

const SECTION = { TYPE: 1, IMPORT: 2, DATA: 11, DATA_COUNT: 12 };
const KIND_MEMORY = 2;
const LIMITS_MAX = 1;
const LIMITS_SHARED = 2;

/** Reads just enough of the binary format: an unsigned LEB128 number, and a name. */
class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }
  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }
  name() {
    const length = this.number();
    this.at += length;
    return Buffer.from(this.bytes.subarray(this.at - length, this.at)).toString();
  }
}

/** Section id -> its content; custom sections (id 0), of which there may be many, are left to WebAssembly.Module. */
function sectionsOf(bytes) {
  const sections = new Map();
  const reader = new Reader(bytes, 8);
  while (reader.at < bytes.length) {
    const id = bytes[reader.at++];
    const length = reader.number();
    if (id !== 0) sections.set(id, bytes.subarray(reader.at, reader.at + length));
    reader.at += length;
  }
  return sections;
}

function countIn(sections, id) {
  return sections.has(id) ? new Reader(sections.get(id)).number() : 0;
}

/** The limits of the imported memory. It must be the first import that is not a function. */
function memoryLimits(sections) {
  const reader = new Reader(sections.get(SECTION.IMPORT));
  for (let left = reader.number(); left > 0; left--) {
    reader.name();
    reader.name();
    const kind = reader.bytes[reader.at++];
    if (kind === KIND_MEMORY) return { flags: reader.number(), initial: reader.number(), maximum: reader.number() };
    assert.is(kind, 0, 'an import that is neither a function nor the memory');
    reader.number(); // the function's type
  }
  throw new assert.Assertion({ message: 'no memory is imported' });
}

/** Exports that none of these sources calls. The interface that lists all of them is no caller. */
function uncalled(names, sources) {
  const code = sources.map((text) => withoutComments(text.replace(/^export interface Core \{[^}]*\}/m, ''))).join('\n');
  return names
    .filter((name) => !new RegExp(`(?:\\b(?:core|exports)|#core|Core\\(.*\\))\\??\\.${name}\\b`).test(code))
    .sort();
}

function abiOf(module) {
  return WebAssembly.Module.exports(module)
    .map(({ kind, name }) => `${kind} ${name}`)
    .sort();
}

test.before(() => {
  if (process.env.FEATHERSTAR_UPDATE !== '1' || !existsSync(WASM)) return;
  writeFileSync(EXPORTS, `${abiOf(new WebAssembly.Module(readFileSync(WASM))).join('\n')}\n`);
});

function built() {
  assert.ok(existsSync(WASM), 'dist/core.wasm is not there: npm run build:core');
  const bytes = readFileSync(WASM);
  return { bytes, module: new WebAssembly.Module(bytes), sections: sectionsOf(bytes) };
}

test('the module is small', () => {
  built();
  const { size } = statSync(WASM);
  assert.ok(size < WASM_BYTES_MAX, `${size} bytes`);
});

test('the module has no data segment, so instantiating it again never rewrites memory', () => {
  const { sections } = built();
  assert.is(countIn(sections, SECTION.DATA), 0);
  assert.is(countIn(sections, SECTION.DATA_COUNT), 0);
  assert.ok(countIn(sections, SECTION.TYPE) > 0, 'the walk over the sections finds those that are there');
});

test('the module imports the memory, one call to the host, and the start of a thread', () => {
  const { module, sections } = built();
  const imports = WebAssembly.Module.imports(module).map(({ kind, module, name }) => `${kind} ${module}.${name}`);
  assert.equal(imports.sort(), ['function uring.enter', 'function wasi.thread-spawn', 'memory env.memory']);
  const limits = memoryLimits(sections);
  assert.is(limits.flags, LIMITS_MAX | LIMITS_SHARED);
  assert.ok(limits.maximum >= limits.initial && limits.maximum <= 65536, JSON.stringify(limits));
});

test('the parser is a module by itself: it imports the memory, and an instance of it writes nothing', () => {
  const module = buildWasm('assembly/http/index.ts', 'dist/test-http.wasm', false);
  assert.equal(WebAssembly.Module.imports(module), [{ module: 'env', name: 'memory', kind: 'memory' }]);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const bytes = new Uint8Array(memory.buffer).fill(0xa5);
  new WebAssembly.Instance(module, { env: { memory } });
  assert.ok(bytes.every((byte) => byte === 0xa5));
});

test('the module exports the ABI, as tidy.exports.txt has it', () => {
  const { module } = built();
  assert.equal(abiOf(module), linesOf(readFileSync(EXPORTS, 'utf8')), 'FEATHERSTAR_UPDATE=1 accepts a change');
});

test('the debug build has names, and no data segment either', () => {
  const debug = readFileSync(new URL('dist/core.debug.wasm', ROOT));
  assert.is(countIn(sectionsOf(debug), SECTION.DATA), 0);
  assert.is(WebAssembly.Module.customSections(new WebAssembly.Module(debug), 'name').length, 1);
  assert.equal(abiOf(new WebAssembly.Module(debug)), abiOf(built().module));
});

test('every export has a caller in host/', () => {
  const { module } = built();
  const names = WebAssembly.Module.exports(module)
    .filter(({ kind }) => kind === 'function')
    .map(({ name }) => name);
  const unused = uncalled(names, files.filter((path) => /^host\/.*\.ts$/.test(path)).map(read));
  assert.equal(unused, [], 'an export that no host calls goes, or is used');
});

test('the module, built for release, carries neither names nor a source map', () => {
  const { module } = built();
  assert.is(WebAssembly.Module.customSections(module, 'name').length, 0, 'the release build carries names');
  assert.is(WebAssembly.Module.customSections(module, 'sourceMappingURL').length, 0);
});

test('every rule for the module can fail', () => {
  // (module (import "e" "m" (memory 1 2)) (data "x")): not shared, and one passive segment with its count.
  const bytes = Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...[2, 9, 1, 1, 0x65, 1, 0x6d, 2, 1, 1, 2],
    ...[12, 1, 1],
    ...[11, 4, 1, 1, 1, 0x78],
  ]);
  assert.equal(
    uncalled(['a', 'b', 'c', 'd'], ['export interface Core {\n  core.a();\n}', 'x.core.b(); core.cc; c(); #core?.d(']),
    ['a', 'c'],
  );
  assert.ok(WebAssembly.validate(bytes));
  const sections = sectionsOf(bytes);
  assert.is(countIn(sections, SECTION.DATA), 1);
  assert.is(countIn(sections, SECTION.DATA_COUNT), 1);
  assert.equal(memoryLimits(sections), { flags: LIMITS_MAX, initial: 1, maximum: 2 });
});

test.run();
