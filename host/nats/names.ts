// Names of services and methods, and the subjects that are made of them.
//
//   prefix.any.get       any instance: NATS picks a member of the queue group
//   prefix.on.1.get      an instance on shard 1
//   prefix.abort         every instance: a caller's signal has aborted

import { optionError } from '../base/errors.js';
import type { Check } from '../base/options.js';

/** Names of NATS micro services. They fit a token of a subject, too. */
const TOKEN = /^[\w-]+$/;
const SUBJECT = /^[\w-]+(\.[\w-]+)*$/;
const VERSION = /^\d+\.\d+\.\d+(-[\w.-]+)?(\+[\w.-]+)?$/;

export const QUEUE = 'q'; // the queue group that services of NATS have if they name none

export function isToken(name: unknown): name is string {
  return typeof name === 'string' && TOKEN.test(name);
}

export const token: Check = (name, value) => {
  if (!isToken(value)) throw optionError(name, value, 'letters, digits, "_" and "-"');
};

export const subject: Check = (name, value) => {
  if (typeof value !== 'string' || !SUBJECT.test(value)) throw optionError(name, value, "tokens with dots: 'store.eu'");
};

export const version: Check = (name, value) => {
  if (typeof value !== 'string' || !VERSION.test(value)) throw optionError(name, value, "a version: '1.2.3'");
};
