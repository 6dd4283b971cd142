/** A keep-alive HTTP/1.1 connection that costs the measured machine as little as possible. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** What was answered; the body is counted, and kept only when small. */
export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly bodyBytes: number;
}

const HEAD_END = Buffer.from('\r\n\r\n');

/** One connection, one request at a time. */
export class RawConnection {
  readonly #socket: Socket;
  readonly #host: string;
  #settle: { resolve(answer: RawAnswer): void; reject(error: Error): void } | undefined;
  #isHead = false;
  #head: string | undefined;
  #status = 0;
  #pending: Buffer | undefined;
  #expected = 0;
  #received = 0;

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('close', () => this.#settle?.reject(new Error('connection closed')));
  }

  static async open(host: string): Promise<RawConnection> {
    const [name = '', port = ''] = host.split(':');
    const socket = connect({ host: name, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    return new RawConnection(socket, host);
  }

  /** Sends a request; `body` is one buffer, or pieces that are written as the socket takes them. */
  async request(
    method: string,
    path: string,
    options: { readonly headers?: string; readonly body?: Buffer | readonly Buffer[] } = {},
  ): Promise<RawAnswer> {
    const pieces =
      options.body === undefined ? [] : Buffer.isBuffer(options.body) ? [options.body] : options.body;
    const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
    const hasBody = method !== 'GET' && method !== 'HEAD';
    const head = `${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${options.headers ?? ''}${hasBody ? `Content-Length: ${length}\r\n` : ''}\r\n`;
    const answer = new Promise<RawAnswer>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#isHead = method === 'HEAD';
    this.#head = undefined;
    this.#received = 0;
    this.#socket.write(head);
    for (const piece of pieces) {
      if (!this.#socket.write(piece) && pieces.length > 1) await once(this.#socket, 'drain');
    }
    return answer;
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #take(data: Buffer): void {
    let chunk = data;
    let head = this.#head;
    if (head === undefined) {
      chunk = this.#pending === undefined ? data : Buffer.concat([this.#pending, data]);
      const end = chunk.indexOf(HEAD_END);
      if (end < 0) {
        this.#pending = chunk;
        return;
      }
      this.#pending = undefined;
      head = chunk.toString('latin1', 0, end);
      this.#head = head;
      this.#status = Number(head.slice(9, 12));
      const length = /\r\ncontent-length: *([0-9]+)/i.exec(head)?.[1];
      this.#expected = this.#isHead || this.#status === 204 || this.#status === 304 ? 0 : Number(length ?? 0);
      chunk = chunk.subarray(end + 4);
    }
    this.#received += chunk.byteLength;
    if (this.#received < this.#expected) return;
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.resolve({ status: this.#status, head, bodyBytes: this.#received });
  }
}

/** The path of a `Location` header, which may be absolute. */
export function locationPath(answer: RawAnswer): string {
  const value = /\r\nlocation: *([^\r]+)/i.exec(answer.head)?.[1] ?? '';
  return value.replace(/^https?:\/\/[^/]+/, '');
}
