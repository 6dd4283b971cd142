/** A server with bugs, for the test of what the daemon does with them. */
import { createLog } from '#base/log/index.ts';
import { createEngineServer, type Route } from '#engine/server/core/index.ts';
import { watchFaults } from '../faults.ts';

const socketPath = process.argv[2] ?? '';
const routes: Route[] = [
  { method: 'GET', path: '/ok', summary: '', handler: (context) => context.sendJson(200, 'fine') },
  {
    method: 'GET',
    path: '/late-throw',
    summary: '',
    handler: () =>
      new Promise(() => {
        setTimeout(() => {
          throw new TypeError('a bug in a callback');
        }, 5);
      }),
  },
  {
    method: 'GET',
    path: '/lost-rejection',
    summary: '',
    handler: () => {
      void Promise.reject(new TypeError('a promise nobody waits for'));
      return new Promise(() => {});
    },
  },
];
const log = createLog({ level: 'info', write: (line) => process.stderr.write(line) });
watchFaults(log, () => process.exit(7));
const server = createEngineServer({ routes, log, product: 'test' });
await server.listen({ kind: 'unix', path: socketPath });
process.stdout.write('ready\n');
// Work of no request, as a timer of the engine itself would be.
setInterval(() => {
  if (process.argv[3] === 'break') throw new TypeError('a bug of the engine itself');
}, 300);
