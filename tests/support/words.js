// The rules of plain words, as functions of a text: which sentences of a page or of comments break which rule.
//
// A text becomes sentences: those of Markdown outside fences, or those of the comments of a source. A drawing in a
// comment is no sentence: it is indented by three columns or more. Code in backticks counts as one word.
// tests/words.test.js says how many sentences of each folder may still break a rule.

export const WORDS_MAX = 25;

/** Rules over one sentence. `isProse`: the sentence stands in running text, and not in a heading or a table. */
export const RULES = [
  {
    name: 'headless',
    what: 'a sentence begins with Who or What: name the thing that acts',
    breaks: ({ text, isProse }) => isProse && /^(?:Who|Whoever|Whom|What|Whatever)\b/.test(text) && !text.endsWith('?'),
  },
  {
    name: 'people',
    what: 'nobody, somebody, everybody: say which shard, caller or owner',
    breaks: ({ text }) => /\b(?:no|some|every|any)body\b|\b[w]hoever\b/i.test(text),
  },
  {
    name: 'answers',
    what: '"answers": a function returns, a server responds, a peer replies',
    breaks: ({ text }) => /\banswers\b/i.test(text),
  },
  {
    name: 'neighbour',
    what: 'a text that begins with "The same" or "As" needs its neighbour to be understood',
    breaks: ({ text, isFirst }) => isFirst && /^(?:The same\b|As (?!a\b|an\b|soon|long|far)(?:[a-z`]|CODE))/.test(text),
  },
  {
    name: 'long',
    what: `more than ${WORDS_MAX} words: say it in two sentences`,
    breaks: ({ text, isProse }) => isProse && wordsIn(text) > WORDS_MAX,
  },
];

export function wordsIn(text) {
  return text.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}

/** A path or a function in code is one word; a link is its text. */
function plain(text) {
  return text
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/`[^`]*`/g, 'CODE')
    .replace(/(?<!\w)[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}(?!\w)/g, '');
}

function split(text) {
  const dots = /(?<!\b(?:e\.g|i\.e|vs|No|[A-Z]))[.!?:]["')\]]*(?=\s+["'([]?[\p{Lu}\d])|[.!?]["')\]]*$/u;
  const sentences = [];
  for (let rest = text.trim(); rest !== ''; ) {
    const end = dots.exec(rest);
    const length = end === null ? rest.length : end.index + end[0].length;
    sentences.push(rest.slice(0, length).trim());
    rest = rest.slice(length).trim();
  }
  return sentences;
}

/** Blocks of text, `{ line, text, isProse }`, as sentences. */
function sentencesOf(blocks) {
  return blocks.flatMap(({ line, text, isProse }) =>
    split(plain(text)).map((sentence, i) => ({ line, text: sentence, isProse, isFirst: i === 0 })),
  );
}

/** Joins neighbouring lines to blocks. `kindOf(line)`: undefined ends a block, 'start' begins one, 'go' goes on. */
function joined(rows) {
  const blocks = [];
  let open;
  for (const { line, text, kind } of rows) {
    if (kind === 'go' && open !== undefined) {
      open.text += ` ${text.trim()}`;
      continue;
    }
    open = undefined;
    if (kind === undefined) continue;
    const block = { line, text: text.trim(), isProse: kind !== 'cell' };
    if (kind === 'cell') {
      for (const cell of text.split('|')) blocks.push({ ...block, text: cell.trim() });
    } else {
      blocks.push(block);
      open = block;
    }
  }
  return blocks;
}

export function sentencesOfPage(page) {
  let inFence = false;
  const rows = page.split('\n').map((raw, i) => {
    const text = raw.replace(/^>\s?/, '');
    const isFence = text.trimStart().startsWith('```');
    if (isFence) inFence = !inFence;
    let kind = 'go';
    if (inFence || isFence || /^\s*$|^\|?[\s:|-]+\|?$/.test(text)) kind = undefined;
    else if (/^\s*\||^#/.test(text)) kind = 'cell';
    else if (/^\s*(?:[-*]|\d+\.) /.test(text)) kind = 'start';
    return { line: i + 1, text: text.replace(/^\s*(?:[-*]|\d+\.) |^#+ /, ''), kind };
  });
  let isOpen = false; // the first line after a gap begins a block
  for (const row of rows) {
    if (row.kind === 'go' && !isOpen) row.kind = 'start';
    isOpen = row.kind === 'go' || row.kind === 'start';
  }
  return sentencesOf(joined(rows));
}

/** Lines of a source that are comments, `{ line, text, isStart }`: without the marks. Safe enough without a parser. */
export function commentLines(source) {
  const rows = [];
  let inBlock = false;
  let isExample = false;
  source.split('\n').forEach((raw, i) => {
    const own = /^\s*\/\/(.*)$/.exec(raw);
    if (inBlock || /^\s*\/\*/.test(raw)) {
      const isStart = !inBlock;
      const ends = raw.includes('*/');
      const text = raw.replace(/^\s*\/\*+ ?|\*+\/.*$/g, '').replace(/^\s*\* ?/, '');
      isExample = /^@example\b/.test(text) || (isExample && !isStart && !/^@/.test(text)); // code, not sentences
      rows.push({ line: i + 1, text: isExample ? `  ${text}` : text, isStart, isExample });
      inBlock = !ends;
      return;
    }
    if (own !== null) {
      rows.push({ line: i + 1, text: own[1].replace(/^ /, ''), isStart: rows.at(-1)?.line !== i });
      return;
    }
    const behind = /(?<=[\s;{},)])\/[/*]\*? (.*?)(?:\*\/)?\s*$/.exec(raw);
    if (behind !== null && !/['"`].*\/\/.*['"`]/.test(raw)) {
      rows.push({ line: i + 1, text: behind[1], isStart: true, isBehind: true });
    }
  });
  return rows;
}

export function sentencesOfSource(source) {
  const rows = [];
  let last;
  for (const { line, text, isStart, isBehind } of commentLines(source)) {
    const isDrawing = /^ {2}|^\s*$|^[=-]{3}|^(?:biome-ignore|@\w+)|^prints | {3}|-->|<--/.test(text);
    const goesOn = !isStart && !isDrawing && last !== undefined && last.line === line - 1 && !last.isBehind;
    let kind = goesOn ? 'go' : 'start';
    if (isDrawing || (!goesOn && /^(?:\||\+|[-*] )/.test(text) && !/^[-*] /.test(text))) kind = undefined;
    rows.push({ line, text: text.replace(/^[-*] /, ''), kind });
    last = kind === undefined ? undefined : { line, isBehind };
  }
  return sentencesOf(joined(rows));
}

/** All that a text breaks: `{ rule, line, text }`. */
export function brokenRules(path, source) {
  const sentences = path.endsWith('.md') ? sentencesOfPage(source) : sentencesOfSource(source);
  return sentences.flatMap((sentence) =>
    RULES.filter(({ breaks }) => breaks(sentence)).map(({ name }) => ({
      rule: name,
      line: sentence.line,
      text: sentence.text,
    })),
  );
}
