// partysocket over ws.

import { reconnecting } from './reconnects.js';

export default await reconnecting('partysocket/ws');
