import type { EngineClient } from '#engine/client/index.ts';
import type { DockerConfig } from '#registry/auth/index.ts';

/** One flag of a command. */
export interface Flag {
  readonly name: string;
  readonly short?: string;
  /** `list`: may be given several times. `optional`: `--flag` or `--flag=value`. */
  readonly kind: 'bool' | 'string' | 'list' | 'int' | 'optional';
  /** Type shown in the help: `string`, `list`, `bytes`, … */
  readonly placeholder?: string;
  readonly default?: string | number | boolean;
  readonly help: string;
  /** Throws for a value that cannot be right, in the words that follow `invalid argument "…" for "…" flag: `. */
  readonly check?: (value: string) => void;
}

/** Values of flags by name. */
export interface Flags {
  bool(name: string): boolean;
  string(name: string): string | undefined;
  list(name: string): readonly string[];
  int(name: string): number | undefined;
  /** Whether the flag was given. */
  has(name: string): boolean;
}

/** Standard input as commands use it. */
export interface Input extends AsyncIterable<Uint8Array> {
  readonly isTTY: boolean;
  readonly stream: NodeJS.ReadStream;
}

/** Where a command writes. */
export interface Output {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
  write(text: string | Uint8Array): void;
  readonly stream: NodeJS.WriteStream;
}

/** Everything a command knows of the process; `main` makes it. */
export interface CliContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDir: string;
  readonly homeDir: string;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Version of this program. */
  readonly version: string;
  /** Name people type, for help and fixes. */
  readonly program: string;
  readonly configPath: string;
  /** Program and first words that start this program again, for services in the background. */
  readonly selfCommand: readonly string[];
  /** Value of `-H`, `--context`: which engine the user named. */
  readonly engineChoice: { readonly host?: string; readonly context?: string };
  /** Aborted by SIGINT and SIGTERM, unless somebody has taken the signals. */
  readonly signal: AbortSignal;
  /** Takes the signals that come from now on; the function returned gives them back. */
  interceptSignals(handler: (signal: NodeJS.Signals) => void): () => void;
  engine(): Promise<EngineClient>;
  config(): Promise<DockerConfig>;
}

/** A command: words, flags, and what it does. Returns the exit code. */
export interface Command {
  readonly usage: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  readonly minArgs: number;
  readonly maxArgs: number;
  /** Flags end at the first argument: what follows belongs to the container. */
  readonly stopAtFirst?: boolean;
  readonly aliases?: readonly string[];
  run(context: CliContext, args: readonly string[], flags: Flags): Promise<number>;
}
