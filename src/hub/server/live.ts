import type { ServerResponse } from 'node:http';
import type { HubEvent } from '#hub/protocol/index.ts';

const PING_MS = 25_000;
const STREAM_LIMIT = 2000;

interface Stream {
  readonly response: ServerResponse;
  readonly mayObserve: (event: HubEvent) => Promise<boolean>;
}

/** Server-sent events: each open page gets what its viewer may see. */
export class LiveEvents {
  readonly #streams = new Set<Stream>();
  #ping: NodeJS.Timeout | undefined;

  /** Takes a response over; it ends when the page goes. */
  open(response: ServerResponse, mayObserve: (event: HubEvent) => Promise<boolean>): void {
    if (this.#streams.size >= STREAM_LIMIT) {
      response.writeHead(503, { 'retry-after': '10' }).end();
      return;
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    response.write(': hello\n\n');
    const stream: Stream = { response, mayObserve };
    this.#streams.add(stream);
    response.on('close', () => this.#streams.delete(stream));
    this.#ping ??= setInterval(() => this.#sendAll(': ping\n\n'), PING_MS).unref();
  }

  publish(event: HubEvent): void {
    const text = `data: ${JSON.stringify(event)}\n\n`;
    for (const stream of this.#streams) {
      void stream.mayObserve(event).then((may) => {
        if (may) stream.response.write(text);
      });
    }
  }

  close(): void {
    clearInterval(this.#ping);
    for (const stream of this.#streams) stream.response.end();
    this.#streams.clear();
  }

  #sendAll(text: string): void {
    for (const stream of this.#streams) stream.response.write(text);
  }
}
