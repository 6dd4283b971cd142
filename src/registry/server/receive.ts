import type { IncomingMessage } from 'node:http';
import { CodedError } from '#base/errors/index.ts';
import type { BlobWriter } from './types.ts';

/** Bytes gathered before they are written: large writes cost the event loop little. */
const GATHER_BYTES = 1024 * 1024;

/** Where a body goes. */
export interface ReceiverOptions {
  /** Bytes the upload holds already. */
  readonly offset: number;
  readonly limitBytes: number;
  /** Opens the upload's file; called once, when there is more than a few bytes or `store` is called. */
  open(): Promise<BlobWriter>;
  /** Told after each write how many bytes the upload holds. */
  onStored(offset: number): void;
}

/** Receives one request body: gathers, and writes one batch while the next arrives. */
export class BodyReceiver {
  readonly #options: ReceiverOptions;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #received = 0;
  #offset: number;
  #writer: BlobWriter | undefined;
  #writing: Promise<void> | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#offset = options.offset;
  }

  /** Bytes of the upload that are in its file. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes that are still only in memory. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Reads the body to its end. With `expectedBytes` it must be exactly as long.
   * @throws {CodedError} `invalid_argument` about a `size`, `resource_exhausted` about an `upload` over the limit.
   */
  async receive(request: IncomingMessage, expectedBytes: number | undefined): Promise<void> {
    const declared = request.headers['content-length'];
    this.#checkLength(Number(declared ?? 0));
    if (expectedBytes !== undefined && declared !== undefined && Number(declared) !== expectedBytes) {
      throw sizeError(expectedBytes, Number(declared));
    }
    // Leaving the loop early must not destroy the request: it still gets an answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Uint8Array;
      this.#received += bytes.byteLength;
      this.#checkLength(this.#received);
      if (expectedBytes !== undefined && this.#received > expectedBytes)
        throw sizeError(expectedBytes, this.#received);
      this.#held.push(bytes);
      this.#heldBytes += bytes.byteLength;
      if (this.#heldBytes >= GATHER_BYTES) await this.#startWrite();
    }
    if (expectedBytes !== undefined && this.#received !== expectedBytes)
      throw sizeError(expectedBytes, this.#received);
    // Once part of the body is in the file, the rest belongs there too.
    if (this.#writer !== undefined) await this.store();
  }

  /** Writes what is held, and closes the file. */
  async store(): Promise<void> {
    try {
      if (this.#heldBytes > 0) await this.#startWrite();
      await this.#writing;
    } finally {
      await this.#writer?.close();
      this.#writer = undefined;
    }
  }

  /** Gives up; with `keep`, what has arrived is still written, so that the client can resume. */
  async abandon(keep: boolean): Promise<void> {
    try {
      if (keep) await this.store();
      else await this.#writing;
    } catch {
      // The failure that made us give up is the one that is reported.
    } finally {
      await this.#writer?.close();
      this.#writer = undefined;
    }
  }

  /** Takes what is held out, as one piece. */
  takeHeld(): Buffer {
    const [first] = this.#held;
    const bytes =
      first !== undefined && this.#held.length === 1 ? Buffer.from(first) : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return bytes;
  }

  async #startWrite(): Promise<void> {
    await this.#writing;
    const batch = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    this.#writer ??= await this.#options.open();
    this.#writing = this.#write(this.#writer, batch);
    // Reported when it is awaited; the body may be waiting for the network until then.
    this.#writing.catch(() => undefined);
  }

  async #write(writer: BlobWriter, batch: readonly Uint8Array[]): Promise<void> {
    await writer.write(batch);
    this.#offset = writer.offset;
    this.#options.onStored(writer.offset);
  }

  #checkLength(bytes: number): void {
    if (this.#options.offset + bytes <= this.#options.limitBytes) return;
    throw new CodedError(
      'resource_exhausted',
      `blob is larger than the ${this.#options.limitBytes} bytes allowed`,
      { subject: { kind: 'upload', name: '' } },
    );
  }
}

function sizeError(expected: number, actual: number): CodedError {
  return new CodedError(
    'invalid_argument',
    `Content-Range covers ${expected} bytes, the body has ${actual}`,
    {
      subject: { kind: 'size', name: String(actual) },
    },
  );
}
