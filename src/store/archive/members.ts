import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { CodedError, type ErrorHelp, hasCode, messageOf } from '#base/errors/index.ts';

/** What an archive member is: small ones stay in memory, large ones are in a file of ours. */
export type Member =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly sizeBytes: number }
  | { readonly kind: 'file'; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: 'link'; readonly target: string };

/** A member with content. */
export type FileMember = Exclude<Member, { kind: 'link' }>;

const LINK_HOPS = 8;

/**
 * The members of an archive by path. Nothing is looked up on a disk: a link is followed by name inside this map, so that
 * it can never lead to a file of the host.
 */
export class Members {
  readonly #members = new Map<string, Member>();

  /** @throws {CodedError} `invalid_argument` when two members have one path. */
  add(path: string, member: Member): void {
    if (this.#members.has(path)) throw invalidArchive(`"${path}" appears twice`);
    this.#members.set(path, member);
  }

  has(path: string): boolean {
    return this.#members.has(path);
  }

  get size(): number {
    return this.#members.size;
  }

  paths(): Iterable<string> {
    return this.#members.keys();
  }

  find(path: string): FileMember | undefined {
    let at: string | undefined = cleanMemberPath(path);
    for (let hop = 0; hop <= LINK_HOPS; hop++) {
      const member: Member | undefined = this.#members.get(at);
      if (member === undefined || member.kind !== 'link') return member;
      at = cleanMemberPath(member.target);
    }
    throw invalidArchive(`"${path}" is a chain of more than ${LINK_HOPS} links`);
  }

  /** @throws {CodedError} `invalid_argument` when there is no such file. */
  get(path: string): FileMember {
    const member = this.find(path);
    if (member === undefined) throw invalidArchive(`"${path}" is missing`);
    return member;
  }

  /** A document in memory. @throws {CodedError} `invalid_argument` when it is missing or larger than `limitBytes`. */
  async read(path: string, limitBytes: number): Promise<Uint8Array> {
    const member = this.get(path);
    if (member.sizeBytes > limitBytes) throw invalidArchive(`"${path}" is larger than ${limitBytes} bytes`);
    return member.kind === 'bytes' ? member.bytes : readFile(member.path);
  }

  async readJson(path: string, limitBytes: number): Promise<unknown> {
    const bytes = await this.read(path, limitBytes);
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (error) {
      throw invalidArchive(`"${path}" is no JSON: ${messageOf(error)}`);
    }
  }

  /** Files of ours that hold members. */
  *listFiles(): Iterable<string> {
    for (const member of this.#members.values()) if (member.kind === 'file') yield member.path;
  }
}

/** A member's path without `./` and doubled slashes. @throws {CodedError} `invalid_argument` for one that leads outside. */
export function cleanMemberPath(path: string): string {
  if (path.includes('\0')) throw invalidArchive(`path ${JSON.stringify(path)} holds a NUL byte`);
  const clean = posix.normalize(path).replace(/\/+$/, '');
  if (clean.startsWith('/') || clean === '..' || clean.startsWith('../')) {
    throw invalidArchive(`path ${JSON.stringify(path.slice(0, 200))} leads outside`);
  }
  return clean;
}

/** Where a symbolic link in the archive points, as a member path. */
export function linkTargetOf(path: string, target: string): string {
  return target.startsWith('/') ? target : posix.join(posix.dirname(path), target);
}

/** The error of an archive that cannot be right. */
export function invalidArchive(detail: string): CodedError {
  return new CodedError('invalid_argument', `invalid image archive: ${detail}`, { help: ARCHIVE_HELP });
}

const ARCHIVE_HELP: ErrorHelp = {
  id: 'archive/invalid',
  cause: 'the file is not what docker save, slipway save or an OCI tool writes, or it is damaged',
  fix: ['save the image again', 'for the tar of a root file system: slipway import FILE NAME'],
};

/** A failure to read an archive, with `help` for people when it is the archive's own fault and says no more. */
export function explainArchive(error: unknown, help = ARCHIVE_HELP): unknown {
  if (!hasCode(error, 'invalid_argument') || error.help !== undefined) return error;
  const { code, message, subject, data } = error;
  return new CodedError(code, message, { cause: error, subject, data, help });
}
