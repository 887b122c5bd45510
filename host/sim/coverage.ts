// The code of a program that no seed of a search has reached, by V8's precise coverage of blocks.
//
//   process: startCoverage() --> runs --> takeCoverage(): a file's text, and which of it has run
//   search:  Coverage.add(), for each process --> places(): the lines that no process has reached
//
// A shard module has an instance for each shard of each world. A place is reached if one of them has reached it.
//
// Next: search.ts.

import { existsSync, readFileSync } from 'node:fs';
import { type Debugger, type Profiler, Session } from 'node:inspector';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Lines of a program that no seed has reached. */
export interface UnreachedCode {
  /** The path of the file. */
  readonly file: string;
  /** The first and the last line, from 1. */
  readonly line: number;
  readonly endLine: number;
  /** The beginning of the code. */
  readonly text: string;
}

/** The code of a file that a process has run. */
export interface FileCoverage {
  readonly url: string;
  /** The code that V8 has got: types are stripped, or it is compiled. */
  readonly source: string;
  /** The parts that have run: where one begins, where it ends, and so on. */
  readonly reached: readonly number[];
}

const OWN = new URL('../../', import.meta.url).href;
const SHOWN_CHARS = 60;
const INLINE_MAP = /\n\/\/# sourceMappingURL=data:application\/json[^,]*;base64,([\w+/=]+)\s*$/;
/** Characters and comments in front of code. */
const NO_CODE = /^(?:[\s{});,:]|\/\/.*|\/\*[\s\S]*?\*\/)+/;
const NO_CODE_BEHIND = /[\s{}();,]+$/;

const isOfProgram = (url: string) => url.startsWith('file:') && !url.startsWith(OWN) && !url.includes('/node_modules/');

let session: Session | undefined;

/** Counts from now on. To be called before the program is loaded. */
export function startCoverage(): void {
  session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
}

/** The program's files, as far as this process has run them. Ends the count. */
export function takeCoverage(): FileCoverage[] {
  const own = session as Session;
  const taken: Profiler.ScriptCoverage[] = [];
  own.post('Profiler.takePreciseCoverage', (_error, { result }) => void taken.push(...result));
  own.post('Profiler.stopPreciseCoverage');
  own.post('Debugger.enable'); // sources can be asked for now
  const files = new Map<string, { source: string; reached: Uint8Array }>();
  for (const { scriptId, url, functions } of taken) {
    if (!isOfProgram(url)) continue;
    const { href } = new URL(new URL(url).pathname, url);
    let file = files.get(href);
    if (file === undefined) {
      const source = sourceOf(own, scriptId);
      file = { source, reached: new Uint8Array(source.length) };
      files.set(href, file);
    }
    const { reached } = file;
    const edges = edgesOf(runOf(functions, reached.length));
    for (let i = 0; i < edges.length; i += 2) reached.fill(1, edges[i], edges[i + 1]);
  }
  own.disconnect();
  return [...files].map(([url, { source, reached }]) => ({ url, source, reached: edgesOf(reached) }));
}

function sourceOf(own: Session, scriptId: string): string {
  let source = '';
  own.post('Debugger.getScriptSource', { scriptId }, (_error, reply: Debugger.GetScriptSourceReturnType) => {
    source = reply.scriptSource;
  });
  return source;
}

/** Which characters of a script have run. Ranges come from the outside in. */
function runOf(functions: readonly Profiler.FunctionCoverage[], length: number): Uint8Array {
  const reached = new Uint8Array(length);
  for (const { ranges } of functions) {
    for (const { startOffset, endOffset, count } of ranges) reached.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  }
  return reached;
}

/** Where parts that have run begin and end, in turn. */
function edgesOf(reached: Uint8Array): number[] {
  const edges: number[] = [];
  for (let at = reached.indexOf(1); at !== -1; at = reached.indexOf(1 - (reached[at] as number), at)) edges.push(at);
  if (edges.length % 2 === 1) edges.push(reached.length);
  return edges;
}

/** The code that all processes of a search have run. */
export class Coverage {
  readonly #files = new Map<string, { source: string; reached: Uint8Array }>();

  add(covered: readonly FileCoverage[]): void {
    for (const { url, source, reached } of covered) {
      const file = this.#files.get(url) ?? { source, reached: new Uint8Array(source.length) };
      this.#files.set(url, file);
      for (let i = 0; i < reached.length; i += 2) file.reached.fill(1, reached[i], reached[i + 1]);
    }
  }

  /** In the order of files and lines. */
  places(): UnreachedCode[] {
    const urls = [...this.#files.keys()].sort();
    return urls.flatMap((url) => {
      const { source, reached } = this.#files.get(url) as { source: string; reached: Uint8Array };
      return placesOf(url, source, reached);
    });
  }
}

function placesOf(url: string, source: string, reached: Uint8Array): UnreachedCode[] {
  const file = fileURLToPath(url);
  // A program may have deleted a file that it has made.
  const originals = (existsSync(file) ? readFileSync(file, 'utf8') : source).split('\n');
  const placeOf = placesIn(source);
  const isCompiled = INLINE_MAP.test(source);
  const edges = [0, ...edgesOf(reached)]; // before the first edge nothing has run
  const found = new Map<number, UnreachedCode>();
  for (let i = 0; i < edges.length; i += 2) {
    const [from, to] = [edges[i] as number, edges[i + 1] ?? source.length];
    const start = from + (NO_CODE.exec(source.slice(from, to))?.[0].length ?? 0);
    const code = source.slice(start, to).replace(NO_CODE_BEHIND, '');
    if (!/\w/.test(code) || code.startsWith('//#')) continue;
    const [{ line, column }, { line: endLine }] = [placeOf(start), placeOf(start + code.length - 1)];
    const text = (originals[line - 1] ?? '').slice(isCompiled ? 0 : column); // types are stripped in their place
    if (!found.has(line)) found.set(line, { file, line, endLine, text: text.trim().slice(0, SHOWN_CHARS) });
  }
  return [...found.values()];
}

/** Tells the line of the file, from 1, and the column, from 0, at an offset of what V8 has got. */
function placesIn(source: string): (offset: number) => { line: number; column: number } {
  const starts = [0, ...Array.from(source.matchAll(/\n/g), ({ index }) => index + 1)];
  const encoded = INLINE_MAP.exec(source)?.[1];
  const map = encoded === undefined ? undefined : new SourceMap(JSON.parse(String(Buffer.from(encoded, 'base64'))));
  return (offset) => {
    let [row, after] = [0, starts.length];
    while (after - row > 1) {
      const middle = (row + after) >> 1;
      if ((starts[middle] as number) <= offset) row = middle;
      else after = middle;
    }
    const column = offset - (starts[row] as number);
    const entry = map?.findEntry(row, column);
    return { line: (entry !== undefined && 'originalLine' in entry ? entry.originalLine : row) + 1, column };
  };
}
