// All that an HTTP connection is to the parts around it.
//
// Next: connection.ts.

import type { TransportUser } from '../shard/transport.js';
import type { ServedConnection } from './connection-server.js';
import type { InfoExchange } from './handler-info.js';
import type { InboxUser } from './inbox.js';
import type { ControlledConnection } from './request-control.js';
import type { StreamingConnection } from './response-stream.js';
import type { Exchange } from './writer.js';

export type ConnectionRoles = TransportUser &
  InboxUser &
  Exchange &
  InfoExchange &
  ControlledConnection &
  StreamingConnection &
  ServedConnection;
