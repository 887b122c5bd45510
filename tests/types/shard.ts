// A shard module as users write them: what calls are typed by.

export const add = (a: number, b: number): number => a + b;
export const later = async (key: string): Promise<{ key: string; at: Date }> => ({ key, at: new Date(0) });
export const watch = (key: string, signal: AbortSignal): boolean => signal.aborted && key === '';
export const version = 3;

export class Store {
  readonly #values = new Map<string, Uint8Array>();
  readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  start(): void {}

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  async put(key: string, value: Uint8Array): Promise<number> {
    this.#values.set(key, value);
    return this.#values.size;
  }
}

export const pick = async <T extends object, K extends keyof T>(from: T, key: K): Promise<T[K]> => from[key];
export const first = <T>(list: T[]): T => list[0] as T;

export function double(value: string): string;
export function double(value: number): number;
export function double(value: string | number): string | number {
  return typeof value === 'string' ? value + value : 2 * value;
}
