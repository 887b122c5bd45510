// The contract (tests/contract/) on the host of pages, in a headless Chromium: what a page has it keeps, and what it
// lacks is declared in lacks.js, is run all the same, and has to fail.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BEHAVIOURS } from '../contract/behaviours.js';
import { lackOf } from '../contract/lacks.js';
import { Chromium, findChromium } from './chromium.js';
import { open, urlOf } from './server.js';

const HOST = 'browser';
const test = suite('the contract in a page');
const command = findChromium();
if (command === undefined) {
  console.log('# skipped: the contract in a page: no Chromium is to be had (CHROMIUM names one)');
  test.skip('no Chromium', () => {});
} else {
  let server;
  let chromium;
  let page;

  test.before(async () => {
    server = await open();
    chromium = new Chromium(command);
    page = await chromium.open(urlOf(server));
  });
  test.after(async () => {
    await chromium.close();
    server.closeAllConnections();
    server.close();
  });

  /** Undefined, or why it failed. */
  const outcomeOf = ({ name, shards, limits = {} }) =>
    page(`(async () => {
      const { BrowserRuntime } = await import('/featherstar/host/browser/index.js');
      const module = new URL('/test/contract-module.js', location.href);
      const limits = ${JSON.stringify(limits)};
      const runtime = await BrowserRuntime.start({ shards: ${shards}, module, limits });
      const late = new Promise((_, reject) => setTimeout(() => reject(new Error('not within 10 s')), 10_000));
      try {
        await Promise.race([runtime.on(0).runBehaviour(${JSON.stringify(name)}), late]);
      } catch (error) {
        return String(error.stack ?? error);
      } finally {
        await runtime.close();
      }
    })()`);

  for (const behaviour of BEHAVIOURS) {
    const lack = lackOf(HOST, behaviour.name);
    if (lack === undefined) {
      test(behaviour.name, async () => {
        const failure = await outcomeOf(behaviour);
        assert.is(failure, undefined, failure);
      });
    } else {
      test(`lacks ${behaviour.name}`, async () => {
        const failure = await outcomeOf(behaviour);
        assert.match(
          failure ?? 'it works',
          /the host browser has no|process\.on is not/,
          `lacks.js says: ${lack.reason}`,
        );
      });
    }
  }
  for (const { reason } of [...new Set(BEHAVIOURS.map(({ name }) => lackOf(HOST, name)).filter(Boolean))]) {
    console.log(`lacks ${HOST}: ${reason}`);
  }
}

test.run();
