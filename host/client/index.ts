// featherstar/client: requests of HTTP over connections of this shard, by undici.

export { createClient, fetch, type HttpClient, type HttpClientOptions } from './client.js';
export { type ConnectorOptions, connector } from './connector.js';
