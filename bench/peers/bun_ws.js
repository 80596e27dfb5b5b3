// WebSocket on Bun's own server: an echo; /z compresses; /bc says everything to everybody.
const at = process.argv.indexOf('--port');
const port = at > 0 ? Number(process.argv[at + 1]) : 0;

const server = Bun.serve({
  hostname: '127.0.0.1',
  port,
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    return server.upgrade(request, { data: { path } }) ? undefined : new Response('', { status: 426 });
  },
  websocket: {
    perMessageDeflate: { compress: 'shared', decompress: 'shared' },
    open(socket) {
      if (socket.data.path === '/bc') socket.subscribe('all');
    },
    message(socket, data) {
      if (socket.data.path === '/bc') server.publish('all', data);
      else socket.send(data, socket.data.path === '/z');
    },
  },
});

console.log(`listening on ws://127.0.0.1:${server.port}`);
