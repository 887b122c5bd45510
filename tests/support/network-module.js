// The shard module of tests/api/network.test.js.

import { connect } from 'featherstar/net';

export async function tryConnect(port) {
  try {
    (await connect({ port })).close();
    return 'connected';
  } catch ({ code }) {
    return code;
  }
}
