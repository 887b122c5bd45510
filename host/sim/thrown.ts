// Values that a program throws, in words. Any value can be thrown, and reading it may throw as well.
//
// Next: runs.ts.

const CHARS_MAX = 20_000; // of a text

export interface ThrownText {
  readonly message: string;
  /** Empty: it has none. */
  readonly stack: string;
  readonly cause: unknown;
}

export function textOfThrown(value: unknown): ThrownText {
  try {
    if (!(value instanceof Error)) return { message: shortened(String(value)), stack: '', cause: undefined };
    const stack = typeof value.stack === 'string' ? shortened(value.stack) : '';
    return { message: shortened(String(value.message)), stack, cause: value.cause };
  } catch {
    // A getter, a toString() or a trap of a Proxy has thrown.
    return { message: `a value of type ${typeof value} that has no text was thrown`, stack: '', cause: undefined };
  }
}

function shortened(text: string): string {
  if (text.length <= CHARS_MAX) return text;
  return `${text.slice(0, CHARS_MAX)} ... and ${text.length - CHARS_MAX} more characters`;
}
