// deadline: 600 s
// The limits of docs/limits.md, at their ends, on io_uring.
//
// Next: limits-cases.js.

import { test } from 'uvu';
import { hosts } from '../support/hosts.js';

if (hosts().includes('uring')) {
  process.env.FEATHERSTAR_HOST = 'uring';
  await import('./limits-cases.js');
} else test('limits on uring', () => console.log('# skipped: limits on uring'));

test.run();
