// The public API, read from the type declarations that users get.
//
// What flows through: entry points (.d.ts) -> the compiler -> their exports -> an item for each export and each member.
// Members of a class or interface that is not exported do not appear: such a type is named by the rule that every type
// in a public signature is exported.
//
// Used by api-habits.test.js.

import { readFileSync } from 'node:fs';
import { SyntaxKind } from 'typescript/unstable/ast';
import { API, SymbolFlags } from 'typescript/unstable/sync';

const MEMBERS = new Map([
  [SyntaxKind.PropertyDeclaration, 'property'],
  [SyntaxKind.PropertySignature, 'property'],
  [SyntaxKind.MethodDeclaration, 'method'],
  [SyntaxKind.MethodSignature, 'method'],
  [SyntaxKind.GetAccessor, 'getter'],
  [SyntaxKind.SetAccessor, 'setter'],
  [SyntaxKind.Constructor, 'constructor'],
]);
const EXPORTS = new Map([
  [SyntaxKind.ClassDeclaration, 'class'],
  [SyntaxKind.InterfaceDeclaration, 'interface'],
  [SyntaxKind.TypeAliasDeclaration, 'type'],
  [SyntaxKind.FunctionDeclaration, 'function'],
  [SyntaxKind.VariableDeclaration, 'value'],
]);

/** The text of the comment that stands before a node, or undefined. Of a value, its whole statement counts. */
function docOf(node) {
  const from = node.kind === SyntaxKind.VariableDeclaration ? node.parent.parent : node;
  const text = from.getSourceFile().text.slice(from.pos, from.getStart());
  const comment = [...text.matchAll(/\/\*\*([\s\S]*?)\*\//g)].at(-1)?.[1];
  return comment?.replace(/^[ \t]*\* ?/gm, '').trim();
}

function isPrivate(node) {
  return node.name?.getText().startsWith('#') || /^(?:static )?private /.test(node.getText());
}

/** The nodes below which the members of a declaration lie: object types, nested ones too. */
function* membersIn(node) {
  const found = [];
  const visit = (child) => {
    if (MEMBERS.has(child.kind)) found.push(child);
    else if (child.kind !== SyntaxKind.TypeParameter) child.forEachChild(visit);
  };
  node.forEachChild(visit);
  for (const member of found) {
    if (!isPrivate(member)) yield member;
  }
}

/** Names of types that a declaration uses, with their declarations; type parameters are left out. */
function typesUsed(node, checker, project) {
  const used = new Map();
  const visit = (child) => {
    if (MEMBERS.has(child.kind) && isPrivate(child)) return;
    if (child.kind === SyntaxKind.Identifier) {
      const symbol = checker.getSymbolAtLocation(child);
      if (symbol !== undefined && (symbol.flags & SymbolFlags.TypeParameter) === 0) {
        const target = symbol.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
        const isType = (target.flags & (SymbolFlags.Class | SymbolFlags.Interface)) !== 0;
        if (isType) used.set(target.id, target);
      }
    }
    child.forEachChild(visit);
  };
  node.forEachChild(visit);
  return [...used.values()].map((symbol) => ({
    id: symbol.id,
    name: symbol.name,
    file: symbol.declarations[0]?.resolve(project)?.getSourceFile().fileName ?? '',
  }));
}

/**
 * All items of the public API: `{ where, name, kind, doc, text, uses, owner }`. `entries`: names of entry points with
 * the paths of their declarations. `tsconfig`: a project that has these files.
 */
export function readApi(tsconfig, entries) {
  const api = new API({});
  try {
    const project = api.updateSnapshot({ openProject: tsconfig }).getProjects()[0];
    const { checker, program } = project;
    const items = [];
    const exported = new Set();
    for (const [entry, path] of Object.entries(entries)) {
      const module = checker.getSymbolAtLocation(program.getSourceFile(path));
      for (const symbol of module === undefined ? [] : checker.getExportsOfModule(module)) {
        const target = symbol.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
        if (exported.has(target.id)) continue;
        exported.add(target.id);
        for (const handle of target.declarations) {
          const node = handle.resolve(project);
          if (node.kind === SyntaxKind.ModuleDeclaration) continue; // of a function with properties: simulate.search
          const file = node.getSourceFile().fileName;
          const item = { where: `${entry} ${symbol.name}`, name: symbol.name, entry, file };
          const kind = EXPORTS.get(node.kind);
          if (kind === undefined) throw new Error(`${item.where}: a ${SyntaxKind[node.kind]}`);
          items.push({
            ...item,
            kind,
            doc: docOf(node),
            text: node.getText(),
            uses: typesUsed(node, checker, project),
          });
          for (const member of membersIn(node)) {
            const name = member.name?.getText() ?? 'constructor';
            items.push({
              ...item,
              where: `${item.where}.${name}`,
              name,
              kind: MEMBERS.get(member.kind),
              of: kind,
              doc: docOf(member),
              text: member.getText(),
              uses: [],
            });
          }
        }
      }
    }
    return { items, exported };
  } finally {
    api.close();
  }
}

/** Entry points of the package, from its manifest. */
export function entryPoints(root) {
  const { name, exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  return Object.fromEntries(
    Object.entries(exports)
      .filter(([, target]) => target.types !== undefined)
      .map(([key, { types }]) => [key === '.' ? name : `${name}${key.slice(1)}`, new URL(types, root).pathname]),
  );
}
