// A frame of WebSocket as a client sends it, or as none should.

/** A frame as it is sent. `length`: how long it says to be; `form`: 7, 16 or 64 bits. */
export function frame({ opcode = 2, payload = [], fin = 1, rsv = 0, mask = [1, 2, 3, 4], length, form }) {
  const bytes = Buffer.from(payload);
  const size = BigInt(length ?? bytes.length);
  const bits = form ?? (size < 126n ? 7 : size < 65_536n ? 16 : 64);
  const head = [(fin << 7) | (rsv << 4) | opcode, mask === null ? 0 : 128];
  head[1] |= bits === 7 ? Number(size) : bits === 16 ? 126 : 127;
  for (let shift = bits === 7 ? 0 : bits; shift > 0; shift -= 8) head.push(Number((size >> BigInt(shift - 8)) & 255n));
  if (mask === null) return Buffer.concat([Buffer.from(head), bytes]);
  return Buffer.concat([Buffer.from([...head, ...mask]), bytes.map((byte, i) => byte ^ mask[i & 3])]);
}
