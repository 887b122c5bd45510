// deadline: 600 s
// The limits of docs/limits.md, at their ends, on the portable host.
//
// Next: limits-cases.js.

import { test } from 'uvu';
import { hosts } from '../support/hosts.js';

if (hosts().includes('portable')) {
  process.env.FEATHERSTAR_HOST = 'portable';
  await import('./limits-cases.js');
} else test('limits on portable', () => console.log('# skipped: limits on portable'));

test.run();
