// Heads of responses. The common ones (status, content type, connection) are templates in linear memory that end with
// "Content-Length: ": the core copies one and appends the number. Their date is refreshed when it is needed in a new
// second, so an idle server has no clock tick.

import { STATUS_CODES } from 'node:http';
import type { Shard } from '../shard/shard.js';

const TEMPLATE_BYTES = 512;
const DATE_BYTES = 29;

export const KEEP_ALIVE = 0; // HTTP/1.1's default: nothing is said
export const CLOSE = 1;
export const KEEP_ALIVE_1_0 = 2;
const CONNECTION_LINES = ['', 'Connection: close\r\n', 'Connection: keep-alive\r\n'];

export interface Template {
  readonly ptr: number;
  readonly bytes: number;
  readonly datePtr: number;
  second: number;
}

const known = new WeakMap<Shard, Heads>();

export class Heads {
  private readonly shard: Shard;
  private readonly base: number;
  private readonly limit: number;
  private readonly templates = new Map<string, Template>();
  private lastStatus = 0;
  private lastType = '';
  private lastConnection = 0;
  private last: Template | undefined;
  private second = 0;
  private nextSecondNs = 0;
  private dateText = '';
  private dateSecond = 0;

  /** The heads of a shard. Its servers share them, as they share the memory of the templates: [base, base + bytes). */
  static of(shard: Shard, base: number, bytes: number): Heads {
    const heads = known.get(shard) ?? new Heads(shard, base, bytes);
    known.set(shard, heads);
    return heads;
  }

  /** Templates lie in [base, base + bytes) of linear memory, which is this object's own. */
  constructor(shard: Shard, base: number, bytes: number) {
    this.shard = shard;
    this.base = base;
    this.limit = Math.floor(bytes / TEMPLATE_BYTES);
  }

  /** The template for an answer without further headers, its date fresh; undefined if it would be too long. */
  template(status: number, type: string, connection: number): Template | undefined {
    let found = this.last;
    if (status !== this.lastStatus || type !== this.lastType || connection !== this.lastConnection || !found) {
      found = this.find(status, type, connection);
      if (found === undefined) return undefined;
      this.last = found;
      this.lastStatus = status;
      this.lastType = type;
      this.lastConnection = connection;
    }
    const second = this.now();
    if (found.second !== second) {
      this.shard.core.http_date(found.datePtr, second);
      found.second = second;
    }
    return found;
  }

  private find(status: number, type: string, connection: number): Template | undefined {
    const key = `${status} ${connection} ${type}`;
    const known = this.templates.get(key);
    if (known !== undefined) return known;
    const before = `${statusLine(status, '')}${type === '' ? '' : `Content-Type: ${type}\r\n`}Date: `;
    const after = `\r\n${CONNECTION_LINES[connection]}Content-Length: `;
    const text = before + '-'.repeat(DATE_BYTES) + after;
    if (text.length > TEMPLATE_BYTES) return undefined;
    const ptr = this.templates.size < this.limit ? this.base + this.templates.size * TEMPLATE_BYTES : this.evict();
    this.shard.bytes.latin1Write(text, ptr, text.length);
    const template = { ptr, bytes: text.length, datePtr: ptr + before.length, second: 0 };
    this.templates.set(key, template);
    return template;
  }

  /** Gives the place of the oldest template away. One that is in use still will soon be made again. */
  private evict(): number {
    const [oldest] = this.templates;
    const [key, { ptr }] = oldest as [string, Template];
    this.templates.delete(key);
    return ptr;
  }

  /** Seconds since 1970, by the turn's clock; the wall clock is asked once a second. */
  private now(): number {
    if (this.shard.nowNs >= this.nextSecondNs) {
      const ms = Date.now();
      this.second = Math.floor(ms / 1000);
      this.nextSecondNs = this.shard.nowNs + (1000 - (ms % 1000)) * 1e6;
    }
    return this.second;
  }

  /** A head of any kind, as text. `lines` are whole header lines; `withDate` unless they hold one. */
  text(status: number, statusText: string, lines: string, withDate: boolean, connection: number): string {
    const date = withDate ? `Date: ${this.date()}\r\n` : '';
    return `${statusLine(status, statusText)}${lines}${date}${CONNECTION_LINES[connection]}`;
  }

  private date(): string {
    const second = this.now();
    if (second !== this.dateSecond) {
      this.dateSecond = second;
      this.dateText = new Date(second * 1000).toUTCString();
    }
    return this.dateText;
  }
}

function statusLine(status: number, text: string): string {
  return `HTTP/1.1 ${status} ${text || (STATUS_CODES[status] ?? 'Unknown')}\r\n`;
}
