// How Node forgets the instances of shard modules when their world is over. Without this, each would hold its code and
// its variables for as long as the process lives: 145 KB for a world of three shards.
//
//   import('app.js?simulated=3.1.2') --> a shard of a world --> the world ends --> out of the tables of Node's loader
//
// Two things keep a module. Node's loader has it in a table, and no public function takes it out. But the inspector
// sees the variables of a function, and `import.meta.resolve` has the loader. V8 has the module's code in a cache, for
// another module of the same name and text. Each shard module has a name of its own, so the cache would never be used.
// It is off while a shard module is loaded. That switch is one for all threads of the process, and each thread counts
// its own loads only. So a thread may turn the cache on while another one loads: then V8 keeps some code.
//
// If the tables are not found, the modules stay. This is so on Bun and Deno, and under `node --permission` without
// `--allow-inspector`. A test measures it on each version of Node.
//
// Next: sim-platform.ts, which loads the modules.

import inspector from 'node:inspector';
import { types } from 'node:util';
import v8 from 'node:v8';
import { isOtherRuntime } from './replace.js';

/** The parameter of a URL that makes it a module of one shard, in one world. */
export const INSTANCE = 'simulated';

const isInstance = (url: string): boolean => url.includes(`?${INSTANCE}=`) || url.includes(`&${INSTANCE}=`);

/** Maps whose keys are URLs of modules: those that are loaded, and those whose imports have been resolved. */
type ModuleTables = readonly Map<unknown, unknown>[];

/** A global through which the inspector reaches `resolve`, and hands the tables back. */
const MEETING = Symbol.for('featherstar.module-tables');

interface Meeting {
  readonly resolve: ImportMeta['resolve'];
  readonly tables: unknown[];
}

interface Property {
  readonly name: string;
  readonly value?: { readonly objectId?: string };
}

type Properties = Partial<Record<'result' | 'internalProperties' | 'privateProperties', Property[]>>;

const { keys, delete: remove } = Map.prototype;
const TABLES = ['loadCache', '#resolveCache'];

const isNoCache = (argument: string): boolean => /^--no-?compilation-cache$/.test(argument.replaceAll('_', '-'));
const isCacheWanted = !process.execArgv.some(isNoCache); // the user has not turned it off

let loading = 0;
let tables: ModuleTables | undefined;

/** Loads a shard module, with code that V8 does not keep. */
export async function loadInstance<T>(load: () => Promise<T>): Promise<T> {
  if (isOtherRuntime || !isCacheWanted) return load();
  if (loading++ === 0) v8.setFlagsFromString('--no-compilation-cache');
  try {
    return await load();
  } finally {
    if (--loading === 0) v8.setFlagsFromString('--compilation-cache');
  }
}

/** A world is over: no code asks for its shard modules any more. */
export function forgetInstances(): void {
  tables ??= findTables();
  for (const table of tables) {
    for (const url of keys.call(table)) if (isInstance(String(url))) remove.call(table, url);
  }
}

function findTables(): ModuleTables {
  if (isOtherRuntime) return [];
  const meeting: Meeting = { resolve: import.meta.resolve, tables: [] };
  const session = new inspector.Session();
  Reflect.set(globalThis, MEETING, meeting);
  try {
    session.connect();
    lookForTables(session);
  } catch {
    return []; // no permission, or another version of Node: the modules stay
  } finally {
    Reflect.deleteProperty(globalThis, MEETING);
    session.disconnect();
  }
  return meeting.tables.filter(types.isMap); // Node's own maps have no prototype that `instanceof` would know
}

/** `import.meta.resolve` --> its scopes --> the variable `loader` --> the two tables. */
function lookForTables(session: inspector.Session): void {
  const propertiesOf = (objectId: string | undefined): Properties =>
    objectId === undefined
      ? {}
      : (askInspector(session, 'Runtime.getProperties', { objectId, ownProperties: true }) as Properties);
  const meeting = `globalThis[Symbol.for(${JSON.stringify(Symbol.keyFor(MEETING))})]`;
  const resolve = askInspector(session, 'Runtime.evaluate', { expression: `${meeting}.resolve` }) as {
    result: Property['value'];
  };
  const scopes = valueNamed(propertiesOf(resolve.result?.objectId).internalProperties, '[[Scopes]]');
  const loaders = propertiesOf(scopes?.objectId).result?.map(({ value }) =>
    valueNamed(propertiesOf(value?.objectId).result, 'loader'),
  );
  const found = propertiesOf(loaders?.find((loader) => loader !== undefined)?.objectId);
  for (const name of TABLES) {
    const table = valueNamed([...(found.result ?? []), ...(found.privateProperties ?? [])], name);
    if (table?.objectId === undefined) continue;
    const functionDeclaration = `function () { ${meeting}.tables.push(this); }`;
    askInspector(session, 'Runtime.callFunctionOn', { objectId: table.objectId, functionDeclaration });
  }
}

function valueNamed(properties: Property[] | undefined, name: string): Property['value'] {
  return properties?.find((property) => property.name === name)?.value;
}

/** In the same thread a session calls back at once. */
function askInspector(session: inspector.Session, method: string, params: object): unknown {
  let result: unknown;
  session.post(method, params, (error, value) => {
    if (error !== null) throw error;
    result = value;
  });
  return result;
}
