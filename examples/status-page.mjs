// A status page over HTTP: what `blockmirror status --json` prints, live from the process that has the mirror open.
//
//   node examples/status-page.mjs demo.log 8080      then: curl localhost:8080
import { createServer } from 'node:http';
import { once } from 'node:events';
import { Mirror } from 'blockmirror';

const [log, port] = process.argv.slice(2);
const mirror = await Mirror.open(log);

// A slave that fails is an event, never an exception: the mirror goes on with the others.
mirror.on('degraded', (status) => {
  for (const { name, state, error } of status.images) if (error) console.error(`${name} is ${state}: ${error.message}`);
});

const server = createServer((_request, response) => {
  const status = mirror.status();
  const healthy = status.phase === 'running' && status.images.every(({ error }) => error === null);
  response.writeHead(healthy ? 200 : 503, { 'content-type': 'application/json' });
  response.end(JSON.stringify(status, null, 2));
});
server.listen(Number(port));
await once(server, 'listening');
console.log(`http://localhost:${server.address().port}`);

// Closed cleanly, the next opening has nothing to recover. A second signal ends the process at once, which is safe too.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, async () => {
    server.close();
    await mirror.close();
  });
}
