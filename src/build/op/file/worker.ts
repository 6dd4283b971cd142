/** Thread entry: answers calls on a `FileSession`. One message is one call; answers keep their order. */
import { parentPort } from 'node:worker_threads';
import { CodedError, codeOf, messageOf } from '#base/errors/index.ts';
import type { CallMessage, ReplyMessage } from './client.ts';
import { FileSession } from './session.ts';

const session = new FileSession();
const port = parentPort;

port?.on('message', ({ id, method, argument }: CallMessage) => {
  const call = session[method] as (argument: unknown) => unknown;
  let reply: ReplyMessage;
  try {
    reply = { id, value: call.call(session, argument) };
  } catch (error) {
    const known = error instanceof CodedError ? error : undefined;
    reply = {
      id,
      error: {
        code: codeOf(error),
        message: messageOf(error),
        help: known?.help,
        data: known?.data,
        subject: known?.subject,
      },
    };
  }
  port.postMessage(reply);
});
