/** The thread in which queries are answered: whatever containers send, the keeper's own thread never sees it. */
import { parentPort } from 'node:worker_threads';
import { messageOf } from '#base/errors/index.ts';
import { NamesServer } from './server.ts';
import type { WorkerAnswer, WorkerRequest } from './service.ts';

const server = new NamesServer();

parentPort?.on('message', ({ number, change, port }: WorkerRequest) => {
  let answer: WorkerAnswer;
  try {
    answer = { number, ok: server.change(change, port) };
  } catch (error) {
    answer = { number, error: messageOf(error) };
  }
  parentPort?.postMessage(answer);
});
