// WebAssembly text as a tree, and back: what tools that change the core work on.
//
// Next: ../interleave/transform.js, ../mutate/schemata.js.

/**
 * Text to nested arrays: `(a b (c))` is ['a', 'b', ['c']]. Each array has `site`, where it stands in the source, if the
 * compiler wrote comments `;;@ file:line:column`. It is undefined where the compiler made something up.
 */
export function parse(text) {
  const stack = [[]];
  let at;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|;;[^\n]*|\(;[\s\S]*?;\)|[()]|[^\s()";]+/g)) {
    if (token.startsWith(';;@')) at = /^;;@ (assembly\/.*):(\d+):\d+$/.exec(token) ?? undefined;
    else if (token === '(') stack.push(Object.assign([], { site: at && { file: at[1], line: Number(at[2]) } }));
    else if (token === ')') {
      const list = stack.pop();
      stack.at(-1).push(list);
    } else if (!token.startsWith(';;') && !token.startsWith('(;')) stack.at(-1).push(token);
  }
  return stack[0][0];
}

export function print(node) {
  return typeof node === 'string' ? node : `(${node.map(print).join(' ')})\n`;
}
