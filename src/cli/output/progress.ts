/**
 * Progress of pull, push and load. On a terminal: a line per layer, redrawn in place, and one line over all of it with
 * the bytes left, the rate and the time left. Elsewhere: a line whenever a layer's status changes.
 */
import { escapeLine } from './escape.ts';
import { displayWidth, ellipsis } from './table.ts';
import { formatDuration, formatSize } from './units.ts';

/** A line of the engine's stream. */
export interface ProgressMessage {
  readonly id?: string;
  readonly status?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly stream?: string;
  readonly aux?: unknown;
}

/** Shows a stream of progress. `end` leaves the terminal on a fresh line. */
export interface ProgressView {
  show(message: ProgressMessage): void;
  end(): void;
}

/** Where it is drawn. */
export interface Screen {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
  write(text: string): void;
}

/** Chooses the view for a screen. `now` is milliseconds of a clock that never jumps. */
export function createProgressView(
  screen: Screen,
  now: () => number = () => performance.now(),
): ProgressView {
  return screen.isTTY ? new TerminalView(screen, now) : new PlainView(screen);
}

class PlainView implements ProgressView {
  readonly #screen: Screen;
  readonly #last = new Map<string, string>();

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  show({ id, status, stream }: ProgressMessage): void {
    if (stream !== undefined) this.#screen.write(escapeLine(stream.replace(/\n$/, '')).concat('\n'));
    if (status === undefined) return;
    if (id === undefined || id === '') {
      this.#screen.write(`${escapeLine(status)}\n`);
      return;
    }
    // Counting statuses repeat for each piece of data: a log wants them once.
    if (this.#last.get(id) === status || /^(Downloading|Extracting|Pushing|Preparing|Waiting)$/.test(status))
      return;
    this.#last.set(id, status);
    this.#screen.write(`${escapeLine(id)}: ${escapeLine(status)}\n`);
  }

  end(): void {}
}

interface LayerLine {
  status: string;
  current: number;
  total: number;
  done: boolean;
}

const DRAW_INTERVAL_MS = 60;
const BAR_WIDTH = 30;
const DONE =
  /^(Pull complete|Already exists|Pushed|Layer already exists|Mounted from .*|Download complete|Loaded)$/;
const COUNTED = /^(Downloading|Pushing)$/;

class TerminalView implements ProgressView {
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #layers = new Map<string, LayerLine>();
  readonly #bytes = new Map<string, { current: number; total: number }>();
  readonly #started: number;
  #drawn = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(screen: Screen, now: () => number) {
    this.#screen = screen;
    this.#now = now;
    this.#started = now();
  }

  show({ id, status, stream, progressDetail }: ProgressMessage): void {
    const isHeader = status !== undefined && /^Pulling from /.test(status);
    if (stream !== undefined || id === undefined || id === '' || isHeader) {
      const text = stream?.replace(/\n$/, '') ?? (isHeader ? `${id}: ${status}` : (status ?? ''));
      if (text !== '' || status !== undefined) this.#printAbove(escapeLine(text));
      return;
    }
    const known = this.#layers.get(id);
    const current = progressDetail?.current ?? 0;
    const total = progressDetail?.total ?? 0;
    const text = status ?? known?.status ?? '';
    this.#layers.set(id, { status: text, current, total, done: DONE.test(text) });
    if (COUNTED.test(text) && total > 0) this.#bytes.set(id, { current, total });
    const counted = this.#bytes.get(id);
    if (counted !== undefined && !COUNTED.test(text) && text !== 'Waiting') counted.current = counted.total;
    if (this.#now() - this.#drawnAt >= DRAW_INTERVAL_MS || known?.status !== text) this.#draw();
  }

  end(): void {
    if (this.#layers.size > 0) this.#draw(true);
    this.#drawn = 0;
    this.#layers.clear();
  }

  /** What is said when every layer is done comes after them, as their last state stays. */
  #printAbove(line: string): void {
    if ([...this.#layers.values()].every(({ done }) => done)) this.end();
    this.#erase();
    this.#screen.write(`${line}\n`);
    this.#draw();
  }

  #erase(): void {
    if (this.#drawn > 0) this.#screen.write(`\x1b[${this.#drawn}A\x1b[J`);
    this.#drawn = 0;
  }

  #draw(isLast = false): void {
    if (this.#layers.size === 0) return;
    this.#drawnAt = this.#now();
    const lines = this.#lines(isLast);
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : '';
    this.#screen.write(`${up}${lines.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`);
    this.#drawn = lines.length;
  }

  #lines(isLast: boolean): string[] {
    const width = this.#screen.columns;
    const entries = [...this.#layers];
    const room = Math.max(3, this.#screen.rows - 3);
    const busy = entries.filter(([, layer]) => !layer.done);
    // More layers than rows: those under way are shown, the rest is counted.
    const shown = entries.length <= room || isLast ? entries : busy.slice(0, room - 1);
    const hidden = entries.length - shown.length;
    const lines = shown.map(([id, layer]) => fit(layerText(id, layer), width));
    if (hidden > 0)
      lines.push(`… ${hidden} more layers, ${entries.length - busy.length} of ${entries.length} done`);
    const total = isLast ? undefined : this.#totalText();
    if (total !== undefined) lines.push(fit(total, width));
    return lines;
  }

  #totalText(): string | undefined {
    let current = 0;
    let total = 0;
    for (const bytes of this.#bytes.values()) {
      current += bytes.current;
      total += bytes.total;
    }
    if (total === 0) return undefined;
    const seconds = Math.max(0.001, (this.#now() - this.#started) / 1000);
    const rate = current / seconds;
    const left = total - current;
    const eta =
      left <= 0 ? '' : rate > 0 ? `, ${formatDuration((left / rate) * 1000).toLowerCase()} left` : '';
    return `Total ${bar(current, total)} ${formatSize(current, 4)}/${formatSize(total, 4)}  ${formatSize(rate)}/s${eta}`;
  }
}

function layerText(id: string, layer: LayerLine): string {
  const head = `${escapeLine(id)}: ${escapeLine(layer.status)}`;
  if (layer.total <= 0 || layer.done) return head;
  return `${head} ${bar(layer.current, layer.total)} ${formatSize(layer.current, 4)}/${formatSize(layer.total, 4)}`;
}

function bar(current: number, total: number): string {
  const done = Math.max(0, Math.min(BAR_WIDTH, Math.floor((current / total) * BAR_WIDTH)));
  return `[${'='.repeat(done)}${done < BAR_WIDTH ? '>' : ''}${' '.repeat(Math.max(0, BAR_WIDTH - done - 1))}]`;
}

function fit(line: string, width: number): string {
  return displayWidth(line) < width ? line : ellipsis(line, Math.max(1, width - 1));
}
