// reconnecting-websocket over ws.

import { reconnecting } from './reconnects.js';

export default await reconnecting('reconnecting-websocket');
