// Deno.serve with an async handler, its defaults untouched. Run by `deno run -A`. Next: featherstar.mjs.

const port = Number(Deno.args[Deno.args.indexOf('--port') + 1]);

Deno.serve({ port, hostname: '127.0.0.1', onListen: () => console.log('ready') }, async () => {
  return new Response('Hello, World!');
});
