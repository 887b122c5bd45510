// A failure in words: what went wrong, when it became inevitable and what happened there, which choices it needs, and
// the last events.
//
// Next: seed-file.ts.

import type { ChoiceRecord } from './choices.js';
import type { RunResult } from './runs.js';
import type { Kept, Located } from './shrink.js';
import { INNER, lineOf } from './trace.js';

const CHOICES_SHOWN = 60;
const AROUND_SHOWN = 14; // events around the point of no return, on each side
const LAST_SHOWN = 16;

export interface Explained {
  readonly message: string;
  readonly stack: string;
  readonly total: number;
  readonly located: Located;
  /** How many choices matter. */
  readonly kept: Kept;
  /** The time for shrinking was over: fewer may matter. */
  readonly isOutOfTime: boolean;
  /** The run as it was found, recorded in words. */
  readonly original: RunResult;
  /** The run with only those choices, recorded in words. */
  readonly shrunk: RunResult;
}

interface Row {
  readonly world: number;
  readonly index: number;
  readonly line: string;
}

/** The events of all worlds of a run that a reader wants to see, in words. */
function eventRows({ worlds }: RunResult): Row[] {
  return worlds.flatMap(({ trace }, world) => {
    const prefix = worlds.length === 1 ? '  ' : `  world ${world + 1}  `;
    const events = trace.events().filter(({ kind }) => !INNER.has(kind));
    return events.map((event) => ({ world, index: event.index, line: prefix + lineOf(event, trace.nameOf) }));
  });
}

/** How many of the events came before a choice. */
function countBefore(rows: readonly Row[], choice: ChoiceRecord): number {
  return rows.filter(({ world, index }) => world < choice.world || (world === choice.world && index < choice.event))
    .length;
}

export function explain(found: Explained): string {
  const { message, stack, total, located, kept, isOutOfTime, original, shrunk } = found;
  const { records } = original.choices;
  const first = records.find(({ index }) => index >= located.from);
  const last = records.findLast(({ index }) => index <= located.to) ?? first;
  const lines = [message, '', whenLine(located, total, last)];
  if (first !== undefined && last !== undefined && located.to !== 0) {
    const rows = eventRows(original);
    const texts = rows.map(({ line }) => line);
    const [from, to] = [countBefore(rows, first), countBefore(rows, last)];
    lines.push(...texts.slice(Math.max(0, from - AROUND_SHOWN), from));
    lines.push('  --- it becomes inevitable here ---', ...texts.slice(from, to));
    lines.push('  --- from here on it fails, whatever is chosen later ---', ...texts.slice(to, to + AROUND_SHOWN), '');
    const isShown = ({ index, what }: ChoiceRecord) =>
      index >= located.from && index <= located.to && !what.startsWith('the low bits of Math.random()');
    const between = records.filter(isShown);
    lines.push('The choices there:', ...between.slice(0, AROUND_SHOWN).map(choiceLine), '');
  }
  lines.push(...matterLines(kept.size, total, isOutOfTime));
  const mattering = shrunk.choices.records.filter(({ key }) => kept.has(key));
  lines.push(...mattering.slice(0, CHOICES_SHOWN).map(choiceLine));
  if (mattering.length > CHOICES_SHOWN) lines.push(`  ... and ${mattering.length - CHOICES_SHOWN} more`);
  const ending = eventRows(shrunk).slice(-LAST_SHOWN);
  if (ending.length > 0) lines.push('', 'The last events of the shrunk run:', ...ending.map(({ line }) => line));
  lines.push('', stack);
  return lines.join('\n');
}

function matterLines(kept: number, total: number, isOutOfTime: boolean): string[] {
  if (kept === 0) return [`No choice matters (0 of ${total}): it also fails if each has its simplest value.`];
  const share = ((100 * kept) / Math.max(1, total)).toFixed(1);
  const lines = [`${kept} of ${total} choices matter (${share} %); the others can have their simplest value:`];
  return isOutOfTime
    ? ['The time for shrinking was over, so fewer choices may matter (--shrink-seconds).', ...lines]
    : lines;
}

function whenLine({ from, to, isOutOfTime }: Located, total: number, last?: ChoiceRecord): string {
  if (to === 0) return 'It was inevitable from the beginning: nearly every run of this seed fails so.';
  const time = last === undefined ? '' : `, at ${(last.atUs / 1000).toFixed(3)} ms`;
  const world = last !== undefined && last.world > 0 ? ` of world ${last.world + 1}` : '';
  const late = isOutOfTime ? ' (the time for locating it was over)' : '';
  return `It became inevitable between choices ${from} and ${to} of ${total}${time}${world}${late}:`;
}

function choiceLine({ index, what, value, atUs, callers }: ChoiceRecord): string {
  const result = typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value);
  const from = callers === '' ? '' : `, at ${callers}`;
  return `  choice ${index}, at ${(atUs / 1000).toFixed(3)} ms: ${what}${from}: ${result}`;
}
