// vitest's configuration for our side of a suite. The environment says which adapter takes the place of which module of
// the suite in SUITE_DIR. Next: vitest.js.

import { fileURLToPath } from 'node:url';

const { SUITE_ADAPTER: name, SUITE_DIR: dir } = process.env;

/** For each adapter: the imports that it replaces, and the configuration that the suite has of its own. */
const SUITES = {
  'hono-node-server': {
    replaces: /^(?:\.\/)?\.\.\/src\/server$/,
    test: { globals: true, setupFiles: ['./test/setup.ts'], execArgv: ['--expose-gc'] },
  },
  srvx: { replaces: /^\.\.\/src\/adapters\/node\.ts$/, test: { testTimeout: 15_000, hookTimeout: 20_000 } },
};
const { replaces, test } = SUITES[name];

export default {
  resolve: {
    alias: [
      { find: replaces, replacement: fileURLToPath(new URL(`adapters/${name}.js`, import.meta.url)) },
      { find: 'suite', replacement: dir }, // so that an adapter can import modules of the suite
    ],
  },
  test: { ...test, environment: 'node', server: { deps: { external: [/\/dist\/host\//] } } },
};
