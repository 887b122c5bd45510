// undici, as the program has installed it.

import { peerPackage } from '../base/peer-package.js';

export const undici = peerPackage<typeof import('undici')>('undici', 'featherstar/client');
