// Bodies that are read piece by piece, each into the same memory. A program sees a ReadableStream, whose chunks are its
// own. The writer finds the pieces behind it, and sends them without a chunk being made:
//
//   new ReadableStream --withPieces()--> the stream of a Response --piecesOf()--> the writer
//
// Next: open-files.ts, the files that are read so.

/** Reads a body, from its beginning. */
export interface Pieces {
  /** The next bytes, until the next call; undefined at the end. */
  next(): Promise<Uint8Array | undefined>;
}

const known = new WeakMap<ReadableStream, () => Pieces>();

/** `open`: how to read the bytes in pieces, instead of reading the stream. Cancelling the stream ends that, too. */
export function withPieces(stream: ReadableStream<Uint8Array>, open: () => Pieces): ReadableStream<Uint8Array> {
  known.set(stream, open);
  return stream;
}

/** The pieces of a stream of which no byte was read; undefined: it has none. */
export function piecesOf(stream: ReadableStream): Pieces | undefined {
  return known.get(stream)?.();
}
