// featherstar/net: TCP, UDP and Unix sockets on this shard.

export type { NetAddress } from '../hosts/host.js';
export type { TlsInfo } from '../tls/info.js';
export type {
  SniCallback,
  TlsClientOptions,
  TlsContextOptions,
  TlsFile,
  TlsServerOptions,
  TlsVersion,
} from '../tls/options.js';
export { type ConnectOptions, connect } from './connect.js';
export { type Listener, type ListenOptions, listen } from './listener.js';
export type { ListenProxyOptions } from './proxied.js';
export type { Socket } from './socket.js';
export { type SystemdSocket, systemdSockets } from './systemd.js';
export {
  type Datagram,
  type UdpBindOptions,
  UdpSocket,
  type UdpStats,
  type UdpTarget,
} from './udp.js';
