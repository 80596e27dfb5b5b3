// Hello on Bun's own server.
const at = process.argv.indexOf('--port');
const port = at > 0 ? Number(process.argv[at + 1]) : 0;
const fields = { headers: { 'Content-Type': 'text/plain; charset=utf-8' } };

const server = Bun.serve({
  hostname: '127.0.0.1',
  port,
  fetch: () => new Response('Hello, world!', fields),
});

console.log(`listening on http://127.0.0.1:${server.port}`);
