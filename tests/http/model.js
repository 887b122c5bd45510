// The naive parser that the fast one is compared with: one pass over a string with regular expressions, written from
// RFC 9110 and 9112 and not from assembly/http. It knows nothing of resuming: a prefix of a request is parsed anew.

import {
  CHUNKED,
  CLOSE,
  DONE,
  EXPECT_CONTINUE,
  HAS_HOST,
  HAS_LENGTH,
  HTTP_1_0,
  KEEP_ALIVE,
  METHODS,
  ODD_HOST,
  ODD_TARGET,
  UPGRADE,
} from './wasm.js';

const METHOD = /[!#$%&'*+\-.^_`|~0-9A-Za-z]*/y;
const NAME = /[!#$%&'*+\-.^_`|~0-9A-Za-z]*/y;
const TARGET = /[!-~]*/y;
const VALUE = /[\t -~\x80-\xff]*/y;
const AUTHORITY = /^(\[[0-9a-f:.]{2,45}\]|[\w\-.~!$&'()*+,;=%]+)(:[0-9]{0,5})?$/i;
const ABSOLUTE = /^https?:\/\/([^/?]+)([/?].*)?$/i;
const PLAIN_AUTHORITY = /^((?:[0-9]{1,3}\.){3}[0-9]{1,3}|(?:[a-z0-9._-]*\.)?[a-z_-][a-z0-9_-]*)(:[1-9][0-9]*)?$/;
const PLAIN_TARGET = /^[\w\-.~!$&()*+,;=:@%/?[\]|]+$/;
const METHOD_BYTES_MAX = 24;

class Refusal extends Error {
  constructor(status) {
    super();
    this.status = status;
  }
}

// Made once: a stack for each of a million refusals would cost more than the parsing.
const INCOMPLETE = new Refusal(0);
const refusals = new Map([400, 414, 417, 431, 501, 505].map((status) => [status, new Refusal(-status)]));

function refuse(status) {
  throw refusals.get(status);
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  run(pattern) {
    pattern.lastIndex = this.at;
    const [found] = pattern.exec(this.text);
    this.at += found.length;
    return found;
  }

  peek() {
    if (this.at === this.text.length) throw INCOMPLETE;
    return this.text[this.at];
  }

  expect(literal) {
    for (const character of literal) {
      if (this.peek() !== character) refuse(400);
      this.at++;
    }
  }
}

function isAuthority(text, needPort) {
  const match = AUTHORITY.exec(text);
  if (match === null) return false;
  const port = Number((match[2] ?? ':').slice(1));
  return port <= 65535 && (!needPort || port > 0);
}

/** Whether a URL parser has to look at it. */
function isOddHost(text) {
  const match = PLAIN_AUTHORITY.exec(text);
  if (match === null || text.includes('--') || match[2] === ':80') return true;
  const [, name] = match;
  return (
    /[0-9]$/.test(name) && /^[0-9.]+$/.test(name) && name.split('.').some((n) => n !== String(Number(n)) || n > 255)
  );
}

function isTarget(method, target) {
  if (method === 'CONNECT') return isAuthority(target, true);
  if (target.startsWith('/')) return true;
  if (target === '*') return method === 'OPTIONS';
  const absolute = ABSOLUTE.exec(target);
  return absolute !== null && isAuthority(absolute[1], false);
}

function readVersion(reader) {
  reader.expect('HTTP/');
  let version = '';
  for (const pattern of [/[0-9]/, /\./, /[0-9]/]) {
    if (!pattern.test(reader.peek())) refuse(400);
    version += reader.text[reader.at++];
  }
  if (version !== '1.1' && version !== '1.0') refuse(505);
  return version;
}

/** Whether it is a list of codings of which the last one, and no other, is "chunked". */
function endsInChunked(value) {
  const codings = value.split(',').map((coding) => coding.replace(/^[\t ]+|[\t ]+$/g, '').toLowerCase());
  return (
    codings.indexOf('chunked') === codings.length - 1 && codings.every((coding) => /^[!#$%&'*+\-.^`|~\w]/.test(coding))
  );
}

function applyField(head, name, value) {
  switch (name) {
    case 'host':
      if (head.host !== undefined || !isAuthority(value, false)) refuse(400);
      head.host = value;
      if (isOddHost(value)) head.flags |= ODD_HOST;
      break;
    case 'expect':
      if (value.toLowerCase() !== '100-continue') refuse(417);
      if (head.version === '1.1') head.flags |= EXPECT_CONTINUE;
      break;
    case 'connection': {
      const options = value.split(',').map((option) => option.replace(/^[\t ]+|[\t ]+$/g, '').toLowerCase());
      for (const option of options) head.options.add(option);
      break;
    }
    case 'content-length':
      if (head.length !== undefined || head.chunked || !/^[0-9]+$/.test(value)) refuse(400);
      if (BigInt(value) > BigInt(Number.MAX_SAFE_INTEGER)) refuse(400);
      head.length = Number(value);
      break;
    case 'transfer-encoding':
      if (head.version === '1.0' || head.length !== undefined || head.chunked) refuse(400);
      if (value.toLowerCase() !== 'chunked') refuse(endsInChunked(value) ? 501 : 400);
      head.chunked = true;
      break;
  }
}

function readFields(reader, head, headerCountMax) {
  for (head.headerCount = 0; ; head.headerCount++) {
    if (reader.peek() === '\r') return reader.expect('\r\n');
    if (head.headerCount === headerCountMax) refuse(431);
    const name = reader.run(NAME);
    if (reader.peek() !== ':' || name === '') refuse(400);
    reader.at++;
    const value = reader.run(VALUE).replace(/^[\t ]+|[\t ]+$/g, '');
    reader.expect('\r\n');
    applyField(head, name.toLowerCase(), value);
  }
}

function flagsOf(head) {
  const isOld = head.version === '1.0';
  const keep = !head.options.has('close') && (!isOld || head.options.has('keep-alive'));
  let flags = head.flags;
  if (isOld) flags |= HTTP_1_0;
  if (keep) flags |= KEEP_ALIVE;
  if (head.options.has('close')) flags |= CLOSE;
  if (head.options.has('upgrade')) flags |= UPGRADE;
  if (head.host !== undefined) flags |= HAS_HOST;
  if (head.chunked) flags |= CHUNKED;
  if (head.length !== undefined) flags |= HAS_LENGTH;
  if (!head.chunked && !head.length) flags |= DONE;
  return flags;
}

function readHead(text, limits) {
  const reader = new Reader(text);
  const head = { flags: 0, options: new Set(), chunked: false };
  while (reader.peek() === '\r') reader.expect('\r\n');

  const methodStart = reader.at;
  const method = reader.run(METHOD);
  const methodEnd = reader.at;
  if (method.length > METHOD_BYTES_MAX) refuse(501);
  if (reader.peek() !== ' ' || method === '') refuse(400);
  reader.at++;

  const targetStart = reader.at;
  const target = reader.run(TARGET).split('#', 1)[0];
  reader.at = targetStart + target.length;
  const targetEnd = reader.at;
  if (target.length > limits.targetBytes) refuse(414);
  if (reader.peek() !== ' ' || target === '' || !isTarget(method, target)) refuse(400);
  reader.at++;
  if (!target.startsWith('/') || !PLAIN_TARGET.test(target) || /\/[.%]/.test(target)) head.flags |= ODD_TARGET;
  if (/^[^/*]/.test(target)) head.flags |= ODD_HOST;

  head.version = readVersion(reader);
  reader.expect('\r\n');
  const headersStart = reader.at;
  readFields(reader, head, limits.headerCount);
  if (head.version === '1.1' && head.host === undefined) refuse(400);
  return {
    result: reader.at,
    flags: flagsOf(head),
    methodId: Math.max(0, METHODS.indexOf(method)),
    methodStart,
    methodEnd,
    targetStart,
    targetEnd,
    pathEnd: targetStart + target.split('?', 1)[0].length,
    headersStart,
    headerCount: head.headerCount,
    contentLength: head.length ?? 0,
  };
}

/** What http_parse() has to make of `text`, in the shape of outcome() in wasm.js. */
export function model(text, limits) {
  try {
    return readHead(text.slice(0, limits.headBytes), limits);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 0 && text.length >= limits.headBytes) return { result: -431 };
    return { result: error.status };
  }
}
