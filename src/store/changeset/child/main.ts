/**
 * The program of a changeset child: takes requests from descriptor 3 one after another and works on them synchronously. It
 * ends when the daemon does, or with the first job that fails: a half-read stream is not to be trusted.
 */
import fs from 'node:fs';
import { CodedError, codeOf, isDiskFull, isSystemError, messageOf } from '#base/errors/index.ts';
import { writeFully } from './frames.ts';
import { HashRing } from './hash-ring.ts';
import { Jail } from './jail.ts';
import { pack } from './pack.ts';
import { type ChildFacts, type ChildReply, type ChildRequest, CONTROL_FD } from './protocol.ts';
import { unpack } from './unpack.ts';

const LINE_FEED = 0x0a;

process.umask(0);
const ring = new HashRing();
const jail = new Jail();
for (let request = readRequest(); request !== undefined; request = readRequest()) answer(request);
process.exit(0);

function answer(request: ChildRequest): void {
  try {
    const progress = (bytes: number): void => reply({ kind: 'progress', bytes });
    const tools = { jail, ring, progress };
    const facts: ChildFacts = request.kind === 'unpack' ? unpack(request, tools) : pack(request, tools);
    reply({ kind: 'done', facts });
  } catch (error) {
    const known = error instanceof CodedError ? error : undefined;
    const message = isSystemError(error, 'ENOSPC')
      ? `no space left on device: ${messageOf(error)}`
      : messageOf(error);
    const help = isDiskFull(error) ? { id: 'disk/full' } : known?.help;
    reply({ kind: 'failed', code: codeOf(error), message, subject: known?.subject, help });
    process.exit(1);
  }
}

function reply(message: ChildReply): void {
  writeFully(CONTROL_FD, Buffer.from(`${JSON.stringify(message)}\n`));
}

/** One line; `undefined` when the daemon has closed its end. */
function readRequest(): ChildRequest | undefined {
  const parts: Buffer[] = [];
  const room = Buffer.alloc(64 * 1024);
  for (;;) {
    const length = fs.readSync(CONTROL_FD, room, 0, room.length, null);
    if (length === 0) return undefined;
    parts.push(Buffer.from(room.subarray(0, length)));
    if (room[length - 1] === LINE_FEED) return JSON.parse(Buffer.concat(parts).toString()) as ChildRequest;
  }
}
