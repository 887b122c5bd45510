// Puts the addresses of a socket of ours on the TLSSocket that Node makes over it: `new TLSSocket(socket)`,
// `tls.connect({ socket })`, `httpsServer.emit('connection', socket)`. There, `req.ip` of Express would be undefined.
//
// Node gives any stream that is no `net.Socket` to a TLSSocket by a wrap, which has no addresses, and has no option for
// them. So this replaces the two methods that TLSSocket inherits and that all its address properties ask. They do what
// they did, but for a socket of ours.

import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { NodeSocket } from './node-socket.js';

interface KnownAddress {
  address?: string | undefined;
  port?: number | undefined;
  family?: string | undefined;
}

/** Node's names. */
interface AskedSocket {
  _handle?: { _parentWrap?: { stream?: unknown } } | null;
  _peername?: KnownAddress | null;
  _sockname?: KnownAddress | null;
  _getpeername(): KnownAddress;
  _getsockname(): KnownAddress;
}

/** The socket of ours below; undefined: there is none, or it is closed. */
function socketBelow({ _handle }: AskedSocket): NodeSocket | undefined {
  const stream = _handle?._parentWrap?.stream;
  return stream instanceof NodeSocket ? stream : undefined;
}

const theirs = Socket.prototype as unknown as AskedSocket;

Object.assign(TLSSocket.prototype, {
  _getpeername(this: AskedSocket): KnownAddress {
    const below = socketBelow(this);
    if (below === undefined) return theirs._getpeername.call(this);
    const { remoteAddress: address, remotePort: port, remoteFamily: family } = below;
    this._peername = address === undefined ? {} : { address, port, family };
    return this._peername;
  },
  _getsockname(this: AskedSocket): KnownAddress {
    const below = socketBelow(this);
    if (below === undefined) return theirs._getsockname.call(this);
    this._sockname = below.address();
    return this._sockname;
  },
});
