// The head of a request as text. The parser has checked it and knows the places in it. Here it is cut, and only where a
// caller asks.

import { HttpFlag, ParserState } from '../core/offsets.js';

/** Where things lie in the head's text. */
export interface Head {
  /** The text that holds the head; it may hold others. */
  text: string;
  /** Where the head begins in it; the offsets below count from here. */
  start: number;
  /** Of the parser, assembly/http/connection.ts#Flag. */
  flags: number;
  methodId: number;
  methodStart: number;
  methodEnd: number;
  targetStart: number;
  targetEnd: number;
  pathEnd: number;
  headersStart: number;
  headEnd: number;
  /** Which request of its connection it is, from 1 on. */
  count: number;
  /** Once it was parsed. */
  url: URL | undefined;
}

/** The scheme and host that a client has used, as far as a trusted proxy tells. */
export interface ForwardedOrigin {
  readonly proto: string | undefined;
  readonly host: string | undefined;
}

export interface Addressed {
  /** Undefined: no proxy is trusted. */
  forwardedOrigin?(head: Head): ForwardedOrigin | undefined;
  /** The host of a request that names none (HTTP/1.0): the server's own address. */
  readonly serverAuthority: string;
  /** 'http', or 'https' over TLS. */
  readonly serverScheme: string;
}

const FLAGS = ParserState.flags >> 2; // words of the parser's state (assembly/http/connection.ts)
const METHOD_ID = ParserState.methodId >> 2;
const METHOD_START = ParserState.methodStart >> 2;
const METHOD_END = ParserState.methodEnd >> 2;
const TARGET_START = ParserState.targetStart >> 2;
const TARGET_END = ParserState.targetEnd >> 2;
const PATH_END = ParserState.pathEnd >> 2;
const HEADERS_START = ParserState.headersStart >> 2;

export const { ODD_TARGET, ODD_HOST } = HttpFlag;

/** `word`: where the state of the parser begins. `text` from `start` on: the head. */
export function readHead(
  words: Int32Array,
  word: number,
  text: string,
  start: number,
  headEnd: number,
  count: number,
): Head {
  return {
    text,
    start,
    flags: words[word + FLAGS] as number,
    methodId: words[word + METHOD_ID] as number,
    methodStart: words[word + METHOD_START] as number,
    methodEnd: words[word + METHOD_END] as number,
    targetStart: words[word + TARGET_START] as number,
    targetEnd: words[word + TARGET_END] as number,
    pathEnd: words[word + PATH_END] as number,
    headersStart: words[word + HEADERS_START] as number,
    headEnd,
    count,
    url: undefined,
  };
}

const HTAB = 0x09;
const SP = 0x20;

/** `text` from `start` to `end` without the spaces and tabs around it. (trim() takes more: 0xA0 is a letter here.) */
function trimmed(text: string, start: number, end: number): string {
  let from = start;
  let to = end;
  while (from < to && isSpace(text.charCodeAt(from))) from++;
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isSpace(code: number): boolean {
  return code === SP || code === HTAB;
}

/** A part of a head: its field lines. */
export type FieldLines = Pick<Head, 'text' | 'start' | 'headersStart' | 'headEnd'>;

/** Calls `visit` with the place of the name and of the value of each field. */
function eachFieldLine(head: FieldLines, visit: (line: number, colon: number, end: number) => void): void {
  const { text, start, headersStart, headEnd } = head;
  const end = start + headEnd - 2; // the empty line
  for (let line = start + headersStart; line < end; ) {
    const colon = text.indexOf(':', line);
    const stop = text.indexOf('\r', colon); // of the CRLF: the parser refuses any other
    visit(line, colon, stop);
    line = stop + 2;
  }
}

export function eachField(head: FieldLines, visit: (name: string, value: string) => void): void {
  const { text } = head;
  eachFieldLine(head, (line, colon, end) => visit(text.slice(line, colon), trimmed(text, colon + 1, end)));
}

/** Key, name and value of each field, as FeatherHeaders has them. */
export function linesOfHead(head: Head): string[] {
  const lines: string[] = [];
  eachField(head, (name, value) => lines.push(name.toLowerCase(), name, value));
  return lines;
}

/** All values of a field, joined by commas; undefined if it is absent. `name` in lower case. */
export function fieldOf(head: Head, name: string): string | undefined {
  const { text } = head;
  const { length } = name;
  let found: string | undefined;
  eachFieldLine(head, (line, colon, end) => {
    if (colon - line !== length || text.slice(line, colon).toLowerCase() !== name) return;
    const value = trimmed(text, colon + 1, end);
    found = found === undefined ? value : `${found}, ${value}`;
  });
  return found;
}

function targetOf({ text, start, targetStart, targetEnd }: Head): string {
  return text.slice(start + targetStart, start + targetEnd);
}

function originOf(head: Head, server: Addressed): string {
  const { proto = server.serverScheme, host } = server.forwardedOrigin?.(head) ?? {};
  return `${proto}://${host ?? fieldOf(head, 'host') ?? server.serverAuthority}`;
}

/** The URL as text. Most are written in the head as the URL standard writes them; the others are parsed, once. */
export function hrefOf(head: Head, server: Addressed): string {
  const isForwarded = server.forwardedOrigin?.(head) !== undefined;
  if (isForwarded || (head.flags & (ODD_TARGET | ODD_HOST)) !== 0) return urlOf(head, server).href;
  return `${originOf(head, server)}${targetOf(head)}`;
}

/** The path as it is in the URL. */
export function pathOf(head: Head, server: Addressed): string {
  if ((head.flags & ODD_TARGET) !== 0) return urlOf(head, server).pathname;
  const { text, start, targetStart, pathEnd } = head;
  return text.slice(start + targetStart, start + pathEnd);
}

/** The URL of the request (RFC 9112 3.3). Throws TypeError if its host, or that of the target, is none. */
export function urlOf(head: Head, server: Addressed): URL {
  head.url ??= parse(targetOf(head), originOf(head, server));
  return head.url;
}

/** Whether the host is one by the URL standard, which takes less than RFC 3986: no 1.2.3.4.5, for example. */
export function hasUrl(head: Head, server: Addressed): boolean {
  try {
    urlOf(head, server);
    return true;
  } catch {
    return false; // it is a TypeError, and says no more
  }
}

function parse(target: string, origin: string): URL {
  if (target.startsWith('/')) return new URL(origin + target);
  const url = new URL(origin); // a Host that is none is refused beside an absolute target, too
  // The scheme is that of the connection, or of a trusted proxy, whatever the client calls it.
  return target === '*' ? url : new URL(`${url.protocol}${target.slice(target.indexOf(':') + 1)}`);
}
