/** Connections of clients that are still sending when their answer is ready. */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** How long a client may go on sending a body that nobody wants. */
const DISCARD_MS = 30_000;

/** Whether a request announces a body. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/**
 * Reads away what the client is still sending: closing at once would reset the connection, and the client would see a
 * broken pipe in place of the error.
 */
export function discardRest(request: IncomingMessage): void {
  request.resume();
  const timer = setTimeout(() => request.socket.destroy(), DISCARD_MS);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
}

/**
 * Closes a connection that the client wants closed only when both have ended, answer and request. Node would close it
 * with the answer, whatever the client is still saying.
 */
export function closeWhenBothEnd(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request;
  response.shouldKeepAlive = true;
  response.once('finish', () => {
    if (request.complete) return void socket.end();
    request.once('end', () => socket.end());
    discardRest(request);
  });
}
