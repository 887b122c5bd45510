// A server that says which process it is.

export default { fetch: () => new Response(String(process.pid)) };
