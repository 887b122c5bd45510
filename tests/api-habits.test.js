// docs/api-habits.md, as far as a program can check it: the type declarations of each entry point against its rules.
//
// What flows through: package.json -> entry points -> support/declarations.js -> items -> one complaint for each that
// breaks a rule. Each rule has a declaration that breaks it (the last tests).
//
// Next: support/declarations.js, docs/api-habits.md.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { entryPoints, readApi } from './support/declarations.js';

const ROOT = new URL('../', import.meta.url);
const ENTRIES = entryPoints(ROOT);
const DOCUMENTED = ['class', 'interface', 'type', 'function', 'value', 'method', 'getter', 'constructor'];
const INTERNAL = ['onEvent', 'onShutdown', 'onSignal', 'onAbort', 'runOnClose', 'stopServices', 'own'];
const UNITS = /(?:Ms|Us|Ns|Bytes|Count|Slots|Max|Open|PerSecond)$/;
const TIMES = /timeout|delay|period|interval|duration|grace|latency/i;
const FIXED_BY_THE_WEB = ['wasClean', 'bodyUsed', 'ok', 'redirected'];
// They have the names of other servers, for programs that were written for those (docs/http.md).
const FOREIGN = ['featherstar/http ClientAddress.address', 'featherstar/http FeatherRequest.ip'];
const PAST = ['drained', 'crashed']; // in reports: what has happened

const isMember = ({ of }) => of !== undefined;
const isReadable = ({ kind, of }) => kind === 'getter' || (kind === 'property' && of === 'class');

/** The rules. Each says what is wrong with an item, or undefined. */
const RULES = {
  'has a docstring': ({ kind, doc }) =>
    DOCUMENTED.includes(kind) && (doc === undefined || doc === '') ? 'no docstring' : undefined,
  'a docstring stands alone': ({ doc }) =>
    /^(?:The same|As|Like)\b/.test(doc ?? '') ? `begins with: ${doc}` : undefined,
  'no member is internal': ({ name, of, doc }) => {
    if (of === 'class' && INTERNAL.includes(name)) return 'is the library’s own';
    return /@internal/.test(doc ?? '') ? 'is marked @internal' : undefined;
  },
  'a boolean that can be read begins with a verb': (item) => {
    if (!isReadable(item) || !/: boolean;$/.test(item.text)) return undefined;
    if (/^(?:is|has|shares|moves)[A-Z]/.test(item.name) || FIXED_BY_THE_WEB.includes(item.name)) return undefined;
    return PAST.includes(item.name) ? undefined : 'is a boolean: isX';
  },
  'closed is a promise': ({ name, text }) =>
    name === 'closed' && !text.includes('Promise<') ? 'is no promise: isClosed' : undefined,
  'a time names its unit': (item) =>
    isMember(item) && item.kind === 'property' && /: number( \| undefined)?;$/.test(item.text)
      ? TIMES.test(item.name) && !UNITS.test(item.name)
        ? 'has no unit'
        : undefined
      : undefined,
  'close() takes options': ({ name, kind, text }) =>
    (kind === 'method' || kind === 'function') && name === 'close' && /\((?:\w+)\??: number/.test(text)
      ? 'takes a number: close({ timeoutMs })'
      : undefined,
  'an address is hostname and port': ({ name, kind, where }) =>
    (kind === 'property' || kind === 'getter') && ['address', 'ip'].includes(name) && !FOREIGN.includes(where)
      ? 'hostname'
      : undefined,
  'a container has a size': ({ name, kind, of }) =>
    of === 'class' && kind === 'getter' && ['count', 'length'].includes(name) ? 'size' : undefined,
  'what can be closed can be disposed of': ({ kind, text }) => {
    if (kind !== 'class' && kind !== 'interface') return undefined;
    if (/^ {4}close\(/m.test(text) && !text.includes('[Symbol.asyncDispose]')) return 'no Symbol.asyncDispose';
    return /^ {4}release\(/m.test(text) && !text.includes('[Symbol.dispose]') ? 'no Symbol.dispose' : undefined;
  },
};

/** Classes that end in another way, and why. */
const EXCUSED = {
  'featherstar/testing SimClient': 'what can be closed can be disposed of', // a client of a test
  'featherstar/http ServerWebSocket': 'what can be closed can be disposed of', // the server's, and handlers share it
  'featherstar/http ServerWebSocket.close': 'close() takes options', // close(code, reason), as the web has it
  'featherstar/http WebSocket': 'what can be closed can be disposed of', // the web's, which cannot
  'featherstar/http WebSocket.close': 'close() takes options', // close(code, reason), as the web has it
};

function complaintsOf(items, rules = RULES) {
  return items.flatMap((item) =>
    Object.entries(rules).flatMap(([rule, broken]) => {
      const complaint = EXCUSED[item.where] === rule ? undefined : broken(item);
      return complaint === undefined ? [] : [`${item.where}: ${complaint} (${rule})`];
    }),
  );
}

/** The web's, declared for programs without the DOM library. */
const OF_THE_WEB = ['Memory', 'Module'];

/** Classes and interfaces of the package that signatures name and no entry point exports. */
function unexported({ items, exported }, folder) {
  return items.flatMap(({ where, uses }) =>
    uses
      .filter(({ id, name, file }) => file.startsWith(folder) && !exported.has(id) && !OF_THE_WEB.includes(name))
      .map(({ name }) => `${where}: ${name}`),
  );
}

/** Names that no page of docs mentions in backticks. */
function unmentioned(items, text) {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '');
  const words = new Set([...prose.matchAll(/`([^`]+)`/g)].flatMap(([, code]) => code.split(/\W+/)));
  return [...new Set(items.filter((item) => !isMember(item)).map(({ name }) => name))].filter(
    (name) => !words.has(name),
  );
}

const api = readApi(fileURLToPath(new URL('tests/types/tsconfig.nodom.json', ROOT)), ENTRIES);
const docs = readdirSync(new URL('docs/', ROOT), { recursive: true })
  .filter((name) => name.endsWith('.md') && name !== 'from-the-seed.md')
  .map((name) => readFileSync(new URL(`docs/${name}`, ROOT), 'utf8'))
  .join('\n');

test('every entry point has exports', () => {
  assert.ok(api.items.length > 500, `${api.items.length} items`);
  for (const entry of Object.keys(ENTRIES))
    assert.ok(
      api.items.some((item) => item.entry === entry),
      entry,
    );
});

test('the public API keeps its habits', () => {
  assert.equal(complaintsOf(api.items), []);
});

test('every class and interface in a public signature has an exported name', () => {
  assert.equal(unexported(api, fileURLToPath(new URL('dist/host/', ROOT))), []);
});

test('docs mention every exported name', () => {
  assert.equal(unmentioned(api.items, docs), []);
});

/** Names in the first column of the index, with their entry points. */
function indexed(text) {
  return text.split('\n## ').flatMap((section) => {
    const entry = section.slice(0, section.indexOf('\n'));
    return [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => `${entry} ${name}`);
  });
}

test('the index lists what is exported', () => {
  const exported = api.items.filter((item) => !isMember(item)).map(({ where }) => where);
  const listed = indexed(readFileSync(new URL('docs/api-index.md', ROOT), 'utf8'));
  assert.equal(listed.sort(), [...new Set(exported)].sort());
});

const BROKEN = {
  'has a docstring': 'export declare class Undocumented {}',
  'a docstring stands alone': '/** The same, but later. */\nexport declare function again(): void;',
  'no member is internal': '/** One. */\nexport declare class One {\n  /** Two. */\n  onEvent(): void;\n}',
  'a boolean that can be read begins with a verb':
    '/** One. */\nexport declare class One {\n  readonly open: boolean;\n}',
  'closed is a promise': '/** One. */\nexport interface One {\n  closed: boolean;\n}',
  'a time names its unit': '/** One. */\nexport interface One {\n  timeout?: number | undefined;\n}',
  'close() takes options':
    '/** One. */\nexport interface One {\n    /** 2. */\n    close(ms?: number): void;\n    [Symbol.asyncDispose];\n}',
  'an address is hostname and port': '/** One. */\nexport interface One {\n  address: string;\n}',
  'a container has a size': '/** One. */\nexport declare class One {\n  /** Two. */\n  get length(): number;\n}',
  'what can be closed can be disposed of':
    '/** One. */\nexport declare class One {\n    /** Two. */\n    close(): void;\n}',
};

/** The API of one module with this text. */
function apiOf(text) {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-habits-'));
  try {
    const path = join(folder, 'index.d.ts');
    writeFileSync(path, text);
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ files: ['index.d.ts'], compilerOptions: { types: [] } }),
    );
    const read = readApi(join(folder, 'tsconfig.json'), { sample: path });
    return { ...read, folder };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('each rule finds what breaks it', () => {
  assert.equal(Object.keys(BROKEN).sort(), Object.keys(RULES).sort());
  for (const [rule, text] of Object.entries(BROKEN)) {
    const { items } = apiOf(text);
    assert.is(complaintsOf(items, { [rule]: RULES[rule] }).length, 1, rule);
  }
});

test('a type without an exported name, and a name without a mention, are found', () => {
  const text = 'interface Hidden {\n  a: string;\n}\nexport declare function use(hidden: Hidden): void;\nexport {};\n';
  const read = apiOf(text);
  assert.equal(unexported(read, read.folder), ['sample use: Hidden']);
  assert.equal(unmentioned(read.items, 'it is `other()`'), ['use']);
  assert.equal(unmentioned(read.items, 'it is `use(hidden)`'), []);
});

test.run();
