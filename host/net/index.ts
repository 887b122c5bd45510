// featherstar/net: TCP, UDP and Unix sockets on this shard.

export { type ConnectOptions, connect } from './connect.js';
export { Listener, type ListenOptions, listen } from './listener.js';
export { Socket } from './socket.js';
export { type Datagram, type UdpBindOptions, UdpSocket, type UdpStats, type UdpTarget } from './udp.js';
