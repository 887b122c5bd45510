// NATS's client, as the program has installed it.

import { peerPackage } from '../base/peer-package.js';

const name = '@nats-io/transport-node';

export const transport = peerPackage<typeof import('@nats-io/transport-node')>(name, 'featherstar/nats');
