// featherstar/nats: sharded services as micro services of NATS, for callers on other machines.

export { homeOf } from '../base/home-of.js';
export type { NatsConnection, NatsMessage, NatsSubscription } from './link.js';
export { type PublishedService, type PublishOptions, publishService } from './published-service.js';
export {
  type InstancesOptions,
  type RemoteService,
  type RemoteServiceOptions,
  remote,
  type ServiceInstance,
} from './remote-service.js';
