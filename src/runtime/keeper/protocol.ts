/**
 * The wire between daemon and keeper, over a unix socket that only root can open:
 *
 *     client  {"op":"start", …}\n                      one request per connection
 *     keeper  {"ok":{…}}\n  or  {"error":{code,message}}\n
 *
 *     op        after the answer
 *     attach    raw bytes both ways; each side half-closes by itself
 *     events    one JSON line per event, until the client closes
 *     others    the keeper closes
 */
import type { Socket } from 'node:net';
import { CodedError, codeOf, type ErrorCode, messageOf } from '#base/errors/index.ts';
import type { NamesChange } from '#runtime/names/types.ts';
import type { AttachRequest, KeeperExec, KeeperStart, TerminalSize } from './types.ts';

/** Raised when the messages change in a way an older side cannot follow. */
export const PROTOCOL_VERSION = 1;
/** Longest line; a request holds paths and flags, never data. */
const LINE_LIMIT = 64 * 1024;

/** What the engine asks of its keeper. */
export type KeeperRequest =
  | { readonly op: 'hello' }
  | { readonly op: 'start'; readonly start: KeeperStart }
  | { readonly op: 'exec'; readonly exec: KeeperExec }
  | { readonly op: 'attach'; readonly id: string; readonly attach: AttachRequest }
  | { readonly op: 'resize'; readonly id: string; readonly size: TerminalSize }
  | { readonly op: 'signal'; readonly id: string; readonly signal: number; readonly group?: boolean }
  | { readonly op: 'list' }
  | { readonly op: 'forget'; readonly id: string; readonly abandon: boolean }
  | { readonly op: 'names'; readonly change: NamesChange }
  | { readonly op: 'events' }
  | { readonly op: 'shutdown' };

/** What the keeper answers. */
export type KeeperAnswer =
  | { readonly ok: unknown }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } };

/** Sends one JSON line. */
export function sendLine(socket: Socket, value: object): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(value)}\n`);
}

/** The answer to a request that failed. */
export function errorAnswer(error: unknown): KeeperAnswer {
  return { error: { code: codeOf(error), message: messageOf(error) } };
}

/**
 * Reads the first line of a socket; what came after it is put back, and the socket is left paused.
 * @throws {CodedError} `unavailable` when the other side closes first, `invalid_argument` for something else than JSON.
 */
export function readLine(socket: Socket): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  let held: Buffer = Buffer.alloc(0);
  const stop = (): void => {
    socket.removeListener('data', onData);
    socket.removeListener('end', onEnd);
    socket.removeListener('error', onError);
    socket.removeListener('close', onEnd);
    socket.pause();
  };
  const onEnd = (): void => {
    stop();
    reject(new CodedError('unavailable', 'the keeper closed the connection'));
  };
  const onError = (error: Error): void => {
    stop();
    reject(new CodedError('unavailable', `cannot talk to the keeper: ${error.message}`, { cause: error }));
  };
  const onData = (chunk: Buffer): void => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const end = held.indexOf(10);
    if (end < 0 && held.length <= LINE_LIMIT) return;
    stop();
    if (end < 0) {
      reject(new CodedError('invalid_argument', 'keeper message is too long'));
      return;
    }
    if (end + 1 < held.length) socket.unshift(held.subarray(end + 1));
    try {
      resolve(JSON.parse(held.toString('utf8', 0, end)));
    } catch (error) {
      reject(new CodedError('invalid_argument', `keeper message is not JSON: ${messageOf(error)}`));
    }
  };
  socket.on('data', onData);
  socket.once('end', onEnd);
  socket.once('close', onEnd);
  socket.once('error', onError);
  socket.resume();
  return promise;
}

/** Calls `onValue` for every JSON line of a socket. */
export function readLines(socket: Socket, onValue: (value: unknown) => void): void {
  let held = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    held += text;
    const lines = held.split('\n');
    held = lines.pop() ?? '';
    for (const line of lines) if (line !== '') onValue(JSON.parse(line));
  });
  socket.resume();
}
