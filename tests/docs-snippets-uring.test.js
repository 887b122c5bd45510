// The programs in the pages of docs/, on io_uring.
//
// Next: support/snippets.js; docs-snippets-portable.test.js.

import { test } from 'uvu';
import { pick } from '../dist/host/hosts/pick.js';
import { testSnippets } from './support/snippets.js';

const { name, reason } = pick();
if (name === 'uring') testSnippets('uring');
else test('snippets on uring', () => console.log(`# skipped: snippets on uring: ${reason}`));

test.run();
