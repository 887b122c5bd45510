// Which of several encodings of the same content a client gets (RFC 9110, section 12.5.3).
//
// Next: file-response.ts.

/** A stored encoding of a file: the name of the coding, and what its file has behind the name. */
export interface Coding {
  readonly name: string;
  readonly suffix: string;
}

/** The codings that lie beside a file, in the order in which this server prefers them. */
export const CODINGS: readonly Coding[] = [
  { name: 'br', suffix: '.br' },
  { name: 'zstd', suffix: '.zst' },
  { name: 'gzip', suffix: '.gz' },
];

/** Of these codings those that the client takes, the one with the most weight first. */
export function acceptedCodings(field: string | null, codings: readonly Coding[]): Coding[] {
  if (field === null) return [];
  const weights = new Map<string, number>();
  for (const item of field.toLowerCase().split(',')) {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1';
    if (name !== '') weights.set(name, Number(weight) || 0);
  }
  const weightOf = ({ name }: Coding) => weights.get(name) ?? weights.get('*') ?? 0;
  const least = weights.get('identity') ?? 0; // of the file as it is; a coding with less is not wanted as much
  const wanted = codings.filter((coding) => weightOf(coding) > 0 && weightOf(coding) >= least);
  return wanted.sort((a, b) => weightOf(b) - weightOf(a));
}
