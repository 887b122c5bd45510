// A reporter for `node --test`: a line of JSON for each test.

export default async function* lines(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const isLeft = data.skip !== undefined || data.todo !== undefined;
    const outcome = isLeft ? 'skip' : type.slice('test:'.length);
    const message = String(data.details?.error?.cause?.message ?? data.details?.error?.message ?? '').split('\n')[0];
    yield `${JSON.stringify({ file: data.file ?? '', name: data.name, outcome, message })}\n`;
  }
}
