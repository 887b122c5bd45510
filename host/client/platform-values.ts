// Requests and forms of other classes than undici's own, for undici.
//
// Node has a copy of undici inside, and its globals Request and FormData come from there. The undici of the package
// does not know them: it would send such a form as the text "[object FormData]". The Request of featherstar/http is one
// more class. All of them are copied into what undici knows.

import type { FormData as OwnForm, RequestInit as OwnInit, RequestInfo } from 'undici';
import { undici } from './undici.js';

const { FormData: OwnFormData, Request: OwnRequest } = undici;

const PARTS = ['method', 'headers', 'body', 'redirect', 'signal', 'integrity'] as const;

type RequestParts = { readonly [name in (typeof PARTS)[number]]?: unknown };

function isRequest(value: unknown): value is RequestParts & { readonly url: string } {
  if (typeof value !== 'object' || value === null) return false;
  return 'url' in value && typeof value.url === 'string' && 'headers' in value;
}

/** Copies the parts of a request into a plain object. Those of a class are getters, which `...` does not copy. */
function requestParts(request: RequestParts): OwnInit {
  const parts: Record<string, unknown> = {};
  for (const name of PARTS) if (request[name] !== undefined && request[name] !== null) parts[name] = request[name];
  if (parts.body !== undefined) parts.duplex = 'half';
  return parts as OwnInit;
}

/** A form of another class becomes undici's. Every other body stays as it is. */
export function ownBody<T>(body: T): T | OwnForm {
  if (!(body instanceof globalThis.FormData) || body instanceof OwnFormData) return body;
  const form = new OwnFormData();
  for (const [name, value] of body) form.append(name, value as never);
  return form;
}

/** The arguments of `fetch()`, as undici knows them. */
export function ownArguments(input: string | URL | Request, init: RequestInit = {}): [RequestInfo, OwnInit] {
  const given = isRequest(init) ? requestParts(init) : (init as OwnInit);
  const own = given.body instanceof globalThis.FormData ? { ...given, body: ownBody(given.body) } : given;
  if (input instanceof OwnRequest || !isRequest(input)) return [input as RequestInfo, own];
  return [input.url, { ...requestParts(input), ...own }];
}
